use super::*;

const PUBLIC: &str = "203.0.113.9:10000";
const OTHER: &str = "198.51.100.7:20000";
const PRIVATE: &str = "192.168.1.5:4000";

fn address(text: &str) -> Option<SocketAddr> {
    Some(text.parse().expect("an address"))
}

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1_000)
}

/// What is told of a call that is answered at its beginning and looked at twice in a second, until `end` ms:
/// what happens is that of `each` 20 ms.
fn told_until(
    end: u64,
    start: Evidence,
    mut each: impl FnMut(Instant, &mut Evidence),
) -> Vec<(u64, Verdict)> {
    let mut evidence = Evidence { both_ways: true, ..start };
    let mut watch = Watch::default();
    watch.begin(at(0), &evidence);
    let mut told = Vec::new();
    for ms in (0..=end).step_by(20) {
        each(at(ms), &mut evidence);
        // Some time behind the answer, as looks have a pace of their own.
        if ms % 500 == 480 {
            told.extend(watch.look(at(ms), &evidence).map(|verdict| (ms, verdict)));
        }
    }
    told
}

fn told(start: Evidence, each: impl FnMut(Instant, &mut Evidence)) -> Vec<(u64, Verdict)> {
    told_until(6_000, start, each)
}

fn say(now: Instant, evidence: &mut Evidence) {
    evidence.said += 1;
    evidence.spoke = Some(now);
}

fn speak(now: Instant, evidence: &mut Evidence) {
    say(now, evidence);
    evidence.sent += 1;
    evidence.measured.1 += 1;
    evidence.audible_out += 1;
}

fn hear_silence(now: Instant, evidence: &mut Evidence) {
    evidence.received += 1;
    evidence.heard = Some(now);
    evidence.measured.0 += 1;
}

fn hear(now: Instant, evidence: &mut Evidence) {
    hear_silence(now, evidence);
    evidence.audible_in += 1;
}

fn talk(now: Instant, evidence: &mut Evidence) {
    speak(now, evidence);
    hear(now, evidence);
}

fn between(ours: &str, theirs: &str) -> Evidence {
    Evidence { ours: address(ours), theirs: address(theirs), ..Evidence::default() }
}

type Each = fn(Instant, &mut Evidence);

#[test]
fn who_is_not_heard_is_told_within_three_seconds_with_the_reason() {
    use Unheard::{Both, Ours, Theirs};
    let home = between(PRIVATE, "10.0.0.1:4");
    let cases: [(&str, Evidence, Each, Unheard, &str); 20] = [
        ("blocked", between(PUBLIC, OTHER), speak, Theirs, "no_packet"),
        ("nobody sends", between(PUBLIC, OTHER), |_, _| {}, Both, "no_packet"),
        ("our address", between(PRIVATE, OTHER), speak, Theirs, "our_private_address"),
        ("their address", between(PUBLIC, PRIVATE), speak, Theirs, "their_private_address"),
        ("both at home", home, speak, Theirs, "no_packet"),
        (
            "a telephone at home whose proxy is not",
            Evidence { host: "198.51.100.7".parse().ok(), ..home },
            speak,
            Theirs,
            "their_private_address",
        ),
        (
            "it says that it sends",
            Evidence { they_sent: Some(250), ..between(PUBLIC, OTHER) },
            speak,
            Theirs,
            "ports_blocked",
        ),
        (
            "codec",
            between(PUBLIC, OTHER),
            |now, one| {
                speak(now, one);
                (one.unknown_payloads, one.unknown_payload) = (one.unknown_payloads + 1, 18);
            },
            Theirs,
            "codec_mismatch",
        ),
        (
            "codec, and nobody speaks to them",
            between(PUBLIC, OTHER),
            |_, one| one.unknown_payloads += 1,
            Both,
            "codec_mismatch",
        ),
        (
            "what comes cannot be translated",
            Evidence { formats: Some((Format::G729, Format::ULAW)), ..between(PUBLIC, OTHER) },
            |now, one| {
                talk(now, one);
                one.untranslated.0 += 1;
            },
            Theirs,
            "not_translated",
        ),
        (
            "what we say cannot be translated",
            Evidence { formats: Some((Format::G729, Format::ULAW)), ..between(PUBLIC, OTHER) },
            |now, one| {
                hear(now, one);
                say(now, one);
                one.untranslated.1 += 1;
            },
            Ours,
            "not_translated",
        ),
        (
            "not latched",
            between(PUBLIC, OTHER),
            |now, one| {
                speak(now, one);
                (one.strangers, one.stranger) = (one.strangers + 1, address("192.0.2.1:9"));
            },
            Theirs,
            "not_latched",
        ),
        (
            "another key",
            between(PUBLIC, OTHER),
            |now, one| {
                speak(now, one);
                one.malformed += 1;
            },
            Theirs,
            "undecipherable",
        ),
        ("nothing said", between(PUBLIC, OTHER), hear, Ours, "nothing_said"),
        (
            "nowhere",
            Evidence { ours: address(PUBLIC), ..Evidence::default() },
            |now, one| {
                hear(now, one);
                say(now, one);
            },
            Ours,
            "nowhere_to_send",
        ),
        (
            "unsent",
            between(PUBLIC, OTHER),
            |now, one| {
                hear(now, one);
                say(now, one);
                one.unsent += 1;
            },
            Ours,
            "cannot_send",
        ),
        (
            "nobody listens there",
            between(PUBLIC, OTHER),
            |now, one| {
                speak(now, one);
                one.came_back(now);
            },
            Both,
            "port_unreachable",
        ),
        (
            "nobody listens where they send from",
            between(PUBLIC, OTHER),
            |now, one| {
                talk(now, one);
                // Most systems tell of it once in a second.
                if now.as_micros() % 1_000_000 == 0 {
                    one.came_back(now);
                }
            },
            Ours,
            "port_unreachable",
        ),
        (
            "reported",
            Evidence { reported: Some(0), ..between(PUBLIC, OTHER) },
            talk,
            Ours,
            "nothing_arrives",
        ),
        (
            "silence",
            between(PUBLIC, OTHER),
            |now, one| {
                speak(now, one);
                hear_silence(now, one);
            },
            Theirs,
            "silence",
        ),
    ];
    for (name, start, each, unheard, reason) in cases {
        let told = told(start, each);
        let [(ms, Verdict::OneWay(one_way))] = told[..] else { panic!("{name}: {told:?}") };
        assert!(ms < 2_500, "{name}: {ms}");
        assert_eq!((one_way.unheard, one_way.reason.name()), (unheard, reason), "{name}");
    }
}

#[test]
fn voice_that_stops_in_a_call_is_told_within_three_seconds_whenever_that_is() {
    for stops in (3_000..4_000).step_by(60) {
        let told = told_until(8_000, between(PUBLIC, OTHER), |now, one| {
            speak(now, one);
            if now < at(stops) {
                hear(now, one);
            }
        });
        let [(ms, Verdict::OneWay(one_way))] = told[..] else { panic!("{stops}: {told:?}") };
        assert!((stops..stops + 2_500).contains(&ms), "{stops}: {ms}");
        assert_eq!(one_way.unheard, Unheard::Theirs);
    }
}

#[test]
fn calls_in_which_all_is_well_or_somebody_waits_or_tells_of_a_pause_have_no_fault() {
    assert_eq!(told(between(PUBLIC, PRIVATE), talk), []);
    let reported = Evidence { reported: Some(77), ..between(PUBLIC, OTHER) };
    assert_eq!(told(reported, talk), []);
    let pauses = Evidence { they_pause: true, we_pause: true, ..between(PUBLIC, OTHER) };
    assert_eq!(told(pauses, |_, _| {}), [], "both have told of a pause");
    let held = |now: Instant, one: &mut Evidence| {
        hear(now, one);
        one.both_ways = false;
    };
    assert_eq!(told(between(PUBLIC, OTHER), held), [], "on hold");
    // Both send, and nobody says a word.
    let silent = |now: Instant, one: &mut Evidence| {
        hear_silence(now, one);
        say(now, one);
        (one.sent, one.measured.1) = (one.sent + 1, one.measured.1 + 1);
    };
    assert_eq!(told(between(PUBLIC, OTHER), silent), []);
    // Whoever hangs up closes its port a moment before it says so.
    let hangs_up = |now: Instant, one: &mut Evidence| {
        talk(now, one);
        if now >= at(5_700) {
            one.came_back(now);
        }
    };
    assert_eq!(told(between(PUBLIC, OTHER), hangs_up), []);
}

#[test]
fn a_call_that_is_taken_back_from_hold_is_watched_from_then_on() {
    let told = told_until(12_000, between(PUBLIC, OTHER), |now, one| {
        speak(now, one);
        one.both_ways = now >= at(6_000);
    });
    let [(ms, Verdict::OneWay(_))] = told[..] else { panic!("{told:?}") };
    assert!((7_800..9_000).contains(&ms), "{ms}");
}

#[test]
fn it_is_told_once_and_told_again_when_it_is_mended() {
    let told = told_until(20_000, between(PUBLIC, OTHER), |now, one| {
        speak(now, one);
        if now >= at(10_000) {
            hear(now, one);
        } else if now >= at(6_000) && now.as_micros() % 1_000_000 == 0 {
            // One now and then does not make it well.
            hear(now, one);
        }
    });
    let [(1_980, Verdict::OneWay(_)), (10_000..12_000, Verdict::Mended)] = told[..] else {
        panic!("{told:?}")
    };
}

#[test]
fn a_reason_that_comes_to_light_later_is_told_too_and_each_once() {
    let told = told_until(20_000, between(PUBLIC, OTHER), |now, one| {
        speak(now, one);
        // Now this, now that.
        if now >= at(5_000) && now.as_micros() / 1_000_000 % 4 < 2 {
            one.malformed += 1;
        }
    });
    let reasons: Vec<_> = told
        .iter()
        .map(|(_, verdict)| match verdict {
            Verdict::OneWay(one_way) => one_way.reason.name(),
            Verdict::Mended => "mended",
        })
        .collect();
    assert_eq!(reasons, ["no_packet", "undecipherable"]);
}

#[test]
fn a_handshake_that_is_not_complete_is_named_before_what_follows_from_it() {
    let start = Evidence {
        unsecured: true,
        ours: address(PUBLIC),
        theirs: address(OTHER),
        ..Evidence::default()
    };
    let told = told(start, |now, one| {
        say(now, one);
        one.unsent += 1;
        one.malformed += 1;
    });
    let expected = OneWay { unheard: Unheard::Both, reason: Reason::NoHandshake };
    let verdicts: Vec<Verdict> = told.iter().map(|(_, verdict)| *verdict).collect();
    assert_eq!(verdicts, [Verdict::OneWay(expected)]);
}

#[test]
fn a_reason_is_a_sentence_that_names_the_address() {
    let reason = Reason::OurPrivateAddress { ours: PRIVATE.parse().expect("an address") };
    assert_eq!(
        OneWay { unheard: Unheard::Theirs, reason }.to_string(),
        "one-way audio: the SIP side is not heard: our description names the private address \
         192.168.1.5:4000: set the public address"
    );
}

#[test]
fn every_reason_is_described() {
    let document = include_str!("../../../../../docs/media.md");
    for name in Reason::NAMES {
        assert!(document.contains(&format!("| `{name}` |")), "{name} is not described");
    }
}
