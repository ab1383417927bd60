//! Peers out of tables: taken among those of the file, looked up where somebody calls or registers under a name that
//! no peer has, and their registrations, here and elsewhere.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use oneport_proto::{CallId, Endpoint, Instant, RequestId};
use tokio::sync::mpsc;

use super::siblings::before as moment_before;
use super::{State, Switch};
use crate::config::Config;
use crate::news::What;
use crate::realtime::{Ask, BELIEVED, Counts, Figures, Known, RealtimePeers, Registered, Told};
use crate::registrar::{GRACE, Proved};
use crate::trunks::Owner;

/// Names that are looked up at the same time; of further ones it is known that nobody has them.
const MOST_AT_ONCE: usize = 64;

/// Names of which it is remembered that nobody has them.
const MOST_UNKNOWN: usize = 1_024;

/// Who waits until a name has been looked up.
#[derive(Clone, Copy, Debug)]
enum Waiter {
    Call(CallId),
    Request(RequestId),
}

/// What became of names that no peer has, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct LookUps {
    /// Looked up, and a row has it.
    pub(crate) found: u64,
    /// Looked up, and none has.
    pub(crate) unknown: u64,
    /// Looked up, and the database did not answer in time.
    pub(crate) unanswered: u64,
    /// Not looked up: it had been lately, and nobody had it.
    pub(crate) remembered: u64,
    /// Not looked up: too many were.
    pub(crate) left_out: u64,
}

/// What metrics say of the tables.
#[derive(Clone, Debug)]
pub(crate) struct RowFigures {
    pub(crate) peers: usize,
    pub(crate) look_ups: LookUps,
    /// Of the database.
    pub(crate) figures: Figures,
}

/// What is known of the tables.
#[derive(Default)]
pub(super) struct RealtimeRows {
    /// The thread that looks at them; `None`: nobody does.
    asks: Option<mpsc::UnboundedSender<Ask>>,
    /// What that thread counts.
    counts: Arc<Counts>,
    look_ups: LookUps,
    /// Their peers. Those of the file go before.
    peers: BTreeMap<String, Known>,
    /// Nothing was heard of them yet, since the database is away.
    is_missing: bool,
    /// Names that are looked up, and who waits.
    waiting: HashMap<String, Vec<Waiter>>,
    /// Names that nobody has, the oldest first, and until when that is believed.
    unknown: VecDeque<(String, Instant)>,
    /// When names were looked up within the last second.
    lately: VecDeque<Instant>,
    /// Peers that are registered elsewhere, as their rows say.
    elsewhere: HashMap<String, Registered>,
}

impl RealtimeRows {
    fn ask(&self, ask: Ask) {
        if let Some(asks) = &self.asks {
            // Whoever ends has no more to write.
            let _ = asks.send(ask);
        }
    }

    fn is_looked_at(&self) -> bool {
        self.asks.as_ref().is_some_and(|asks| !asks.is_closed())
    }

    /// Whether a peer is one of a row.
    pub(super) fn has(&self, name: &str) -> bool {
        self.peers.contains_key(name)
    }

    /// Puts the peers into a configuration, where that has none of their names.
    pub(super) fn place(&self, config: &mut Config) {
        for (name, (peer, rule)) in &self.peers {
            if !config.peers.contains_key(name) {
                config.peers.insert(name.clone(), peer.clone());
                config.endpoint.call_token.users.insert(name.clone(), *rule);
                config.endpoint.call_token.peers.insert(name.clone(), *rule);
            }
        }
    }

    /// Whether there are any.
    pub(super) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Nothing is known yet of who may be registered.
    pub(super) const fn is_missing(&self) -> bool {
        self.is_missing
    }

    /// Whether a name is looked up for `waiter`, who is told then.
    fn looks_up(&mut self, now: Instant, config: &Config, name: &str, waiter: Waiter) -> bool {
        let Some(realtime) = config.realtime.as_ref().filter(|_| self.is_looked_at()) else {
            return false;
        };
        if let Some(others) = self.waiting.get_mut(name) {
            // As many of one name as there may be names.
            let has_room = others.len() < MOST_AT_ONCE;
            match has_room {
                true => others.push(waiter),
                false => self.look_ups.left_out += 1,
            }
            return has_room;
        }
        while self.unknown.front().is_some_and(|(_, until)| *until <= now) {
            self.unknown.pop_front();
        }
        let second = Duration::from_secs(1);
        while self.lately.front().is_some_and(|then| now.since(*then) >= second) {
            self.lately.pop_front();
        }
        let most = usize::try_from(realtime.lookups_per_second).unwrap_or(usize::MAX);
        if name.is_empty() {
            return false;
        }
        if self.unknown.iter().any(|(unknown, _)| unknown == name) {
            self.look_ups.remembered += 1;
            return false;
        }
        if self.waiting.len() >= MOST_AT_ONCE || self.lately.len() >= most {
            self.look_ups.left_out += 1;
            return false;
        }
        self.lately.push_back(now);
        self.waiting.insert(name.into(), vec![waiter]);
        self.ask(Ask::Find(name.into()));
        true
    }

    /// A name was looked up in vain: it is not again before the next look at all.
    fn is_unknown(&mut self, now: Instant, name: String, poll: Duration) {
        if self.unknown.len() >= MOST_UNKNOWN {
            self.unknown.pop_front();
        }
        self.unknown.push_back((name, now + poll));
    }
}

impl Switch {
    /// The peers that tables have, before this switch starts.
    pub(crate) fn begin_with_rows(&mut self, loaded: RealtimePeers) {
        self.rows.is_missing = !loaded.is_whole;
        self.rows.peers = loaded.peers.into_iter().collect();
        self.rows.place(&mut self.config);
        self.decoy.learn(&self.config);
    }

    /// A thread looks at the tables from now on.
    pub(crate) fn look_at_rows(&mut self, asks: mpsc::UnboundedSender<Ask>, counts: Arc<Counts>) {
        (self.rows.asks, self.rows.counts) = (Some(asks), counts);
    }

    /// What metrics say of tables; `None`: there are none.
    pub(super) fn row_figures(&self) -> Option<RowFigures> {
        self.rows.asks.as_ref()?;
        let RealtimeRows { peers, look_ups, counts, .. } = &self.rows;
        Some(RowFigures { peers: peers.len(), look_ups: *look_ups, figures: counts.read() })
    }

    /// Has rows read by what another configuration says for all peers.
    pub(super) fn read_rows_anew(&self) {
        if let (Some(realtime), Some(basis)) = (&self.config.realtime, &self.config.peer_basis) {
            let trusted = crate::realtime::trusted(&self.config);
            self.rows.ask(Ask::Basis(Arc::clone(basis), trusted, Box::new(realtime.clone())));
        }
    }

    /// The thread has looked at tables.
    pub(crate) fn rows_tell(&mut self, endpoint: &mut Endpoint, now: Instant, told: Told) {
        match told {
            Told::Rows { changed, elsewhere } => {
                self.rows_changed(endpoint, now, changed);
                if std::mem::take(&mut self.rows.is_missing) {
                    self.restore_registrations(endpoint, now);
                }
                if let Some(elsewhere) = elsewhere {
                    self.registered_elsewhere(endpoint, now, elsewhere);
                }
                self.trunks.apply(endpoint);
            }
            Told::LookedUp { name, answered } => self.looked_up(endpoint, now, name, answered),
        }
    }

    fn rows_changed(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        changed: Vec<(String, Option<Known>)>,
    ) {
        let mut names = Vec::new();
        for (name, known) in changed {
            let before = self.rows.peers.get(&name);
            if before == known.as_ref() {
                continue;
            }
            // What is known by the file stays as it is there.
            let held = self.config.peers.get(&name);
            let is_of_file = held.is_some_and(|held| before.map(|(row, _)| row) != Some(held));
            match &known {
                Some(known) => drop(self.rows.peers.insert(name.clone(), known.clone())),
                None => drop(self.rows.peers.remove(&name)),
            }
            if is_of_file {
                continue;
            }
            let rules = &mut self.config.endpoint.call_token;
            match known {
                Some((peer, rule)) => {
                    rules.users.insert(name.clone(), rule);
                    rules.peers.insert(name.clone(), rule);
                    self.config.peers.insert(name.clone(), peer);
                }
                None => {
                    rules.users.remove(&name);
                    rules.peers.remove(&name);
                    self.config.peers.remove(&name);
                }
            }
            self.rows.unknown.retain(|(unknown, _)| *unknown != name);
            names.push(name);
        }
        if names.is_empty() {
            return;
        }
        tracing::debug!("rows of {} peers have changed", names.len());
        self.decoy.learn(&self.config);
        for name in &names {
            self.peer_has_changed(now, name, false);
        }
        endpoint.reconfigure(self.config.endpoint.clone());
        self.peers_have_changed(endpoint, now);
    }

    /// Rows say where peers are registered that others have let in.
    fn registered_elsewhere(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        there: Vec<(Registered, Duration)>,
    ) {
        let mut before = std::mem::take(&mut self.rows.elsewhere);
        for (registered, age) in there {
            let Registered { name, address, .. } = &registered;
            let was = before.remove(name);
            if was.as_ref() == Some(&registered) {
                self.rows.elsewhere.insert(name.clone(), registered);
                continue;
            }
            if self.takes_from_row(now, name, *address, age, was.is_some()) {
                let (name, address) = (name.clone(), *address);
                let (at, date) = (moment_before(now, age), self.book.now().before(age));
                let proved = Proved { at, date };
                let left = (BELIEVED + GRACE).saturating_sub(age);
                self.is_registered_at(endpoint, (proved, now), &name, address, left);
                let trunk = self.config.peers.get(&name).and_then(|peer| peer.trunk);
                let trunk = trunk.map(|trunk| (address, trunk));
                self.trunks.set(Owner::Registered(name.clone()), trunk);
                if was.as_ref().map(|was| was.address) != Some(address) {
                    tracing::info!("{name} is registered elsewhere, at {address}, as its row says");
                    let address = Some(address.to_string());
                    self.news.tell(|| What::Registration { peer: name.clone(), address });
                }
                self.rows.elsewhere.insert(name, registered);
            } else if let Some(was) = was {
                before.insert(name.clone(), was);
            }
        }
        // What is left is over.
        for name in before.into_keys() {
            if self.registrar.release(&name) {
                self.qualify.forget(&name);
                self.trunks.set(Owner::Registered(name.clone()), None);
                tracing::info!("{name} is not registered elsewhere any more, as its row says");
                self.news.tell(|| What::Registration { peer: name, address: None });
            }
        }
    }

    /// Whether a peer is taken to be where its row says.
    fn takes_from_row(
        &self,
        now: Instant,
        name: &str,
        address: SocketAddr,
        age: Duration,
        was_elsewhere: bool,
    ) -> bool {
        let Some(peer) = self.config.peers.get(name).filter(|_| self.rows.has(name)) else {
            return false;
        };
        let here = self.registrar.since(name).filter(|_| !was_elsewhere);
        age < BELIEVED
            && peer.permits(address.ip())
            // Another switch of ours has it, which is the way to it.
            && self.registrar.elsewhere(name).is_none()
            && here.is_none_or(|here| here < moment_before(now, age))
    }

    /// A peer has registered here.
    pub(super) fn write_registration(&mut self, name: &str, address: SocketAddr) {
        if self.rows.has(name) {
            self.rows.elsewhere.remove(name);
            self.rows.ask(Ask::Registered { name: name.into(), address });
        }
    }

    /// A peer is not registered any more; `unregistered`: it said so itself.
    pub(super) fn write_end(&mut self, name: &str, unregistered: bool) {
        if self.rows.has(name) && self.rows.elsewhere.remove(name).is_none() {
            self.rows.ask(Ask::Over { name: name.into(), unregistered });
        }
    }

    /// Whether it must be looked up first who a caller says it is.
    pub(super) fn awaits_caller(&mut self, now: Instant, call: CallId, name: &str) -> bool {
        !self.config.peers.contains_key(name)
            && self.rows.looks_up(now, &self.config, name, Waiter::Call(call))
    }

    /// The same of somebody that registers.
    pub(super) fn awaits_registrant(
        &mut self,
        now: Instant,
        request: RequestId,
        name: &str,
    ) -> bool {
        !self.config.peers.contains_key(name)
            && self.rows.looks_up(now, &self.config, name, Waiter::Request(request))
    }

    fn looked_up(&mut self, endpoint: &mut Endpoint, now: Instant, name: String, answered: bool) {
        for waiter in self.rows.waiting.remove(&name).unwrap_or_default() {
            match waiter {
                Waiter::Call(call) => {
                    let _inside = self.span(call).entered();
                    let leg = self.legs.get(&call).map(|leg| &leg.state);
                    if matches!(leg, Some(State::Identifying(_))) {
                        self.ask_caller(endpoint, now, call, &name);
                    }
                }
                Waiter::Request(request) => self.ask_registrant(endpoint, now, request),
            }
        }
        let look_ups = &mut self.rows.look_ups;
        let count = match (answered, self.config.peers.contains_key(&name)) {
            (false, _) => &mut look_ups.unanswered,
            (true, true) => &mut look_ups.found,
            (true, false) => &mut look_ups.unknown,
        };
        *count += 1;
        if answered && !self.config.peers.contains_key(&name) {
            let poll = self.config.realtime.as_ref().map(|realtime| realtime.poll);
            self.rows.is_unknown(now, name, poll.unwrap_or_default());
        }
        self.trunks.apply(endpoint);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use oneport_proto::{EndpointConfig, NewCall};

    use super::*;
    use crate::utc::Utc;

    fn waiter() -> Waiter {
        let mut endpoint = Endpoint::new(EndpointConfig::default(), [0; 32], at(0));
        let to = SocketAddr::from(([192, 0, 2, 1], 4569));
        Waiter::Call(endpoint.place_call(at(0), to, NewCall::to("1")).expect("placed"))
    }

    fn at(millis: u64) -> Instant {
        Instant::from_micros(1_000_000 + millis * 1_000)
    }

    fn looked_at() -> (RealtimeRows, Config, mpsc::UnboundedReceiver<Ask>) {
        let text = "[realtime]\nurl = \"sqlite:/x\"\nlookups_per_second = 20\n";
        let config = Config::parse(Path::new("test.toml"), text).expect("good");
        let (asks, asked) = mpsc::unbounded_channel();
        (RealtimeRows { asks: Some(asks), ..RealtimeRows::default() }, config, asked)
    }

    fn asked_for(asked: &mut mpsc::UnboundedReceiver<Ask>) -> usize {
        std::iter::from_fn(|| asked.try_recv().ok()).count()
    }

    #[test]
    fn a_flood_of_unknown_names_asks_the_database_so_often_and_no_more() {
        let (mut rows, config, mut asked) = looked_at();
        let waiter = waiter();
        for millis in 0..10_000 {
            let name = format!("name{millis}");
            if rows.looks_up(at(millis), &config, &name, waiter) {
                rows.waiting.remove(&name);
            }
        }
        assert_eq!(asked_for(&mut asked), 200, "20 in each of ten seconds");
        let left_out = LookUps { left_out: 9_800, ..LookUps::default() };
        assert_eq!(rows.look_ups, left_out);
    }

    #[test]
    fn a_name_is_looked_up_once_for_all_who_wait_and_not_again_while_nobody_has_it() {
        let (mut rows, config, mut asked) = looked_at();
        let waiter = waiter();
        let waiting = (0..100).filter(|_| rows.looks_up(at(0), &config, "ann", waiter)).count();
        assert_eq!((waiting, asked_for(&mut asked)), (MOST_AT_ONCE, 1));
        assert_eq!(rows.waiting.remove("ann").map(|waiters| waiters.len()), Some(MOST_AT_ONCE));
        rows.is_unknown(at(0), "ann".into(), Duration::from_secs(5));
        assert!(!rows.looks_up(at(4_999), &config, "ann", waiter));
        let counted = LookUps { remembered: 1, left_out: 36, ..LookUps::default() };
        assert_eq!(rows.look_ups, counted);
        assert!(rows.looks_up(at(5_000), &config, "ann", waiter));
        for number in 0..5_000 {
            rows.is_unknown(at(5_000), number.to_string(), Duration::from_secs(5));
        }
        assert_eq!(rows.unknown.len(), MOST_UNKNOWN);
    }

    #[test]
    fn nobody_waits_for_a_thread_that_has_ended() {
        let (mut rows, config, asked) = looked_at();
        drop(asked);
        let waiter = waiter();
        assert!(!rows.looks_up(at(0), &config, "ann", waiter));
    }

    /// A switch with a row for Ann, who registers, and what its thread is asked for.
    fn switch() -> (Switch, Endpoint, mpsc::UnboundedReceiver<Ask>) {
        let text = "[realtime]\nurl = \"sqlite:/x\"\n[peers.ann]\nsecret = \"a\"\n[peers.file]\nsecret = \"f\"\n";
        let mut config = Config::parse(Path::new("test.toml"), text).expect("good");
        // As if a row had said so.
        let ann = config.peers.remove("ann").expect("it is there");
        let endpoint = Endpoint::new(config.endpoint.clone(), [0; 32], at(0));
        let mut switch = Switch::new(config);
        let peers = vec![("ann".to_string(), (ann, oneport_proto::TokenRule::Unset))];
        switch.begin_with_rows(RealtimePeers { peers, is_whole: true });
        let (asks, asked) = mpsc::unbounded_channel();
        switch.look_at_rows(asks, Arc::default());
        (switch, endpoint, asked)
    }

    fn proved(at: Instant) -> Proved {
        Proved { at, date: Utc::now() }
    }

    fn home() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 4570))
    }

    fn away() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 2], 4571))
    }

    fn elsewhere(address: SocketAddr, seconds: i64, age: u64) -> Told {
        let there = Registered { name: "ann".into(), address, seconds };
        let elsewhere = Some(vec![(there, Duration::from_secs(age))]);
        Told::Rows { changed: Vec::new(), elsewhere }
    }

    fn nowhere() -> Told {
        Told::Rows { changed: Vec::new(), elsewhere: Some(Vec::new()) }
    }

    #[test]
    fn a_peer_is_where_its_row_says_until_that_says_otherwise() {
        let (mut switch, mut endpoint, mut asked) = switch();
        switch.rows_tell(&mut endpoint, at(0), elsewhere(away(), 1, 20));
        assert_eq!(switch.registrar.find(at(0), "ann"), Some(away()));
        let left = switch.registrar.left(at(0), "ann");
        assert_eq!(left, Some(BELIEVED + GRACE - Duration::from_secs(20)));
        switch.rows_tell(&mut endpoint, at(1_000), elsewhere(home(), 2, 0));
        assert_eq!(switch.registrar.find(at(1_000), "ann"), Some(home()));
        switch.rows_tell(&mut endpoint, at(2_000), nowhere());
        assert_eq!(switch.registrar.find(at(2_000), "ann"), None);
        switch.rows_tell(&mut endpoint, at(3_000), elsewhere(away(), 3, 61));
        assert_eq!(switch.registrar.find(at(3_000), "ann"), None, "Asterisk would not believe it");
        assert_eq!(asked_for(&mut asked), 0, "it is for others to write that");
    }

    #[test]
    fn who_has_registered_here_later_than_a_row_says_stays_here() {
        let (mut switch, mut endpoint, _asked) = switch();
        let now = at(100_000);
        let granted = Duration::from_secs(60);
        switch.registrar.bind((proved(now), now), "ann", home(), granted);
        switch.write_registration("ann", home());
        switch.rows_tell(&mut endpoint, now, elsewhere(away(), 1, 5));
        assert_eq!(switch.registrar.find(now, "ann"), Some(home()));
        switch.rows_tell(&mut endpoint, at(120_000), elsewhere(away(), 2, 5));
        assert_eq!(switch.registrar.find(at(120_000), "ann"), Some(away()), "it went there since");
    }

    #[test]
    fn what_expires_is_written_where_it_was_here_alone() {
        use oneport::Application as _;
        let (mut switch, mut endpoint, mut asked) = switch();
        let granted = Duration::from_secs(60);
        switch.registrar.bind((proved(at(0)), at(0)), "ann", home(), granted);
        switch.handle_timeout(&mut endpoint, at(70_000));
        let ask = asked.try_recv();
        let is_expiry =
            matches!(&ask, Ok(Ask::Over { name, unregistered: false }) if name == "ann");
        assert!(is_expiry, "{ask:?}");
        switch.rows_tell(&mut endpoint, at(80_000), elsewhere(away(), 1, 0));
        switch.handle_timeout(&mut endpoint, at(150_000));
        assert_eq!(switch.registrar.find(at(150_000), "ann"), None);
        assert_eq!(asked_for(&mut asked), 0);
        switch.registrar.bind((proved(at(150_000)), at(150_000)), "file", home(), granted);
        switch.handle_timeout(&mut endpoint, at(220_000));
        assert_eq!(asked_for(&mut asked), 0, "it has no row");
    }

    #[test]
    fn rows_come_change_and_go_and_what_the_file_says_stays() {
        let (mut switch, mut endpoint, _asked) = switch();
        let (ann, rule) = switch.rows.peers["ann"].clone();
        let file = switch.config.peers["file"].clone();
        let granted = Duration::from_secs(60);
        switch.registrar.bind((proved(at(0)), at(0)), "ann", home(), granted);
        let mut other = ann;
        Arc::make_mut(&mut other).contexts = vec!["other".into()];
        let tell = |changed| Told::Rows { changed, elsewhere: None };
        let changed = ["ann", "new", "file"].map(|name| (name.into(), Some((other.clone(), rule))));
        switch.rows_tell(&mut endpoint, at(0), tell(changed.to_vec()));
        assert_eq!(switch.config.peers["ann"], other);
        assert_eq!(switch.config.peers["new"], other);
        assert_eq!(switch.config.peers["file"], file);
        assert_eq!(switch.registrar.find(at(0), "ann"), Some(home()), "it need not register anew");
        let mut config = Config::parse(Path::new("test.toml"), "[peers.file]\nsecret = \"f\"\n");
        let config = config.as_mut().expect("good");
        let changes = switch.reload(&mut endpoint, at(0), config.clone());
        assert_eq!(changes, ["realtime: holds from the next start"]);
        assert_eq!(switch.config.peers["ann"], other, "a reload does not lose it");
        let gone = ["ann", "new", "file"].map(|name| (name.into(), None));
        switch.rows_tell(&mut endpoint, at(0), tell(gone.to_vec()));
        assert_eq!(switch.config.peers.keys().collect::<Vec<_>>(), ["file"]);
        assert_eq!(switch.registrar.find(at(0), "ann"), None);
    }
}
