//! Steps of the dial plan that lead to what is built in: conferences, parked calls, music, files.

use super::conf::Place;
use super::extensions::Step;
use super::plan::text;
use super::routes::{Next, Routes, Walk};
use crate::builtin::is_plain;

impl<'a> Routes<'a> {
    /// `ConfBridge(room,…)` and `MeetMe(room,options,pin)`.
    pub(super) fn conference(&mut self, walk: &mut Walk<'a>, step: &Step) -> Next {
        let argument = |index: usize| step.arguments.get(index).map_or("", String::as_str);
        let room = match self.expand(walk, argument(0)) {
            Ok(room) if is_plain(&room) => room,
            Ok(room) if room.is_empty() => return Next::Stop("no room is asked for".into()),
            Ok(room) if room.contains('{') => {
                return Next::Stop("which room it is depends on the number".into());
            }
            Ok(room) => return Next::Stop(format!("`{room}` is no plain name of a room")),
            Err(why) => return Next::Stop(why),
        };
        let note = format!("what else it says belongs into [conferences.{room}]");
        match step.application.as_str() {
            "meetme" => {
                let pin = argument(2).trim();
                let digits = pin.bytes().all(|byte| byte.is_ascii_digit());
                if !pin.is_empty() && digits && pin.len() <= 16 {
                    self.ledger.hide(pin);
                    if !self.plan.conferences.iter().any(|(known, _)| *known == room) {
                        self.plan.conferences.push((room.clone(), vec![("pin", text(pin))]));
                    }
                } else if !pin.is_empty() {
                    return Next::Stop("a PIN here has 1 to 16 digits".into());
                }
                if !argument(1).is_empty() {
                    self.ledger.changed(&step.place, note);
                }
            }
            _ if step.arguments.len() > 1 => self.ledger.changed(&step.place, note),
            _ => {}
        }
        self.end(walk, step, &format!("builtin:conference/{room}"))
    }

    /// `ParkedCall(lot,slot)`, and of old `ParkedCall(slot,lot)`.
    pub(super) fn parked_call(&mut self, walk: &mut Walk<'a>, step: &Step) -> Next {
        let nothing = String::new();
        let (lot, number) = match step.arguments.as_slice() {
            [number] => ("", number),
            [number, lot] if number.parse::<u32>().is_ok() => (lot.as_str(), number),
            [lot, number, ..] => (lot.as_str(), number),
            [] => ("", &nothing),
        };
        if number.is_empty() {
            return Next::Stop("one that is parked is fetched by its slot: park/1".into());
        }
        match self.expand(walk, number) {
            Ok(number) => match self.lots.slot(lot, &number) {
                Some(slot) => self.end(walk, step, &format!("builtin:park/{slot}")),
                None if number.contains('{') => {
                    Next::Stop("which slot it is depends on the number".into())
                }
                None => Next::Stop(format!("there is no slot {number}")),
            },
            Err(why) => Next::Stop(why),
        }
    }

    /// `MusicOnHold(class,seconds)`.
    pub(super) fn music_on_hold(&mut self, walk: &mut Walk<'a>, step: &Step) -> Next {
        let written = step.arguments.first().map_or("", String::as_str);
        let class = match self.expand(walk, written) {
            Ok(class) if class.is_empty() => "default".into(),
            Ok(class) => class,
            Err(why) => return Next::Stop(why),
        };
        if !self.plan.music.iter().any(|music| music.name == class) {
            let why = format!("the music `{class}` is not carried over (musiconhold.conf)");
            return Next::Stop(why);
        }
        if step.arguments.len() > 1 {
            self.ledger.changed(&step.place, "it plays until the caller hangs up");
        }
        self.end(walk, step, &format!("builtin:music/{class}"))
    }

    /// The destination that `Playback(files)` is.
    pub(super) fn playback(&mut self, files: &str, place: &Place) -> String {
        let mut names = files.split('&').map(str::trim);
        let name = names.next().unwrap_or_default();
        let directory = &self.options.sound_directory;
        if is_plain(name) && self.options.sounds.contains(&format!("{name}.wav")) {
            match names.next() {
                None => self.ledger.kept(place),
                Some(_) => self.ledger.changed(place, "the first of its files"),
            }
            if self.plan.audio.is_empty() {
                let directory = text(&directory.display().to_string());
                self.plan.audio.push(("playback", directory));
            }
            return format!("builtin:playback/{name}");
        }
        let note = match is_plain(name) {
            true => {
                format!("a melody: there is no {name}.wav in {} (--sounds)", directory.display())
            }
            false => format!("a melody: `{name}` is no plain name of a file"),
        };
        self.ledger.changed(place, note);
        "builtin:playback".into()
    }
}
