//! `[[limits]]`: ceilings as they are written, and their check.

use std::collections::BTreeSet;

use oneport_wire::CauseCode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::error::ConfigError;
use super::routes::{Names, read_cause};
use super::schema::Words;
use super::source::Source;
use super::spanned::Spanned;
use crate::limits::{Direction, LimitConfig, Scope};
use crate::routing::{Pattern, Route};

/// Which calls of its peers a limit is on.
const DIRECTIONS: [&str; 2] = ["in", "out"];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitKeys {
    /// Whose limit it is, for log and display.
    name: Spanned<String>,
    /// Calls from and to these peers, together. Each leg counts.
    peers: Option<Spanned<Vec<Spanned<String>>>>,
    /// Calls to this number, or to numbers of this pattern (`_1212555XXXX`), together.
    numbers: Option<Spanned<String>>,
    /// Whether each of `numbers` has the limit for itself.
    #[schemars(extend("default" = false))]
    each_number: Option<Spanned<bool>>,
    /// Calls that take the route of this name.
    route: Option<Spanned<String>>,
    /// `in`: only calls that come from the peers; `out`: only calls that go there.
    #[schemars(transform = Words(&DIRECTIONS), extend("x-default" = "both"))]
    direction: Option<Spanned<String>>,
    /// Calls at once.
    max_calls: Option<Spanned<usize>>,
    /// Calls that may begin within any one second.
    #[schemars(range(min = 1))]
    max_calls_per_second: Option<Spanned<usize>>,
    /// Places of `max_calls` that outbound calls leave free for inbound ones.
    #[schemars(extend("default" = 0))]
    reserve_inbound: Option<Spanned<usize>>,
    /// Whether the log only tells when it is passed, and no call is refused.
    #[serde(default)]
    soft: bool,
    /// What the refused caller is told: a name or number as in `continue_on`.
    #[schemars(extend("default" = "congestion"))]
    cause: Option<Spanned<String>>,
    /// The log warns when so much of `max_calls` is in use, where that is fewer calls than the
    /// limit itself; 100 warns at the limit.
    #[schemars(range(min = 1, max = 100), extend("default" = 80))]
    warn_percent: Option<Spanned<usize>>,
    /// What a refused caller hears first, as for routes.
    pub(super) on_congestion: Option<Spanned<String>>,
}

impl LimitKeys {
    pub(super) fn check(
        self,
        source: &Source<'_>,
        names: &Names<'_>,
        routes: &[Route],
        taken: &mut BTreeSet<String>,
    ) -> Result<LimitConfig, ConfigError> {
        if !taken.insert(self.name.get_ref().clone()) {
            let what = format!("there is a limit `{}` already", self.name.get_ref());
            return Err(source.wrong(&self.name, what).with_help("each limit has its own name"));
        }
        if self.max_calls.is_none() && self.max_calls_per_second.is_none() {
            let what = format!("limit `{}` limits nothing", self.name.get_ref());
            let help = "add max_calls = 23, or max_calls_per_second = 5";
            return Err(source.wrong(&self.name, what).with_help(help));
        }
        let scope = self.read_scope(source, names, routes)?;
        let direction = match &self.direction {
            None => None,
            Some(word) => Some(match word.get_ref().as_str() {
                "in" => Direction::In,
                "out" => Direction::Out,
                _ => return Err(source.unknown_word(word, "direction", &DIRECTIONS)),
            }),
        };
        if let Some(rate) = &self.max_calls_per_second
            && *rate.get_ref() == 0
        {
            let error = source.wrong(rate, "no call could ever begin");
            return Err(error.with_help("for no calls at all, max_calls = 0 says it plainly"));
        }
        if self.peers.is_none() {
            let help = "add peers = [\"…\"]; without them each call counts once, as it comes in";
            if let Some(word) = &self.direction
                && direction == Some(Direction::Out)
            {
                let error = source.wrong(word, "only limits on peers see calls that go out");
                return Err(error.with_help(help));
            }
            if let Some(place) = &self.reserve_inbound {
                let error = source.wrong(place, "only limits on peers see calls that go out");
                return Err(error.with_help(help));
            }
        }
        let reserved = self.reserve_inbound.as_ref().map_or(0, |reserved| *reserved.get_ref());
        if let Some(place) = &self.reserve_inbound
            && self.max_calls.as_ref().is_none_or(|max| *max.get_ref() < reserved)
        {
            let what = "more places are kept for inbound calls than there are";
            return Err(source.wrong(place, what).with_help("choose less than max_calls"));
        }
        let warn_percent = self.warn_percent.as_ref().map_or(80, |percent| *percent.get_ref());
        if let Some(place) = &self.warn_percent
            && !(1..=100).contains(&warn_percent)
        {
            let what = format!("a warning cannot be given at {warn_percent} %");
            return Err(source.wrong(place, what).with_help("choose 1 to 100; 80 is usual"));
        }
        let cause = match &self.cause {
            None => CauseCode::CIRCUIT_CONGESTION,
            Some(word) => read_cause(source, word)?,
        };
        Ok(LimitConfig {
            name: self.name.into_inner(),
            scope,
            direction,
            max_calls: self.max_calls.map(Spanned::into_inner),
            max_calls_per_second: self.max_calls_per_second.map(Spanned::into_inner),
            reserved_inbound: reserved,
            soft: self.soft,
            cause,
            warn_percent,
            notice: None,
        })
    }

    fn read_scope(
        &self,
        source: &Source<'_>,
        names: &Names<'_>,
        routes: &[Route],
    ) -> Result<Scope, ConfigError> {
        let each = self.each_number.as_ref().is_some_and(|each| *each.get_ref());
        if let (Some(place), None) = (&self.each_number, &self.numbers)
            && each
        {
            let error = source.wrong(place, "which numbers have a limit of their own?");
            return Err(error.with_help("add numbers = \"_X.\" for all of them"));
        }
        match (&self.peers, &self.numbers, &self.route) {
            (None, None, None) => Ok(Scope::Switch),
            (Some(peers), None, None) => {
                if peers.get_ref().is_empty() {
                    let error = source.wrong(peers, "the limit is on nobody");
                    return Err(error.with_help("name peers, or leave the key out for the switch"));
                }
                for peer in peers.get_ref() {
                    names.check_peer(source, peer)?;
                }
                let peers = peers.get_ref().iter().map(|peer| peer.get_ref().clone());
                Ok(Scope::Peers(peers.collect()))
            }
            (None, Some(numbers), None) => {
                let text = numbers.get_ref();
                let pattern = match text.starts_with('_') {
                    true => Pattern::asterisk(text)
                        .map_err(|(what, help)| source.wrong(numbers, what).with_help(help))?,
                    false => Pattern::number(text),
                };
                Ok(if each { Scope::EachNumber(pattern) } else { Scope::Number(pattern) })
            }
            (None, None, Some(route)) => {
                if !routes.iter().any(|known| known.name == *route.get_ref()) {
                    let known: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
                    let error = source.unknown_word(route, "route", &known);
                    return Err(error.with_help("give the route a `name`, and write that here"));
                }
                Ok(Scope::Route(route.get_ref().clone()))
            }
            _ => {
                let what = format!("limit `{}` is on several things", self.name.get_ref());
                let help = "choose one of `peers`, `numbers` and `route`; write two limits for two";
                Err(source.wrong(&self.name, what).with_help(help))
            }
        }
    }
}
