//! What a bridged call costs, beside the least that a relay can cost, and Asterisk.

use crate::load::Load;
use crate::relay::Way;
use crate::systems::Kind;
use crate::{Bench, FEW, MANY, Rounds};

/// How voice comes to the system.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum VoiceIn {
    /// In mini frames, each a datagram of its own to the kernel, as most systems send it.
    Minis,
    /// In mini frames of which the kernel gets many at once, as Oneport sends it.
    BundledMinis,
    /// In trunk frames.
    Trunks,
}

impl VoiceIn {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Minis => "mini frames",
            Self::BundledMinis => "mini frames in bundles",
            Self::Trunks => "trunk frames",
        }
    }

    /// That load with voice as this has it.
    fn of(self, load: Load) -> Load {
        Load { one_by_one: self == Self::Minis, ..load }
    }
}

impl Bench {
    /// Calls that stay up, whose voice comes so.
    pub(crate) fn bridged(&self, calls: usize, voice: VoiceIn) -> Load {
        voice.of(self.standing(calls, voice == VoiceIn::Trunks))
    }

    /// The same, set up at so many in a second.
    pub(crate) fn bridged_at(&self, rate: usize, calls: usize, voice: VoiceIn) -> Load {
        voice.of(self.standing_at(rate, calls, voice == VoiceIn::Trunks))
    }

    /// What a bridged call costs.
    pub(crate) fn bridges(&self) {
        println!(
            "| calls | voice in | through | CPU of a call, µs in a second | of the load, µs | lost |"
        );
        println!("| --- | --- | --- | --- | --- | --- |");
        let mut ratios = Vec::new();
        for (calls, voice) in [
            (FEW, VoiceIn::Minis),
            (MANY, VoiceIn::Minis),
            (FEW, VoiceIn::BundledMinis),
            (MANY, VoiceIn::BundledMinis),
            (FEW, VoiceIn::Trunks),
            (MANY, VoiceIn::Trunks),
        ] {
            let kinds = self.kinds(calls == FEW && voice != VoiceIn::BundledMinis);
            let load = self.bridged(calls, voice);
            let mut costs =
                vec![(Rounds::default(), Rounds::default(), Rounds::default()); kinds.len()];
            for _ in 0..self.settings.rounds {
                for (kind, (cost, own, lost)) in kinds.iter().zip(&mut costs) {
                    let outcome = self.call(*kind, &load);
                    let (cores, own_cores) = outcome.steady_cores();
                    cost.0.push(cores / calls as f64 * 1e6);
                    own.0.push(own_cores / calls as f64 * 1e6);
                    lost.0.push(outcome.voice.lost_percent);
                }
            }
            let frames = voice.name();
            for (kind, (cost, own, lost)) in kinds.iter().zip(&costs) {
                println!(
                    "| {calls} | {frames} | {} | {} | {} | {:.2} % |",
                    kind.name(),
                    cost.show(1),
                    own.show(1),
                    lost.median()
                );
            }
            let of = |kind: Kind| {
                let at = kinds.iter().position(|known| *known == kind)?;
                Some(costs[at].0.median())
            };
            let relay = Way::ALL
                .iter()
                .filter_map(|way| of(Kind::Relay(*way)))
                .fold(f64::INFINITY, f64::min);
            let oneport = of(Kind::Oneport).unwrap_or_default();
            let mut ratio = format!(
                "{calls} calls in {frames}: Oneport costs {:.2} times the cheapest bare relay",
                oneport / relay
            );
            if let Some(asterisk) = of(Kind::Asterisk) {
                ratio.push_str(&format!(", Asterisk {:.1} times Oneport", asterisk / oneport));
            }
            ratios.push(ratio);
        }
        println!();
        ratios.iter().for_each(|ratio| println!("- {ratio}."));
    }
}
