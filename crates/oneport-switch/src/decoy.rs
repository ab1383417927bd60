//! What is asked of a name that does not exist: the same as of one that does, so that strangers do
//! not learn which names exist.

use std::hash::{BuildHasher, RandomState};

use oneport_proto::{Challenge, EncryptionPolicy};
use oneport_wire::AuthMethods;

use crate::config::Config;

/// Challenges for nobody. A name is asked in the same way each time, and names are asked in the
/// ways, and as often in each, as the peers of the configuration are.
#[derive(Default)]
pub(crate) struct Decoy {
    salt: RandomState,
    /// What each peer is asked for.
    ways: Vec<(AuthMethods, EncryptionPolicy)>,
}

impl Decoy {
    /// Learns how the peers of a configuration are asked.
    pub(crate) fn learn(&mut self, config: &Config) {
        let asked = config.peers.values().filter(|peer| peer.has_proof());
        self.ways = asked.map(|peer| (peer.methods, peer.encryption)).collect();
    }

    /// A challenge that nobody can meet.
    pub(crate) fn challenge(&self, username: &str) -> Challenge {
        let ways = self.ways.len() as u64;
        let chosen = self.salt.hash_one(username).checked_rem(ways).unwrap_or_default();
        let way = usize::try_from(chosen).ok().and_then(|chosen| self.ways.get(chosen));
        let unknown = Challenge::unknown(username);
        match way {
            Some((methods, encryption)) => {
                Challenge { methods: *methods, encryption: *encryption, ..unknown }
            }
            None => unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn names_that_do_not_exist_are_asked_as_those_that_do_each_time_in_the_same_way() {
        let text = "[peers.a]\nsecret = \"1\"\nencryption = \"required\"\n\
                    [peers.b]\nsecret = \"2\"\n\
                    [peers.c]\naddress = \"192.0.2.1\"\n";
        let config = Config::parse(Path::new("test.toml"), text).expect("a good configuration");
        let mut decoy = Decoy::default();
        assert_eq!(decoy.challenge("x").methods, AuthMethods::MD5, "without any peer");
        decoy.learn(&config);
        let names: Vec<String> = (0..200).map(|n| format!("name{n}")).collect();
        let ask = |name: &String| {
            let challenge = decoy.challenge(name);
            assert!(challenge.secrets.is_empty() && challenge.keys.is_empty(), "nobody is let in");
            challenge.encryption
        };
        let asked: Vec<EncryptionPolicy> = names.iter().map(ask).collect();
        assert_eq!(asked, names.iter().map(ask).collect::<Vec<_>>());
        let required = |policy: &&EncryptionPolicy| **policy == EncryptionPolicy::Required;
        let required = asked.iter().filter(required).count();
        assert!((50..150).contains(&required), "{required} of 200");
        assert!(asked.contains(&EncryptionPolicy::Off));
    }
}
