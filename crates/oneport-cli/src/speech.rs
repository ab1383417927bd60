//! WAV files in and out of calls.

use std::path::{Path, PathBuf};

use oneport::media::{Codec, Recorder, wav};
use oneport::{AudioReader, Format, Heard, Playout};
use tokio::task::JoinHandle;

use crate::exit::{Failure, failed, usage};

/// Reads a file to be played, so that a wrong one is known before anybody is called.
pub(crate) fn read(path: &Path, sample_rate: u32) -> Result<Vec<i16>, Failure> {
    wav::read(path, sample_rate).map_err(|error| usage(error).hint("it must be a PCM WAV file"))
}

/// Checks that a file can be written, and makes it.
pub(crate) fn writable(path: &Path) -> Result<(), Failure> {
    std::fs::File::create(path).map(drop).map_err(|error| {
        usage(format!("{}: {error}", path.display())).hint("choose another place to record to")
    })
}

/// Writes what `reader` hears until the call is over.
pub(crate) fn record(
    mut reader: AudioReader,
    format: Format,
    path: PathBuf,
) -> Result<JoinHandle<Result<(), wav::WavError>>, Failure> {
    let codec =
        Codec::for_format(format).ok_or_else(|| failed(format!("no codec for {format}")))?;
    let mut writer = wav::Writer::create(&path, codec.sample_rate()).map_err(failed)?;
    Ok(tokio::spawn(async move {
        let mut recorder = Recorder::new(codec.sample_rate());
        let (mut decoder, mut samples) = (codec.decoder(), Vec::new());
        while let Some(heard) = reader.next().await {
            let frame = match heard {
                Heard::Voice(frame) if frame.format == format => frame,
                Heard::Voice(_) => continue,
                Heard::Pause { timestamp, level } => {
                    recorder.pause(timestamp.0, level);
                    continue;
                }
            };
            samples.clear();
            decoder.decode(&frame.payload, &mut samples);
            let mut result = Ok(());
            recorder.place(frame.timestamp.0, &samples, |settled| result = writer.write(settled));
            result?;
        }
        let mut result = Ok(());
        recorder.finish(|settled| result = writer.write(settled));
        result?;
        writer.finish()
    }))
}

/// Writes what somebody who listens to `reader` hears until the call is over: at a steady pace, behind a
/// jitter buffer, with what is late or lost made up.
pub(crate) fn record_as_heard(
    reader: AudioReader,
    format: Format,
    path: PathBuf,
) -> Result<JoinHandle<Result<(), wav::WavError>>, Failure> {
    let codec =
        Codec::for_format(format).ok_or_else(|| failed(format!("no codec for {format}")))?;
    let mut writer = wav::Writer::create(&path, codec.sample_rate()).map_err(failed)?;
    Ok(tokio::spawn(async move {
        let (mut playout, mut samples) = (Playout::new(reader, codec.sample_rate()), Vec::new());
        while playout.next(&mut samples).await {
            writer.write(&samples)?;
            samples.clear();
        }
        writer.finish()
    }))
}
