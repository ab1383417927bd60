//! Where a called number leads. It knows nothing of calls: a question goes in, an answer with its
//! reasons comes out.

mod hours;
mod pattern;
mod rewrite;

use std::fmt;
use std::time::Duration;

use oneport_wire::CauseCode;

use crate::builtin::{Announcement, Place};
use crate::sip::settings::CARRIER;
use crate::watch::Bounds;

pub(crate) use hours::{Hours, WallTime};
pub(crate) use pattern::Pattern;
pub(crate) use rewrite::Rewrite;

/// The context of routes and peers that name none.
pub(crate) const DEFAULT_CONTEXT: &str = "default";

/// Where a route leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Destination {
    /// To a peer, at the number given or the one called.
    Peer { name: String, number: Option<Rewrite> },
    /// To this switch itself.
    Builtin(Place),
    /// To an end with this cause.
    End(CauseCode),
}

impl Destination {
    /// Where it leads a call to `number`, of which a pattern has made these groups, the whole first.
    pub(crate) fn target(&self, number: &str, groups: &[&str]) -> Target {
        match self {
            Self::Peer { name, number: None } => {
                Target::Peer { name: name.clone(), number: number.into() }
            }
            Self::Peer { name, number: Some(rewrite) } => {
                Target::Peer { name: name.clone(), number: rewrite.apply(groups) }
            }
            Self::Builtin(place) => Target::Builtin(place.clone()),
            Self::End(cause) => Target::End(*cause),
        }
    }
}

/// A destination for one number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// A peer, and the number to call there.
    Peer { name: String, number: String },
    /// This switch itself.
    Builtin(Place),
    /// The end of the call, with this cause.
    End(CauseCode),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer { name, number } => write!(f, "{}/{number}", peer_as_destination(name)),
            Self::Builtin(place) => write!(f, "builtin:{place}"),
            Self::End(cause) => write!(f, "hangup:{}", cause.0),
        }
    }
}

/// A peer as a destination: `peer:NAME`, or `carrier:NAME` as that of a carrier is already.
pub(crate) fn peer_as_destination(name: &str) -> String {
    match name.starts_with(CARRIER) {
        true => name.into(),
        false => format!("peer:{name}"),
    }
}

/// How the destinations of a route are used.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Strategy {
    /// One behind the other.
    #[default]
    Ordered,
    /// One behind the other, in an order drawn by these weights.
    Weighted(Vec<u32>),
    /// All at once; the first to answer gets the call.
    All,
}

/// One entry of the dial plan.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// Its name in logs; its pattern, where it has none.
    pub(crate) name: String,
    pub(crate) pattern: Pattern,
    /// Contexts in which it is there.
    pub(crate) contexts: Vec<String>,
    /// Peers for whom it is there; all, if empty.
    pub(crate) from: Vec<String>,
    /// When it is there; always, if empty.
    pub(crate) hours: Vec<Hours>,
    pub(crate) to: Vec<Destination>,
    pub(crate) strategy: Strategy,
    /// How long a destination may ring before the next is tried.
    pub(crate) timeout: Option<Duration>,
    /// Causes behind which the next destination is tried, beside those of one that could not take
    /// the call.
    pub(crate) continue_on: Vec<CauseCode>,
    /// What its calls are held to once they are answered.
    pub(crate) bounds: Bounds,
    /// What a caller hears where there is no room, before it is refused.
    pub(crate) notice: Option<Announcement>,
    /// No limit stands against its calls.
    pub(crate) emergency: bool,
}

/// What is asked of the dial plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) number: &'a str,
    /// Who calls; `None` for a guest.
    pub(crate) from: Option<&'a str>,
    /// Contexts in which the number is looked up, in this order.
    pub(crate) contexts: &'a [String],
    pub(crate) time: WallTime,
}

/// Why a route is, or is not, the one for a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It leads on.
    Chosen,
    /// It would fit; another is more particular.
    LessParticular,
    /// It is in none of the caller's contexts.
    OtherContext,
    /// It is for other peers.
    OtherPeer,
    /// It fits other numbers.
    OtherNumber,
    /// It holds at other hours.
    OtherHours,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chosen => "chosen",
            Self::LessParticular => "fits, but another is more particular",
            Self::OtherContext => "is in another context",
            Self::OtherPeer => "is for other peers",
            Self::OtherNumber => "fits other numbers",
            Self::OtherHours => "holds at other hours",
        })
    }
}

impl Route {
    /// Whether it can be the one; else the first reason why not.
    fn judge(&self, question: &Question<'_>) -> Result<usize, Verdict> {
        let context = question.contexts.iter().position(|context| self.contexts.contains(context));
        let Some(context) = context else { return Err(Verdict::OtherContext) };
        if !self.from.is_empty()
            && !self.from.iter().any(|name| Some(name.as_str()) == question.from)
        {
            return Err(Verdict::OtherPeer);
        }
        if self.pattern.groups(question.number).is_none() {
            return Err(Verdict::OtherNumber);
        }
        if !self.hours.is_empty() && !self.hours.iter().any(|hours| hours.hold(question.time)) {
            return Err(Verdict::OtherHours);
        }
        Ok(context)
    }

    /// Its destinations for `number`, in the order in which they are tried. `random` gives a number
    /// below its argument.
    pub(crate) fn targets(&self, number: &str, mut random: impl FnMut(u32) -> u32) -> Vec<Target> {
        let groups = self.pattern.groups(number).unwrap_or_else(|| vec![number]);
        let target = |destination: &Destination| destination.target(number, &groups);
        let mut targets: Vec<Target> = self.to.iter().map(target).collect();
        if let Strategy::Weighted(weights) = &self.strategy {
            let mut left: Vec<(u32, Target)> = weights.iter().copied().zip(targets).collect();
            targets = Vec::new();
            while !left.is_empty() {
                let sum = left.iter().map(|(weight, _)| weight).sum();
                let mut drawn = random(sum);
                let place = left.iter().position(|(weight, _)| {
                    let here = drawn < *weight;
                    drawn = drawn.saturating_sub(*weight);
                    here
                });
                targets.push(left.remove(place.unwrap_or(0)).1);
            }
        }
        targets
    }
}

/// The route for a question: of those that fit, the one in the earliest of the caller's contexts,
/// there the most particular pattern, and of two with the same the one for this very caller, else
/// the first written.
pub(crate) fn find<'a>(routes: &'a [Route], question: &Question<'_>) -> Option<&'a Route> {
    let fitting = routes.iter().filter_map(|route| Some((route.judge(question).ok()?, route)));
    let best = fitting.min_by(|(context, one), (other_context, other)| {
        (context.cmp(other_context))
            .then_with(|| one.pattern.compare(&other.pattern))
            .then_with(|| one.from.is_empty().cmp(&other.from.is_empty()))
    });
    best.map(|(_, route)| route)
}

/// Every route in the order written, and why it is, or is not, the one.
pub(crate) fn explain<'a>(
    routes: &'a [Route],
    question: &Question<'_>,
) -> Vec<(&'a Route, Verdict)> {
    let chosen = find(routes, question);
    let verdict = |route: &Route| match route.judge(question) {
        Err(verdict) => verdict,
        Ok(_) if chosen.is_some_and(|chosen| std::ptr::eq(chosen, route)) => Verdict::Chosen,
        Ok(_) => Verdict::LessParticular,
    };
    routes.iter().map(|route| (route, verdict(route))).collect()
}

/// Whether more digits behind the number may lead somewhere that it does not lead to itself.
pub(crate) fn may_grow(routes: &[Route], question: &Question<'_>) -> bool {
    routes.iter().any(|route| {
        let ours = route.from.is_empty()
            || route.from.iter().any(|name| Some(name.as_str()) == question.from);
        let here = question.contexts.iter().any(|context| route.contexts.contains(context));
        ours && here && route.pattern.may_grow_from(question.number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY_NOON: WallTime = WallTime { weekday: 0, minute: 720, month: 11, day: 30 };

    fn route(pattern: Pattern, to: &str) -> Route {
        Route {
            name: pattern.to_string(),
            pattern,
            contexts: vec![DEFAULT_CONTEXT.into()],
            from: Vec::new(),
            hours: Vec::new(),
            to: vec![Destination::Peer { name: to.into(), number: None }],
            strategy: Strategy::Ordered,
            timeout: None,
            continue_on: Vec::new(),
            bounds: Bounds::default(),
            notice: None,
            emergency: false,
        }
    }

    fn name(route: &Route) -> &str {
        match &route.to[0] {
            Destination::Peer { name, .. } => name,
            other => panic!("{other:?}"),
        }
    }

    fn ask<'a>(from: Option<&'a str>, contexts: &'a [String], number: &'a str) -> Question<'a> {
        Question { number, from, contexts, time: MONDAY_NOON }
    }

    #[test]
    fn the_most_particular_route_wins() {
        let mut for_dialer = route(Pattern::prefix("9"), "nine for the dialer");
        for_dialer.from = vec!["dialer".into()];
        let routes = [
            route(Pattern::prefix(""), "anything"),
            route(Pattern::prefix("9"), "nine"),
            route(Pattern::prefix("91"), "ninety-one"),
            route(Pattern::number("911"), "help"),
            for_dialer,
        ];
        let contexts = [DEFAULT_CONTEXT.to_string()];
        let found = |caller, number| name(find(&routes, &ask(caller, &contexts, number)).unwrap());
        assert_eq!(found(None, "911"), "help");
        assert_eq!(found(None, "915"), "ninety-one");
        assert_eq!(found(None, "95"), "nine");
        assert_eq!(found(Some("dialer"), "95"), "nine for the dialer");
        assert_eq!(found(Some("dialer"), "915"), "ninety-one");
        assert_eq!(found(None, "1"), "anything");
        assert!(find(&routes[1..], &ask(None, &contexts, "1")).is_none());
    }

    #[test]
    fn contexts_are_looked_through_in_their_order() {
        let mut inside = route(Pattern::prefix(""), "inside");
        inside.contexts = vec!["inside".into()];
        let routes = [route(Pattern::number("1"), "outside"), inside];
        let contexts = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_string()).collect()
        };
        let both = contexts(&["inside", "default"]);
        assert_eq!(name(find(&routes, &ask(None, &both, "1")).unwrap()), "inside");
        let other = contexts(&["default", "inside"]);
        assert_eq!(name(find(&routes, &ask(None, &other, "1")).unwrap()), "outside");
        assert!(find(&routes, &ask(None, &contexts(&["elsewhere"]), "1")).is_none());
    }

    #[test]
    fn each_route_says_why_it_is_or_is_not_the_one() {
        let mut night = route(Pattern::number("1"), "night");
        night.hours = vec![Hours::parse("22:00-06:00").unwrap()];
        let mut theirs = route(Pattern::number("1"), "theirs");
        theirs.from = vec!["bob".into()];
        let mut away = route(Pattern::number("1"), "away");
        away.contexts = vec!["away".into()];
        let routes = [
            night,
            theirs,
            away,
            route(Pattern::number("2"), "two"),
            route(Pattern::prefix(""), "anything"),
            route(Pattern::number("1"), "one"),
        ];
        let contexts = [DEFAULT_CONTEXT.to_string()];
        let verdicts = explain(&routes, &ask(Some("ann"), &contexts, "1"));
        let verdicts: Vec<Verdict> = verdicts.into_iter().map(|(_, verdict)| verdict).collect();
        use Verdict as V;
        let expected =
            [V::OtherHours, V::OtherPeer, V::OtherContext, V::OtherNumber, V::LessParticular];
        assert_eq!(verdicts[..5], expected);
        assert_eq!(verdicts[5], Verdict::Chosen);
    }

    #[test]
    fn weights_decide_who_is_first_and_all_are_tried() {
        let mut balanced = route(Pattern::prefix(""), "a");
        balanced.to = ["a", "b", "c"]
            .map(|name| Destination::Peer { name: name.into(), number: None })
            .into();
        balanced.strategy = Strategy::Weighted(vec![70, 30, 0]);
        let mut first = [0; 3];
        for drawn in 0..100 {
            let targets = balanced.targets("1", |sum| drawn.min(sum.max(1) - 1));
            assert_eq!(targets.len(), 3);
            for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
                let target = Target::Peer { name: name.into(), number: "1".into() };
                assert!(targets.contains(&target));
                first[n] += usize::from(targets[0] == target);
            }
        }
        assert_eq!(first, [70, 30, 0]);
    }
}
