//! From the steps of extensions to routes: what is simple becomes destinations in their order, the
//! rest is left out with its reason.

use std::collections::BTreeSet;

use super::Options;
use super::conf::Place;
use super::expression::{Called, Names};
use super::extensions::{Dialplan, Extension};
use super::lots::Lots;
use super::plan::{Plan, Route, list, text};
use super::report::Ledger;
use crate::routing::Pattern;

/// Where the box itself is reached by what nothing else takes.
const BOX: &str = "box";

/// The context of peers that are only called.
pub(super) const NOBODY: &str = "nobody";

/// Extensions that are no numbers.
const SPECIAL: [&str; 11] = ["h", "i", "t", "T", "o", "a", "e", "E", "O", "fax", "failed"];

/// Makes routes of a dial plan.
pub(super) struct Routes<'a> {
    pub(super) dialplan: &'a Dialplan,
    pub(super) lots: &'a Lots,
    pub(super) options: &'a Options,
    pub(super) ledger: &'a mut Ledger,
    pub(super) plan: &'a mut Plan,
    /// Global variables that were put in.
    pub(super) used: BTreeSet<String>,
    /// Peers made of dial strings, by what stands before the number.
    pub(super) outgoing: Vec<(String, String)>,
    /// The peer that stands for the box itself.
    pub(super) own_box: Option<String>,
}

/// Destinations that are tried together, and for how long.
pub(super) struct Group {
    pub(super) to: Vec<String>,
    pub(super) timeout: Option<u64>,
    pub(super) place: Place,
}

/// A walk through the steps of one extension.
pub(super) struct Walk<'a> {
    pub(super) context: &'a str,
    pub(super) extension: &'a Extension,
    pub(super) priority: u32,
    pub(super) called: Called,
    pub(super) variables: Names,
    pub(super) groups: Vec<Group>,
    /// A Playback that nothing has followed yet, and its file.
    pub(super) announcement: Option<(Place, String)>,
    /// Why it went no further, and where.
    pub(super) stopped: Option<(String, Place)>,
}

/// How a walk goes on.
pub(super) enum Next {
    /// With the next priority.
    Step,
    /// Elsewhere; the walk was moved.
    Moved,
    /// Nowhere: all is done.
    Done,
    /// Nowhere: this cannot be carried over.
    Stop(String),
}

impl<'a> Routes<'a> {
    /// Adds the routes of `dialplan` to `plan`, and to its peers the contexts they call from.
    pub(super) fn read(
        dialplan: &'a Dialplan,
        lots: &'a Lots,
        options: &'a Options,
        ledger: &'a mut Ledger,
        plan: &'a mut Plan,
    ) {
        let loops = plan.peers.iter().filter(|peer| peer.loop_port.is_some());
        let own_box = loops.min_by_key(|peer| peer.loop_port).map(|peer| peer.name.clone());
        let mut routes = Routes {
            dialplan,
            lots,
            options,
            ledger,
            plan,
            used: BTreeSet::new(),
            outgoing: Vec::new(),
            own_box,
        };
        let searched = routes.search_contexts();
        for context in &dialplan.contexts {
            let hours = dialplan.hours_of(&context.name);
            for extension in &context.extensions {
                if searched.contains(context.name.as_str()) {
                    routes.extension(&context.name, extension, hours);
                } else {
                    for step in extension.steps.values() {
                        routes.ledger.dropped(&step.place, "no peer's context leads here");
                    }
                }
            }
        }
        routes.lead_to_the_box();
        for setting in &dialplan.global_settings {
            if routes.used.contains(&setting.key) {
                routes.ledger.kept(&setting.place);
            }
        }
    }

    /// Gives each peer the contexts in which its numbers are looked up; all of these.
    fn search_contexts(&mut self) -> BTreeSet<&'a str> {
        let mut all = BTreeSet::new();
        for peer in &mut self.plan.peers {
            let own: Vec<String> = match peer.contexts.is_empty() {
                true => vec!["default".into()],
                false => peer.contexts.iter().map(|(name, _)| name.clone()).collect(),
            };
            for (name, place) in &peer.contexts {
                match self.dialplan.context(name) {
                    Some(_) => self.ledger.kept(place),
                    None => self.ledger.changed(place, "no route is in it"),
                }
            }
            let mut found: Vec<&str> = Vec::new();
            for name in &own {
                if let Some(context) = self.dialplan.context(name) {
                    self.dialplan.searched(&context.name, &mut found);
                }
            }
            all.extend(&found);
            let mut contexts: Vec<String> = found.iter().map(ToString::to_string).collect();
            if contexts.is_empty() {
                contexts = own;
            }
            if self.own_box.is_some() && contexts != [NOBODY] {
                contexts.push(BOX.into());
            }
            if contexts != ["default"] {
                peer.keys.push(("contexts", list(contexts)));
            }
        }
        all
    }

    /// What no route takes goes to the box, as it did when the box took all calls itself.
    fn lead_to_the_box(&mut self) {
        let Some(own_box) = &self.own_box else { return };
        let to = list([format!("peer:{own_box}")]);
        let loops = self.plan.peers.iter().filter(|peer| peer.loop_port.is_some());
        let loops = list(loops.map(|peer| peer.name.clone()));
        let route = |comment: &str| Route {
            comments: vec![comment.into()],
            keys: vec![("prefix", text("")), ("contexts", list([BOX]))],
        };
        let mut back = route("What the box dials through a loop comes back to it.");
        back.keys.push(("from", loops));
        back.keys.push(("to", to.clone()));
        let mut rest = route("What nothing else takes is the box's own.");
        rest.keys.push(("to", to));
        self.plan.routes.extend([back, rest]);
    }

    fn extension(&mut self, context: &'a str, extension: &'a Extension, hours: Option<&str>) {
        let pattern = extension.pattern.as_str();
        let drop_all = |ledger: &mut Ledger, why: &str| {
            for step in extension.steps.values() {
                ledger.dropped(&step.place, why);
            }
        };
        if SPECIAL.contains(&pattern) {
            return drop_all(self.ledger, "it is no number; what ends a call needs no extension");
        }
        let is_pattern = pattern.starts_with('_');
        let length = match Pattern::asterisk(pattern) {
            Ok(_) => fixed_length(pattern),
            Err((what, _)) if is_pattern => return drop_all(self.ledger, &what),
            Err(_) => None,
        };
        let called = match is_pattern {
            true => Called::Any(length),
            false => Called::Number(pattern.into()),
        };
        let mut walk = Walk {
            context,
            extension,
            priority: 1,
            called,
            variables: Names::new(),
            groups: Vec::new(),
            announcement: None,
            stopped: None,
        };
        let mut visited = BTreeSet::new();
        self.walk(&mut walk, &mut visited);
        if let Some((place, files)) = walk.announcement.take() {
            let to = vec![self.playback(&files, &place)];
            walk.groups.push(Group { to, timeout: None, place });
        }
        let whose = if self.own_box.is_some() { "; the box does it" } else { "" };
        let stopped = walk.stopped.take();
        if let Some((why, place)) = &stopped {
            self.ledger.dropped(place, format!("{why}{whose}"));
        }
        for step in extension.steps.values() {
            if visited.contains(&step.place) {
                continue;
            }
            match step.application.as_str() {
                "hangup" | "noop" if stopped.is_none() => self.ledger.kept(&step.place),
                _ if stopped.is_some() => {
                    self.ledger.dropped(&step.place, "it stands behind what is not carried over");
                }
                _ => self.ledger.dropped(&step.place, "nothing comes here"),
            }
        }
        if walk.groups.is_empty() {
            let why = match &stopped {
                Some((why, _)) => why.clone(),
                None => "it leads nowhere".into(),
            };
            return drop_all(self.ledger, &format!("{pattern} has no route: {why}{whose}"));
        }
        self.route(context, extension, hours, walk.groups);
    }

    /// Writes what a walk has found.
    fn route(
        &mut self,
        context: &str,
        extension: &Extension,
        hours: Option<&str>,
        groups: Vec<Group>,
    ) {
        let pattern = extension.pattern.as_str();
        let first = extension.steps.values().next().map(|step| step.place.to_string());
        let mut route = Route { comments: first.into_iter().collect(), ..Route::default() };
        let key = if pattern.starts_with('_') { "pattern" } else { "number" };
        route.keys.push((key, text(pattern)));
        if context != "default" {
            route.keys.push(("contexts", list([context])));
        }
        if let Some(hours) = hours {
            route.keys.push(("hours", list([hours])));
        }
        let mut to: Vec<String> = Vec::new();
        let mut timeout = None;
        let mut all = false;
        for group in groups {
            if !to.is_empty() && (all || group.to.len() > 1) {
                let why = "those of one route ring all together, or one behind the other";
                self.ledger.dropped(&group.place, why);
                continue;
            }
            all = group.to.len() > 1;
            if to.is_empty() {
                timeout = group.timeout;
            } else if group.timeout.is_some() && group.timeout != timeout {
                let time = timeout
                    .map_or_else(|| "without end".into(), |seconds| format!("for {seconds} s"));
                self.ledger
                    .changed(&group.place, format!("it rings {time}, as the first one does"));
            }
            to.extend(group.to);
        }
        // Dial goes on with the next step whatever became of the call.
        let is_end = |one: &String| !one.starts_with("peer:") && !one.starts_with("builtin:");
        let goes_on = !all && to.iter().skip(1).any(|one| !is_end(one));
        route.keys.push(("to", list(to)));
        if all {
            route.keys.push(("strategy", text("all")));
        }
        if let Some(seconds) = timeout {
            route.keys.push(("timeout_seconds", seconds.to_string()));
        }
        if goes_on {
            route.keys.push(("continue_on", list(["busy", "no_answer", "rejected"])));
        }
        self.plan.routes.push(route);
    }

    /// The extension that Asterisk would take for `number` in `context`.
    pub(super) fn find(&self, context: &str, number: &str) -> Option<(&'a str, &'a Extension)> {
        let context = self.dialplan.context(context)?;
        let mut contexts = Vec::new();
        self.dialplan.searched(&context.name, &mut contexts);
        contexts.into_iter().filter_map(|name| self.dialplan.context(name)).find_map(|context| {
            let fitting = context.extensions.iter().filter_map(|extension| {
                let pattern = match extension.pattern.starts_with('_') {
                    true => Pattern::asterisk(&extension.pattern).ok()?,
                    false => Pattern::number(&extension.pattern),
                };
                pattern.groups(number)?;
                Some((pattern, extension))
            });
            let best = fitting.min_by(|(one, _), (other, _)| one.compare(other))?;
            Some((context.name.as_str(), best.1))
        })
    }
}

/// How many characters a number has that fits, if that is always the same.
fn fixed_length(pattern: &str) -> Option<usize> {
    let mut length = 0;
    let mut characters = pattern.strip_prefix('_')?.chars();
    while let Some(character) = characters.next() {
        match character {
            '.' | '!' => return None,
            '-' | ' ' => {}
            '[' => {
                characters.find(|character| *character == ']')?;
                length += 1;
            }
            _ => length += 1,
        }
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_pattern_is_known_unless_it_is_open() {
        for (pattern, length) in
            [("_NXX", Some(3)), ("_1-[2-5]X", Some(3)), ("_9.", None), ("_9!", None), ("100", None)]
        {
            assert_eq!(fixed_length(pattern), length, "{pattern}");
        }
    }
}
