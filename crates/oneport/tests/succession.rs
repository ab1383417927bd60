//! Processes that take a port over from one another, here as drivers of one process: calls go on with whoever
//! has them, each frame of them arrives, and what begins is taken by the newest.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use oneport::{
    Application, CallId, CauseCode, CommandError, Driver, DriverConfig, Format, Generation,
    Inheritance, NewCall, Step, To, succession_connection,
};
use oneport_proto::{Endpoint, Event, Instant, Media};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const PACE: Duration = Duration::from_millis(20);

/// Answers each call and sends back what it hears.
#[derive(Default)]
struct Echo {
    name: usize,
    started: bool,
    /// Calls that began here.
    begun: usize,
    words: Vec<(Option<Generation>, Vec<u8>)>,
    to_say: Vec<(To, Vec<u8>)>,
    steps: Option<UnboundedSender<(usize, Step)>>,
}

impl Application for Echo {
    fn start(&mut self, _: &mut Endpoint, _: Instant) {
        self.started = true;
    }

    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        if let Event::CallOffered { call, .. } = event {
            self.begun += 1;
            endpoint.accept(now, call, Format::ULAW).expect("it is offered");
            endpoint.answer(now, call).expect("it is accepted");
            endpoint.link(call, call).expect("it is up");
        }
    }

    fn poll_word(&mut self, _: Instant) -> Option<(To, Vec<u8>)> {
        self.to_say.pop()
    }

    fn handle_word(&mut self, _: &mut Endpoint, _: Instant, from: Option<Generation>, word: &[u8]) {
        self.words.push((from, word.to_vec()));
    }

    fn handle_step(&mut self, _: &mut Endpoint, _: Instant, step: Step) {
        if let Some(steps) = &self.steps {
            let _ = steps.send((self.name, step));
        }
    }
}

/// Speaks in marks, and hears which of them come back.
#[derive(Default)]
struct Caller {
    lines: HashMap<CallId, Line>,
    up: usize,
    ended: usize,
    next: Option<Instant>,
}

#[derive(Default)]
struct Line {
    sent: u32,
    /// The mark that is expected, and how many were missing or came out of their turn.
    expected: u32,
    wrong: u32,
    up: bool,
}

impl Application for Caller {
    fn handle_event(&mut self, _: &mut Endpoint, now: Instant, event: Event) {
        match event {
            Event::CallAnswered { call } => {
                self.lines.entry(call).or_default().up = true;
                self.up += 1;
                self.next.get_or_insert(now);
            }
            Event::CallEnded { call, .. } => {
                self.ended += 1;
                self.lines.entry(call).or_default().up = false;
            }
            _ => {}
        }
    }

    fn handle_media(&mut self, _: Instant, call: CallId, media: Media<'_>) {
        let line = self.lines.entry(call).or_default();
        let mark = media.payload.first_chunk().map(|mark| u32::from_be_bytes(*mark));
        line.wrong += u32::from(mark != Some(line.expected));
        line.expected = mark.map_or(line.expected, |mark| mark + 1);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    fn handle_timeout(&mut self, endpoint: &mut Endpoint, now: Instant) {
        for (call, line) in self.lines.iter_mut().filter(|(_, line)| line.up) {
            let mut payload = [0; 160];
            payload[..4].copy_from_slice(&line.sent.to_be_bytes());
            match endpoint.send_voice(now, *call, Format::ULAW, &payload, 20) {
                Ok(()) => line.sent += 1,
                // It has just ended, which is told next.
                Err(CommandError::UnknownCall) => {}
                Err(error) => panic!("it is up: {error}"),
            }
        }
        self.next = Some(now + PACE);
    }
}

fn on_loopback() -> DriverConfig {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    DriverConfig { listen, ..DriverConfig::default() }
}

struct Scene {
    caller: Driver<Caller>,
    to: SocketAddr,
    /// Those that live, by their generation.
    echoes: Vec<Option<Driver<Echo>>>,
    steps: UnboundedReceiver<(usize, Step)>,
    tell: UnboundedSender<(usize, Step)>,
}

impl Scene {
    fn new() -> Self {
        let (tell, steps) = unbounded_channel();
        let echo = Echo { steps: Some(tell.clone()), ..Echo::default() };
        let first = Driver::start(on_loopback(), echo).expect("started");
        let to = first.local_addresses()[0];
        let caller = Driver::start(on_loopback(), Caller::default()).expect("started");
        Self { caller, to, echoes: vec![Some(first)], steps, tell }
    }

    fn echo(&self, n: usize) -> &Driver<Echo> {
        self.echoes[n].as_ref().expect("it lives")
    }

    fn newest(&self) -> &Driver<Echo> {
        self.echoes.iter().rev().flatten().next().expect("one lives")
    }

    /// Places calls, and waits until they are up.
    async fn call(&self, count: usize) {
        let to = self.to;
        let wanted = self.caller.with(move |endpoint, caller, now| {
            for _ in 0..count {
                let formats = vec![Format::ULAW];
                let new = NewCall { formats, ..NewCall::to("echo") };
                endpoint.place_call(now, to, new).expect("room for it");
            }
            caller.up + count
        });
        let wanted = wanted.await.expect("it runs");
        self.until("calls are up", move |caller| caller.up >= wanted).await;
    }

    async fn until(&self, what: &str, is: impl Fn(&Caller) -> bool + Clone + Send + 'static) {
        let waits = async {
            loop {
                let is = is.clone();
                if self.caller.with(move |_, caller, _| is(caller)).await.expect("it runs") {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waits).await.unwrap_or_else(|_| panic!("{what}: too late"));
    }

    /// Each call hears so many frames more.
    async fn all_hear(&self, more: u32) {
        let now: HashMap<CallId, u32> = self
            .caller
            .with(|_, caller, _| {
                let up = caller.lines.iter().filter(|(_, line)| line.up);
                up.map(|(call, line)| (*call, line.expected)).collect()
            })
            .await
            .expect("it runs");
        let goes_on = move |caller: &Caller| {
            now.iter().all(|(call, heard)| caller.lines[call].expected >= heard + more)
        };
        self.until("voice comes back", goes_on).await;
    }

    async fn step(&mut self, expected: (usize, Step)) {
        let came = tokio::time::timeout(PATIENCE, self.steps.recv()).await.expect("in time");
        assert_eq!(came, Some(expected));
    }

    /// Starts an heir of the newest, which is not ready yet.
    async fn start_heir(&mut self) -> Driver<Echo> {
        let (here, there) = succession_connection().expect("a pair");
        let name = self.echoes.len() - 1;
        let newest = self.newest();
        newest.begin_succession(here, b"from before".to_vec(), Vec::new()).await.expect("begun");
        self.step((name, Step::Begins)).await;
        let inheritance = Inheritance::receive(there).expect("handed over");
        assert_eq!(inheritance.word, b"from before");
        let echo = Echo { name: name + 1, steps: Some(self.tell.clone()), ..Echo::default() };
        Driver::inherit(DriverConfig::default(), inheritance, echo).expect("started")
    }

    /// A new process takes over.
    async fn succeed(&mut self) {
        let heir = self.start_heir().await;
        assert!(!heir.with(|_, echo, _| echo.started).await.expect("it runs"), "it waits");
        heir.ready();
        self.step((self.echoes.len() - 1, Step::Retired)).await;
        self.echoes.push(Some(heir));
    }

    async fn end(&mut self, n: usize) {
        let driver = self.echoes[n].take().expect("it lives");
        driver.stop().await;
    }

    /// How many frames were lost or came twice, of all calls, and how many calls have ended.
    async fn wrong(&self) -> (u32, usize) {
        let look = |_: &mut Endpoint, caller: &mut Caller, _| {
            (caller.lines.values().map(|line| line.wrong).sum(), caller.ended)
        };
        self.caller.with(look).await.expect("it runs")
    }

    async fn begun(&self) -> Vec<usize> {
        let mut all = Vec::new();
        for echo in self.echoes.iter().flatten() {
            all.push(echo.with(|_, echo, _| echo.begun).await.expect("it runs"));
        }
        all
    }
}

#[tokio::test]
async fn calls_of_all_generations_go_on_and_lose_no_frame_and_the_newest_takes_what_begins() {
    let mut scene = Scene::new();
    scene.call(4).await;
    for _ in 0..5 {
        scene.all_hear(3).await;
        scene.succeed().await;
        scene.call(3).await;
        scene.all_hear(3).await;
    }
    assert_eq!(scene.begun().await, [4, 3, 3, 3, 3, 3]);
    assert_eq!(scene.wrong().await, (0, 0), "frames lost, calls ended");
    // Calls of an old one end where they are.
    let ends = |endpoint: &mut Endpoint, _: &mut Echo, now| {
        endpoint.hangup_all(now, CauseCode::NORMAL_CLEARING);
    };
    scene.echo(2).with(ends).await.expect("it runs");
    scene.until("its calls end", |caller| caller.ended == 3).await;
    scene.end(2).await;
    scene.step((5, Step::Gone(Generation(2)))).await;
    scene.all_hear(3).await;
    assert_eq!(scene.wrong().await, (0, 3));
    let consistent = |endpoint: &mut Endpoint, _: &mut Echo, _: Instant| endpoint.inconsistency();
    for echo in scene.echoes.iter().flatten() {
        assert_eq!(echo.with(consistent).await.expect("it runs"), None);
    }
}

#[tokio::test]
async fn an_heir_that_ends_before_it_is_ready_changes_nothing() {
    let mut scene = Scene::new();
    scene.call(3).await;
    let heir = scene.start_heir().await;
    let again = succession_connection().expect("a pair");
    let refused = scene.echo(0).begin_succession(again.0, Vec::new(), Vec::new()).await;
    assert!(refused.is_err(), "one at a time");
    heir.stop().await;
    scene.step((0, Step::Alone)).await;
    scene.all_hear(3).await;
    scene.call(2).await;
    scene.succeed().await;
    scene.all_hear(3).await;
    assert_eq!(scene.wrong().await, (0, 0));
}

#[tokio::test]
async fn one_whose_heir_is_gone_serves_again_with_all_that_are_older() {
    let mut scene = Scene::new();
    scene.call(3).await;
    scene.succeed().await;
    scene.call(3).await;
    scene.succeed().await;
    scene.all_hear(3).await;
    // The newest has no calls, so that none of them ends with it.
    scene.end(2).await;
    scene.step((1, Step::Alone)).await;
    scene.all_hear(3).await;
    scene.call(2).await;
    scene.all_hear(3).await;
    assert_eq!(scene.begun().await, [3, 5]);
    assert_eq!(scene.wrong().await.1, 0, "calls ended");
}

#[tokio::test]
async fn words_reach_whom_they_are_meant_for() {
    let mut scene = Scene::new();
    for _ in 0..2 {
        scene.succeed().await;
    }
    let say = |to: To, word: &'static [u8]| {
        move |_: &mut Endpoint, echo: &mut Echo, _: Instant| echo.to_say.push((to, word.to_vec()))
    };
    scene.echo(0).with(say(To::Newest, b"a")).await.expect("it runs");
    scene.echo(1).with(say(To::Newest, b"b")).await.expect("it runs");
    scene.echo(2).with(say(To::AllOlder, b"c")).await.expect("it runs");
    scene.echo(2).with(say(To::Older(Generation(1)), b"d")).await.expect("it runs");
    let (first, second) = (Some(Generation(0)), Some(Generation(1)));
    let expected: [&[(Option<Generation>, &[u8])]; 3] =
        [&[(None, b"c")], &[(None, b"c"), (None, b"d")], &[(first, b"a"), (second, b"b")]];
    for (n, expected) in expected.into_iter().enumerate() {
        let expected: Vec<(Option<Generation>, Vec<u8>)> =
            expected.iter().map(|(from, word)| (*from, word.to_vec())).collect();
        let begun = std::time::Instant::now();
        loop {
            let look = |_: &mut Endpoint, echo: &mut Echo, _| echo.words.clone();
            let mut words = scene.echo(n).with(look).await.expect("it runs");
            words.sort();
            if words == expected {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{n}: {words:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
