//! WAV files of what a capture says: one for each call and direction.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use oneport_media::wav::{WavError, Writer};
use oneport_media::{Codec, Listener, Recorder};
use oneport_wire::Format;

use crate::tracker::{Hear, Part};

/// Writes WAV files.
///
/// ```
/// use oneport_decode::Sounds;
///
/// # mod capture { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/capture.rs")); } use capture::*;
/// # let directory = std::env::temp_dir().join(format!("oneport-sounds-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// let mut sounds = Sounds::new(&directory);
/// // A modem is called, and answers with its tone.
/// hear_modem(&mut sounds)?;
/// // A file for each side that was heard.
/// let (files, unspoken) = sounds.finish()?;
/// # std::fs::remove_dir_all(&directory)?;
/// assert!(files.iter().all(|file| file.extension().is_some_and(|kind| kind == "wav")));
/// assert_eq!((files.len(), unspoken.len()), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sounds {
    directory: PathBuf,
    voices: HashMap<(u64, usize), Voice>,
    written: Vec<PathBuf>,
    unspoken: Vec<Format>,
    error: Option<WavError>,
}

/// One direction of a call.
struct Voice {
    path: PathBuf,
    rate: u32,
    listener: Listener,
    recorder: Recorder,
    writer: Writer,
}

impl Sounds {
    /// Writes into a directory.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.into(),
            voices: HashMap::new(),
            written: Vec::new(),
            unspoken: Vec::new(),
            error: None,
        }
    }

    /// A call is over: its files are complete.
    pub fn end(&mut self, call: u64) {
        for side in [0, 1] {
            if let Some(voice) = self.voices.remove(&(call, side)) {
                self.close(voice);
            }
        }
    }

    /// Ends all; the files that were written, and codecs of which nothing could be heard.
    ///
    /// # Errors
    /// A file could not be written.
    pub fn finish(mut self) -> Result<(Vec<PathBuf>, Vec<Format>), WavError> {
        let mut left: Vec<((u64, usize), Voice)> = self.voices.drain().collect();
        left.sort_by_key(|(place, _)| *place);
        for (_, voice) in left {
            self.close(voice);
        }
        match self.error {
            Some(error) => Err(error),
            None => Ok((self.written, self.unspoken)),
        }
    }

    fn close(&mut self, mut voice: Voice) {
        let mut result = Ok(());
        voice.recorder.finish(|samples| {
            if result.is_ok() {
                result = voice.writer.write(samples);
            }
        });
        match result.and_then(|()| voice.writer.finish()) {
            Ok(()) => self.written.push(voice.path),
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
    }

    fn write(&mut self, part: &Part<'_>) -> Result<(), WavError> {
        let Some(codec) = Codec::for_format(part.format) else {
            if !self.unspoken.contains(&part.format) {
                self.unspoken.push(part.format);
            }
            return Ok(());
        };
        let key = (part.call, part.side);
        if !self.voices.contains_key(&key) {
            let address = part.from.to_string().replace([':', '[', ']', '%'], "_");
            let name = format!("call-{}-from-{address}.wav", part.call);
            let path = self.directory.join(name);
            let rate = codec.sample_rate();
            let voice = Voice {
                writer: Writer::create(&path, rate)?,
                path,
                rate,
                listener: Listener::default(),
                recorder: Recorder::new(rate),
            };
            self.voices.insert(key, voice);
        }
        let Some(voice) = self.voices.get_mut(&key) else { return Ok(()) };
        let mut samples = Vec::new();
        voice.listener.hear(part.format, part.payload, &mut samples);
        // A file has one rate, that of the first codec.
        if codec.sample_rate() != voice.rate {
            samples = oneport_media::resample::resample(&samples, codec.sample_rate(), voice.rate);
        }
        let Voice { recorder, writer, .. } = voice;
        let mut result = Ok(());
        recorder.place(part.timestamp.0, &samples, |settled| {
            if result.is_ok() {
                result = writer.write(settled);
            }
        });
        result
    }
}

impl Hear for Sounds {
    fn hear(&mut self, part: &Part<'_>) {
        if self.error.is_none()
            && let Err(error) = self.write(part)
        {
            self.error = Some(error);
        }
    }
}
