//! What a bridged call costs at the number of calls at which each system is cheapest.

use crate::bridges::VoiceIn;
use crate::relay::Way;
use crate::systems::Kind;
use crate::{Bench, Rounds};

/// More of the voice lost than this, in %, and a system carries no calls.
const LOST: f64 = 1.0;

/// Numbers of calls to look at, below and beyond the knee of Asterisk.
const AT_ASTERISK: [usize; 5] = [50, 100, 150, 200, 300];

/// Set-ups in a second that Asterisk takes beside its calls.
const ASTERISK_RATE: usize = 25;

/// What came of one system with so many calls.
struct Row {
    kind: Kind,
    calls: usize,
    cost: Rounds,
    lost: Rounds,
}

impl Bench {
    /// Voice in mini frames that come one by one.
    pub(crate) fn best_minis(&self) {
        self.best(VoiceIn::Minis, &[Way::Gathered, Way::Bundles], &[200, 500, 1_000, 2_000]);
    }

    /// Voice in mini frames that the kernel gets many of at once.
    pub(crate) fn best_bundles(&self) {
        self.best(VoiceIn::BundledMinis, &[Way::Bundles], &[1_000, 2_000, 4_000]);
    }

    /// Voice in trunk frames.
    pub(crate) fn best_trunks(&self) {
        self.best(VoiceIn::Trunks, &[Way::Bundles], &[1_000, 4_000, 6_000, 8_000]);
    }

    /// Each system with few calls and with many, and how the cheapest calls of each compare.
    fn best(&self, voice: VoiceIn, relays: &[Way], many: &[usize]) {
        println!("\n| voice in | through | calls | CPU of a call, µs in a second | lost |");
        println!("| --- | --- | --- | --- | --- |");
        let asterisk = AT_ASTERISK.iter().filter(|_| !self.settings.without_peers);
        let mut rows: Vec<Row> = many
            .iter()
            .flat_map(|calls| {
                let relays = relays.iter().map(|way| Kind::Relay(*way));
                relays.chain([Kind::Oneport]).map(|kind| (kind, *calls))
            })
            .chain(asterisk.map(|calls| (Kind::Asterisk, *calls)))
            .map(|(kind, calls)| {
                let (cost, lost) = (Rounds::default(), Rounds::default());
                Row { kind, calls, cost, lost }
            })
            .collect();
        for _ in 0..self.settings.rounds {
            for row in &mut rows {
                // Calls come no faster than Asterisk takes them.
                let load = match row.kind {
                    Kind::Asterisk => self.bridged_at(ASTERISK_RATE, row.calls, voice),
                    _ => self.bridged(row.calls, voice),
                };
                let outcome = self.call(row.kind, &load);
                // None where calls come up too late for a look at them: there were too many.
                row.cost.0.extend(outcome.per_steady_call().map(|(_, each)| each));
                row.lost.0.push(outcome.voice.lost_percent);
            }
        }
        for Row { kind, calls, cost, lost } in &rows {
            println!(
                "| {} | {} | {calls} | {} | {} % |",
                voice.name(),
                kind.name(),
                match lost.0.len() - cost.0.len() {
                    0 => cost.show(1),
                    late => format!("not all up in {late} of {} rounds", lost.0.len()),
                },
                lost.show(2)
            );
        }
        let of = |wanted: fn(Kind) -> bool| {
            let is_whole = |row: &&Row| {
                let Row { cost, lost, .. } = row;
                cost.0.len() == lost.0.len() && lost.median() < LOST
            };
            let whole = rows.iter().filter(|row| wanted(row.kind)).filter(is_whole);
            let cheapest =
                whole.min_by(|one, other| one.cost.median().total_cmp(&other.cost.median()));
            cheapest.map(|row| (row.calls, row.cost.median()))
        };
        let (Some((calls, ours)), Some((of_relay, bare))) =
            (of(|kind| kind == Kind::Oneport), of(|kind| matches!(kind, Kind::Relay(_))))
        else {
            return;
        };
        let mut ratio = format!(
            "{}: Oneport's cheapest call ({calls} calls) costs {:.2} times that of the relay ({of_relay})",
            voice.name(),
            ours / bare
        );
        if let Some((of_asterisk, theirs)) = of(|kind| kind == Kind::Asterisk) {
            let times = theirs / ours;
            ratio.push_str(&format!(", Asterisk's ({of_asterisk}) {times:.1} times Oneport's"));
        }
        println!("\n- {ratio}.");
    }
}
