//! Numbers of peers that are there while the peer is registered (Asterisk's `regexten`).

use oneport_proto::Instant;

use super::Switch;

impl Switch {
    /// The peer whose extension this number is, in one of these contexts, and who is there now.
    pub(super) fn extension(
        &self,
        now: Instant,
        contexts: &[String],
        number: &str,
    ) -> Option<&str> {
        let mut peers = self.config.peers.iter().filter(|(name, peer)| {
            let has = peer.extensions.iter().any(|extension| extension == number);
            let context = &peer.extension_context;
            has && contexts.iter().any(|one| one == context || one == "*")
                && (peer.address.is_some()
                    || self.registrar.find(now, name).is_some()
                    || self.registrar.elsewhere(name).is_some())
        });
        peers.next().map(|(name, _)| name.as_str())
    }
}
