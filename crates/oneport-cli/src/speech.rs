//! WAV files in and out of calls.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oneport::media::jitter_buffer::{JitterBuffer, JitterConfig};
use oneport::media::{Codec, Recorder, wav};
use oneport::{AudioReader, Format};
use tokio::task::JoinHandle;
use tokio::time;

use crate::exit::{Failure, failed, usage};

/// How much is heard at once, in ms.
const HEARD_MS: u16 = 20;

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
        while let Some(frame) = reader.next_frame().await {
            if frame.format != format {
                continue;
            }
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
    mut reader: AudioReader,
    format: Format,
    path: PathBuf,
) -> Result<JoinHandle<Result<(), wav::WavError>>, Failure> {
    let codec =
        Codec::for_format(format).ok_or_else(|| failed(format!("no codec for {format}")))?;
    let mut writer = wav::Writer::create(&path, codec.sample_rate()).map_err(failed)?;
    Ok(tokio::spawn(async move {
        let mut buffer = JitterBuffer::new(JitterConfig::new(codec.sample_rate()));
        let (mut decoder, mut samples) = (codec.decoder(), vec![0; codec.samples_in(HEARD_MS)]);
        let origin = Instant::now();
        let mut clock = time::interval(Duration::from_millis(HEARD_MS.into()));
        loop {
            tokio::select! {
                // What is there already is heard rather than made up.
                biased;
                frame = reader.next_frame() => match frame {
                    Some(frame) if frame.format == format => {
                        let at = origin.elapsed();
                        let _ = buffer.insert(at, frame.timestamp.0, &frame.payload);
                    }
                    Some(_) => {}
                    None => return writer.finish(),
                },
                due = clock.tick() => {
                    let due = due.duration_since(origin.into());
                    let _ = buffer.pull(due, &mut *decoder, &mut samples);
                    writer.write(&samples)?;
                }
            }
        }
    }))
}
