//! Where a called number leads.

use crate::builtin::Builtin;

/// What a route looks for in the called number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Pattern {
    /// The whole of it.
    Number(String),
    /// Its beginning.
    Prefix(String),
}

/// Where a call goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Destination {
    /// To a peer, at the number given or the one called.
    Peer { name: String, number: Option<String> },
    /// To this switch itself.
    Builtin(Builtin),
}

/// One entry of the dial plan. Its destinations are tried in order.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) pattern: Pattern,
    /// Peers for whom it is there; all, if empty.
    pub(crate) from: Vec<String>,
    pub(crate) to: Vec<Destination>,
}

impl Route {
    /// How well it fits: `None` not at all, else the more the better.
    fn fit(&self, caller: Option<&str>, number: &str) -> Option<(bool, usize, bool)> {
        if !self.from.is_empty() && !self.from.iter().any(|name| Some(name.as_str()) == caller) {
            return None;
        }
        let own = !self.from.is_empty();
        match &self.pattern {
            Pattern::Number(whole) => (whole == number).then_some((true, whole.len(), own)),
            Pattern::Prefix(start) => {
                number.starts_with(start.as_str()).then_some((false, start.len(), own))
            }
        }
    }
}

/// The destinations of `number` as dialled by `caller`: the whole number goes before a prefix, a
/// longer prefix before a shorter one, a route for this caller before one for all.
pub(crate) fn find<'a>(
    routes: &'a [Route],
    caller: Option<&str>,
    number: &str,
) -> Option<&'a [Destination]> {
    let fitting = routes.iter().filter_map(|route| Some((route.fit(caller, number)?, route)));
    fitting.max_by_key(|(fit, _)| *fit).map(|(_, route)| route.to.as_slice())
}

/// Whether more digits behind `number` may lead somewhere that it does not lead to itself.
pub(crate) fn may_grow(routes: &[Route], caller: Option<&str>, number: &str) -> bool {
    routes.iter().any(|route| {
        let ours = route.from.is_empty() || route.from.iter().any(|name| Some(&**name) == caller);
        ours && match &route.pattern {
            Pattern::Number(whole) => whole.len() > number.len() && whole.starts_with(number),
            Pattern::Prefix(start) => start.starts_with(number) || number.starts_with(&**start),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_particular_route_wins() {
        let peer = |name: &str| vec![Destination::Peer { name: name.into(), number: None }];
        let route = |pattern, from: &[&str], to| Route {
            pattern,
            from: from.iter().map(|name| (*name).to_string()).collect(),
            to: peer(to),
        };
        let routes = [
            route(Pattern::Prefix(String::new()), &[], "anything"),
            route(Pattern::Prefix("9".into()), &[], "nine"),
            route(Pattern::Prefix("91".into()), &[], "ninety-one"),
            route(Pattern::Number("911".into()), &[], "help"),
            route(Pattern::Prefix("9".into()), &["dialer"], "nine for the dialer"),
        ];
        let found = |caller, number| match &find(&routes, caller, number).unwrap()[0] {
            Destination::Peer { name, .. } => name.clone(),
            Destination::Builtin(_) => unreachable!("no such route"),
        };
        assert_eq!(found(None, "911"), "help");
        assert_eq!(found(None, "915"), "ninety-one");
        assert_eq!(found(None, "95"), "nine");
        assert_eq!(found(Some("dialer"), "95"), "nine for the dialer");
        assert_eq!(found(Some("dialer"), "915"), "ninety-one");
        assert_eq!(found(None, "1"), "anything");
        assert!(find(&routes[1..], None, "1").is_none());
    }
}
