//! Reads a capture: each frame in a line, or with `calls` as second argument what became of each call.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;

use oneport_decode::{Datagrams, Story, Tracker, read};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("name a capture")?;
    let only_calls = arguments.next().is_some_and(|what| what == "calls");
    let mut out = BufWriter::new(std::io::stdout());
    let mut datagrams = Datagrams::new(vec![4569]);
    let mut tracker = Tracker::default();
    let tell = |out: &mut BufWriter<_>, story: &Story| {
        let (number, called, outcome) = (story.number, &story.called, story.outcome.name());
        let lost = story.sides.each_ref().map(|side| side.voice.lost);
        writeln!(out, "#{number} to {called:?}: {outcome}, frames lost {lost:?}")
    };
    read(File::open(file)?, |packet| {
        let written = datagrams.find(&packet, |datagram| {
            for frame in datagram.parts(tracker.stride(&datagram)) {
                let seen = tracker.see(&frame, &mut ());
                if let (false, Ok(what)) = (only_calls, &seen.frame) {
                    let (from, to) = (datagram.source, datagram.destination);
                    writeln!(out, "{} {from} > {to} {what}", datagram.number)?;
                }
            }
            while let Some(story) = tracker.poll_finished() {
                tell(&mut out, &story)?;
            }
            Ok::<(), std::io::Error>(())
        });
        match written {
            Some(Err(_)) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    })?;
    for story in tracker.finish() {
        tell(&mut out, &story)?;
    }
    Ok(())
}
