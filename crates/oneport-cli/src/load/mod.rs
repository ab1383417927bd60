//! `oneport load`: many calls at once, to see what a system carries and what breaks first.

mod callee;
mod caller;
mod half_open;
mod limits;
mod network;
mod picture;
mod plan;
mod process;
pub(crate) mod profile;
mod registering;
mod report;
mod tally;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use oneport::media::Codec;
use oneport::probe::MARK_LENGTH;
use oneport::{Driver, DriverConfig, EndpointConfig, Format, NewCall, RegistrationConfig, Target};
use oneport_proto::TrunkConfig;
use tokio::time;

use crate::call::Encryption;
use crate::exit::{Code, Failure, failed, usage};
use crate::interrupt::Interrupt;
use crate::probe::poll::any_towards;
use crate::secret::SecretArgs;
use callee::{Callee, Manners};
use caller::{Caller, Script, Standing};
use half_open::HalfOpen;
use limits::Limits;
use network::Network;
use plan::{Aim, Calls, Plan};
use process::Watched;
use profile::{Profile, Shape, Span, percent};
use registering::Registering;
use report::{Report, Run, Second};
use tally::{RegistrationTally, Tally};

/// For how long a device asks to be registered; the other side decides.
const REFRESH: Duration = Duration::from_secs(60);
/// Devices that register from one port.
const DEVICES_OF_A_PORT: usize = 10_000;
/// Devices that come and leave there in a second.
const RATE_OF_A_PORT: f64 = 250.0;
/// How often the aim is looked at.
const AIM_PERIOD: Duration = Duration::from_millis(100);
/// How long calls may take to end when the load ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// Places many calls at once and verifies the voice that comes back
#[derive(Args)]
#[command(after_help = "\
TARGET is iax:[user@]host[:port][/number[?context]], or just host/number. What it reaches must send
voice back: an echo, or this command with --answer, which takes calls and echoes them.
Load only what is yours.

Examples:
  oneport load 127.0.0.1/echo --calls 100
  oneport load --answer 0.0.0.0:4570
  oneport load iax:dialer@pbx.example.org/600 --calls 10..500 --duration 5m --picture load.svg
  oneport load 127.0.0.1/bench --answer 127.0.0.1:4570 --trunk --knee --watch $(pidof oneport)
  oneport load pbx.example.org/600 --calls 50 --hold 20s --max-loss 1 --min-mos 4 --json
  oneport load 127.0.0.1/bench --answer 127.0.0.1:4570 --profile dialer --duration 10m
  oneport load iax:node{}@127.0.0.1 --profile registrations --secret-file node.secret
  oneport load pbx.example.org/600 --loss 2 --loss-run 3 --jitter 40ms --min-mos 3.5")]
pub(crate) struct Load {
    /// Whom to call
    #[arg(required_unless_present = "answer")]
    target: Option<Target>,
    /// Takes calls at this address and sends back what it hears; several may be given
    #[arg(long, value_name = "ADDRESS")]
    answer: Vec<SocketAddr>,
    /// A kind of traffic, of which other options change what they say
    #[arg(long, value_name = "NAME", value_enum)]
    profile: Option<Profile>,
    /// Calls at once, or a range through which their number grows; 10 where nothing is said
    #[arg(long, value_name = "N|N..M")]
    calls: Option<Calls>,
    /// Calls, or registrations, begun in a second at most; 50 where nothing is said
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// How long a call lasts after the answer, before another takes its place, or a device is
    /// registered: a time, or one between two; without it until the end
    #[arg(long, value_name = "TIME|TIME..TIME")]
    hold: Option<Span>,
    /// How long a call may ring before it is given up
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    give_up: Option<Duration>,
    /// How long calls taken here ring before they are answered
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, requires = "answer")]
    ring: Option<Duration>,
    /// How many of a hundred calls taken here are busy
    #[arg(long, value_name = "PERCENT", value_parser = percent, requires = "answer")]
    busy: Option<f64>,
    /// How many of a hundred calls taken here ring and are never answered
    #[arg(long, value_name = "PERCENT", value_parser = percent, requires = "answer")]
    unanswered: Option<f64>,
    /// How many calls speak at a time, as on a radio: in turns, with KEY and UNKEY
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    talkers: Option<u32>,
    /// How long each turn of --talkers is; 5s where nothing is said
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    turn: Option<Duration>,
    /// Devices that register beside the calls, which then are none where --calls says nothing; {}
    /// in the target's user is the number of the device
    #[arg(long, value_name = "N")]
    registrations: Option<usize>,
    /// Calls in a second that begin and never go on, beside the others: a flood, for a box of this
    /// machine or of a private network
    #[arg(long, value_name = "N")]
    half_open: Option<f64>,
    /// How long all of it lasts
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "30s")]
    duration: Duration,
    /// Adds calls step by step until a limit is broken, and tells the most that kept it
    #[arg(long)]
    knee: bool,
    /// How long each step of --knee lasts
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "5s",
          requires = "knee")]
    step: Duration,
    /// The codec that is offered; its frames hold marks, not sound
    #[arg(long, value_name = "CODEC", value_parser = format, default_value = "ulaw")]
    codec: Format,
    /// Length of a frame in ms
    #[arg(long, value_name = "MS", default_value_t = 20,
          value_parser = clap::value_parser!(u16).range(5..=200))]
    frame: u16,
    /// Sends voice in trunk frames, also what goes back from --answer
    #[arg(long)]
    trunk: bool,
    /// Sends each datagram by itself, as most telephones and Asterisk do, not many to one address in
    /// one system call
    #[arg(long)]
    one_by_one: bool,
    /// Time between the polls (PING and LAGRQ) of each call, in place of 21 and 10 s: with many calls that are silent
    /// these are most of what a load does
    #[arg(long, value_name = "TIME", value_parser = poll_period)]
    poll: Option<Duration>,
    /// Keys to press when a call is answered: 0-9, A-D, * and #
    #[arg(long, value_name = "DIGITS", value_parser = crate::call::digits, default_value = "")]
    dtmf: String,
    /// The number we call from
    #[arg(long, value_name = "NUMBER")]
    from: Option<String>,
    /// Whether calls are encrypted; it needs a secret for that
    #[arg(long, value_name = "RULE", value_enum, default_value_t)]
    encryption: Encryption,
    #[command(flatten)]
    secret: SecretArgs,
    /// Ports, each with a thread of its own, from which calls are placed; devices have one for each 10,000 of them, and
    /// for each 250 that come in a second where they leave again
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Process of this machine whose CPU time, memory and context switches are told beside
    #[arg(long, value_name = "PID")]
    watch: Option<u32>,
    /// Draws calls against delay, loss, score and CPU
    #[arg(long, value_name = "FILE.svg")]
    picture: Option<PathBuf>,
    /// Prints the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    limits: Limits,
}

pub(crate) fn format(name: &str) -> Result<Format, String> {
    let audio = |format: &Format| format.sample_rate().is_some();
    Format::from_name(name).filter(audio).ok_or_else(|| {
        let names: Vec<&str> = Format::all().filter(audio).map(Format::name).collect();
        format!("it is one of {}", names.join(", "))
    })
}

/// Bytes of `millis` of a codec; `None` where that makes no whole frames.
pub(crate) fn frame_bytes(format: Format, millis: u16) -> Option<usize> {
    let millis = usize::from(millis);
    if let Some(codec) = Codec::for_format(format) {
        let samples = codec.sample_rate() as usize * millis / 1_000;
        let mut bytes = Vec::new();
        codec.encoder().encode(&vec![0; samples], &mut bytes);
        return samples.is_multiple_of(codec.frame_samples()).then_some(bytes.len());
    }
    // Of codecs that pass through: ms of a frame, and its bytes.
    let (frame, bytes) = match format {
        Format::G729 => (10, 10),
        Format::G723 => (30, 24),
        _ => return None,
    };
    millis.is_multiple_of(frame).then_some(millis / frame * bytes)
}

/// Who calls and who is called.
struct Parties {
    callers: Vec<Driver<Caller>>,
    callees: Vec<Driver<Callee>>,
    devices: Vec<Driver<Registering>>,
}

impl Parties {
    /// What was counted since this was last asked, and what there is now.
    async fn look(&self) -> Result<(Tally, Tally, Standing), Failure> {
        let (mut calling, mut called) = (Tally::new(), Tally::new());
        let mut standing = Standing::default();
        for driver in &self.callers {
            let look = |_: &mut _, caller: &mut Caller, _| (caller.take_tally(), caller.standing());
            let (tally, stands) = driver.with(look).await.map_err(failed)?;
            calling.add(&tally);
            standing.calls += stands.calls;
            standing.answered += stands.answered;
            standing.silent += stands.silent;
        }
        for driver in &self.callees {
            let look = |_: &mut _, callee: &mut Callee, _| (callee.take_tally(), callee.calls());
            let (tally, calls) = driver.with(look).await.map_err(failed)?;
            called.add(&tally);
            if self.callers.is_empty() {
                standing.calls += calls;
                standing.answered += calls;
            }
        }
        Ok((calling, called, standing))
    }

    /// Wants so many calls, a share of each caller.
    fn aim(&self, aim: Aim) {
        let count = self.callers.len();
        for (n, driver) in self.callers.iter().enumerate() {
            let calls = aim.calls / count + usize::from(n < aim.calls % count);
            let rate = aim.rate / count as f64;
            driver.post(move |_, caller, _| caller.aim(calls, rate));
        }
    }

    /// What was counted of devices since this was last asked, and how many are registered, and have not left.
    async fn look_at_devices(&self) -> Result<(RegistrationTally, (usize, usize)), Failure> {
        let (mut tally, mut registered, mut there) = (RegistrationTally::new(), 0, 0);
        for driver in &self.devices {
            let look = |_: &mut _, devices: &mut Registering, _| {
                (devices.take_tally(), devices.standing())
            };
            let (counted, standing) = driver.with(look).await.map_err(failed)?;
            tally.add(&counted);
            (registered, there) = (registered + standing.0, there + standing.1);
        }
        Ok((tally, (registered, there)))
    }

    fn finish(&self) {
        for driver in &self.callers {
            driver.post(|endpoint, caller, now| caller.finish(endpoint, now));
        }
        for driver in &self.devices {
            driver.post(|endpoint, devices, now| devices.finish(endpoint, now));
        }
    }

    async fn stop(self) {
        for driver in self.callers {
            driver.stop().await;
        }
        for driver in self.callees {
            driver.stop().await;
        }
        for driver in self.devices {
            driver.stop().await;
        }
    }
}

/// Begins a flood of `rate` calls in a second.
fn half_open(target: &Target, to: SocketAddr, rate: f64) -> Result<HalfOpen, Failure> {
    if !half_open::is_own(to.ip()) {
        return Err(usage(format!("{} is not of a private network", to.ip()))
            .hint("flood nobody's box but your own: --half-open wants an address of this machine or of a private network"));
    }
    let number = target.number.clone().unwrap_or_else(|| "s".into());
    HalfOpen::start(to, target.user.clone(), number, rate).map_err(failed)
}

fn poll_period(text: &str) -> Result<Duration, String> {
    let period = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match period >= Duration::from_secs(1) {
        true => Ok(period),
        false => Err("at least 1s".into()),
    }
}

impl Load {
    /// Limits that suit a load rather than a switch: whoever loads knows what he does.
    fn endpoint_config(&self) -> EndpointConfig {
        let usual = EndpointConfig::default();
        EndpointConfig {
            max_calls: 1_000_000,
            max_calls_per_address: usize::MAX,
            max_unvalidated_calls: usize::MAX,
            max_challenges_per_user: usize::MAX,
            // 32,767 numbers of an address are used up soon where each rests for a minute.
            number_quarantine: Duration::from_secs(5),
            transmit_buffer: 64 << 20,
            ping_interval: self.poll.unwrap_or(usual.ping_interval),
            lag_interval: self.poll.unwrap_or(usual.lag_interval),
            ..usual
        }
    }

    /// What the options say, and the profile where they say nothing.
    fn shape(&self) -> Shape {
        let usual = Shape::of(self.profile);
        let registrations = self.registrations.unwrap_or(usual.registrations);
        // Whoever only registers places no calls.
        let calls = if registrations > 0 { Calls::just(0) } else { usual.calls };
        Shape {
            calls: self.calls.unwrap_or(calls),
            rate: self.rate.unwrap_or(usual.rate),
            hold: self.hold.or(usual.hold),
            give_up: self.give_up.or(usual.give_up),
            ring: self.ring.unwrap_or(usual.ring),
            busy: self.busy.unwrap_or(usual.busy),
            unanswered: self.unanswered.unwrap_or(usual.unanswered),
            talkers: self.talkers.map(|talkers| talkers as usize).or(usual.talkers),
            turn: self.turn.unwrap_or(usual.turn),
            registrations,
            half_open: self.half_open.unwrap_or(usual.half_open),
        }
    }

    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (epoch, run) = (Instant::now(), getrandom::u32().map_err(failed)?);
        let watched = match self.watch {
            Some(pid) => Some(Watched::new(pid).ok_or_else(|| {
                usage(format!("there is no process {pid} here")).hint("check --watch")
            })?),
            None => None,
        };
        let shape = self.shape();
        let trunk = self.trunk.then(TrunkConfig::default);
        let Shape { ring, busy, unanswered, .. } = shape;
        let mut callees = Vec::new();
        for address in &self.answer {
            let config = DriverConfig {
                listen: vec![*address],
                endpoint: self.endpoint_config(),
                one_by_one: self.one_by_one,
                ..DriverConfig::default()
            };
            let callee = Callee::new(run, epoch, Manners { ring, busy, unanswered }, trunk);
            callees.push(Driver::start(config, callee).map_err(failed)?);
        }
        let (mut callers, mut devices, mut flood) = (Vec::new(), Vec::new(), None);
        if let Some(target) = &self.target {
            let to = target.resolve().await.map_err(|error| {
                Failure::new(Code::Unreachable, error).hint("check the host's name")
            })?;
            if shape.calls.last > 0 {
                callers = self.callers(target, to, &shape, (run, epoch), trunk)?;
            }
            if shape.registrations > 0 {
                devices = self.devices(target, to, &shape)?;
            }
            if shape.half_open > 0.0 {
                flood = Some(half_open(target, to, shape.half_open)?);
            }
        }
        let parties = Parties { callers, callees, devices };
        let mut run = match self.target.is_some() {
            true => self.call(&parties, &shape, watched).await?,
            false => self.wait(&parties, watched).await?,
        };
        run.flood = flood.map(HalfOpen::stop);
        parties.stop().await;
        let report = Report::of(&self.target, self.codec, self.frame, self.trunk, &run);
        if let Some(path) = &self.picture {
            picture::draw(path, &run).map_err(|error| {
                Failure::new(Code::Failed, format!("{}: {error}", path.display()))
                    .hint("check --picture")
            })?;
        }
        if self.json {
            say!("{}", serde_json::to_string_pretty(&report).map_err(failed)?);
        } else {
            say!("{}", report.table().trim_end());
        }
        match run.broke {
            Some(broke) if !self.knee => Err(Failure::new(Code::Failed, broke)),
            _ if shape.registrations > 0 && run.registrations.registered == 0 => {
                let why = run.registrations.failed.keys().next();
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                Err(Failure::new(Code::Failed, format!("no device was registered{why}"))
                    .hint("try one by `oneport register` with the same name and secret"))
            }
            _ if shape.calls.last > 0 && self.target.is_some() && run.total.answered == 0 => {
                let why = run.total.failed.keys().next();
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                Err(Failure::new(Code::Failed, format!("no call was answered{why}"))
                    .hint("try one by `oneport call` with the same target"))
            }
            _ => Ok(()),
        }
    }

    /// Starts those who call.
    fn callers(
        &self,
        target: &Target,
        to: SocketAddr,
        shape: &Shape,
        (run, epoch): (u32, Instant),
        trunk: Option<TrunkConfig>,
    ) -> Result<Vec<Driver<Caller>>, Failure> {
        let frame_bytes = frame_bytes(self.codec, self.frame).ok_or_else(|| {
            usage(format!("{} has no frames of {} ms", self.codec, self.frame))
                .hint("check --frame")
        })?;
        if frame_bytes < MARK_LENGTH {
            let least = MARK_LENGTH;
            let said = format!("{} ms of {} are {frame_bytes} bytes", self.frame, self.codec);
            return Err(usage(format!("{said}; marks need {least}")).hint("give a longer --frame"));
        }
        let mut call = NewCall::to(target.number.clone().unwrap_or_else(|| "s".into()));
        call.called_context = target.context.clone();
        call.username = target.user.clone();
        call.calling_number = self.from.clone();
        call.secret = self.secret.read(target.user.as_deref())?;
        call.key = self.secret.read_key()?;
        call.encryption = self.encryption.into();
        call.allow_plaintext = self.secret.allow_plaintext;
        call.formats = vec![self.codec];
        let script = Script {
            to,
            call,
            hold: shape.hold,
            give_up: shape.give_up,
            talkers: shape.talkers,
            turn: shape.turn,
            digits: self.dtmf.clone(),
            frame_ms: self.frame,
            frame_bytes,
            run,
            epoch,
        };
        let start = |n| {
            let config = DriverConfig {
                listen: vec![any_towards(to)],
                endpoint: self.endpoint_config(),
                one_by_one: self.one_by_one,
                bad_network: self.network.of(n),
                ..DriverConfig::default()
            };
            let driver = Driver::start(config, Caller::new(script.clone())).map_err(failed)?;
            driver.post(move |endpoint, _, _| endpoint.set_trunk(to, trunk));
            Ok(driver)
        };
        (0..self.threads).map(start).collect()
    }

    /// Starts those who register.
    fn devices(
        &self,
        target: &Target,
        to: SocketAddr,
        shape: &Shape,
    ) -> Result<Vec<Driver<Registering>>, Failure> {
        let username = target.user.clone().ok_or_else(|| {
            usage("who registers needs a name")
                .hint("put it before the host: iax:node{}@pbx.example.org")
        })?;
        let registration = RegistrationConfig {
            to,
            others: Vec::new(),
            username,
            secret: self.secret.read(target.user.as_deref())?,
            key: self.secret.read_key()?,
            allow_plaintext: self.secret.allow_plaintext,
            refresh: REFRESH,
        };
        // The registrar has 32,767 numbers towards one port, and lets each rest behind its registration: those that
        // stay register again each minute, others as often as they come and leave.
        let many = shape.registrations.div_ceil(DEVICES_OF_A_PORT);
        let often = shape.hold.map_or(1.0, |_| (shape.rate / RATE_OF_A_PORT).ceil().max(1.0));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        let ports = u16::try_from(many.max(often as usize))
            .map_err(|_| usage("there are not ports enough for so many devices"))?;
        let start = |nth: u16| {
            let numbers = (usize::from(nth) + 1..=shape.registrations).step_by(ports.into());
            let rate = shape.rate / f64::from(ports);
            let devices = Registering::new(registration.clone(), numbers, shape.hold, rate);
            let config = DriverConfig {
                listen: vec![any_towards(to)],
                endpoint: self.endpoint_config(),
                one_by_one: self.one_by_one,
                bad_network: self.network.of(self.threads.saturating_add(nth)),
                ..DriverConfig::default()
            };
            Driver::start(config, devices).map_err(failed)
        };
        (0..ports).map(start).collect()
    }

    /// Calls, until the time is over, a limit is broken or somebody interrupts.
    async fn call(
        &self,
        parties: &Parties,
        shape: &Shape,
        watched: Option<Watched>,
    ) -> Result<Run, Failure> {
        let limits = match self.knee {
            true => self.limits.clone().or_audible(),
            false => self.limits.clone(),
        };
        let mut plan = match self.knee {
            true => Plan::steps(shape.calls, self.step, shape.rate),
            false => Plan::ramp(shape.calls, self.duration, shape.rate),
        };
        let mut interrupt = Interrupt::new()?;
        let mut run = Run::new(self.codec, self.frame, watched);
        let mut clock = time::interval(AIM_PERIOD);
        clock.set_missed_tick_behavior(time::MissedTickBehavior::Skip);
        let mut looked = Instant::now();
        let mut step = Tally::new();
        loop {
            tokio::select! {
                _ = clock.tick() => {}
                () = interrupt.heard() => break,
            }
            let elapsed = run.begun.elapsed();
            if looked.elapsed() >= Duration::from_secs(1) {
                looked = Instant::now();
                run.look_at_devices(parties.look_at_devices().await?);
                let second = run.look(parties.look().await?);
                self.show(&second);
                step.add(&run.latest);
            }
            let (aim, step_ended) = plan.at(elapsed);
            if step_ended {
                let kept = run.judge_step(std::mem::replace(&mut step, Tally::new()), &limits);
                if !kept {
                    break;
                }
            }
            match aim {
                Some(aim) => parties.aim(aim),
                None => break,
            }
        }
        run.end_of_load();
        parties.finish();
        let farewell = Instant::now();
        while farewell.elapsed() < FAREWELL {
            time::sleep(AIM_PERIOD).await;
            let (calling, called, standing) = parties.look().await?;
            run.add(&calling, &called);
            let (registrations, devices) = parties.look_at_devices().await?;
            run.look_at_devices((registrations, devices));
            if standing.calls == 0 && devices.1 == 0 {
                break;
            }
        }
        self.clear();
        if !self.knee {
            run.judge(&limits);
        }
        Ok(run)
    }

    /// Takes calls, until the time is over where one was given, or somebody interrupts.
    async fn wait(&self, parties: &Parties, watched: Option<Watched>) -> Result<Run, Failure> {
        let mut interrupt = Interrupt::new()?;
        for driver in &parties.callees {
            for address in driver.local_addresses() {
                eprintln!("taking calls on UDP {address}, interrupt to stop");
            }
        }
        let mut run = Run::new(self.codec, self.frame, watched);
        let mut clock = time::interval(Duration::from_secs(1));
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                .map_err(failed)?;
        loop {
            tokio::select! {
                _ = clock.tick() => {}
                () = interrupt.heard() => break,
                _ = terminate.recv() => break,
            }
            let second = run.look(parties.look().await?);
            self.show(&second);
        }
        run.end_of_load();
        self.clear();
        Ok(run)
    }

    /// Renews the line that shows how it goes, on a terminal.
    fn show(&self, second: &Second) {
        if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
            eprint!("\r\x1b[K{}", second.line());
        }
    }

    fn clear(&self) {
        if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_bytes_of_their_codec() {
        let bytes = |name, millis| frame_bytes(Format::from_name(name).expect("known"), millis);
        assert_eq!(bytes("ulaw", 20), Some(160));
        assert_eq!(bytes("g722", 20), Some(160));
        assert_eq!(bytes("slin16", 10), Some(320));
        assert_eq!(bytes("gsm", 40), Some(66));
        assert_eq!(bytes("gsm", 30), None);
        assert_eq!(bytes("g729", 20), Some(20));
        assert_eq!(bytes("lpc10", 20), None);
    }
}
