//! The switch as an application of the engine: what it does when something happens.

use std::net::SocketAddr;
use std::time::Duration;

use oneport::{Application, Generation, Sees, Step, To, Workload};
use oneport_proto::{
    CallId, DropNotice, DropReason, Endpoint, Event, Instant, Media, Progress, Speech,
};
use oneport_wire::{CauseCode, Control, frame_type};

use super::leg::VoiceWay;
use super::wording::refusal_line;
use super::{Leg, Standing, Switch, printable, records};
use crate::bridge;
use crate::builtin::Builtin;
use crate::capture::Way;
use crate::news::What;
use crate::traces;
use crate::trunks::Owner;

impl Application for Switch {
    fn start(&mut self, endpoint: &mut Endpoint, now: Instant) {
        if !self.rows.is_empty() {
            // Their rules for call tokens are in no file.
            endpoint.reconfigure(self.config.endpoint.clone());
        }
        for (name, peer) in &self.config.peers {
            self.trunks.set(Owner::Configured(name.clone()), peer.address.zip(peer.trunk));
        }
        self.watch_peers(now);
        self.trunks.apply(endpoint);
        self.watch_mailboxes(now);
        self.restore_registrations(endpoint, now);
        for registration in self.config.registrations.clone() {
            let id = endpoint.register(now, registration.clone());
            self.registrations.insert(id, Standing::new(registration));
        }
        self.others_start(now);
    }

    fn poll_word(&mut self, now: Instant) -> Option<(To, Vec<u8>)> {
        self.next_word(now)
    }

    fn handle_word(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        from: Option<Generation>,
        word: &[u8],
    ) {
        self.hear_word(endpoint, now, from, word);
        self.trunks.apply(endpoint);
    }

    fn handle_step(&mut self, endpoint: &mut Endpoint, now: Instant, step: Step) {
        self.step(endpoint, now, step);
    }

    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        let _inside = self.span_for(&event).entered();
        if let Event::Frame { call, frame_type: frame_type::CNG, subclass, timestamp, .. } = event {
            self.hear_pause(now, call, timestamp, subclass);
        }
        self.hear_of_radio(now, &event);
        self.hear_probe(endpoint, now, &event);
        let other = |call: CallId| self.legs.get(&call).and_then(Leg::other);
        match event {
            Event::CallOffered { call, offer } => self.offered(endpoint, now, call, offer),
            Event::CallAuthenticated { call, .. } => self.identified(endpoint, now, call),
            Event::CallAccepted { call, format } => {
                self.called_accepted(endpoint, now, call, format);
            }
            Event::CallProgress { call, progress: Progress::Busy } => {
                self.said_no(endpoint, now, call, (Control::Busy, CauseCode::USER_BUSY));
            }
            Event::CallProgress { call, progress: Progress::Congestion } => {
                let no = (Control::Congestion, CauseCode::CIRCUIT_CONGESTION);
                self.said_no(endpoint, now, call, no);
            }
            Event::CallProgress { call, progress } => {
                if let Some(other) = other(call) {
                    bridge::pass_progress(endpoint, now, other, progress);
                    self.sound_progress(endpoint, now, (call, other), progress);
                }
                self.call_progress(now, call, progress);
            }
            Event::CallAnswered { call } if self.is_originated(call) => {
                self.originated_answered(endpoint, now, call);
            }
            Event::CallAnswered { call } => self.called_answered(endpoint, now, call),
            Event::Dtmf { call, digit, phase } => self.key(endpoint, now, call, digit, phase),
            Event::Text { call, text } => {
                if let Some(other) = other(call) {
                    let result = endpoint.send_text(now, other, &text);
                    bridge::passed(endpoint, other, result);
                }
            }
            Event::Control {
                call,
                control: control @ (Control::ConnectedLine | Control::Redirecting),
                payload,
            } => {
                if let Some(other) = other(call).filter(|other| self.tells_parties(call, *other)) {
                    let _ = endpoint.send_control(now, other, control, &payload);
                }
            }
            Event::Control { call, control: Control::Hold, payload } => {
                let class = String::from_utf8_lossy(&payload);
                self.hold(endpoint, now, call, class.trim_end_matches('\0'));
            }
            Event::Control { call, control: Control::Unhold, .. } => {
                self.unhold(endpoint, now, call);
            }
            Event::Quelched { call, quelched, music } => {
                self.quelched(endpoint, now, call, quelched.then(|| music.unwrap_or_default()));
            }
            Event::Control { call, control, payload } => {
                if let Some(other) = other(call) {
                    bridge::pass_control(endpoint, now, other, control, &payload);
                }
            }
            Event::Keyed { call, data } => {
                if let Some(other) = other(call) {
                    let _ = endpoint.key(now, other, &data);
                }
            }
            Event::Unkeyed { call } => {
                if let Some(other) = other(call) {
                    let _ = endpoint.unkey(now, other);
                }
            }
            Event::Frame { call, frame_type, subclass, .. } if other(call).is_none() => {
                let _ = endpoint.refuse_html(now, call, frame_type, subclass);
            }
            Event::Frame { call, frame_type, subclass, payload, .. } => {
                if let Some(other) = other(call) {
                    let result = endpoint.send_frame(now, other, frame_type, subclass, &payload);
                    bridge::passed(endpoint, other, result);
                }
            }
            Event::DialplanQueried { call, number } => {
                self.dialplan_queried(endpoint, now, call, &number);
            }
            Event::Dialled { call, number, context } => {
                self.dialled(endpoint, now, call, printable(&number), context);
            }
            Event::TransferRequested { call, number, context } => {
                self.blind_transfer(endpoint, now, call, printable(&number), context);
            }
            Event::CallMoved { call, from, to } => {
                self.book.moved(call, to.remote);
                self.book.note(now, call, || traces::Step::Moved(to.remote));
                self.captures.moved(call, to.remote);
                if let Some(leg) = self.legs.get_mut(&call) {
                    leg.address = to.remote;
                    tracing::info!("{call}: moved from {from} to {to}");
                }
                self.export_leg_again(endpoint, call);
            }
            Event::Pong { poke, rtt } => {
                if let Some(peer) = self.qualify.polled_by(poke) {
                    self.tally.answered_poll(peer, rtt);
                }
                if let Some((name, status)) = self.qualify.result(now, poke, Some(rtt)) {
                    tracing::info!("{name} is {status}");
                    self.news.tell(|| What::Peer { peer: name, state: status.into() });
                }
            }
            Event::PokeTimedOut { poke } => {
                if let Some((name, status)) = self.qualify.result(now, poke, None) {
                    tracing::warn!("{name} is {status}");
                    self.news.tell(|| What::Peer { peer: name, state: status.into() });
                }
            }
            Event::MediaTransferred { call } => {
                self.voice_goes(now, call, VoiceWay::Direct);
                tracing::debug!("{call}: its voice goes straight to the other end");
            }
            Event::TransferFailed { call, failure } => {
                self.voice_goes(now, call, VoiceWay::Here);
                tracing::debug!("{call}: stays here: {}", failure.sentence());
            }
            Event::CallEnded { call, mut end } => {
                self.ended_by_its_no(call, &mut end);
                if let Some(stats) = self.stats_of_carrier(call) {
                    *end.stats = stats;
                }
                let diagnosis = self.diagnose(call, &end.stats);
                self.radio_over(now, call);
                self.call_over(now, call, &end, diagnosis.as_ref());
                self.end_record(now, call, &end, diagnosis.as_ref());
                self.ended(endpoint, now, call, &end, diagnosis.as_ref());
            }
            Event::RegisterRequested { request, register } => {
                self.register_requested(endpoint, now, request, *register);
            }
            Event::RegisterAuthenticated { request, .. } => {
                self.register_proved(endpoint, now, request);
            }
            Event::RegisterEnded { request, outcome } => self.register_ended(request, outcome),
            Event::Registered { registration, registrar, refresh, apparent_address, .. } => {
                let what = format!("registered for {} s", refresh.as_secs());
                self.registration_changed(registration, &what, |standing| {
                    (standing.registered, standing.registrar) = (Some(true), registrar);
                    (standing.granted, standing.seen_at) = (Some(refresh), apparent_address);
                    standing.failure = None;
                });
            }
            Event::RegistrationFailed { registration, registrar, failure, retry_in } => {
                let next = match retry_in.as_secs() {
                    0 => "another is tried".into(),
                    again => format!("again every {again} s or more"),
                };
                let what = format!("failed: {failure}; {next}");
                self.registration_changed(registration, &what, |standing| {
                    (standing.registered, standing.registrar) = (Some(false), registrar);
                    standing.failure = Some(failure.to_string());
                });
            }
            Event::ProvisionEnded { provision, outcome } => self.set_up_ended(provision, &outcome),
            Event::Refused { from, username, reason, limit, untold } => {
                let who = username.as_deref().map_or_else(|| "guest".into(), printable);
                let line = refusal_line(reason, limit, untold);
                let refusal = records::turned_away(reason, limit);
                self.book.turned_away(from.remote, username.as_deref(), "", refusal);
                tracing::warn!("{who} at {from} refused: {line}");
                self.opening_refused(&who, from, reason);
            }
            _ => {}
        }
        self.trunks.apply(endpoint);
    }

    fn handle_notice(&mut self, notice: &DropNotice) {
        let leg = notice.call.and_then(|call| self.legs.get(&call));
        let who = leg.map(|leg| format!(" ({})", leg.who())).unwrap_or_default();
        let _inside = leg.map(|leg| leg.span.enter());
        if notice.reason.is_ordinary() {
            tracing::debug!("{notice}{who}");
        } else {
            tracing::warn!("{notice}{who}");
        }
    }

    fn handle_media(&mut self, now: Instant, call: CallId, media: Media<'_>) {
        if self.legs.get(&call).is_some_and(|leg| leg.state.is_at(Builtin::Record)) {
            self.recordings.frame(call, media.format, media.timestamp.0, media.payload);
        } else if self.is_in_room(call) {
            let Media { format, timestamp, payload } = media;
            self.conferences.hear(now, call, format, timestamp.0, payload);
        }
    }

    fn handle_translated(
        &mut self,
        now: Instant,
        from: CallId,
        _to: CallId,
        heard: Speech<'_>,
        say: &mut dyn FnMut(Speech<'_>),
    ) {
        if let (Speech::Voice(media), true) = (heard, self.reflectors.contains_key(&from)) {
            return self.reflect(now, from, media, say);
        }
        if let Speech::Pause { timestamp, level } = heard {
            self.hear_pause(now, from, timestamp, level);
        }
        self.transcodings.translate(now, from, heard, say);
    }

    fn translated(&mut self, now: Instant, _from: CallId, to: CallId, took: Duration) {
        // What a probe is told costs next to nothing, and is no transcoding.
        if !self.reflectors.contains_key(&to) {
            self.transcodings.took(now, to, took);
        }
    }

    fn handle_tapped(&mut self, now: Instant, call: CallId, media: Media<'_>) {
        self.inband.hear(now, call, media);
        self.live.hear(now, call, media);
        self.hear_tapped(now, call, media);
    }

    fn passes(&mut self, call: CallId) -> bool {
        self.inband.passes(call)
    }

    fn handle_workload(&mut self, endpoint: &mut Endpoint, _: Instant, workload: &Workload) {
        self.loaded(workload);
        self.measure_calls(endpoint, workload);
    }

    fn sees(&self) -> Sees {
        // The beginning of a call is kept for whoever captures it later.
        if self.captures.is_empty() { Sees::FullFrames } else { Sees::All }
    }

    fn see_received(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) {
        self.captures.see(now, Way::In, local, remote, datagram);
        if let Some(exporter) = &self.hep {
            exporter.frame(true, (local, remote), datagram);
        }
    }

    fn see_sent(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) {
        self.captures.see(now, Way::Out, local, remote, datagram);
        if let Some(exporter) = &self.hep {
            exporter.frame(false, (local, remote), datagram);
        }
    }

    fn poll_drops(&mut self) -> Option<(DropReason, u64, Option<CallId>)> {
        if let Some((call, count)) = self.recordings.poll_left_out() {
            return Some((DropReason::MediaQueueFull, count, Some(call)));
        }
        self.transcodings.poll_left_out()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let players = self.players.values().map(|player| player.next);
        let players = players.chain(self.qualify.next()).chain(self.look_at_mailboxes);
        let players = players.chain(self.watches.next()).chain(self.conferences.next());
        let players = players.chain(self.taps.next()).chain(self.captures.next());
        let players = players.chain(self.reader.next()).chain(self.inband.next());
        let players = players.chain(self.transcodings.next());
        let players = players
            .chain(self.judging.next())
            .chain(self.nodes.next())
            .chain(self.radio.next())
            .chain(self.wakes.next())
            .chain(self.limits.next());
        players.chain(self.ends.next()).chain(self.registrar.next_expiry()).min()
    }

    fn handle_timeout(&mut self, endpoint: &mut Endpoint, now: Instant) {
        self.qualify.poll(endpoint, now);
        self.files_read(endpoint, now);
        self.nodes_found(endpoint, now);
        self.look_for_voice(endpoint, now);
        self.send_wakes(endpoint, now);
        self.go_on_with_keys(endpoint, now);
        self.play(endpoint, now);
        self.mix(endpoint, now);
        self.make_noise(endpoint, now);
        self.renew_leases(endpoint, now);
        self.end_overdue(endpoint, now);
        self.end_watched(endpoint, now);
        self.judge(endpoint, now);
        self.end_long_recordings(endpoint, now);
        self.captures.expire(now);
        self.tell_of_messages(endpoint, now);
        for (name, registered) in self.registrar.expire(now) {
            self.qualify.forget(&name);
            self.trunks.set(Owner::Registered(name.clone()), None);
            self.phone_gone(&name);
            tracing::info!("registration of {name} expired");
            self.write_end(&name, false);
            if self.config.cluster.is_some() {
                // The others do not count its time.
                self.book.forget_registration(&name, Some(registered));
            }
            self.news.tell(|| What::Registration { peer: name, address: None });
        }
        self.trunks.apply(endpoint);
    }
}
