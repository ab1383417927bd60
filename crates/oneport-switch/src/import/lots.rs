//! `res_parking.conf`, and of Asterisk 11 and older `features.conf`: where calls are parked, and by
//! which numbers. Here is one row of slots; those of further lots stand behind those of the first.

use super::conf::{Conf, Files, Section, Setting};
use super::plan::{Plan, Route, list, text};
use super::report::{Ledger, Verdict};

/// Numbers of slots where nothing is said, as in Asterisk.
const USUAL: (u32, u32) = (701, 750);

/// How long a call is parked where nothing is said, as in Asterisk.
const USUAL_SECONDS: u64 = 45;

/// Each slot gets a route of its own; so many are written.
const MOST_ROUTES: u32 = 200;

/// Slots of all lots.
const MOST_SLOTS: u32 = 10_000;

/// The lot that is meant where none is named.
const DEFAULT: &str = "default";

/// One lot of Asterisk's.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Lot {
    name: String,
    /// The numbers of its slots, first and last.
    numbers: (u32, u32),
    /// Our slots before its first.
    before: u32,
}

impl Lot {
    const fn size(&self) -> u32 {
        self.numbers.1 - self.numbers.0 + 1
    }
}

/// Where calls are parked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lots(Vec<Lot>);

/// What a section of a lot says.
struct Said<'a> {
    numbers: (u32, u32),
    /// The number that parks a call.
    park: Option<&'a Setting>,
    context: &'a str,
    time: Option<(&'a Setting, u64)>,
    music: Option<&'a Setting>,
}

impl Lots {
    /// Our slot of what Asterisk calls `number` in a lot.
    pub(super) fn slot(&self, lot: &str, number: &str) -> Option<u32> {
        let lot = if lot.is_empty() { DEFAULT } else { lot };
        let lot = self.0.iter().find(|own| own.name.eq_ignore_ascii_case(lot))?;
        let (first, last) = lot.numbers;
        let number = number.parse::<u32>().ok()?;
        (first..=last).contains(&number).then(|| lot.before + number - first + 1)
    }

    /// Reads the lots into `plan`. What `features.conf` says of them counts where there is no
    /// `res_parking.conf`: Asterisk 12 and newer do not read it there.
    pub(super) fn read(files: &Files, ledger: &mut Ledger, plan: &mut Plan) -> Self {
        let conf = Conf::read(files, "res_parking.conf");
        let features = Conf::read(files, "features.conf");
        let is_old = conf.sections.is_empty() && conf.remarks.is_empty();
        expect_all(&conf, ledger);
        expect_all(&features, ledger);
        let (mut lots, mut rest): (Vec<&Section>, Vec<&Section>) = (Vec::new(), Vec::new());
        for section in conf.sections.iter().filter(|section| !section.template) {
            match section.name.eq_ignore_ascii_case("general") {
                true => drop_all(section, "lots are not made while calls go on", ledger),
                false => lots.push(section),
            }
        }
        for section in features.sections.iter().filter(|section| !section.template) {
            let is_general = section.name.eq_ignore_ascii_case("general");
            let parks = match is_general {
                true => section.settings.iter().any(|setting| is_of_lots(&setting.key)),
                false => section.name.to_ascii_lowercase().starts_with("parkinglot"),
            };
            match (parks, is_old) {
                (true, true) => lots.push(section),
                (true, false) => {
                    let why = "Asterisk reads parking from res_parking.conf, where there is one";
                    let (own, other) = halves(section, is_general);
                    own.for_each(|setting| ledger.dropped(&setting.place, why));
                    other.for_each(|setting| ledger.dropped(&setting.place, NO_COUNTERPART));
                }
                (false, _) => rest.push(section),
            }
        }
        for section in rest {
            drop_all(section, "what is pressed in a call goes to its other side", ledger);
        }
        // The lot that is meant where none is named comes first.
        lots.sort_by_key(|section| !is_default(section));
        let mut all = Self(Vec::new());
        if !lots.first().is_some_and(|section| is_default(section)) {
            all.0.push(Lot { name: DEFAULT.into(), numbers: USUAL, before: 0 });
        }
        if lots.is_empty() {
            return all;
        }
        let mut written = Written::default();
        for section in lots {
            all.read_lot(section, &mut written, ledger, plan);
        }
        let slots = all.0.last().map_or(0, |lot| lot.before + lot.size());
        plan.parking.push(("slots", slots.to_string()));
        let seconds = written.seconds.unwrap_or(USUAL_SECONDS);
        plan.parking.push(("timeout_seconds", seconds.to_string()));
        plan.parking.extend(written.music.map(|class| ("music", text(&class))));
        if slots > MOST_ROUTES {
            ledger.advise(format!(
                "The first {MOST_ROUTES} slots of the parking lot have their old numbers; the \
                 others are park/{} and so on.",
                MOST_ROUTES + 1
            ));
        }
        all
    }

    fn read_lot(
        &mut self,
        section: &Section,
        written: &mut Written,
        ledger: &mut Ledger,
        plan: &mut Plan,
    ) {
        let is_default = is_default(section);
        let name = if is_default { DEFAULT } else { section.name.as_str() };
        let said = read_section(section, ledger);
        let before = self.0.last().map_or(0, |lot| lot.before + lot.size());
        let lot = Lot { name: name.into(), numbers: said.numbers, before };
        if before + lot.size() > MOST_SLOTS {
            return drop_all(section, "there are 10000 slots at most", ledger);
        }
        if let Some((setting, seconds)) = said.time {
            match *written.seconds.get_or_insert(seconds) {
                known if known == seconds => ledger.kept(&setting.place),
                known => ledger.changed(&setting.place, format!("{known} s, as in the first lot")),
            }
        }
        if let Some(setting) = said.music {
            let class = setting.value.as_str();
            if !plan.music.iter().any(|music| music.name == class) {
                ledger.dropped(&setting.place, "that music is not carried over");
            } else if written.music.get_or_insert_with(|| class.into()) == class {
                ledger.kept(&setting.place);
            } else {
                ledger.changed(&setting.place, "all slots have the music of the first lot");
            }
        }
        let mut route = |number: &str, to: String, comments: Vec<String>| {
            let mut keys = vec![("number", text(number))];
            if said.context != "default" {
                keys.push(("contexts", list([said.context])));
            }
            keys.push(("to", list([to])));
            plan.routes.push(Route { comments, keys });
        };
        if let Some(setting) = said.park {
            match is_default {
                true => ledger.kept(&setting.place),
                false => ledger.changed(&setting.place, "in the first free slot of all lots"),
            }
            route(&setting.value, "builtin:park".into(), vec![section.place.to_string()]);
        }
        let (first, last) = lot.numbers;
        for (number, slot) in (first..=last).zip(before + 1..=MOST_ROUTES) {
            route(&number.to_string(), format!("builtin:park/{slot}"), Vec::new());
        }
        self.0.push(lot);
    }
}

/// What is written once, by the first lot that says it.
#[derive(Default)]
struct Written {
    seconds: Option<u64>,
    music: Option<String>,
}

const NO_COUNTERPART: &str = "there is no counterpart";

/// Settings of `features.conf` that are about parking.
fn is_of_lots(key: &str) -> bool {
    let others = ["context", "findslot", "courtesytone", "adsipark"];
    key.starts_with("park") || key.starts_with("comeback") || others.contains(&key)
}

/// The section of the lot that is meant where none is named.
fn is_default(section: &Section) -> bool {
    [DEFAULT, "general"].iter().any(|name| section.name.eq_ignore_ascii_case(name))
}

/// The settings of a section that are about parking, and the others.
fn halves(
    section: &Section,
    is_general: bool,
) -> (impl Iterator<Item = &Setting>, impl Iterator<Item = &Setting>) {
    let is_own = move |setting: &&Setting| !is_general || is_of_lots(&setting.key);
    (section.settings.iter().filter(is_own), section.settings.iter().filter(move |s| !is_own(s)))
}

fn expect_all(conf: &Conf, ledger: &mut Ledger) {
    ledger.remark(conf);
    for section in conf.sections.iter().filter(|section| !section.template) {
        for setting in &section.settings {
            let arrow = if setting.key.starts_with("park") { " => " } else { "=" };
            ledger.expect(&setting.place, format!("{}{arrow}{}", setting.name, setting.value));
        }
    }
}

fn drop_all(section: &Section, why: &str, ledger: &mut Ledger) {
    for setting in &section.settings {
        ledger.dropped(&setting.place, why);
    }
}

/// Reads a section of one lot; of `[general]` in `features.conf` what is about parking.
fn read_section<'a>(section: &'a Section, ledger: &mut Ledger) -> Said<'a> {
    let mut said =
        Said { numbers: USUAL, park: None, context: "parkedcalls", time: None, music: None };
    let is_general = section.name.eq_ignore_ascii_case("general");
    for setting in &section.settings {
        let (place, value) = (&setting.place, setting.value.as_str());
        match setting.key.as_str() {
            "parkext" if !value.is_empty() => said.park = Some(setting),
            "context" => {
                said.context = value;
                ledger.kept(place);
            }
            "parkpos" => match read_slots(value) {
                Some(numbers) => {
                    said.numbers = numbers;
                    ledger.kept(place);
                }
                None => ledger.dropped(place, "it is not FIRST-LAST, with 10000 slots at most"),
            },
            "parkingtime" => match value.parse::<u64>() {
                Ok(seconds) if (1..=86_400).contains(&seconds) => {
                    said.time = Some((setting, seconds));
                }
                _ => ledger.dropped(place, "it can be 1 to 86400 s"),
            },
            "parkedmusicclass" => said.music = Some(setting),
            "comebacktoorigin" if super::iax::is_true(value) => ledger.kept(place),
            "comebacktoorigin" | "comebackcontext" => {
                ledger.dropped(place, "a call goes back to who has parked it");
            }
            "findslot" => ledger.changed(place, "the first slot that is free"),
            "comebackdialtime"
            | "courtesytone"
            | "adsipark"
            | "parkedplay"
            | "parkedcalltransfers"
            | "parkedcallreparking"
            | "parkedcallhangup"
            | "parkedcallrecording"
            | "parkinghints"
            | "parkext_exclusive" => ledger.dropped(place, NO_COUNTERPART),
            _ if is_general => ledger.dropped(place, NO_COUNTERPART),
            _ => {
                let what = "Asterisk does not know it, and passes over it";
                ledger.note(place, Verdict::Unknown, what);
            }
        }
    }
    said
}

/// `701-720`: the first slot and the last.
fn read_slots(value: &str) -> Option<(u32, u32)> {
    let (first, last) = value.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last && last - first < MOST_SLOTS).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of `[parking]`, the routes, and what became of each line.
    fn read(files: &[(&str, &str)]) -> (Lots, String, Vec<String>, String) {
        let files: Files =
            files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        let (mut ledger, mut plan) = (Ledger::default(), Plan::default());
        let lots = Lots::read(&files, &mut ledger, &mut plan);
        let keys: Vec<_> =
            plan.parking.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let route = |route: &Route| {
            let values: Vec<_> = route.keys.iter().map(|(_, value)| value.as_str()).collect();
            values.join(" ")
        };
        let routes = plan.routes.iter().map(route).collect();
        (lots, keys.join(" "), routes, ledger.finish().to_string())
    }

    #[test]
    fn slots_of_further_lots_stand_behind_those_of_the_first() {
        let text = "[sales]\nparkext => 800\nparkpos => 801-802\ncontext => shop\nparkingtime => 60\n\
                    [default]\nparkpos => 701-703\nparkingtime => 90\n";
        let (lots, keys, routes, report) = read(&[("res_parking.conf", text)]);
        assert_eq!(keys, "slots=5 timeout_seconds=90");
        let slot = |lot, number| lots.slot(lot, number);
        assert_eq!(
            (slot("", "701"), slot("default", "703"), slot("", "801")),
            (Some(1), Some(3), None)
        );
        assert_eq!(
            (slot("sales", "801"), slot("Sales", "802"), slot("none", "801")),
            (Some(4), Some(5), None)
        );
        assert!(routes.contains(&r#""802" ["shop"] ["builtin:park/5"]"#.into()), "{routes:?}");
        assert!(routes.contains(&r#""800" ["shop"] ["builtin:park"]"#.into()), "{routes:?}");
        assert!(report.contains("90 s, as in the first lot"), "{report}");
        assert!(report.contains("in the first free slot of all lots"), "{report}");
    }

    #[test]
    fn features_conf_of_old_says_where_calls_are_parked_and_is_passed_over_beside_the_new_file() {
        let old = "[general]\nparkext => 700\nparkpos => 701-720\ntransferdigittimeout => 3\n\
                   [parkinglot_attic]\nparkpos => 901-902\n[featuremap]\nblindxfer => #1\n";
        let (lots, keys, _, report) = read(&[("features.conf", old)]);
        assert_eq!(keys, "slots=22 timeout_seconds=45", "Asterisk's usual time");
        assert_eq!(lots.slot("parkinglot_attic", "902"), Some(22));
        assert!(report.contains("kept         features.conf:2  parkext => 700"), "{report}");
        assert!(report.contains("what is pressed in a call goes to its other side"), "{report}");
        let new = ("res_parking.conf", "[default]\nparkpos => 71-72\n");
        let (lots, keys, _, report) = read(&[("features.conf", old), new]);
        assert_eq!(keys, "slots=2 timeout_seconds=45");
        assert_eq!((lots.slot("", "72"), lots.slot("parkinglot_attic", "902")), (Some(2), None));
        assert_eq!(report.matches("reads parking from res_parking.conf").count(), 3, "{report}");
    }

    #[test]
    fn more_slots_than_there_may_be_are_left_out() {
        let text =
            "[default]\nparkpos => 1-9000\n[more]\nparkpos => 1-2000\n[few]\nparkpos => 1-5\n";
        let (lots, keys, routes, report) = read(&[("res_parking.conf", text)]);
        assert_eq!(keys, "slots=9005 timeout_seconds=45");
        assert_eq!((lots.slot("more", "1"), lots.slot("few", "5")), (None, Some(9005)));
        assert_eq!(routes.len(), 200);
        assert!(report.contains("there are 10000 slots at most"), "{report}");
    }
}
