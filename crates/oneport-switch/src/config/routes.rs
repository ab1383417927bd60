//! `[[routes]]`: the dial plan as it is written, and its check.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use oneport_wire::CauseCode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Peer;
use super::error::{ConfigError, nearest};
use super::schema::Words;
use super::source::Source;
use super::spanned::Spanned;
use super::timers::{self, read_bounds};
use crate::builtin::{Builtin, Place, is_plain};
use crate::routing::{DEFAULT_CONTEXT, Destination, Hours, Pattern, Rewrite, Route, Strategy};
use crate::sip::settings::CARRIER;

/// How destinations are used.
const STRATEGIES: [&str; 4] = ["ordered", "weighted", "least_cost", "all"];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteKeys {
    /// Its name in the log.
    #[schemars(extend("x-default" = "its pattern"))]
    name: Option<String>,
    /// The number called.
    number: Option<Spanned<String>>,
    /// Its beginning, in place of `number`.
    prefix: Option<Spanned<String>>,
    /// A pattern as Asterisk writes them: behind `_`, `X` is a digit, `Z` 1 to 9, `N` 2 to 9,
    /// `[1-5*]` one of these, `.` anything but nothing, `!` anything.
    pattern: Option<Spanned<String>>,
    /// A regular expression that fits the whole number.
    regex: Option<Spanned<String>>,
    /// Contexts in which the route is there.
    #[serde(default)]
    #[schemars(extend("default" = ["default"]))]
    contexts: Vec<String>,
    /// Peers for whom the route is there. Such a route may lead a call back to where it came from;
    /// others would not.
    #[serde(default)]
    #[schemars(extend("x-default" = "everybody"))]
    from: Vec<Spanned<String>>,
    /// When it is there: `"mon-fri 09:00-17:30"`, `"sat,sun"`, `"22:00-06:00"`, `"12-24..12-26"`;
    /// any of them.
    #[serde(default)]
    #[schemars(extend("x-default" = "always"))]
    hours: Vec<Spanned<String>>,
    /// Destinations, tried in order when one cannot take the call: `peer:NAME`, `peer:NAME/NUMBER`,
    /// `phone:NAME` (the same), `allstar:NAME` (a peer that stands for nodes of AllStarLink: the number is that of the
    /// node), `carrier:NAME`, `carrier:NAME/NUMBER`, `builtin:echo`, `builtin:milliwatt`, `builtin:playback`,
    /// `builtin:record`, `builtin:conference`, `builtin:park`, `builtin:music`,
    /// `builtin:congestion`, `builtin:probe`, each with what stands behind its slash where it has something
    /// (`builtin:playback/closed`, `builtin:music/jazz`), or an end: `busy`, `congestion`,
    /// `hangup:CAUSE`. What is built in answers, so that the caller pays: `builtin:congestion`,
    /// which plays the tone, too. `on_congestion` is heard without an answer. In `NUMBER`, `{number}` is the number called, `{number:2}` the same without
    /// its first two characters, `{number:0:3}` its first three, `{1}` a group of `regex`.
    to: Spanned<Vec<Spanned<String>>>,
    /// How `to` is used: `ordered`, `weighted` (in an order drawn by `weights`), `least_cost` (the
    /// cheapest by `costs` first), `all` (all ring at once, the first to answer gets the call).
    #[schemars(transform = Words(&STRATEGIES), extend("default" = "ordered"))]
    strategy: Option<Spanned<String>>,
    /// One number for each of `to`, with `weighted`.
    weights: Option<Spanned<Vec<u32>>>,
    /// What a call to each of `to` costs, in any unit, with `least_cost`. Of two that cost the same
    /// the first written comes first.
    costs: Option<Spanned<Vec<f64>>>,
    /// How long a destination may ring before the next is tried.
    #[schemars(range(min = 1))]
    timeout_seconds: Option<Spanned<u64>>,
    /// Causes behind which the next destination is tried too, beside those of one that could not
    /// take the call: `busy`, `no_answer`, `rejected`, `congestion`, `unallocated`, `no_route`, or
    /// a number. With them the next of `to` is where calls are forwarded on busy or no answer.
    #[serde(default)]
    continue_on: Vec<Spanned<String>>,
    /// What its caller hears when there is no room (causes 34, 38, 41, 42, 44, 47), before it is
    /// refused: `congestion`, the tone, or `playback/NAME` for `NAME.wav` of `audio.playback`. It
    /// is heard as audio before an answer, so nobody pays for it, and takes no place of a limit; a
    /// hundred callers at most hear one at the same time, and guests none. The file is read at the
    /// start.
    pub(super) on_congestion: Option<Spanned<String>>,
    /// Whether it is for emergencies: no limit of `[[limits]]` stands against its calls, nor one of a
    /// carrier. They count under them all the same, so others wait for the places that they take.
    #[serde(default)]
    emergency: bool,
    /// As for peers, for the calls of this route.
    #[schemars(transform = timers::DURATION.schema(), extend("default" = 0))]
    max_duration_seconds: Option<Spanned<u64>>,
    /// As for peers, for the calls of this route.
    #[schemars(transform = timers::SILENCE.schema(), extend("default" = 0))]
    no_media_timeout_seconds: Option<Spanned<u64>>,
}

/// What a route looks for: pattern, peers, contexts and hours.
type Conditions = (String, Vec<String>, Vec<String>, Vec<String>);

/// Names that routes may use, and those they have taken.
pub(super) struct Names<'a> {
    peers: &'a BTreeMap<String, Arc<Peer>>,
    /// Whether there are peers that the file does not have (`[realtime]`): any name may be one.
    has_tables: bool,
    /// Of the routes before.
    taken: BTreeSet<Conditions>,
}

impl<'a> Names<'a> {
    pub(super) fn new(peers: &'a BTreeMap<String, Arc<Peer>>, has_tables: bool) -> Self {
        Self { peers, has_tables, taken: BTreeSet::new() }
    }

    fn all(&self) -> Vec<&str> {
        self.peers.keys().map(String::as_str).collect()
    }

    pub(super) fn check_peer(
        &self,
        source: &Source<'_>,
        name: &Spanned<String>,
    ) -> Result<(), ConfigError> {
        match self.has_tables || self.peers.contains_key(name.get_ref()) {
            true => Ok(()),
            false => Err(source.unknown_word(name, "peer", &self.all())),
        }
    }
}

impl RouteKeys {
    pub(super) fn check(
        self,
        source: &Source<'_>,
        names: &mut Names<'_>,
    ) -> Result<Route, ConfigError> {
        let (pattern, place) = self.read_pattern(source)?;
        for name in &self.from {
            names.check_peer(source, name)?;
        }
        let from: Vec<String> = self.from.into_iter().map(Spanned::into_inner).collect();
        let mut hours = Vec::new();
        for text in &self.hours {
            hours.push(Hours::parse(text.get_ref()).ok_or_else(|| {
                source.wrong(text, format!("`{}` are no hours", text.get_ref())).with_help(
                    "write them as \"mon-fri 09:00-17:00\", \"sat,sun\" or \"12-24..12-26\"",
                )
            })?);
        }
        let contexts = match self.contexts.is_empty() {
            true => vec![DEFAULT_CONTEXT.to_string()],
            false => self.contexts,
        };
        let times = hours.iter().map(ToString::to_string).collect();
        let own = (pattern.to_string(), from.clone(), contexts.clone(), times);
        if !names.taken.insert(own) {
            let what = format!("there is a route for `{}` already", place.get_ref());
            return Err(source
                .wrong(&place, what)
                .with_help("put both destinations into one `to`"));
        }
        if self.to.get_ref().is_empty() {
            let error = source.wrong(&self.to, "the route leads nowhere");
            return Err(error.with_help("for example to = [\"peer:media\"]"));
        }
        let mut to = Vec::new();
        for written in self.to.get_ref() {
            to.push(read_destination(source, written, &pattern, names)?);
        }
        let word = self.strategy.as_ref().map(|word| word.get_ref().as_str());
        if self.costs.is_some() || word == Some("least_cost") {
            to = cheapest_first(source, self.strategy.as_ref(), self.costs.as_ref(), to)?;
        }
        let strategy = read_strategy(source, self.strategy.as_ref(), self.weights, to.len())?;
        if strategy == Strategy::All
            && let Some(place) = to.iter().position(|one| !matches!(one, Destination::Peer { .. }))
        {
            let place = &self.to.get_ref()[place];
            let what = format!("`{}` cannot ring beside others", place.get_ref());
            return Err(source
                .wrong(place, what)
                .with_help("strategy = \"all\" is for peers; let another route lead to the rest"));
        }
        if let Some(seconds) = &self.timeout_seconds
            && *seconds.get_ref() == 0
        {
            return Err(source
                .wrong(seconds, "a destination cannot answer within 0 seconds")
                .with_help("choose 1 or more, or leave the key out"));
        }
        let mut continue_on = Vec::new();
        for word in &self.continue_on {
            continue_on.push(read_cause(source, word)?);
        }
        let name = self.name.unwrap_or_else(|| pattern.to_string());
        let bounds = read_bounds(
            source,
            format!("routes.{name}"),
            self.max_duration_seconds.as_ref(),
            self.no_media_timeout_seconds.as_ref(),
        )?;
        Ok(Route {
            name,
            pattern,
            contexts,
            from,
            hours,
            to,
            strategy,
            timeout: self.timeout_seconds.map(|seconds| Duration::from_secs(seconds.into_inner())),
            continue_on,
            bounds,
            notice: None,
            emergency: self.emergency,
        })
    }

    /// The one of its four keys that says what it looks for.
    fn read_pattern(&self, source: &Source<'_>) -> Result<(Pattern, Spanned<String>), ConfigError> {
        let keys = [&self.number, &self.prefix, &self.pattern, &self.regex];
        let mut written = keys.into_iter().flatten();
        let (Some(place), None) = (written.next(), written.next()) else {
            return Err(source
                .wrong(&self.to, "a route has one of `number`, `prefix`, `pattern` and `regex`")
                .with_help("for example number = \"600\", or prefix = \"9\""));
        };
        let text = place.get_ref();
        let pattern = if self.number.is_some() {
            Pattern::number(text)
        } else if self.prefix.is_some() {
            Pattern::prefix(text)
        } else if self.pattern.is_some() {
            Pattern::asterisk(text)
                .map_err(|(what, help)| source.wrong(place, what).with_help(help))?
        } else {
            Pattern::regex(text).map_err(|what| {
                source
                    .wrong(place, format!("`{text}` is no regular expression: {what}"))
                    .with_help("it must fit the whole number; for example regex = \"00(\\\\d+)\"")
            })?
        };
        Ok((pattern, place.clone()))
    }
}

fn read_strategy(
    source: &Source<'_>,
    word: Option<&Spanned<String>>,
    weights: Option<Spanned<Vec<u32>>>,
    destinations: usize,
) -> Result<Strategy, ConfigError> {
    let strategy = word.map_or("ordered", |word| word.get_ref().as_str());
    match (strategy, weights, word) {
        ("weighted", Some(weights), _) => {
            let sum = weights.get_ref().iter().try_fold(0_u32, |sum, one| sum.checked_add(*one));
            if weights.get_ref().len() != destinations || sum.is_none_or(|sum| sum == 0) {
                let what = format!("{destinations} destinations need as many weights");
                let help = "one for each of `to`, not all 0; for example weights = [70, 30]";
                return Err(source.wrong(&weights, what).with_help(help));
            }
            Ok(Strategy::Weighted(weights.into_inner()))
        }
        ("weighted", None, Some(word)) => {
            let error = source.wrong(word, "which destination has which weight?");
            Err(error.with_help("add weights = [70, 30], one for each of `to`"))
        }
        (_, Some(weights), _) => {
            let error = source.wrong(&weights, "weights are of no use without their strategy");
            Err(error.with_help("add strategy = \"weighted\""))
        }
        ("ordered" | "least_cost", ..) => Ok(Strategy::Ordered),
        ("all", ..) => Ok(Strategy::All),
        (_, _, Some(word)) => Err(source.unknown_word(word, "strategy", &STRATEGIES)),
        (_, _, None) => Ok(Strategy::Ordered),
    }
}

/// Destinations in the order of what they cost.
fn cheapest_first(
    source: &Source<'_>,
    strategy: Option<&Spanned<String>>,
    costs: Option<&Spanned<Vec<f64>>>,
    to: Vec<Destination>,
) -> Result<Vec<Destination>, ConfigError> {
    match (strategy.filter(|word| word.get_ref() == "least_cost"), costs) {
        (Some(_), Some(costs)) => {
            let good = costs.get_ref().iter().all(|cost| cost.is_finite() && *cost >= 0.0);
            if costs.get_ref().len() != to.len() || !good {
                let what = format!("{} destinations need as many costs", to.len());
                let help = "one for each of `to`, 0 or more; for example costs = [0.7, 1.2]";
                return Err(source.wrong(costs, what).with_help(help));
            }
            let mut all: Vec<(f64, Destination)> =
                costs.get_ref().iter().copied().zip(to).collect();
            all.sort_by(|(one, _), (other, _)| one.total_cmp(other));
            Ok(all.into_iter().map(|(_, destination)| destination).collect())
        }
        (Some(word), None) => {
            let error = source.wrong(word, "which destination costs how much?");
            Err(error.with_help("add costs = [0.7, 1.2], one for each of `to`"))
        }
        (None, Some(costs)) => {
            let error = source.wrong(costs, "costs are of no use without their strategy");
            Err(error.with_help("add strategy = \"least_cost\""))
        }
        (None, None) => Ok(to),
    }
}

/// Causes by the names that people use.
const CAUSES: [(&str, CauseCode); 6] = [
    ("busy", CauseCode::USER_BUSY),
    ("no_answer", CauseCode::NO_ANSWER),
    ("rejected", CauseCode::REJECTED),
    ("congestion", CauseCode::CIRCUIT_CONGESTION),
    ("unallocated", CauseCode::UNALLOCATED),
    ("no_route", CauseCode::NO_ROUTE),
];

/// A cause by name or number.
pub(super) fn read_cause(
    source: &Source<'_>,
    word: &Spanned<String>,
) -> Result<CauseCode, ConfigError> {
    let text = word.get_ref().as_str();
    let named = CAUSES.iter().find(|(name, _)| *name == text).map(|(_, cause)| *cause);
    let numbered = || text.parse().ok().filter(|code| (1..128).contains(code)).map(CauseCode);
    named.or_else(numbered).ok_or_else(|| {
        let known: Vec<&str> = CAUSES.iter().map(|(name, _)| *name).collect();
        source.unknown_word(word, "cause", &known)
    })
}

pub(super) fn read_destination(
    source: &Source<'_>,
    text: &Spanned<String>,
    pattern: &Pattern,
    names: &Names<'_>,
) -> Result<Destination, ConfigError> {
    let written = text.get_ref();
    let (kind, rest) = written.split_once(':').unwrap_or((written, ""));
    match kind {
        "peer" | "phone" | "allstar" | "carrier" => {
            let (name, number) = match rest.split_once('/') {
                Some((name, number)) => (name, Some(number)),
                None => (rest, None),
            };
            let known = match kind {
                "carrier" => format!("{CARRIER}{name}"),
                _ => name.to_string(),
            };
            if !names.peers.contains_key(&known) && (kind != "peer" || !names.has_tables) {
                let what = if kind == "carrier" { "carrier" } else { "peer" };
                let error = source.wrong(text, format!("there is no {what} `{name}`"));
                return Err(match nearest(&known, names.all()) {
                    Some(name) => error.with_help(format!("did you mean `{name}`?")),
                    None => error.with_help(format!("add [{what}s.{name}]")),
                });
            }
            let is_for_nodes = names.peers.get(&known).is_some_and(|peer| peer.nodes.is_some());
            if kind == "allstar" && !is_for_nodes {
                let what = format!("peer `{name}` does not stand for nodes of AllStarLink");
                return Err(source.wrong(text, what).with_help("give it allstar = true"));
            }
            let rewrite = |number| Rewrite::parse(number, pattern.group_count());
            let number = number.map(rewrite).transpose();
            let wrong = |(what, help)| source.wrong(text, what).with_help(help);
            Ok(Destination::Peer { name: known, number: number.map_err(wrong)? })
        }
        "builtin" => match Place::named(rest) {
            Some(place) if place.argument.as_deref().is_none_or(is_plain) => {
                Ok(Destination::Builtin(place))
            }
            Some(place) => {
                let argument = place.argument.unwrap_or_default();
                let error = source.wrong(text, format!("`{argument}` is no plain name"));
                Err(error.with_help("letters, digits, - and _ may be in it"))
            }
            None => {
                let known = Builtin::ALL.map(Builtin::name);
                let error = source.wrong(text, format!("there is no built-in `{rest}`"));
                Err(match nearest(rest, known) {
                    Some(name) => error.with_help(format!("did you mean `{name}`?")),
                    None => error.with_help(format!("it is one of {}", known.join(", "))),
                })
            }
        },
        "busy" if rest.is_empty() => Ok(Destination::End(CauseCode::USER_BUSY)),
        "congestion" if rest.is_empty() => Ok(Destination::End(CauseCode::CIRCUIT_CONGESTION)),
        "hangup" => {
            let cause = Spanned::new(text.span(), rest.to_string());
            Ok(Destination::End(read_cause(source, &cause)?))
        }
        _ => Err(source.wrong(text, format!("`{written}` is no destination")).with_help(
            "write \"peer:NAME\", \"peer:NAME/NUMBER\", \"allstar:NAME\", \"carrier:NAME\", \"builtin:echo\", \"busy\", \
             \"congestion\" or \"hangup:CAUSE\"",
        )),
    }
}
