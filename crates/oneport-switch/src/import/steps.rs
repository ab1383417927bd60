//! The steps of an extension, one by one: what each means here.

use std::collections::BTreeSet;

use super::conf::Place;
use super::expression::{self, Called};
use super::extensions::Step;
use super::routes::{Group, Next, Routes, Walk};

/// How far a chain of Goto is followed.
const LONGEST_CHAIN: usize = 100;

impl<'a> Routes<'a> {
    pub(super) fn walk(&mut self, walk: &mut Walk<'a>, visited: &mut BTreeSet<Place>) {
        for _ in 0..LONGEST_CHAIN {
            let Some(step) = walk.extension.steps.get(&walk.priority) else {
                if walk.priority == 1 {
                    let place = walk.extension.steps.values().next().map(|step| &step.place);
                    let why = "it has no first priority";
                    walk.stopped = place.map(|place| (why.into(), place.clone()));
                }
                return;
            };
            if !visited.insert(step.place.clone()) {
                walk.stopped = Some(("its steps run in a circle".into(), step.place.clone()));
                return;
            }
            match self.step(walk, step) {
                Next::Step => walk.priority += 1,
                Next::Moved => {}
                Next::Done => return,
                Next::Stop(why) => {
                    walk.stopped = Some((why, step.place.clone()));
                    return;
                }
            }
        }
    }

    fn step(&mut self, walk: &mut Walk<'a>, step: &'a Step) -> Next {
        let place = &step.place;
        match step.application.as_str() {
            "noop" | "verbose" | "log" | "ringing" | "progress" | "proceeding" => {
                self.ledger.kept(place);
                Next::Step
            }
            "answer" => {
                self.ledger.changed(place, "the call is answered when its destination answers");
                Next::Step
            }
            "wait" | "playtones" | "stopplaytones" => {
                self.ledger.changed(place, "nobody waits here");
                Next::Step
            }
            "set" => {
                self.set(walk, step);
                Next::Step
            }
            "agi" | "eagi" | "deadagi" | "fastagi" => {
                let note = "programs are not run; the call goes on as if this did nothing";
                self.ledger.dropped(place, note);
                Next::Step
            }
            "mixmonitor" | "monitor" | "stopmixmonitor" | "resetcdr" | "nocdr"
            | "setcallerpres" => {
                self.ledger.dropped(place, "there is no counterpart; the call goes on");
                Next::Step
            }
            "dial" => self.dial(walk, step),
            "echo" => self.end(walk, step, "builtin:echo"),
            "milliwatt" => self.end(walk, step, "builtin:milliwatt"),
            "record" => {
                self.ledger.changed(place, "the file is named by time and call");
                self.end(walk, step, "builtin:record")
            }
            "playback" | "background" => {
                let files = step.arguments.first().map_or("", String::as_str);
                match self.expand(walk, files) {
                    Ok(files) => {
                        let before = walk.announcement.replace((place.clone(), files));
                        if let Some((before, _)) = before {
                            self.ledger.dropped(&before, "only the last announcement is played");
                        }
                    }
                    Err(why) => self.ledger.dropped(place, why),
                }
                Next::Step
            }
            "confbridge" | "meetme" => self.conference(walk, step),
            "park" => {
                if step.arguments.iter().any(|argument| !argument.is_empty()) {
                    self.ledger.changed(place, "in the first slot that is free");
                }
                self.end(walk, step, "builtin:park")
            }
            "parkedcall" => self.parked_call(walk, step),
            "musiconhold" => self.music_on_hold(walk, step),
            "startmusiconhold" | "stopmusiconhold" | "setmusiconhold" => {
                self.ledger.dropped(place, "music is heard on hold; the call goes on");
                Next::Step
            }
            "busy" => self.end(walk, step, "busy"),
            "congestion" => self.end(walk, step, "congestion"),
            "hangup" => {
                let cause = step.arguments.first().map_or("", String::as_str);
                match (walk.groups.is_empty() && walk.announcement.is_none(), cause) {
                    (false, "") => {
                        self.ledger.kept(place);
                        Next::Done
                    }
                    (_, "") => self.end(walk, step, "hangup:16"),
                    (_, cause)
                        if cause.parse::<u8>().is_ok_and(|cause| (1..128).contains(&cause)) =>
                    {
                        let to = format!("hangup:{cause}");
                        self.end(walk, step, &to)
                    }
                    _ => Next::Stop("its cause is no number".into()),
                }
            }
            "goto" => self.go_to(walk, step),
            "gotoif" | "gotoiftime" | "execif" | "execiftime" | "while" | "switch" => {
                Next::Stop("routes decide by number, caller and hours alone".into())
            }
            "macro" | "gosub" | "gosubif" | "return" | "macroexit" => {
                Next::Stop("there are no subroutines".into())
            }
            other => Next::Stop(format!("there is no {other}")),
        }
    }

    /// A destination behind which nothing more is tried.
    pub(super) fn end(&mut self, walk: &mut Walk<'_>, step: &Step, to: &str) -> Next {
        self.forget_announcement(walk);
        self.ledger.kept(&step.place);
        let place = step.place.clone();
        walk.groups.push(Group { to: vec![to.into()], timeout: None, place });
        Next::Done
    }

    pub(super) fn forget_announcement(&mut self, walk: &mut Walk<'_>) {
        if let Some((place, _)) = walk.announcement.take() {
            self.ledger.dropped(&place, "nothing is played before a call goes on");
        }
    }

    fn set(&mut self, walk: &mut Walk<'_>, step: &Step) {
        for assignment in &step.arguments {
            let (name, value) = assignment.split_once('=').unwrap_or((assignment, ""));
            let name = name.trim().trim_start_matches('_');
            if name.contains('(') {
                let note = "what the caller says of itself passes on; functions are not computed";
                self.ledger.dropped(&step.place, note);
                continue;
            }
            match self.expand(walk, value) {
                Ok(value) if !value.contains('{') => {
                    walk.variables.insert(name.to_ascii_lowercase(), value);
                    self.ledger.kept(&step.place);
                }
                Ok(_) => self.ledger.dropped(&step.place, "parts of the number are not kept"),
                Err(why) => self.ledger.dropped(&step.place, why),
            }
        }
    }

    /// Puts variables in, and notes which global ones.
    pub(super) fn expand(&mut self, walk: &Walk<'_>, text: &str) -> Result<String, String> {
        let expanded =
            expression::expand(text, &walk.called, &[&walk.variables, &self.dialplan.globals])?;
        let mut left = vec![text.to_ascii_lowercase()];
        while let Some(text) = left.pop() {
            for (name, value) in &self.dialplan.globals {
                let named = text.contains(&format!("${{{name}}}"))
                    || text.contains(&format!("${{{name}:"))
                    || text.contains(&format!("global({name})"));
                if named && self.used.insert(name.clone()) {
                    left.push(value.to_ascii_lowercase());
                }
            }
        }
        Ok(expanded)
    }

    fn go_to(&mut self, walk: &mut Walk<'a>, step: &Step) -> Next {
        let mut arguments = Vec::new();
        for argument in &step.arguments {
            match self.expand(walk, argument) {
                Ok(argument) => arguments.push(argument),
                Err(why) => return Next::Stop(why),
            }
        }
        let (context, number, priority) = match arguments.as_slice() {
            [priority] => (walk.context.to_string(), None, priority.as_str()),
            [number, priority] => (walk.context.into(), Some(number.as_str()), priority.as_str()),
            [context, number, priority] => (context.clone(), Some(number.as_str()), &**priority),
            _ => return Next::Stop("it does not say where to".into()),
        };
        if let Some(number) = number
            && number.contains('{')
        {
            let Some(own_box) = self.own_box.clone() else {
                let why = "where it leads depends on the number: write a route for each of them";
                return Next::Stop(why.into());
            };
            self.forget_announcement(walk);
            self.ledger.changed(&step.place, format!("the box is called, as peer `{own_box}`"));
            let to = vec![format!("peer:{own_box}/{number}")];
            walk.groups.push(Group { to, timeout: None, place: step.place.clone() });
            return Next::Done;
        }
        let target = match number {
            None => Some((walk.context, walk.extension)),
            Some(number) => self.find(&context, number),
        };
        let Some((context, extension)) = target else {
            return Next::Stop(format!(
                "there is no {} in [{context}]",
                number.unwrap_or_default()
            ));
        };
        let priority = match priority {
            "n" | "N" => Some(walk.priority + 1),
            _ => priority.parse().ok().or_else(|| extension.labels.get(priority).copied()),
        };
        let Some(priority) = priority else {
            return Next::Stop("there is no such label".into());
        };
        self.ledger.kept(&step.place);
        if let Some(number) = number {
            walk.called = Called::Number(number.into());
        }
        (walk.context, walk.extension, walk.priority) = (context, extension, priority);
        Next::Moved
    }
}
