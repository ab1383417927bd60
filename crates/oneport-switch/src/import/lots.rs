//! `res_parking.conf`: where calls are parked, and by which numbers.

use super::conf::{Conf, Section};
use super::plan::{Plan, Route, list, text};
use super::report::{Ledger, Verdict, without_secrets};

/// Numbers of slots where nothing is said, as in Asterisk.
const USUAL: (u32, u32) = (701, 750);

/// Each slot gets a route of its own; so many are written.
const MOST_ROUTES: u32 = 200;

/// Where calls are parked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lot {
    /// The numbers of its slots, first and last.
    slots: (u32, u32),
}

impl Default for Lot {
    fn default() -> Self {
        Self { slots: USUAL }
    }
}

impl Lot {
    /// Our slot of what Asterisk calls `number`.
    pub(super) fn slot(&self, number: &str) -> Option<u32> {
        let (first, last) = self.slots;
        let number = number.parse::<u32>().ok()?;
        (first..=last).contains(&number).then(|| number - first + 1)
    }

    /// Reads the lot `default` into `plan`.
    pub(super) fn read(conf: &Conf, ledger: &mut Ledger, plan: &mut Plan) -> Self {
        for remark in &conf.remarks {
            ledger.expect(&remark.place, without_secrets(&remark.text));
            match &remark.trouble {
                None => ledger.kept(&remark.place),
                Some(trouble) => ledger.dropped(&remark.place, trouble.clone()),
            }
        }
        let mut lot = Self::default();
        for section in conf.sections.iter().filter(|section| !section.template) {
            for setting in &section.settings {
                let arrow = if setting.key.starts_with("park") { " => " } else { "=" };
                ledger.expect(&setting.place, format!("{}{arrow}{}", setting.name, setting.value));
            }
            if section.name.eq_ignore_ascii_case("default") {
                lot.read_section(section, ledger, plan);
            } else {
                let why = match section.name.eq_ignore_ascii_case("general") {
                    true => "lots are not made while calls go on",
                    false => "there is one lot, `default`",
                };
                for setting in &section.settings {
                    ledger.dropped(&setting.place, why);
                }
            }
        }
        lot
    }

    fn read_section(&mut self, section: &Section, ledger: &mut Ledger, plan: &mut Plan) {
        let (mut number, mut context) = (None, "parkedcalls");
        for setting in &section.settings {
            let (place, value) = (&setting.place, setting.value.as_str());
            match setting.key.as_str() {
                "parkext" if !value.is_empty() => {
                    number = Some(value);
                    ledger.kept(place);
                }
                "context" => {
                    context = value;
                    ledger.kept(place);
                }
                "parkpos" => match read_slots(value) {
                    Some(slots) => {
                        self.slots = slots;
                        ledger.kept(place);
                    }
                    None => ledger.dropped(place, "it is not FIRST-LAST, with 10000 slots at most"),
                },
                "parkingtime" => match value.parse::<u64>() {
                    Ok(seconds) if (1..=86_400).contains(&seconds) => {
                        plan.parking.push(("timeout_seconds", seconds.to_string()));
                        ledger.kept(place);
                    }
                    _ => ledger.dropped(place, "it can be 1 to 86400 s"),
                },
                "parkedmusicclass" => match plan.music.iter().any(|music| music.name == value) {
                    true => {
                        plan.parking.push(("music", text(value)));
                        ledger.kept(place);
                    }
                    false => ledger.dropped(place, "that music is not carried over"),
                },
                "comebacktoorigin" if super::iax::is_true(value) => ledger.kept(place),
                "comebacktoorigin" | "comebackcontext" => {
                    ledger.dropped(place, "a call goes back to who has parked it");
                }
                "findslot" => ledger.changed(place, "the first slot that is free"),
                "comebackdialtime"
                | "courtesytone"
                | "parkedplay"
                | "parkedcalltransfers"
                | "parkedcallreparking"
                | "parkedcallhangup"
                | "parkedcallrecording"
                | "parkinghints"
                | "parkext_exclusive" => {
                    ledger.dropped(place, "there is no counterpart");
                }
                _ => {
                    let what = "Asterisk does not know it, and passes over it";
                    ledger.note(place, Verdict::Unknown, what);
                }
            }
        }
        let (first, last) = self.slots;
        plan.parking.insert(0, ("slots", (last - first + 1).to_string()));
        let mut route = |number: &str, to: String, comments: Vec<String>| {
            let mut keys = vec![("number", text(number))];
            if context != "default" {
                keys.push(("contexts", list([context])));
            }
            keys.push(("to", list([to])));
            plan.routes.push(Route { comments, keys });
        };
        if let Some(number) = number {
            route(number, "builtin:park".into(), vec![section.place.to_string()]);
        }
        let slots = (first..=last).zip(1..=MOST_ROUTES);
        for (number, slot) in slots {
            route(&number.to_string(), format!("builtin:park/{slot}"), Vec::new());
        }
        if last - first >= MOST_ROUTES {
            ledger.advise(format!(
                "The first {MOST_ROUTES} slots of the parking lot have their old numbers; the \
                 others are park/{} and so on.",
                MOST_ROUTES + 1
            ));
        }
    }
}

/// `701-720`: the first slot and the last.
fn read_slots(value: &str) -> Option<(u32, u32)> {
    let (first, last) = value.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last && last - first < 10_000).then_some((first, last))
}
