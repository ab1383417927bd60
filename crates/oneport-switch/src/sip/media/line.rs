//! Voice on its way to somebody: as it is where it can be, else through the switch's transcoder.

use std::sync::Arc;
use std::time::Duration;

use oneport_media::ilbc::Mode;
use oneport_media::transcode::{Said, Transcoder, Wishes};
use oneport_wire::Format;

use crate::transcoding::Ticket;

/// How many ms of voice a payload holds, where its format tells.
pub(super) fn lasts(format: Format, bytes: usize) -> Option<u32> {
    let bytes = u32::try_from(bytes).ok()?;
    let ms = match format {
        Format::ULAW | Format::ALAW | Format::G722 => bytes / 8,
        Format::SLIN => bytes / 16,
        Format::SLIN16 => bytes / 32,
        Format::ADPCM | Format::G726 | Format::G726_AAL2 => bytes / 4,
        Format::GSM => bytes / 33 * 20,
        Format::G729 => bytes.div_ceil(10) * 10,
        Format::G723 => bytes.div_ceil(24) * 30,
        Format::ILBC if bytes.is_multiple_of(50) => bytes / 50 * 30,
        Format::ILBC => bytes / 38 * 20,
        _ => 0,
    };
    (ms > 0).then_some(ms)
}

/// Whether a payload holds nothing that could be heard, where that is seen without decoding it.
pub(super) fn is_silent(format: Format, payload: &[u8]) -> Option<bool> {
    // The steps nearest to zero.
    match format {
        Format::ULAW => Some(payload.iter().all(|byte| !byte & 0x7F < 4)),
        Format::ALAW => Some(payload.iter().all(|byte| (byte ^ 0x55) & 0x7F < 3)),
        _ => None,
    }
}

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Passed {
    /// It is said, or part of what is said next.
    Said,
    /// Nothing here makes what is wanted of its format.
    NotUnderstood,
    /// As many calls are transcoded as may be.
    NoRoom,
}

/// The way to somebody who speaks `to`.
#[derive(Debug)]
pub(super) struct Line {
    to: Format,
    /// How long frames should be.
    frame: Option<Duration>,
    /// How long frames of iLBC have to be, where it is spoken.
    ilbc: Mode,
    /// By that the call may be transcoded.
    ticket: Arc<Ticket>,
    /// What comes; and what makes of it what is wanted, if something has to.
    from: Option<(Format, Option<Box<Transcoder>>)>,
}

impl Line {
    pub(super) const fn new(
        to: Format,
        (frame, ilbc): (Option<Duration>, Mode),
        ticket: Arc<Ticket>,
    ) -> Self {
        Self { to, frame, ilbc, ticket, from: None }
    }

    /// The format that it makes.
    pub(super) const fn to(&self) -> Format {
        self.to
    }

    /// Whether it makes what is wanted now.
    pub(super) fn fits(&self, to: Format, lengths: (Option<Duration>, Mode)) -> bool {
        (self.to, (self.frame, self.ilbc)) == (to, lengths)
    }

    /// Whether a frame is what is wanted. Of iLBC only the mode has to be the one that was agreed upon: how many frames
    /// a packet has is no reason to make them anew.
    fn is_wanted(&self, format: Format, payload: &[u8]) -> bool {
        if format == Format::ILBC && self.to == format {
            return Mode::of_payload(payload.len()).is_none_or(|mode| mode == self.ilbc);
        }
        let length = lasts(format, payload.len()).map(|ms| Duration::from_millis(ms.into()));
        let fits = |frame| length.is_none_or(|length| length == frame);
        format == self.to && self.frame.is_none_or(fits)
    }

    /// Whether something has to be made of what comes.
    pub(super) const fn transcodes(&self) -> bool {
        matches!(self.from, Some((_, Some(_))))
    }

    /// Says a frame that began at `ms` of its own clock.
    pub(super) fn pass(
        &mut self,
        format: Format,
        ms: u32,
        payload: &[u8],
        mut say: impl FnMut(u32, &[u8]),
    ) -> Passed {
        let (to, frame) = (self.to, self.frame);
        let as_it_is = self.is_wanted(format, payload);
        let known = self.from.as_ref().is_some_and(|(known, _)| *known == format);
        if !known {
            self.from = Some((format, None));
        }
        let Some((_, transcoder)) = &mut self.from else { return Passed::NotUnderstood };
        if transcoder.is_none() {
            if as_it_is {
                say(ms, payload);
                return Passed::Said;
            }
            // Frames of another length are cut, and not translated, but for those of iLBC.
            let is_cut = format == to && to != Format::ILBC;
            if !is_cut && !self.ticket.take() {
                return Passed::NoRoom;
            }
            let wishes = Wishes { frame, silence_suppression: false, ilbc: Some(self.ilbc) };
            *transcoder = Transcoder::new(format, to, wishes).map(Box::new);
        }
        let Some(transcoder) = transcoder else { return Passed::NotUnderstood };
        transcoder.voice(ms, payload, &mut |said| {
            if let Said::Voice { timestamp, payload } = said {
                say(timestamp, payload);
            }
        });
        Passed::Said
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcoding::Places;

    fn line(to: Format, frame: Option<Duration>) -> Line {
        Line::new(to, (frame, Mode::Ms30), Arc::default())
    }

    fn said(line: &mut Line, frames: &[(Format, u32, usize)]) -> Vec<(u32, usize)> {
        let mut said = Vec::new();
        for (format, ms, bytes) in frames {
            let passed = line.pass(*format, *ms, &vec![0xD5; *bytes], |ms, payload| {
                said.push((ms, payload.len()));
            });
            assert_eq!(passed, Passed::Said);
        }
        said
    }

    #[test]
    fn what_is_wanted_as_it_comes_passes_untouched() {
        let mut line = line(Format::ULAW, Some(Duration::from_millis(20)));
        let said = said(&mut line, &[(Format::ULAW, 0, 160), (Format::ULAW, 20, 160)]);
        assert_eq!((said, line.transcodes()), (vec![(0, 160), (20, 160)], false));
    }

    #[test]
    fn frames_of_another_length_and_codec_are_made_anew_with_exact_timestamps() {
        let mut other = line(Format::ULAW, Some(Duration::from_millis(30)));
        let frames: Vec<_> = (0..6).map(|n| (Format::ULAW, n * 20, 160)).collect();
        assert_eq!(said(&mut other, &frames), [(0, 240), (30, 240), (60, 240), (90, 240)]);
        let mut line = line(Format::GSM, None);
        assert_eq!(
            said(&mut line, &[(Format::ALAW, 40, 160), (Format::ALAW, 60, 160)]),
            [(40, 33), (60, 33)]
        );
        assert!(line.transcodes());
        let passed = line.pass(Format::G729, 80, &[0; 20], |_, _| panic!("it is not understood"));
        assert_eq!(passed, Passed::NotUnderstood);
    }

    #[test]
    fn frames_of_ilbc_are_made_anew_where_the_other_mode_was_agreed_upon_and_pass_in_packets_of_any_length()
     {
        for (mode, frames, made) in [
            (Mode::Ms20, [(0, 50), (30, 50)], [(0, 38), (20, 38), (40, 38)].as_slice()),
            (Mode::Ms30, [(0, 50), (30, 100)], &[(0, 50), (30, 100)]),
            (Mode::Ms30, [(0, 38), (20, 76)], &[(0, 50), (30, 50)]),
            (Mode::Ms20, [(0, 76), (40, 38)], &[(0, 76), (40, 38)]),
        ] {
            let frame = Some(Duration::from_millis(20));
            let mut line = Line::new(Format::ILBC, (frame, mode), Arc::default());
            let frames = frames.map(|(ms, bytes)| (Format::ILBC, ms, bytes));
            assert_eq!(said(&mut line, &frames), made, "{mode:?}");
        }
        // Of another codec they are made so from the beginning.
        let mut line = Line::new(Format::ILBC, (None, Mode::Ms20), Arc::default());
        let frames = [(Format::ULAW, 0, 160), (Format::ULAW, 20, 160)];
        assert_eq!(said(&mut line, &frames), [(0, 38), (20, 38)]);
    }

    #[test]
    fn frames_of_ilbc_that_are_made_anew_need_a_place_as_other_codecs_do() {
        let full = || Arc::new(Ticket::new(&Places::new(0)));
        let pass = |mode| {
            let mut line = Line::new(Format::ILBC, (None, mode), full());
            line.pass(Format::ILBC, 0, &[0x11; 38], |_, _| {})
        };
        assert_eq!((pass(Mode::Ms30), pass(Mode::Ms20)), (Passed::NoRoom, Passed::Said));
    }

    #[test]
    fn one_more_than_may_be_transcoded_is_not_until_another_has_ended() {
        let places = Places::new(1);
        let first = Ticket::new(&places);
        assert!(first.take());
        let mut line = Line::new(Format::GSM, (None, Mode::Ms30), Arc::new(Ticket::new(&places)));
        let mut pass = || line.pass(Format::ALAW, 0, &[0xD5; 160], |_, _| {});
        assert_eq!(pass(), Passed::NoRoom);
        drop(first);
        assert_eq!((pass(), places.taken()), (Passed::Said, 1));
        assert_eq!(line.pass(Format::GSM, 20, &[0; 33], |_, _| {}), Passed::Said);
        // Another length of frames alone needs no place.
        let ticket = Arc::new(Ticket::new(&Places::new(0)));
        let lengths = (Some(Duration::from_millis(30)), Mode::Ms30);
        let mut cut = Line::new(Format::ULAW, lengths, ticket);
        assert_eq!(cut.pass(Format::ULAW, 0, &[0xD5; 160], |_, _| {}), Passed::Said);
    }

    #[test]
    fn silence_is_seen_in_both_laws() {
        assert_eq!(is_silent(Format::ULAW, &[0xFF, 0x7F, 0xFE]), Some(true));
        assert_eq!(is_silent(Format::ULAW, &[0xFF, 0x60]), Some(false));
        assert_eq!(is_silent(Format::ALAW, &[0xD5, 0x55, 0x54]), Some(true));
        assert_eq!(is_silent(Format::ALAW, &[0xD5, 0x45]), Some(false));
        assert_eq!(is_silent(Format::GSM, &[0; 33]), None);
    }
}
