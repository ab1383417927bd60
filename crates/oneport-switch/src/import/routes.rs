//! From the steps of extensions to routes: what is simple becomes destinations in their order, the
//! rest is left out with its reason.

use std::collections::BTreeSet;

use super::Options;
use super::acl;
use super::conf::Place;
use super::expression::{self, Called, Names};
use super::extensions::{Dialplan, Extension, Step};
use super::iax::{split_port, written_address};
use super::lots::Lot;
use super::plan::{Peer, Plan, Route, list, text};
use super::report::Ledger;
use crate::routing::Pattern;

/// Where the box itself is reached by what nothing else takes.
const BOX: &str = "box";

/// The context of peers that are only called.
pub(super) const NOBODY: &str = "nobody";

/// Extensions that are no numbers.
const SPECIAL: [&str; 11] = ["h", "i", "t", "T", "o", "a", "e", "E", "O", "fax", "failed"];

/// How far a chain of Goto is followed.
const LONGEST_CHAIN: usize = 100;

/// Makes routes of a dial plan.
pub(super) struct Routes<'a> {
    dialplan: &'a Dialplan,
    pub(super) lot: &'a Lot,
    pub(super) options: &'a Options,
    pub(super) ledger: &'a mut Ledger,
    pub(super) plan: &'a mut Plan,
    /// Global variables that were put in.
    used: BTreeSet<String>,
    /// Peers made of dial strings, by what stands before the number.
    outgoing: Vec<(String, String)>,
    /// The peer that stands for the box itself.
    own_box: Option<String>,
}

/// Destinations that are tried together, and for how long.
struct Group {
    to: Vec<String>,
    timeout: Option<u64>,
    place: Place,
}

/// A walk through the steps of one extension.
pub(super) struct Walk<'a> {
    context: &'a str,
    extension: &'a Extension,
    priority: u32,
    called: Called,
    variables: Names,
    groups: Vec<Group>,
    /// A Playback that nothing has followed yet, and its file.
    announcement: Option<(Place, String)>,
    /// Why it went no further, and where.
    stopped: Option<(String, Place)>,
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
        lot: &'a Lot,
        options: &'a Options,
        ledger: &'a mut Ledger,
        plan: &'a mut Plan,
    ) {
        let loops = plan.peers.iter().filter(|peer| peer.loop_port.is_some());
        let own_box = loops.min_by_key(|peer| peer.loop_port).map(|peer| peer.name.clone());
        let mut routes = Routes {
            dialplan,
            lot,
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

    fn walk(&mut self, walk: &mut Walk<'a>, visited: &mut BTreeSet<Place>) {
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

    fn forget_announcement(&mut self, walk: &mut Walk<'_>) {
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

    /// The extension that Asterisk would take for `number` in `context`.
    fn find(&self, context: &str, number: &str) -> Option<(&'a str, &'a Extension)> {
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

    fn dial(&mut self, walk: &mut Walk<'_>, step: &Step) -> Next {
        self.forget_announcement(walk);
        let place = &step.place;
        let empty = String::new();
        let argument = |index: usize| step.arguments.get(index).unwrap_or(&empty);
        let mut to = Vec::new();
        let mut failures = Vec::new();
        for target in expression::split(argument(0), '&') {
            let expanded = self.expand(walk, &target);
            match expanded.and_then(|expanded| self.destination(&target, &expanded, place)) {
                Ok(destination) if to.contains(&destination) => {}
                Ok(destination) => to.push(destination),
                Err(why) => failures.push(why),
            }
        }
        for why in &failures {
            self.ledger.dropped(place, why.clone());
        }
        if to.is_empty() {
            if failures.is_empty() {
                self.ledger.dropped(place, "it calls nobody");
            }
            let why = failures.pop().unwrap_or_else(|| "it calls nobody".into());
            // The next step may lead somewhere.
            walk.stopped = Some((why, place.clone()));
            return Next::Step;
        }
        walk.stopped = None;
        let timeout = match self.expand(walk, argument(1)) {
            Ok(seconds) if seconds.is_empty() => None,
            Ok(seconds) => match seconds.parse::<f64>() {
                Ok(seconds) if (1.0..1e6).contains(&seconds) => Some(seconds as u64),
                _ => None,
            },
            Err(why) => {
                self.ledger.changed(place, format!("it rings without end: {why}"));
                None
            }
        };
        match argument(2).as_str() {
            "" => self.ledger.kept(place),
            options => {
                let note = format!("without its options ({options}), which have no counterpart");
                self.ledger.changed(place, note);
            }
        }
        walk.groups.push(Group { to, timeout, place: place.clone() });
        Next::Step
    }

    /// `IAX2/[user[:secret[:key]]@]host[:port][/number[@context]][/options]` as a destination; as it
    /// is written it is `target`.
    fn destination(
        &mut self,
        target: &str,
        expanded: &str,
        place: &Place,
    ) -> Result<String, String> {
        let (technology, rest) = expanded.split_once('/').unwrap_or((expanded, ""));
        if !technology.eq_ignore_ascii_case("IAX2") && !technology.eq_ignore_ascii_case("IAX") {
            return Err(format!("{technology} is not spoken"));
        }
        let mut parts = rest.split('/');
        let device = parts.next().unwrap_or_default();
        // Without a number, Asterisk calls `s`.
        let number = parts.next().filter(|number| !number.is_empty()).unwrap_or("s");
        let (number, context) = number.split_once('@').unwrap_or((number, ""));
        if !context.is_empty() {
            let note = "calls name no context: the other side has one for us";
            self.ledger.changed(place, note);
        }
        if device.contains('{') {
            return Err("whom it calls depends on the number".into());
        }
        let peer = self.peer(target, device, place)?;
        match number {
            "{number}" => Ok(format!("peer:{peer}")),
            number => Ok(format!("peer:{peer}/{number}")),
        }
    }

    /// The peer that `[user[:secret[:key]]@]host[:port]` means; made, if there is none.
    fn peer(&mut self, target: &str, device: &str, place: &Place) -> Result<String, String> {
        let (user, host) = match device.rsplit_once('@') {
            Some((user, host)) => (user, host),
            None => ("", device),
        };
        let (host, port) = split_port(host).ok_or("its port is no number")?;
        let mut user = user.split(':').map(str::trim);
        let name = user.next().unwrap_or_default();
        let secret = user.next().unwrap_or_default();
        self.ledger.hide(secret);
        let known = self.plan.peers.iter().find(|peer| peer.name == host);
        match known {
            Some(peer) if !peer.dialable => {
                return Err(format!("{host} is a user, which cannot be called"));
            }
            Some(peer) => {
                if !name.is_empty() {
                    self.ledger.changed(place, "under the name and secret of the peer");
                }
                return Ok(peer.name.clone());
            }
            None => {}
        }
        let port = port.unwrap_or(oneport_wire::DEFAULT_PORT);
        let own =
            self.plan.peers.iter().find(|peer| peer.loop_port == Some(port) && peer.name == name);
        if let Some(own) = own {
            return Ok(own.name.clone());
        }
        let there =
            self.plan.peers.iter().find(|peer| {
                name.is_empty() && peer.address.as_ref() == Some(&(host.clone(), port))
            });
        if let Some(there) = there {
            return Ok(there.name.clone());
        }
        if let Some((_, made)) = self.outgoing.iter().find(|(known, _)| known == device) {
            return Ok(made.clone());
        }
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err("it names no host".into());
        }
        // A variable has a better name than an address.
        let variable = target.strip_prefix("${").and_then(|rest| rest.split_once('}'));
        let wanted = variable.map_or(host.as_str(), |(variable, _)| variable);
        let peer = self.outgoing_peer(wanted, &host, port, (name, secret), place);
        let made = peer.name.clone();
        self.outgoing.push((device.into(), made.clone()));
        self.plan.peers.push(peer);
        Ok(made)
    }

    /// A peer that is only called.
    fn outgoing_peer(
        &self,
        wanted: &str,
        host: &str,
        port: u16,
        (name, secret): (&str, &str),
        place: &Place,
    ) -> Peer {
        let mut keys = vec![("address", text(&written_address(host, port)))];
        if !name.is_empty() {
            keys.push(("username", text(name)));
        }
        if self.plan.plaintext && !secret.is_empty() {
            let networks: Vec<ipnet::IpNet> =
                host.parse::<std::net::IpAddr>().map(Into::into).into_iter().collect();
            if acl::may_be_plain(&self.options.trusted, &networks) {
                keys.push(("auth", list(["md5", "plaintext"])));
                keys.push(("permit", list(networks)));
            }
        }
        keys.push(("contexts", list([NOBODY])));
        Peer {
            name: self.plan.free_name(wanted),
            comments: vec![format!("called at {place}")],
            secret: (!secret.is_empty()).then(|| secret.to_string()),
            keys,
            address: Some((host.into(), port)),
            dialable: true,
            ..Peer::default()
        }
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
