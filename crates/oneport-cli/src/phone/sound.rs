//! What a softphone is heard and speaks through: a sound card, or files in its place.

use std::path::Path;
use std::time::Duration;

use oneport::media::wav;

use crate::exit::{Failure, failed};
use crate::speech;

/// Samples in a second, in both directions: what the best codecs of telephones carry.
pub(crate) const RATE: u32 = 16_000;
/// How long a frame is.
pub(crate) const FRAME: Duration = Duration::from_millis(10);
/// One frame.
pub(crate) type Samples = [i16; RATE as usize / 100];

/// A loudspeaker and a microphone. Time is that since the phone began.
pub(crate) trait Sound {
    /// How many frames should be played now, lest it has none to go on with.
    fn wanted(&mut self, now: Duration) -> usize;

    /// When the next frame that is played will be heard.
    fn heard_at(&self, now: Duration) -> Duration;

    /// Plays a frame. `talking`: it is what somebody says, and not just silence or a bell.
    fn play(&mut self, frame: &Samples, talking: bool);

    /// The next frame from the microphone, if there is one by now.
    fn capture(&mut self, now: Duration, frame: &mut Samples) -> bool;

    /// A call was answered.
    fn answered(&mut self) {}

    /// What went wrong since this was last asked.
    fn trouble(&mut self) -> Option<Trouble> {
        None
    }
}

/// Something went wrong with sound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Trouble {
    pub(crate) sentence: String,
    /// It cannot be gone on with.
    pub(crate) over: bool,
}

/// Frames by the clock.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    began: Option<Duration>,
    done: u64,
}

impl Pace {
    /// After a stall no more than this is made up for.
    const BEHIND: u64 = 50;

    /// How many frames are due.
    pub(crate) fn due(&mut self, now: Duration) -> u64 {
        let began = *self.began.get_or_insert(now);
        let due = (now.saturating_sub(began).as_millis() / FRAME.as_millis()) as u64;
        self.done = self.done.max(due.saturating_sub(Self::BEHIND));
        due.saturating_sub(self.done)
    }

    /// When the next one is.
    pub(crate) fn next(&self, now: Duration) -> Duration {
        let done = u32::try_from(self.done).unwrap_or(u32::MAX);
        self.began.unwrap_or(now) + FRAME * done
    }

    pub(crate) fn done(&mut self) {
        self.done += 1;
    }
}

/// Files, or silence, in place of a sound card: the microphone is a file that begins anew with each
/// call and goes on while somebody is talked to, the loudspeaker another that is written meanwhile, and
/// complete when this is dropped.
#[derive(Default)]
pub(crate) struct Files {
    input: Vec<i16>,
    /// What was not said yet begins here.
    said: usize,
    talking: bool,
    output: Option<wav::Writer>,
    trouble: Option<Trouble>,
    playing: Pace,
    capturing: Pace,
}

impl Files {
    /// Reads one, and makes the other.
    pub(crate) fn open(input: Option<&Path>, output: Option<&Path>) -> Result<Self, Failure> {
        let input = input.map_or_else(|| Ok(Vec::new()), |path| speech::read(path, RATE))?;
        let output = output.map(|path| wav::Writer::create(path, RATE)).transpose();
        let said = input.len();
        Ok(Self { input, said, output: output.map_err(failed)?, ..Self::default() })
    }
}

impl Sound for Files {
    fn wanted(&mut self, now: Duration) -> usize {
        usize::try_from(self.playing.due(now)).unwrap_or(usize::MAX)
    }

    fn heard_at(&self, now: Duration) -> Duration {
        self.playing.next(now)
    }

    fn play(&mut self, frame: &Samples, talking: bool) {
        self.playing.done();
        self.talking = talking;
        if let Some(output) = self.output.as_mut().filter(|_| talking)
            && let Err(error) = output.write(frame)
        {
            let sentence = format!("{error}; what is heard is written no more");
            self.trouble = Some(Trouble { sentence, over: false });
            self.output = None;
        }
    }

    fn capture(&mut self, now: Duration, frame: &mut Samples) -> bool {
        if self.capturing.due(now) == 0 {
            return false;
        }
        self.capturing.done();
        let rest = self.input.get(self.said..).filter(|_| self.talking).unwrap_or_default();
        let count = rest.len().min(frame.len());
        frame.fill(0);
        frame[..count].copy_from_slice(&rest[..count]);
        self.said += count;
        true
    }

    fn answered(&mut self) {
        self.said = 0;
    }

    fn trouble(&mut self) -> Option<Trouble> {
        self.trouble.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn frames_are_due_by_the_clock_and_a_long_stall_is_not_made_up_for() {
        let mut pace = Pace::default();
        assert_eq!(pace.due(500 * MS), 0);
        assert_eq!(pace.due(529 * MS), 2);
        assert_eq!(pace.next(529 * MS), 500 * MS);
        pace.done();
        assert_eq!((pace.due(529 * MS), pace.next(529 * MS)), (1, 510 * MS));
        assert_eq!(pace.due(60_500 * MS), Pace::BEHIND);
    }

    #[test]
    fn each_call_hears_the_file_from_its_beginning_then_silence() {
        let directory = tempfile::tempdir().unwrap();
        let (input, output) = (directory.path().join("in.wav"), directory.path().join("out.wav"));
        let mut writer = wav::Writer::create(&input, RATE).unwrap();
        writer.write(&[7; 200]).unwrap();
        writer.finish().unwrap();
        let mut files = Files::open(Some(&input), Some(&output)).unwrap();
        let (mut now, mut frame) = (Duration::ZERO, [1; 160]);
        assert!(!files.capture(now, &mut frame));
        let mut next = |files: &mut Files| {
            now += FRAME;
            assert!(files.capture(now, &mut frame));
            frame.iter().filter(|sample| **sample == 7).count()
        };
        assert_eq!(next(&mut files), 0, "no call yet");
        files.play(&[5; 160], true);
        for _ in 0..2 {
            files.answered();
            assert_eq!([next(&mut files), next(&mut files), next(&mut files)], [160, 40, 0]);
        }
        files.answered();
        files.play(&[6; 160], false);
        assert_eq!(next(&mut files), 0, "on hold");
        files.play(&[7; 160], true);
        assert_eq!(next(&mut files), 160, "not lost meanwhile");
        drop(files);
        assert_eq!(wav::read(&output, RATE).unwrap(), [[5; 160], [7; 160]].concat());
    }
}
