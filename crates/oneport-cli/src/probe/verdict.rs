//! What the figures mean for calls, in words, and what mends what is wrong. It is arithmetic over what was
//! found, and knows of no clock and no network.

use std::net::SocketAddr;
use std::time::Duration;

use oneport::media::quality::{Conditions, mos, rating};
use oneport::probe::{OneWay, PathMtu};
use oneport::{CallEnd, CallStats, Cause, Diagnosis, EndReason, Shape, Surroundings, Way};
use oneport_proto::TrunkConfig;
use serde::Serialize;

use super::measure::{CallFound, Found, RampFound, Spoke};
use super::nat::{self, Kind};
use super::poll::{Refusal, Why, headers};
use crate::exit;

/// How much it matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Weight {
    /// Good to know.
    Note,
    /// Some will hear it, or it breaks what is to come.
    Warning,
    /// Calls suffer.
    Bad,
}

/// One thing that was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Finding {
    /// Its name: lower case, words joined by underscores. Where a cause of docs/choppy.md fits, that of it.
    pub(crate) name: &'static str,
    pub(crate) weight: Weight,
    pub(crate) says: String,
    /// What mends it.
    pub(crate) remedy: Option<&'static str>,
}

/// The whole of it in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Nobody will complain.
    Good,
    /// Calls work, and some will be heard to suffer.
    Fair,
    /// Users will not be content.
    Bad,
    /// There is somebody, and nothing was said.
    Untried,
    /// Nobody answers.
    Unreachable,
}

impl Verdict {
    /// In words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Good => "Good for calls.",
            Self::Fair => "Fit for calls, with what is named below.",
            Self::Bad => "Not fit for calls as it is: see below.",
            Self::Untried => "There is somebody, but no voice was sent.",
            Self::Unreachable => "Nobody answers there.",
        }
    }
}

/// Where so much of the voice in trunk frames is lost, per cent, they do not pass.
const MUCH_LOST: f64 = 80.0;
/// Below these scores some users complain, and most do (G.107, annex B: R of 80 and 70).
const GOOD_MOS: f64 = 4.0;
const FAIR_MOS: f64 = 3.6;
/// The frames of a call in the middle of which NATs forget it, and how often they are kept alive.
const KEEP_ALIVE_SECONDS: u64 = 20;
/// Clocks further apart than this are heard (docs/choppy.md).
const LEAST_PPM: f64 = 100.0;
/// Round trips beyond this make people talk at the same time (G.114: 150 ms one way, devices included).
const LONG_ROUND_TRIP: Duration = Duration::from_millis(250);
/// What a call loses before concealment is heard.
const LEAST_LOSS_PERCENT: f64 = 1.0;

/// The scores of what is heard there, and here. An echo shows the two together: then each gets what both
/// cost, since either may have done it.
pub(crate) fn scores(spoke: &Spoke) -> [f64; 2] {
    let of = |way: &OneWay| {
        let total = way.stats.frames + way.stats.lost;
        let frame = Duration::from_millis(20);
        let delay = frame + spoke.ways.round_trip(50.0) / 2 + way.late(99.0);
        mos(rating(&Conditions {
            format: spoke.format,
            loss_percent: way.lost_percent(),
            burst_ratio: way.stats.pattern.burst_ratio(total),
            delay_ms: delay.as_secs_f64() * 1e3,
        }))
    };
    match &spoke.ways.apart {
        Some([there, here]) => [of(there), of(here)],
        None => [of(&spoke.ways.both); 2],
    }
}

/// All that was found, what matters most first, and the word for it.
pub(crate) fn judge(to: SocketAddr, found: &Found) -> (Verdict, Vec<Finding>) {
    let mut findings = Vec::new();
    if found.polls.received == 0 {
        findings.push(nobody(found));
        return (Verdict::Unreachable, findings);
    }
    findings.extend(found.stranger.map(stranger));
    if found.polls.lost_percent >= LEAST_LOSS_PERCENT
        && found.polls.sent - found.polls.received >= 2
    {
        findings.push(finding(
            "polls_lost",
            Weight::Warning,
            format!("{:.1} % of the polls were not answered", found.polls.lost_percent),
            Some("see below which way loses, or call an echo there to find out"),
        ));
    }
    findings.extend(found.mtu.and_then(|mtu| length(to, mtu)));
    findings.extend(found.views.and_then(|views| between(views.kind())));
    findings.extend(memory(found));
    match &found.call {
        CallFound::NotTried => {}
        CallFound::Refused { number, end } => findings.push(refused(number, end.as_deref())),
        CallFound::Unechoed { full_frames, foreign, number } => {
            findings.push(unechoed(number, *full_frames, *foreign));
        }
        CallFound::Spoke(spoke) => {
            findings.extend(heard(spoke));
            findings.extend(found.ramp.as_ref().and_then(loaded));
            findings.extend(found.ramp.as_ref().zip(found.trunk_ramp.as_ref()).and_then(trunked));
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
    let worst = findings.first().map(|finding| finding.weight);
    let verdict = match &found.call {
        CallFound::Spoke(spoke) => match scores(spoke).into_iter().fold(f64::MAX, f64::min) {
            mos if mos < FAIR_MOS => Verdict::Bad,
            _ if worst == Some(Weight::Bad) => Verdict::Bad,
            mos if mos < GOOD_MOS => Verdict::Fair,
            _ if worst == Some(Weight::Warning) => Verdict::Fair,
            _ => Verdict::Good,
        },
        _ if worst == Some(Weight::Bad) => Verdict::Bad,
        _ => Verdict::Untried,
    };
    (verdict, findings)
}

fn finding(
    name: &'static str,
    weight: Weight,
    says: impl Into<String>,
    remedy: Option<&'static str>,
) -> Finding {
    Finding { name, weight, says: says.into(), remedy }
}

fn nobody(found: &Found) -> Finding {
    let sent = found.polls.sent;
    match found.refusal {
        Some(Refusal { why: Why::TooLong(_), .. }) | None => finding(
            "nothing_answers",
            Weight::Bad,
            format!("none of {sent} polls was answered, and no router says why"),
            Some(
                "check that an IAX2 server runs there, and that UDP 4569 passes every firewall, to it \
                 and back",
            ),
        ),
        Some(refusal) => finding(
            refusal.why.name(),
            Weight::Bad,
            refusal.to_string(),
            Some(refusal.why.remedy()),
        ),
    }
}

fn stranger(from: SocketAddr) -> Finding {
    finding(
        "answers_from_elsewhere",
        Weight::Bad,
        format!("{from} answers in place of the address that was asked, so calls there fail"),
        Some("bind the server there to the address that is called, or call the one that answers"),
    )
}

/// What the longest datagram means. Nothing where all of Ethernet's pass.
fn length(to: SocketAddr, mtu: PathMtu) -> Option<Finding> {
    let fails = mtu.fails?;
    let Some(passes) = mtu.passes else {
        return Some(finding(
            "long_datagrams_lost",
            Weight::Bad,
            format!("polls pass, and datagrams of {fails} bytes do not"),
            Some("look for a firewall that lets short datagrams pass alone, or drops padding"),
        ));
    };
    // The largest trunk frame of a switch as it comes, and the largest of a call with video.
    let trunk = TrunkConfig::default().max_datagram + headers(to);
    let (weight, hits) = match passes < trunk {
        true if mtu.is_hole() => {
            (Weight::Warning, format!("trunk frames of {trunk} bytes among them"))
        }
        _ => (Weight::Note, format!("the largest trunk frame, of {trunk} bytes, passes")),
    };
    let (name, says) = match mtu.told {
        None => (
            "mtu_hole",
            format!("datagrams longer than {passes} bytes vanish without a word ({hits})"),
        ),
        Some((by, _)) => {
            let by = by.map_or_else(|| "this machine".into(), |by| by.to_string());
            ("mtu", format!("datagrams of up to {passes} bytes pass, says {by}"))
        }
    };
    let remedy = (passes < trunk).then_some(
        "give the trunk a smaller largest datagram (Asterisk: trunkmtu), and let ICMP \"packet too big\" pass",
    );
    Some(finding(name, weight, says, remedy))
}

fn between(kind: Kind) -> Option<Finding> {
    let (name, says, remedy) = match kind {
        Kind::None => return None,
        Kind::KeepsPorts => ("nat", "a NAT lies between, which keeps our ports", None),
        Kind::ChangesPorts => (
            "nat_changes_ports",
            "a NAT lies between, which gives us other ports",
            Some(
                "register there, or be polled from there, so that calls to us find the port that is open",
            ),
        ),
        Kind::ByDestination => (
            "nat_by_destination",
            "a NAT lies between, which gives us another port for each destination, so that transfers past \
             the switch fail",
            Some("switch native transfer off for this peer"),
        ),
        Kind::SeveralAddresses => (
            "nat_several_addresses",
            "a NAT lies between, which gives each of our ports another address",
            Some("let the NAT keep one address for each inner one (\"paired\" pooling)"),
        ),
    };
    Some(finding(name, Weight::Note, says, remedy))
}

fn memory(found: &Found) -> Option<Finding> {
    let (remembered, forgotten) = nat::forgets(&found.silences)?;
    let (weight, remedy) = match forgotten <= KEEP_ALIVE_SECONDS {
        true => (
            Weight::Bad,
            "let the NAT or firewall keep idle UDP for 30 s at least (RFC 4787: 120 s)",
        ),
        false => (
            Weight::Note,
            "keep registrations or polls (qualify) shorter than that; 20 s is what Oneport does",
        ),
    };
    let says = match remembered {
        0 => format!("a NAT forgets us within {forgotten} s of silence"),
        _ => format!("a NAT forgets us after {remembered} to {forgotten} s of silence"),
    };
    Some(finding("nat_forgets", weight, says, Some(remedy)))
}

fn refused(number: &str, end: Option<&CallEnd>) -> Finding {
    let Some(end) = end else {
        return finding(
            "call_not_answered",
            Weight::Note,
            format!("a call to {number} rang and was not answered"),
            Some("give a number that answers by itself and echoes: HOST/NUMBER"),
        );
    };
    match end.reason {
        EndReason::TimedOut | EndReason::Unanswered | EndReason::SetupTimedOut => finding(
            "calls_not_answered",
            Weight::Bad,
            "polls are answered, and calls (NEW) are not",
            Some(
                "look for a firewall that inspects IAX2 or lets short datagrams pass alone, and whether the \
                 server wants call tokens",
            ),
        ),
        EndReason::CannotAuthenticate => finding(
            "call_wants_secret",
            Weight::Note,
            format!("a call to {number} needs a name and a secret, so no voice was sent"),
            Some("probe iax:NAME@HOST/NUMBER with --secret-file, where NUMBER echoes"),
        ),
        _ => {
            let why = exit::of_call(end, false);
            let why =
                why.map_or_else(|| end.cause.to_string(), |failure| failure.sentence().into());
            finding(
                "call_refused",
                Weight::Note,
                format!("a call to {number} was refused, so no voice was sent: {why}"),
                Some(
                    "give a number there that echoes: HOST/NUMBER, or iax:NAME@HOST/NUMBER with a secret",
                ),
            )
        }
    }
}

fn unechoed(number: &str, full_frames: bool, foreign: bool) -> Finding {
    match (full_frames, foreign) {
        (true, _) => finding(
            "only_full_frames_pass",
            Weight::Bad,
            "full frames pass, and mini frames, which carry the voice, do not",
            Some(
                "look for a firewall that knows IAX2 by its first bytes, and let all of UDP 4569 pass",
            ),
        ),
        (false, true) => finding(
            "no_echo",
            Weight::Note,
            format!("{number} answers with a voice of its own, and echoes nothing"),
            Some("give a number that echoes: 600 or `echo` of Oneport, Echo() of Asterisk"),
        ),
        (false, false) => finding(
            "no_voice",
            Weight::Bad,
            format!("{number} answers, and no voice comes back at all"),
            Some(
                "give a number that echoes; if it does, look for a firewall that drops what follows the \
                 beginning of a call",
            ),
        ),
    }
}

/// The causes that a listener at the end of this way would find, `way` in place of theirs.
fn causes(way: &OneWay, towards: Way, spoke: &Spoke) -> Vec<Cause> {
    let stats = CallStats {
        format: spoke.stats.format,
        received: way.stats,
        lateness: spoke.stats.lateness,
        ..CallStats::default()
    };
    let diagnosis = Diagnosis::of(&stats, &Surroundings::default());
    let causes = diagnosis.iter().flat_map(Diagnosis::causes).copied();
    causes
        .filter_map(|cause| match cause {
            Cause::Loss { lost, percent, shape, .. } => {
                Some(Cause::Loss { way: towards, lost, percent, shape })
            }
            Cause::Jitter { late, dropped_percent, reordered_percent, .. } => {
                // Of the way there it is told as the other end would: as an average.
                let late = if towards == Way::There { way.stats.jitter } else { late };
                Some(Cause::Jitter { way: towards, late, dropped_percent, reordered_percent })
            }
            Cause::Bufferbloat { most, load, .. } => {
                Some(Cause::Bufferbloat { way: towards, most, load })
            }
            // Both ways are of one machine's time.
            cause if towards == Way::Here => Some(cause),
            _ => None,
        })
        .collect()
}

fn of_cause(cause: &Cause) -> Finding {
    finding(cause.name(), Weight::Bad, cause.to_string(), Some(remedy(cause)))
}

/// What mends it. Whoever reads this has measured the way.
const fn remedy(cause: &Cause) -> &'static str {
    match cause {
        Cause::Loss { shape: Shape::Random | Shape::Untold, .. } => {
            "look for a bad line, or a link that is full"
        }
        _ => cause.remedy(),
    }
}

/// What one call showed.
fn heard(spoke: &Spoke) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &spoke.ways.apart {
        Some([there, here]) => {
            for (way, towards) in [(here, Way::Here), (there, Way::There)] {
                findings.extend(causes(way, towards, spoke).iter().map(of_cause));
            }
        }
        None => findings.extend(together(&spoke.ways.both, spoke)),
    }
    if let Some(clock) = spoke.ways.clock {
        let is_sure = clock.ppm.abs() > 2.0 * clock.uncertainty_ppm;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a clock off by a second in a second is broken"
        )]
        let cause = Cause::ClockDrift { ppm: clock.ppm.round() as i32, ours: false };
        if clock.ppm.abs() >= LEAST_PPM && is_sure {
            findings.push(Finding { weight: Weight::Warning, ..of_cause(&cause) });
        }
    }
    if spoke.long_comes_back == Some(false) {
        findings.push(finding(
            "long_datagrams_lost_here",
            Weight::Warning,
            "datagrams as long as pass on the way there do not come back",
            Some("give the trunk of the other end a smaller largest datagram (Asterisk: trunkmtu)"),
        ));
    }
    let round_trip = spoke.ways.round_trip(50.0);
    if round_trip >= LONG_ROUND_TRIP {
        findings.push(finding(
            "long_way",
            Weight::Warning,
            format!(
                "the way there and back takes {} ms, so that people talk at the same time",
                round_trip.as_millis()
            ),
            Some("take a shorter way: no satellite, no tunnel through a far place"),
        ));
    }
    findings
}

/// What an echo shows of both ways together.
fn together(both: &OneWay, spoke: &Spoke) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lost = both.lost_percent();
    if lost >= LEAST_LOSS_PERCENT && both.stats.lost >= 5 {
        let causes = causes(both, Way::Here, spoke);
        let loss = causes.iter().find(|cause| matches!(cause, Cause::Loss { .. }));
        findings.push(finding(
            "loss",
            Weight::Bad,
            format!("the network loses {lost:.1} % of the voice, there and back together"),
            loss.map(remedy),
        ));
    }
    let late = both.late(95.0);
    if late >= Diagnosis::LEAST_JITTER {
        let is_queue = causes(both, Way::Here, spoke).into_iter().find(|cause| {
            matches!(
                cause,
                Cause::Jitter { .. } | Cause::Bufferbloat { .. } | Cause::SenderStalls { .. }
            )
        });
        findings.push(finding(
            "jitter",
            Weight::Bad,
            format!(
                "one frame of twenty comes {} ms late, there and back together",
                late.as_millis()
            ),
            is_queue.as_ref().map(Cause::remedy),
        ));
    }
    // What is this machine's own is no matter of ways.
    let own = causes(both, Way::Here, spoke).into_iter();
    findings.extend(
        own.filter(|cause| matches!(cause, Cause::LateScheduling { .. })).map(|c| of_cause(&c)),
    );
    findings
}

/// What more calls did.
fn loaded(ramp: &RampFound) -> Option<Finding> {
    let step = ramp.steps.iter().filter(|step| !step.did_well).min_by_key(|step| step.calls)?;
    let above = step.above.apart.unwrap_or([step.above.both, Duration::ZERO]);
    let longest = above[0].max(above[1]);
    let weight = if ramp.good <= 1 { Weight::Bad } else { Weight::Warning };
    if longest >= Duration::from_millis(80) {
        let way = if above[0] >= above[1] { Way::There } else { Way::Here };
        let cause = Cause::Bufferbloat { way, most: longest, load: ramp.effect };
        let name = of_cause(&cause).name;
        let both = match step.above.apart {
            Some(_) => cause.to_string(),
            None => format!("a queue fills, there and back together: {} ms", longest.as_millis()),
        };
        let says = format!("with {} calls {both}", step.calls);
        return Some(finding(name, weight, says, Some(cause.remedy())));
    }
    let [there, here] = step.suffered();
    let way = match (step.lost_apart, there, here) {
        (Some(_), true, false) => " on the way there",
        (Some(_), false, true) => " on the way here",
        _ => "",
    };
    Some(finding(
        "too_many_calls",
        weight,
        format!("with {} calls {:.1} % of the voice is lost{way}", step.calls, step.lost),
        Some(
            "limit the calls of this peer to what did well, or use a trunk, a smaller codec or a wider line",
        ),
    ))
}

/// What a trunk made of it.
fn trunked((alone, trunk): (&RampFound, &RampFound)) -> Option<Finding> {
    let fewest = trunk.steps.iter().min_by_key(|step| step.calls)?;
    let lost = fewest.lost;
    if alone.good > 1 && !fewest.did_well && lost >= MUCH_LOST {
        return Some(finding(
            "trunk_frames_lost",
            Weight::Warning,
            format!("voice in trunk frames is lost ({lost:.0} %), and that in mini frames is not"),
            Some(
                "switch no trunk on until a firewall that knows IAX2 by its first bytes lets all of UDP 4569 \
                 pass, and the other end takes trunk frames",
            ),
        ));
    }
    (trunk.good > alone.good).then(|| {
        finding(
            "trunk_fits_more",
            Weight::Note,
            format!("in a trunk {} calls at once do well, without one {}", trunk.good, alone.good),
            Some("let voice go in trunk frames at both ends (trunk = true; Asterisk: trunk=yes)"),
        )
    })
}
