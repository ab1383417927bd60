//! Recording calls that are up: what each side says, into one file. The voice goes its way as before;
//! a copy of each frame goes to the writer, or is left out and counted where that does not keep up.

use oneport_media::Codec;
use oneport_proto::{CallId, Endpoint, Instant};
use uuid::Uuid;

use super::Switch;
use super::spans::span_of;
use crate::api::model::RecordingView;
use crate::recording::{Side, Wanted};
use crate::taps::Recorded;

fn view(recorded: &Recorded, now: Instant) -> RecordingView {
    RecordingView {
        file: recorded.file.display().to_string(),
        seconds: (recorded.lasts(now).as_secs_f64() * 10.0).round() / 10.0,
        frames_left_out: recorded.left_out(),
        failed: recorded.has_failed(),
    }
}

impl Switch {
    /// The recording of a call, if there is one.
    pub(super) fn show_recording(&self, call: Uuid, now: Instant) -> Option<RecordingView> {
        self.taps.get(call).map(|recorded| view(recorded, now))
    }

    /// Records a call from now on. `call` is the leg of its caller.
    ///
    /// # Errors
    /// In words: it is recorded already, or there is nothing to be heard of it here.
    pub(crate) fn record(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
    ) -> Result<RecordingView, String> {
        let Some(leg) = self.legs.get_mut(&call) else { return Err("it is over".into()) };
        let id = leg.id;
        if self.taps.get(id).is_some() {
            return Err("it is recorded already".into());
        }
        let Some(format) = endpoint.call_format(call) else {
            return Err("it has no codec yet".into());
        };
        let Some(codec) = Codec::for_format(format) else {
            return Err(format!("{format} is passed on and not understood here"));
        };
        leg.marks.recordings += 1;
        let name = match leg.marks.recordings {
            1 => format!("{id}.wav"),
            n => format!("{id}-{n}.wav"),
        };
        let (other, span) = (leg.other(), leg.span.clone());
        self.keep_voice_here(endpoint, now, call);
        // The better of both.
        let rates = [Some(call), other].into_iter().flatten().filter_map(|leg| {
            Codec::for_format(endpoint.call_format(leg)?).map(Codec::sample_rate)
        });
        let rates = rates.fold(codec.sample_rate(), u32::max);
        let rate = self.config.files.rate.unwrap_or(rates);
        let _inside = span.enter();
        let file = self.config.files.record.join(name);
        let recorded = Recorded::new(file.clone(), now);
        let shown = view(&recorded, now);
        self.recordings.begin_both(Wanted {
            call: id,
            file,
            rate,
            depth: self.config.files.depth,
            failed: recorded.failure(),
            span: span.clone(),
        });
        tracing::info!("{call}: is recorded to {}", shown.file);
        self.taps.begin(id, recorded, now + self.config.files.longest_recording);
        self.listen(endpoint, id, call, Side::Caller);
        if let Some(other) = other {
            self.listen(endpoint, id, other, Side::Called);
        }
        Ok(shown)
    }

    fn listen(&mut self, endpoint: &mut Endpoint, id: Uuid, leg: CallId, side: Side) {
        self.taps.listen(id, leg, side);
        let _ = endpoint.tap(leg, true);
    }

    /// Two legs are linked: where their call is recorded, both are heard.
    pub(super) fn go_on_recording(
        &mut self,
        endpoint: &mut Endpoint,
        caller: CallId,
        called: CallId,
    ) {
        let Some(id) = self.legs.get(&caller).map(|leg| leg.id) else { return };
        if self.taps.get(id).is_some() {
            self.listen(endpoint, id, caller, Side::Caller);
            self.listen(endpoint, id, called, Side::Called);
        }
    }

    /// Whether a call is recorded, or somebody listens to it: then its voice must go on coming through
    /// here.
    pub(super) fn is_heard(&self, leg: CallId) -> bool {
        let heard = |id| self.taps.get(id).is_some() || self.live.is_heard(id);
        self.legs.get(&leg).is_some_and(|leg| heard(leg.id))
    }

    /// Ends the recording of a call. What it was; `None`: it was not recorded.
    pub(crate) fn end_recording(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        id: Uuid,
    ) -> Option<RecordingView> {
        let (recorded, legs) = self.taps.end(id)?;
        for leg in legs {
            let _ = endpoint.tap(leg, self.is_tapped(leg));
        }
        self.recordings.end_both(id);
        let (file, left_out) = (recorded.file.display(), recorded.left_out());
        let _inside = span_of(id).entered();
        tracing::info!("its recording {file} is over, {left_out} frames left out");
        Some(view(&recorded, now))
    }

    /// The same, of the call of which this is the caller's leg.
    pub(crate) fn end_recording_of(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
    ) -> Option<RecordingView> {
        let id = self.legs.get(&call)?.id;
        self.end_recording(endpoint, now, id)
    }

    /// A leg is over.
    pub(super) fn leave_recording(&mut self, endpoint: &mut Endpoint, now: Instant, leg: CallId) {
        if let Some(id) = self.taps.leave(leg) {
            self.end_recording(endpoint, now, id);
        }
    }

    /// Ends recordings that are long enough.
    pub(super) fn end_long_recordings(&mut self, endpoint: &mut Endpoint, now: Instant) {
        while let Some(id) = self.taps.pop_due(now) {
            self.end_recording(endpoint, now, id);
        }
    }

    /// A frame of a leg that is listened to.
    pub(super) fn hear_tapped(
        &mut self,
        now: Instant,
        leg: CallId,
        media: oneport_proto::Media<'_>,
    ) {
        let Some((call, side)) = self.taps.side(leg) else { return };
        let since = self.taps.since_begin(call, now);
        let taken = self.recordings.frame_of_side(
            (call, side),
            since,
            media.format,
            media.timestamp.0,
            media.payload,
        );
        if !taken {
            self.taps.leave_out(call);
            self.recordings.leave_out(leg);
        }
    }
}
