//! `oneport decode`: captures of IAX2, or an interface, made readable: frames, calls, ladders, sound, and what went
//! wrong.

mod fields;
pub(crate) mod ladders;
pub(crate) mod report;
pub(crate) mod source;

use std::collections::{BTreeMap, HashSet};
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::Args;
use oneport::Secret;
use oneport_decode::{
    Datagrams, End, FoldedFault, Hear, Packet, Part, Seen, Sounds, Story, Time, Tracker,
    TrackerConfig, UdpDatagram, Weight,
};
use oneport_wire::{DEFAULT_PORT, Datagram, Element, FullFrame, Message};
use serde_json::{Value, json};

use crate::exit::{Failure, failed, usage};
use crate::ladder::draw::draw;
use crate::ladder::svg::svg;
use crate::ladder::{look, painted};
use crate::table::count;
use fields::Fields;
use ladders::{Drawn, Ladders, Scene};
use source::{Reached, packets};

/// Calls whose ladders are drawn where none are asked for by number.
const MOST_LADDERS: usize = 20;

/// Reads captures of IAX2: frames, calls, ladders, sound, and what went wrong
#[derive(Args)]
#[command(after_help = "\
Without --calls, --faults, --ladder, --svg or --wav each frame is a line: its packet, its time, from \
whom to whom, its call (#N), call numbers, timestamp and sequence numbers, and what it says. What is \
wrong with it stands below. Calls are numbered in the order of their beginnings.

A file is pcap or pcapng, - is standard input. An interface takes root, or the capability \
CAP_NET_RAW.

Examples:
  oneport decode call.pcapng
  oneport decode call.pcapng --calls --faults
  oneport decode call.pcapng --call 3 --ladder
  oneport decode call.pcapng --call 3 --wav . --secret-file alice.secret
  tcpdump -i eth0 -s 0 -U -w - udp port 4569 | oneport decode -
  oneport decode --interface any --number 600 --no-voice")]
pub(crate) struct Decode {
    /// Files, one after the other; - is standard input
    #[arg(
        required_unless_present = "interface",
        conflicts_with = "interface",
        value_name = "FILE"
    )]
    files: Vec<PathBuf>,
    /// Listens at an interface, or at `any`
    #[arg(long, short, value_name = "NAME")]
    interface: Option<String>,
    /// Ends after so many seconds at an interface
    #[arg(long, requires = "interface", value_name = "SECONDS")]
    seconds: Option<u64>,
    /// UDP port of IAX2; may be given several times
    #[arg(long, default_values_t = [DEFAULT_PORT], value_name = "PORT")]
    port: Vec<u16>,
    /// All fields of each frame
    #[arg(long, short = 'V')]
    verbose: bool,
    /// Prints JSON, a record a line
    #[arg(long)]
    json: bool,
    /// Calls, registrations and polls: what became of them, and how their voice fared
    #[arg(long)]
    calls: bool,
    /// What went wrong, and what helps
    #[arg(long)]
    faults: bool,
    /// Draws the messages of calls; several by --call that meet at a host have one axis of time
    #[arg(long)]
    ladder: bool,
    /// Draws with ASCII alone
    #[arg(long)]
    ascii: bool,
    /// Writes the ladder as a picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Writes what is said into this directory: a WAV file for each call and direction
    #[arg(long, value_name = "DIRECTORY")]
    wav: Option<PathBuf>,
    /// Only these calls, by their numbers here
    #[arg(long, value_name = "N", value_delimiter = ',')]
    call: Vec<u64>,
    /// Only calls from or to this number, or of this user; * at its end stands for any end
    #[arg(long, value_name = "NUMBER")]
    number: Option<String>,
    /// Only these messages, such as NEW,HANGUP,VOICE
    #[arg(long, value_name = "NAMES", value_delimiter = ',', ignore_case = true)]
    message: Vec<String>,
    /// Leaves voice out
    #[arg(long)]
    no_voice: bool,
    /// File with a secret that reads encrypted calls; may be given several times. Otherwise ONEPORT_SECRET
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<PathBuf>,
    /// Shows passwords that go over the wire in the clear
    #[arg(long)]
    show_passwords: bool,
    /// Shortens nothing, whatever the width of the terminal
    #[arg(long)]
    wide: bool,
}

impl Decode {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let listens = self.interface.is_some();
        let work = {
            let stop = Arc::clone(&stop);
            tokio::task::spawn_blocking(move || self.decode(&stop))
        };
        if listens {
            // The first Ctrl-C ends listening, and all is told; in a file it ends everything.
            tokio::spawn(async move {
                if tokio::signal::ctrl_c().await.is_ok() {
                    stop.store(true, Ordering::Relaxed);
                }
            });
        }
        work.await.map_err(failed)?
    }

    fn secrets(&self) -> Result<Vec<Secret>, Failure> {
        let mut secrets = Vec::new();
        for path in &self.secret_file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                usage(format!("{}: {error}", path.display())).hint("check --secret-file")
            })?;
            secrets.push(Secret::from(text.trim_end_matches(['\r', '\n'])));
        }
        if let Ok(text) = std::env::var("ONEPORT_SECRET") {
            secrets.push(Secret::from(text));
        }
        Ok(secrets)
    }

    fn decode(self, stop: &AtomicBool) -> Result<(), Failure> {
        let secrets = self.secrets()?;
        let mut session = Session::new(&self, secrets)?;
        match &self.interface {
            Some(interface) => {
                session.listen(interface, self.seconds.map(Duration::from_secs), stop)?;
            }
            None => {
                for path in &self.files {
                    if session.read(path)?.is_break() {
                        break;
                    }
                }
            }
        }
        session.finish()
    }

    /// Whether single frames are shown, and not what they add up to.
    const fn shows_frames(&self) -> bool {
        !(self.calls || self.faults || self.ladder || self.svg.is_some() || self.wav.is_some())
    }
}

/// An address without the port that all have.
pub(crate) fn short(address: SocketAddr) -> String {
    match (address.port(), address.ip()) {
        (DEFAULT_PORT, ip) => ip.to_canonical().to_string(),
        _ => SocketAddr::new(address.ip().to_canonical(), address.port()).to_string(),
    }
}

/// What others wrote, without what a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '.' } else { c }).collect()
}

/// Which calls and frames are wanted.
struct Filter {
    calls: Vec<u64>,
    number: Option<String>,
    messages: Vec<String>,
    voice: bool,
    /// Those that were found to be about the number.
    about: HashSet<u64>,
}

impl Filter {
    fn new(decode: &Decode) -> Self {
        Self {
            calls: decode.call.clone(),
            number: decode.number.clone(),
            messages: decode.message.iter().map(|name| name.to_uppercase()).collect(),
            voice: !decode.no_voice,
            about: HashSet::new(),
        }
    }

    fn fits(wanted: &str, said: &str) -> bool {
        match wanted.strip_suffix('*') {
            Some(begin) => said.starts_with(begin),
            None => said == wanted,
        }
    }

    /// Looks whether a frame says that its exchange is about the number.
    fn look(&mut self, exchange: u64, frame: &FullFrame<'_>) {
        let Some(wanted) = &self.number else { return };
        let Ok(Message::Iax { elements, .. }) = frame.message() else { return };
        let says = |element: Element<'_>| match element {
            Element::CalledNumber(said)
            | Element::CallingNumber(said)
            | Element::Username(said) => Self::fits(wanted, &said.to_string()),
            _ => false,
        };
        if elements.iter().any(says) {
            self.about.insert(exchange);
        }
    }

    /// Whether an exchange is wanted.
    fn wants(&self, exchange: u64) -> bool {
        (self.calls.is_empty() || self.calls.contains(&exchange))
            && (self.number.is_none() || self.about.contains(&exchange))
    }

    const fn wants_all(&self) -> bool {
        self.calls.is_empty() && self.number.is_none()
    }

    /// Whether a frame is wanted.
    fn wants_frame(&self, seen: &Seen<'_>) -> bool {
        let of_call = match seen.exchange {
            Some(exchange) => self.wants(exchange),
            None => self.wants_all() || seen.entries.iter().flatten().any(|call| self.wants(*call)),
        };
        if !of_call {
            return false;
        }
        let Ok(frame) = &seen.frame else { return self.messages.is_empty() };
        let is_voice =
            matches!(frame, Datagram::Mini(_) | Datagram::VideoMini(_) | Datagram::Trunk(_));
        if is_voice && !self.voice {
            return false;
        }
        if self.messages.is_empty() {
            return true;
        }
        let gist = frame.gist().to_string().to_uppercase();
        let name = gist.split(' ').next().unwrap_or_default();
        self.messages.iter().any(|wanted| wanted == name)
    }
}

/// Hears the calls that are wanted.
struct Ear<'a> {
    sounds: Option<&'a mut Sounds>,
    filter: &'a Filter,
}

impl Hear for Ear<'_> {
    fn hear(&mut self, part: &Part<'_>) {
        if let Some(sounds) = &mut self.sounds
            && self.filter.wants(part.call)
        {
            sounds.hear(part);
        }
    }
}

/// A capture on its way to being read.
struct Session<'a> {
    decode: &'a Decode,
    datagrams: Datagrams,
    tracker: Tracker,
    filter: Filter,
    sounds: Option<Sounds>,
    ladders: Option<Ladders>,
    drawn: Vec<Drawn>,
    scenes_left_out: usize,
    output: Output,
    began: Option<Time>,
    exchanges: u64,
    problems: u64,
    notices: u64,
}

impl<'a> Session<'a> {
    fn new(decode: &'a Decode, secrets: Vec<Secret>) -> Result<Self, Failure> {
        if let Some(directory) = &decode.wav
            && !directory.is_dir()
        {
            return Err(usage(format!("{} is no directory", directory.display()))
                .hint("make it, or name another by --wav"));
        }
        let gathers = decode.ladder || decode.svg.is_some();
        Ok(Self {
            decode,
            datagrams: Datagrams::new(decode.port.clone()),
            tracker: Tracker::new(TrackerConfig { secrets, ..TrackerConfig::default() }),
            filter: Filter::new(decode),
            sounds: decode.wav.as_deref().map(Sounds::new),
            ladders: gathers.then(Ladders::default),
            drawn: Vec::new(),
            scenes_left_out: 0,
            output: Output::new(decode),
            began: None,
            exchanges: 0,
            problems: 0,
            notices: 0,
        })
    }

    /// Reads a file, or standard input.
    fn read(&mut self, path: &Path) -> Result<ControlFlow<()>, Failure> {
        match packets(path, |packet| self.take(&packet))? {
            Reached::End(End::Whole) => Ok(ControlFlow::Continue(())),
            Reached::End(End::Stopped) => Ok(ControlFlow::Break(())),
            Reached::End(End::Cut) => {
                let packets = self.datagrams.counts().packets;
                eprintln!("{}: it ends in the middle of packet {}", path.display(), packets + 1);
                Ok(ControlFlow::Continue(()))
            }
            Reached::Damaged(error) => {
                // What was read counts.
                self.output.flush();
                eprintln!("{}: {error}", path.display());
                Ok(ControlFlow::Continue(()))
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn listen(
        &mut self,
        interface: &str,
        most: Option<Duration>,
        stop: &AtomicBool,
    ) -> Result<(), Failure> {
        use oneport_decode::live::{LiveError, listen};
        let began = std::time::Instant::now();
        let ports: Vec<String> = self.decode.port.iter().map(u16::to_string).collect();
        eprintln!("listening at {interface}, UDP port {}; Ctrl-C ends it", ports.join(", "));
        let dropped = listen(interface, |packet| {
            let is_over = most.is_some_and(|most| began.elapsed() >= most);
            if is_over || stop.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
            packet.map_or(ControlFlow::Continue(()), |packet| self.take(&packet))
        });
        match dropped {
            Ok(0) => Ok(()),
            Ok(dropped) => {
                eprintln!("the kernel had no room for {dropped} packets: they are missing");
                Ok(())
            }
            Err(error @ LiveError::NotAllowed) => Err(failed(error).hint(
                "run it as root, or give it the capability: sudo setcap cap_net_raw+ep /usr/bin/oneport; \
                 or capture by tcpdump, and read the file",
            )),
            Err(error @ LiveError::NoInterface(_)) => {
                Err(usage(error).hint("`ip link` has their names; `any` stands for all"))
            }
            Err(error) => Err(failed(error)),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn listen(&mut self, _: &str, _: Option<Duration>, _: &AtomicBool) -> Result<(), Failure> {
        Err(failed("an interface can be listened at on Linux only")
            .hint("capture by tcpdump, and read the file"))
    }

    fn take(&mut self, packet: &Packet<'_>) -> ControlFlow<()> {
        let began = *self.began.get_or_insert(packet.time);
        let Self { datagrams, tracker, filter, sounds, ladders, output, decode, .. } = self;
        datagrams.find(packet, |whole| {
            for datagram in whole.parts(tracker.stride(&whole)) {
                let seen = {
                    let mut ear = Ear { sounds: sounds.as_mut(), filter };
                    tracker.see(&datagram, &mut ear)
                };
                if let (Some(exchange), Ok(Datagram::Full(frame))) = (seen.exchange, &seen.frame) {
                    filter.look(exchange, frame);
                }
                for fault in seen.faults {
                    match fault.kind.weight() {
                        Weight::Problem => self.problems += 1,
                        Weight::Notice => self.notices += 1,
                    }
                }
                if let Some(ladders) = ladders {
                    ladders.take(&datagram, &seen);
                }
                if decode.shows_frames() && filter.wants_frame(&seen) {
                    output.frame(&datagram, &seen, began);
                }
            }
        });
        self.tell_finished();
        if self.output.broken { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Tells of those that are over.
    fn tell_finished(&mut self) {
        while let Some(story) = self.tracker.poll_finished() {
            self.tell(&story);
        }
    }

    fn tell(&mut self, story: &Story) {
        self.exchanges += 1;
        if let Some(sounds) = &mut self.sounds {
            sounds.end(story.number);
        }
        if !self.filter.wants(story.number) {
            if let Some(ladders) = &mut self.ladders {
                ladders.forget(story.number);
            }
            return;
        }
        self.filter.about.remove(&story.number);
        if self.decode.calls || self.decode.faults {
            self.output.story(story, self.decode);
        }
        let Some(ladders) = &mut self.ladders else { return };
        let asked = !self.filter.wants_all();
        if !asked && !ladders::is_drawn(story) {
            ladders.forget(story.number);
            return;
        }
        let Some(drawn) = ladders.end(story) else { return };
        if asked || self.drawn.len() < MOST_LADDERS {
            self.drawn.push(drawn);
        } else {
            self.scenes_left_out += 1;
        }
    }

    /// The end of the capture: what is left to be told.
    fn finish(mut self) -> Result<(), Failure> {
        for story in self.tracker.finish() {
            self.tell(&story);
        }
        for fault in self.tracker.take_late_faults() {
            match fault.kind.weight() {
                Weight::Problem => self.problems += 1,
                Weight::Notice => self.notices += 1,
            }
        }
        let loose = self.tracker.loose_faults();
        if self.decode.faults && self.filter.wants_all() {
            self.output.loose(&loose);
        }
        self.draw()?;
        self.output.flush();
        if let Some(sounds) = self.sounds.take() {
            let (written, unspoken) = sounds.finish().map_err(|error| {
                failed(error).hint("of many calls choose some by --call or --number")
            })?;
            for path in written {
                say!("{}", path.display());
            }
            for format in unspoken {
                eprintln!("voice in {format} cannot be heard by this build");
            }
        }
        self.summary();
        Ok(())
    }

    fn draw(&mut self) -> Result<(), Failure> {
        let joins = !self.filter.calls.is_empty();
        let drawn = std::mem::take(&mut self.drawn);
        if drawn.is_empty() {
            return Ok(());
        }
        let scenes: Vec<Scene> = match joins {
            true => ladders::scenes(drawn),
            false => drawn.into_iter().flat_map(|one| ladders::scenes(vec![one])).collect(),
        };
        if let Some(path) = &self.decode.svg {
            let Some(Scene { title, ladder, here, notes }) = scenes.first() else { return Ok(()) };
            if scenes.len() > 1 {
                eprintln!("the picture has the first of {} ladders; --call chooses", scenes.len());
            }
            let picture = svg(title, ladder, here, notes);
            std::fs::write(path, picture).map_err(|error| {
                failed(format!("{}: {error}", path.display())).hint("name another by --svg")
            })?;
        }
        if !self.decode.ladder {
            return Ok(());
        }
        let look = look(self.decode.ascii);
        for Scene { title, ladder, here, notes } in &scenes {
            if self.decode.json {
                let record = json!({
                    "record": "ladder", "title": title, "here": here, "ladder": ladder, "notes": notes,
                });
                self.output.line(&record.to_string());
                continue;
            }
            let notes = if self.decode.faults { notes } else { &brief(notes) };
            self.output.line(&format!("{title}\n"));
            self.output.line(&painted(&draw(ladder, here, notes, look)));
            self.output.line("");
        }
        if self.scenes_left_out > 0 {
            self.output.flush();
            let more = count(self.scenes_left_out, "call");
            eprintln!("{more} more are not drawn; --call or --number chooses");
        }
        Ok(())
    }

    /// What was read, on standard error, so that it is in no file.
    fn summary(&self) {
        let counts = self.datagrams.counts();
        if counts.datagrams == 0 {
            let ports: Vec<String> = self.decode.port.iter().map(u16::to_string).collect();
            eprintln!(
                "no datagram from or to UDP port {} in {}; --port chooses others",
                ports.join(", "),
                count(usize::try_from(counts.packets).unwrap_or(usize::MAX), "packet"),
            );
            return;
        }
        if counts.unknown_links > 0 {
            eprintln!(
                "{} packets are of a kind of link that is not known here",
                counts.unknown_links
            );
        }
        if io::stderr().is_terminal() || self.problems > 0 {
            let plural =
                |number: u64, one: &str| count(usize::try_from(number).unwrap_or(usize::MAX), one);
            let more = if self.decode.faults { "" } else { "; --faults explains" };
            eprintln!(
                "{}, {}, {}, {}{}",
                plural(counts.datagrams, "datagram"),
                plural(self.exchanges, "exchange"),
                plural(self.problems, "problem"),
                plural(self.notices, "notice"),
                if self.problems + self.notices > 0 { more } else { "" },
            );
        }
    }
}

/// What is said of messages, without what is particular.
fn brief(notes: &BTreeMap<usize, Vec<String>>) -> BTreeMap<usize, Vec<String>> {
    let first = |text: &String| text.split(':').next().unwrap_or_default().to_string();
    notes.iter().map(|(place, notes)| (*place, notes.iter().map(first).collect())).collect()
}

/// Where lines go.
struct Output {
    out: Box<dyn Write + Send>,
    /// Nobody reads any more.
    broken: bool,
    /// A terminal should show what comes at once.
    prompt: bool,
    json: bool,
    verbose: bool,
    fields: Fields,
    colours: bool,
    columns: Option<usize>,
}

impl Output {
    fn new(decode: &Decode) -> Self {
        let terminal = io::stdout().is_terminal();
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        Self {
            out: Box::new(io::BufWriter::with_capacity(1 << 16, io::stdout())),
            broken: false,
            prompt: terminal || decode.interface.is_some(),
            json: decode.json,
            verbose: decode.verbose,
            fields: Fields { passwords: decode.show_passwords },
            colours: terminal && std::env::var_os("NO_COLOR").is_none(),
            columns: (terminal && !decode.wide).then(|| columns.unwrap_or(80).max(80)),
        }
    }

    fn flush(&mut self) {
        self.broken |= self.out.flush().is_err();
    }

    fn line(&mut self, text: &str) {
        self.broken |= writeln!(self.out, "{text}").is_err();
    }

    /// A line that has no more columns than the terminal, in a style where there are colours.
    fn styled(&mut self, style: Style, text: &str) {
        let shortened;
        let text = match self.columns {
            Some(columns) if text.chars().count() > columns => {
                let mut short: String = text.chars().take(columns.saturating_sub(1)).collect();
                short.push('~');
                shortened = short;
                &shortened
            }
            _ => text,
        };
        match self.colours && style != Style::new() {
            true => self.line(&format!("{style}{text}{style:#}")),
            false => self.line(text),
        }
    }

    /// Text that goes on in further lines where it has no room in one.
    fn folded(&mut self, style: Style, text: &str) {
        let Some(columns) = self.columns.filter(|columns| text.chars().count() > *columns) else {
            return self.styled(style, text);
        };
        let indent = text.len() - text.trim_start().len();
        let mut line = String::new();
        for word in text.split_whitespace() {
            let begins = line.is_empty();
            if !begins && line.chars().count() + 1 + word.chars().count() > columns {
                self.styled(style, &line);
                line = " ".repeat(indent + 2);
                line.push_str(word);
                continue;
            }
            if begins {
                line.push_str(&" ".repeat(indent));
            } else {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.styled(style, &line);
    }

    fn frame(&mut self, datagram: &UdpDatagram<'_>, seen: &Seen<'_>, began: Time) {
        if self.json {
            let record: Value = self.fields.json(datagram, seen);
            self.line(&record.to_string());
        } else {
            let style = match &seen.frame {
                Err(_) => AnsiColor::Red.on_default(),
                Ok(Datagram::Full(_)) => Style::new(),
                Ok(_) => Style::new().dimmed(),
            };
            self.styled(style, &one_line(datagram, seen, began));
            if self.verbose {
                let lines = self.fields.lines(datagram, seen);
                self.broken |= self.out.write_all(lines.as_bytes()).is_err();
            }
            for fault in seen.faults {
                let style = fault_style(fault.kind.weight());
                self.folded(style, &format!("       ! {}", printable(&fault.to_string())));
            }
        }
        if self.prompt {
            self.flush();
        }
    }

    fn story(&mut self, story: &Story, decode: &Decode) {
        if self.json {
            if decode.calls || !story.faults.is_empty() {
                self.line(&report::json(story).to_string());
            }
        } else {
            if !decode.calls && story.faults.is_empty() {
                return;
            }
            let lines = match decode.calls {
                true => report::text(story),
                false => vec![report::headline(story)],
            };
            for (n, line) in lines.iter().enumerate() {
                let style = if n == 0 { Style::new().bold() } else { Style::new() };
                self.folded(style, line);
            }
            if decode.faults {
                self.faults(&story.faults);
            } else if !story.faults.is_empty() {
                let names: Vec<&str> =
                    story.faults.iter().map(|fault| fault.first.kind.name()).collect();
                let style = story
                    .faults
                    .first()
                    .map_or(Style::new(), |fault| fault_style(fault.first.kind.weight()));
                self.folded(style, &format!("    ! {}", names.join(", ")));
            }
        }
        if self.prompt {
            self.flush();
        }
    }

    fn faults(&mut self, faults: &[FoldedFault]) {
        for fault in faults {
            let style = fault_style(fault.first.kind.weight());
            for (n, line) in report::fault_text(fault).iter().enumerate() {
                self.folded(if n == 0 { style } else { Style::new() }, line);
            }
        }
    }

    fn loose(&mut self, faults: &[FoldedFault]) {
        if faults.is_empty() {
            return;
        }
        if self.json {
            for fault in faults {
                let mut record = report::folded_json(fault);
                if let Value::Object(record) = &mut record {
                    record.insert("record".into(), "fault".into());
                }
                self.line(&record.to_string());
            }
            return;
        }
        self.styled(Style::new().bold(), "of no call");
        self.faults(faults);
    }
}

fn fault_style(weight: Weight) -> Style {
    match weight {
        Weight::Problem => AnsiColor::Red.on_default(),
        Weight::Notice => AnsiColor::Yellow.on_default(),
    }
}

/// A frame in one line.
fn one_line(datagram: &UdpDatagram<'_>, seen: &Seen<'_>, began: Time) -> String {
    let since = datagram.time.since(began).as_secs_f64();
    let (from, to) = (short(datagram.source), short(datagram.destination));
    let call = seen.exchange.map_or_else(|| "-".into(), |number| format!("#{number}"));
    let head = format!("{:>6} {since:>10.6} {from} > {to} {call} ", datagram.number);
    let said = match &seen.frame {
        Ok(frame @ Datagram::Full(full)) => {
            let header = &full.header;
            let again = if header.retransmission { " R" } else { "" };
            let meaning = full.message().ok().and_then(|message| message.radio_text());
            let meaning = meaning.map(|meaning| format!(" ({meaning})")).unwrap_or_default();
            format!(
                "{}>{} {}ms {}/{}{again} {}{meaning}",
                header.source,
                header.destination,
                header.timestamp,
                header.oseq,
                header.iseq,
                frame.gist(),
            )
        }
        Ok(frame @ Datagram::Trunk(_)) => {
            let calls = seen.entries.iter().map(|call| match call {
                Some(call) => format!("#{call}"),
                None => "?".into(),
            });
            format!("{frame}: {}", calls.collect::<Vec<String>>().join(" "))
        }
        Ok(frame) => frame.to_string(),
        Err(unread) => format!("{unread}, {} bytes", datagram.payload.len()),
    };
    let sealed = match seen.sealed {
        oneport_decode::Sealed::Opened => " (encrypted)",
        _ => "",
    };
    format!("{head}{}{sealed}", printable(&said))
}
