//! Why a number leads where it leads, step by step, without placing a call.

use std::fmt;

use jiff::ZonedDateTime;

use crate::builtin::Place;
use crate::config::Config;
use crate::routing::{self, Question, Strategy, Verdict, peer_as_destination};
use crate::switch::{contexts_of, wall_time};

/// What the dial plan makes of one number. It prints as a list of steps.
///
/// ```
/// use std::path::Path;
///
/// use oneport_switch::{Config, Decision};
///
/// let text = "[peers.ann]\nsecret = \"a b c\"\n[[routes]]\nnumber = \"7\"\nto = [\"builtin:echo\"]";
/// let config = Config::parse(Path::new("oneport.toml"), text)?;
/// let decision = Decision::new(&config, Some("ann"), "7", None)?;
/// assert_eq!(decision.targets, ["builtin:echo"]);
/// println!("{decision}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decision {
    /// Each route in the order written: its name, whether it is the one, and why or why not.
    pub steps: Vec<(String, bool, String)>,
    /// Where the number leads, in the order in which that is tried.
    pub targets: Vec<String>,
    /// In words: how the targets are used, or why there are none.
    pub summary: String,
}

impl Decision {
    /// What becomes of `number`, called by the peer `from` (`None`: a guest) in the context it asks
    /// for, now.
    ///
    /// # Errors
    /// There is no such peer.
    pub fn new(
        config: &Config,
        from: Option<&str>,
        number: &str,
        context: Option<&str>,
    ) -> Result<Self, String> {
        let time = wall_time(&ZonedDateTime::now().with_time_zone(config.timezone.clone()));
        let mut decision = Self { steps: Vec::new(), targets: Vec::new(), summary: String::new() };
        let builtin = Place::find(number);
        let Some(peer) = from else {
            match builtin.filter(|place| place.builtin.is_for_guests()) {
                Some(builtin) => {
                    decision.targets.push(format!("builtin:{builtin}"));
                    decision.summary = "guests may call it".into();
                }
                None => decision.summary = "guests reach echo, milliwatt and probe only".into(),
            }
            return Ok(decision);
        };
        if !config.peers.contains_key(peer) {
            return Err(format!("there is no peer `{peer}`"));
        }
        let contexts = match contexts_of(config, peer, context) {
            Ok(contexts) => contexts,
            Err(why) => {
                decision.summary = why;
                return Ok(decision);
            }
        };
        let question = Question { number, from, contexts: &contexts, time };
        for (route, verdict) in routing::explain(&config.routes, &question) {
            let chosen = verdict == Verdict::Chosen;
            decision.steps.push((route.name.clone(), chosen, verdict.to_string()));
            if !chosen {
                continue;
            }
            // The order in which the weights stand, not one that is drawn.
            let targets = route.targets(number, |_| 0);
            decision.targets = targets.iter().map(ToString::to_string).collect();
            decision.summary = match &route.strategy {
                Strategy::Ordered => "tried in this order".into(),
                Strategy::All => "all at once; the first to answer gets the call".into(),
                Strategy::Weighted(weights) => {
                    format!("in an order drawn by the weights {weights:?}")
                }
            };
            if let Some(timeout) = route.timeout {
                decision.summary.push_str(&format!("; each rings {} s at most", timeout.as_secs()));
            }
        }
        if decision.targets.is_empty() {
            let extension = config.peers.iter().find(|(_, peer)| {
                let context = &peer.extension_context;
                peer.extensions.iter().any(|extension| extension == number)
                    && contexts.iter().any(|one| one == context || one == "*")
            });
            if let Some((name, _)) = extension {
                decision.targets.push(format!("{}/{number}", peer_as_destination(name)));
                decision.summary =
                    format!("no route; an extension of {name}, which is there while {name} is");
            } else if let Some(builtin) = builtin {
                decision.targets.push(format!("builtin:{builtin}"));
                decision.summary = "no route; the name of a built-in destination".into();
            } else if config.is_peer_by_name(number) {
                decision.targets.push(format!("peer:{number}/{number}"));
                decision.summary = "no route; the name of a peer".into();
            } else {
                decision.summary = "no route, no built-in destination, no peer of that name: the \
                                    call is refused, cause 3"
                    .into();
            }
        }
        Ok(decision)
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, chosen, why) in &self.steps {
            writeln!(f, "{} route {name}: {why}", if *chosen { "→" } else { " " })?;
        }
        for (n, target) in self.targets.iter().enumerate() {
            writeln!(f, "{}. {target}", n + 1)?;
        }
        write!(f, "{}", self.summary)
    }
}
