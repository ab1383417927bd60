//! The thread of a driver among other processes that serve the same port: what it hands on to older ones, and how it
//! hands the port over to an heir.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use oneport_proto::{DropReason, Generation, Handled, HeldChange, Path, Whose};

use super::Application;
use super::shard::{Ear, RECEIVE_TURNS, Shard};
use crate::socket;
use crate::succession::{
    self, Channel, Datagrams, Inheritance, MOST_OLDER, RECORD, Received, Record, Role, Stage, Step,
    SuccessionError, To,
};

/// An heir that was told to read says so at once; nobody reads meanwhile.
const SPEECHLESS: Duration = Duration::from_secs(1);

/// This process among those that serve the same port.
pub(super) struct Among {
    pub(super) own: Generation,
    /// Whether it reads the sockets.
    pub(super) reads: bool,
    /// An heir that was told to be ready.
    pub(super) ready: bool,
    pub(super) channels: Vec<Channel>,
    /// Space for a record.
    pub(super) record: Vec<u8>,
}

impl Among {
    pub(super) fn of(inheritance: Option<Inheritance>) -> Self {
        let Some(Inheritance { generation, predecessor, older, .. }) = inheritance else {
            let own = Generation::default();
            return Self {
                own,
                reads: true,
                ready: true,
                channels: Vec::new(),
                record: Vec::new(),
            };
        };
        let mut channels = older;
        channels.push(predecessor);
        let record = vec![0; RECORD];
        Self { own: generation, reads: false, ready: false, channels, record }
    }

    /// The newer process, or the heir.
    pub(super) fn newer(&mut self) -> Option<&mut Channel> {
        self.channels.iter_mut().find(|channel| matches!(channel.role, Role::Newer(..)))
    }

    /// Hands a datagram on to whose it is; `false` where it is to be taken here. What was dropped is added up.
    pub(super) fn hand_on(
        &mut self,
        whose: Whose,
        path: Path,
        datagram: &[u8],
        counts: &mut HandedOn,
    ) -> bool {
        let (is_for, here): (&dyn Fn(Generation) -> bool, bool) = match &whose {
            Whose::Here => return false,
            Whose::Of(older) => (&move |one| one == *older, false),
            Whose::Shared { classes, here } => (&move |one| classes >> one.class() & 1 == 1, *here),
        };
        for channel in &mut self.channels {
            if matches!(channel.role, Role::Older(older) if is_for(older)) {
                counts.handed += 1;
                counts.dropped += channel.hand_on(path, datagram);
            }
        }
        !here
    }
}

/// Datagrams handed to older processes, and those for which there was no room.
#[derive(Default)]
pub(super) struct HandedOn {
    pub(super) handed: u64,
    pub(super) dropped: u64,
}

impl<A: Application> Shard<A> {
    /// Takes what other processes of the port say.
    pub(super) fn hear(&mut self) {
        for n in 0..self.among.channels.len() {
            let channel = &self.among.channels[n];
            if !channel.is_readable || !channel.is_heard(self.among.reads) {
                continue;
            }
            let mut record = std::mem::take(&mut self.among.record);
            for _ in 0..RECEIVE_TURNS {
                match self.among.channels[n].receive(&mut record) {
                    Received::Nothing => break,
                    Received::Closed => {
                        self.closed(n);
                        break;
                    }
                    Received::Record(len) => {
                        let Some(record) = record.get_mut(..len) else { break };
                        let what = self.among.channels[n].read(record);
                        self.heard(n, what);
                    }
                }
            }
            self.among.record = record;
        }
        // Those that have ended are left out only here, so that each has its place before.
        self.among.channels.retain(|channel| !channel.is_closed);
    }

    /// Another process says something.
    pub(super) fn heard(&mut self, n: usize, record: Record<'_>) {
        let now = self.now();
        let role = self.among.channels[n].role;
        let from = match role {
            Role::Older(generation)
            | Role::Predecessor(generation)
            | Role::Newer(generation, _) => generation,
        };
        match (record, role) {
            (Record::Numbers(numbers), Role::Older(_) | Role::Predecessor(_)) => {
                let numbers: Vec<(Generation, HeldChange)> = numbers.collect();
                for (whose, change) in &numbers {
                    self.endpoint.learn_elsewhere(*whose, *change);
                }
                // An heir knows what was known when it started.
                if let Some(heir) = self.among.newer() {
                    heir.tell_numbers(&numbers);
                }
            }
            (Record::Word(word), _) => {
                let from = (!matches!(role, Role::Newer(..))).then_some(from);
                self.application.handle_word(&mut self.endpoint, now, from, &word);
            }
            (Record::Ready, Role::Newer(newer, Stage::Starts)) => {
                self.among.channels[n].role = Role::Newer(newer, Stage::Ready);
            }
            (Record::Go(keys), Role::Predecessor(_)) => {
                self.endpoint.adopt_call_token_keys(now, &keys);
                self.among.channels[n].role = Role::Older(from);
                self.among.channels[n].signal(b'S');
                self.begin_to_read();
            }
            (Record::Reads, Role::Newer(newer, Stage::Told(_))) => {
                self.among.channels[n].role = Role::Newer(newer, Stage::Reads);
                self.application.handle_step(&mut self.endpoint, now, Step::Retired);
            }
            (Record::Datagrams(bytes), _) => self.handed_on(n, bytes),
            _ => {}
        }
    }

    /// Takes datagrams that another process has received: those of calls here, or, as the newest, what begins.
    pub(super) fn handed_on(&mut self, n: usize, bytes: &mut [u8]) {
        let now = self.now();
        let Self { endpoint, application, sockets, among, .. } = self;
        let sees = application.sees();
        let is_retired = !among.reads;
        for (path, datagram) in Datagrams(bytes) {
            if sees.wants(datagram)
                && let Some(socket) = socket::choose(sockets, &path)
            {
                let local = socket.local_of(&path);
                application.see_received(now, local, path.remote, datagram);
            }
            let handled = endpoint.handle_datagram(now, path, datagram, &mut Ear(application, now));
            if handled == Handled::Dropped(DropReason::Retired) && is_retired {
                let dropped = among.channels[n].hand_on(path, datagram);
                endpoint.report_drops(DropReason::OlderBehind, dropped, None, None);
            }
        }
        let dropped = among.channels[n].send_batch();
        endpoint.report_drops(DropReason::OlderBehind, dropped, None, None);
    }

    /// Another process has ended.
    pub(super) fn closed(&mut self, n: usize) {
        let now = self.now();
        let channel = &mut self.among.channels[n];
        channel.is_closed = true;
        match channel.role {
            Role::Older(older) => {
                self.endpoint.forget_elsewhere(older);
                self.application.handle_step(&mut self.endpoint, now, Step::Gone(older));
            }
            Role::Predecessor(older) => {
                // It has ended while this one started: nobody else serves the port now.
                self.endpoint.forget_elsewhere(older);
                self.begin_to_read();
            }
            Role::Newer(..) => {
                self.endpoint.note_numbers(false);
                self.endpoint.resume();
                self.among.reads = true;
                self.application.handle_step(&mut self.endpoint, now, Step::Alone);
            }
        }
    }

    /// Reads the sockets from now on, where this process is ready for it.
    pub(super) fn begin_to_read(&mut self) {
        let predecessor =
            |channel: &Channel| matches!(channel.role, Role::Predecessor(_)) && !channel.is_closed;
        let waits = self.among.channels.iter().any(predecessor);
        if !waits && self.among.ready && !self.among.reads {
            self.among.reads = true;
            for socket in &mut self.sockets {
                socket.is_readable = true;
            }
            for channel in &mut self.among.channels {
                channel.is_readable = true;
            }
            let now = self.now();
            self.application.start(&mut self.endpoint, now);
        }
    }

    /// Its process is ready to serve the port.
    pub(super) fn ready(&mut self) {
        self.among.ready = true;
        for channel in &mut self.among.channels {
            if matches!(channel.role, Role::Predecessor(_)) {
                channel.signal(b'R');
            }
        }
        self.begin_to_read();
    }

    pub(super) fn begin_succession(
        &mut self,
        connection: OwnedFd,
        word: &[u8],
        descriptors: &[OwnedFd],
    ) -> io::Result<()> {
        let among = &mut self.among;
        if !among.reads || among.newer().is_some() {
            return Err(io::Error::other(SuccessionError::UnderWay));
        }
        let heir = Generation(among.own.0 + 1);
        let older = among.channels.iter().filter_map(|channel| match channel.role {
            Role::Older(older) => Some((older, channel.as_fd())),
            _ => None,
        });
        let older: Vec<(Generation, BorrowedFd<'_>)> = older.collect();
        if older.len() >= MOST_OLDER {
            return Err(io::Error::other(SuccessionError::TooMany(older.len())));
        }
        if let Some((old, _)) = older.iter().find(|(old, _)| old.class() == among.own.class()) {
            return Err(io::Error::other(SuccessionError::OldOneLives(old.0)));
        }
        let sockets: Vec<BorrowedFd<'_>> = self.sockets.iter().map(AsFd::as_fd).collect();
        let mut channel = Channel::new(connection, Role::Newer(heir, Stage::Starts))?;
        succession::bequeath(&channel, heir, &sockets, &older, word, descriptors)?;
        among.record.resize(RECORD, 0);
        let own = among.own;
        self.endpoint.note_numbers(true);
        let held = self.endpoint.held_numbers(own).into_iter();
        let held: Vec<(Generation, HeldChange)> =
            held.map(|(whose, held)| (whose, HeldChange { held, is_held: true })).collect();
        channel.tell_numbers(&held);
        self.among.channels.push(channel);
        let now = self.now();
        self.application.handle_step(&mut self.endpoint, now, Step::Begins);
        Ok(())
    }

    /// Tells other processes what has changed, and lets the heir read once it knows all.
    pub(super) fn speak(&mut self) {
        if self.among.channels.is_empty() {
            return;
        }
        let now = self.now();
        while let Some((to, word)) = self.application.poll_word(now) {
            for channel in &mut self.among.channels {
                let is_meant = match (to, channel.role) {
                    (To::Newest, Role::Newer(..)) | (To::AllOlder, Role::Older(_)) => true,
                    (To::Older(wanted), Role::Older(older)) => wanted == older,
                    _ => false,
                };
                if is_meant {
                    channel.say(&word);
                }
            }
        }
        let own = self.among.own;
        let changes = self.endpoint.take_number_changes().into_iter();
        let changes: Vec<(Generation, HeldChange)> = changes.map(|change| (own, change)).collect();
        if let Some(newer) = self.among.newer()
            && !changes.is_empty()
        {
            newer.tell_numbers(&changes);
        }
        for channel in &mut self.among.channels {
            channel.flush();
        }
        self.hand_over();
    }

    /// Lets the heir read, where it is ready and has been told everything. What has come until then and was
    /// not read is read by the heir.
    pub(super) fn hand_over(&mut self) {
        let between = self
            .among
            .channels
            .iter()
            .any(|channel| matches!(channel.role, Role::Older(_)) && channel.is_between());
        let now = self.now();
        let Self { endpoint, among, .. } = self;
        let own = among.own;
        let Some(newer) = among.newer() else { return };
        match newer.role {
            Role::Newer(heir, Stage::Ready) if newer.is_flushed() && !between => {
                newer.role = Role::Newer(heir, Stage::Told(now));
                endpoint.retire(own);
                newer.go(&endpoint.call_token_keys(now));
                among.reads = false;
            }
            Role::Newer(_, Stage::Told(since)) if now.since(since) >= SPEECHLESS => {
                // As if it had ended: it hears nothing any more, and whoever started it sees to the rest.
                let heir = among
                    .channels
                    .iter()
                    .position(|channel| matches!(channel.role, Role::Newer(..)));
                if let Some(n) = heir {
                    self.closed(n);
                    self.among.channels.remove(n);
                }
            }
            _ => {}
        }
    }
}
