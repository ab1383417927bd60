//! Joins keys, calls, the registration, sound and the screen, and decides nothing itself.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oneport::{CallId, IncomingCall, MessageCount, Phone, Registration, RegistrationEvent, Target};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time;

use super::Habits;
use super::line::{self, Order, Told, Wires};
use super::screen;
use super::sound::Sound;
use super::state::{Alert, Command, Happened, LineId, OnLine, Standing, State};
use super::voice::{self, Speaker, ToVoice};
use crate::exit::{Failure, failed};
use crate::register::describe;
use crate::terminal::{self, Key, Terminal};

/// How often the screen is drawn where no key asks for it.
const PERIOD: Duration = Duration::from_millis(100);
/// How long the other sides may take to hear that it is over.
const PATIENCE: Duration = Duration::from_secs(3);

/// A line's task, and its call once there is one.
struct Running {
    orders: UnboundedSender<Order>,
    call: Option<CallId>,
}

struct Desk {
    phone: Arc<Phone>,
    habits: Arc<Habits>,
    speaker: Speaker,
    tell: UnboundedSender<Told>,
    lines: HashMap<LineId, Running>,
    /// Who has us registered; calls go there.
    registrar: Option<SocketAddr>,
}

/// Runs a phone until its user goes.
pub(super) async fn run(
    phone: Phone,
    habits: Habits,
    register: bool,
    open: impl FnOnce() -> (Box<dyn Sound>, String) + Send + 'static,
) -> Result<(), Failure> {
    let account = match &habits.account {
        Some(account) => {
            let (number, user, context) = (None, None, None);
            let place = Target { number, user, context, ..account.target.clone() }.to_string();
            let place = place.strip_prefix("iax:").unwrap_or(&place);
            format!("{}@{place}", account.config.username)
        }
        None => {
            let addresses = phone.local_addresses().iter();
            addresses.map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }
    };
    let mut registration = match habits.account.as_ref().filter(|_| register) {
        Some(account) => Some(phone.register(account.config.clone()).await.map_err(failed)?),
        None => None,
    };
    let standing = if register { Standing::Registering } else { Standing::Unasked };
    let mut state = State::new(account, standing);
    let (tell, mut told) = unbounded_channel();
    let of_sound = tell.clone();
    let (speaker, sound) = voice::begin(habits.country, open, move |sentence| {
        let _ = of_sound.send(Told::Happened(Happened::Sound(sentence)));
    })
    .map_err(failed)?;
    let mut desk = Desk {
        phone: Arc::new(phone),
        habits: Arc::new(habits),
        speaker,
        tell,
        lines: HashMap::new(),
        registrar: None,
    };
    let mut terminal = Terminal::take()?;
    let ended = desk.work(&mut state, &mut registration, &mut told, &mut terminal).await;
    drop(terminal);
    desk.leave(registration, &mut told).await;
    sound.join();
    ended
}

async fn next_of(registration: &mut Option<Registration>) -> RegistrationEvent {
    let event = match registration {
        Some(registration) => registration.next_event().await,
        None => None,
    };
    match event {
        Some(event) => event,
        None => std::future::pending().await,
    }
}

impl Desk {
    async fn work(
        &mut self,
        state: &mut State,
        registration: &mut Option<Registration>,
        told: &mut UnboundedReceiver<Told>,
        terminal: &mut Terminal,
    ) -> Result<(), Failure> {
        let (pressed, mut keys) = unbounded_channel();
        terminal::read_keys(pressed)?;
        let (began, look) = (Instant::now(), terminal::look());
        let mut clock = time::interval(PERIOD);
        clock.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let signal = terminal::asked_to_go();
        tokio::pin!(signal);
        let phone = Arc::clone(&self.phone);
        loop {
            let commands = tokio::select! {
                key = keys.recv() => state.key(key.unwrap_or(Key::Interrupt)),
                Some(told) = told.recv() => match told {
                    Told::Placed(line, call) => {
                        if let Some(running) = self.lines.get_mut(&line) {
                            running.call = Some(call);
                        }
                        continue;
                    }
                    Told::Happened(event) => {
                        if let Happened::Line(id, OnLine::Ended { .. }) = &event {
                            self.lines.remove(id);
                        }
                        state.happened(event)
                    }
                },
                event = next_of(registration) => {
                    match &event {
                        RegistrationEvent::Registered { registrar, .. } => {
                            self.registrar = Some(*registrar);
                        }
                        RegistrationEvent::Failed { .. } => self.registrar = None,
                        _ => {}
                    }
                    let events = standing(event, state.now).into_iter().flatten();
                    events.flat_map(|event| state.happened(event)).collect()
                }
                incoming = phone.incoming() => match incoming {
                    Some(incoming) => self.offered(incoming, state),
                    None => return Err(failed("the phone has stopped")),
                },
                () = &mut signal => return Ok(()),
                _ = clock.tick() => {
                    let (microphone, heard) = self.speaker.gauges.levels();
                    let mut commands = state.happened(Happened::Levels { microphone, heard });
                    commands.extend(state.tick(began.elapsed()));
                    commands
                }
            };
            for command in commands {
                match command {
                    Command::Quit => return Ok(()),
                    Command::Bell => terminal.bell(),
                    command => self.perform(command),
                }
            }
            // What waits is drawn at once.
            if keys.is_empty() && told.is_empty() {
                terminal.draw(|frame| screen::draw(frame, state, look))?;
            }
        }
    }

    fn offered(&mut self, incoming: IncomingCall, state: &mut State) -> Vec<Command> {
        let offer = incoming.offer();
        let number = offer.calling_number.clone().filter(|number| !number.is_empty());
        let number = number.unwrap_or_else(|| offer.path.remote.to_string());
        let name = offer.calling_name.clone();
        let line = state.new_line();
        let wires = self.wires(line);
        tokio::spawn(line::take(incoming, wires));
        state.happened(Happened::Offered { line, number, name })
    }

    fn wires(&mut self, id: LineId) -> Wires {
        let (orders, receiver) = unbounded_channel();
        self.lines.insert(id, Running { orders, call: None });
        let (tell, speaker) = (self.tell.clone(), self.speaker.clone());
        Wires { id, orders: receiver, tell, speaker }
    }

    fn order(&self, line: LineId, order: Order) {
        if let Some(running) = self.lines.get(&line) {
            // Its task has ended, and its end is on its way here.
            let _ = running.orders.send(order);
        }
    }

    fn perform(&mut self, command: Command) {
        match command {
            Command::Dial { line, number } => {
                let wires = self.wires(line);
                let (phone, habits) = (Arc::clone(&self.phone), Arc::clone(&self.habits));
                tokio::spawn(line::dial(phone, habits, (number, self.registrar), wires));
            }
            Command::Answer(line) => self.order(line, Order::Answer),
            Command::Reject(line) => self.order(line, Order::Reject),
            Command::HangUp(line) => self.order(line, Order::HangUp),
            Command::Hold(line) => self.order(line, Order::Hold),
            Command::Resume(line) => self.order(line, Order::Resume),
            Command::Transfer { line, number } => self.order(line, Order::Transfer(number)),
            Command::Press { line, digit } => self.order(line, Order::Press(digit)),
            Command::Connect(here, held) => self.connect(here, held),
            Command::Talk(line) => self.speaker.tell(ToVoice::Talk(line)),
            Command::Mute(muted) => self.speaker.tell(ToVoice::Mute(muted)),
            Command::Volume(db) => self.speaker.tell(ToVoice::Volume(db)),
            Command::Alert(alert) => self.speaker.tell(ToVoice::Alert(alert)),
            // The loop does these itself.
            Command::Bell | Command::Quit => {}
        }
    }

    /// Connects two parties, of whom one is on hold.
    fn connect(&self, here: LineId, held: LineId) {
        let call = |line| self.lines.get(&line).and_then(|running: &Running| running.call);
        let (Some(a), Some(b)) = (call(here), call(held)) else { return };
        let held_orders = self.lines.get(&held).map(|running| running.orders.clone());
        let (phone, tell) = (Arc::clone(&self.phone), self.tell.clone());
        tokio::spawn(async move {
            let connected = phone.connect(a, b).await;
            if let (Ok(()), Some(orders)) = (&connected, held_orders) {
                let _ = orders.send(Order::Resume);
            }
            let event = match connected {
                Ok(()) => OnLine::Connected(held),
                Err(error) => OnLine::Refused(format!("they cannot be connected: {error}")),
            };
            let _ = tell.send(Told::Happened(Happened::Line(here, event)));
        });
    }

    /// Hangs up everything, and waits until the other sides know.
    async fn leave(self, registration: Option<Registration>, told: &mut UnboundedReceiver<Told>) {
        let Self { phone, lines, speaker, tell, .. } = self;
        speaker.tell(ToVoice::Alert(Alert::Nothing));
        drop((speaker, tell));
        for running in lines.values() {
            let _ = running.orders.send(Order::HangUp);
        }
        let over = async {
            if let Some(registration) = registration {
                registration.unregister().await;
            }
            // Each line holds an end of this.
            while told.recv().await.is_some() {}
            if let Some(phone) = Arc::into_inner(phone) {
                phone.stop().await;
            }
        };
        // Whoever does not answer now is not waited for.
        let _ = time::timeout(PATIENCE, over).await;
    }
}

/// What an event of the registration says: of it, and of messages.
fn standing(event: RegistrationEvent, now: Duration) -> [Option<Happened>; 2] {
    // 255 of both: there are some.
    let new = |count: MessageCount| (count.new != u8::MAX).then_some(count.new);
    match event {
        RegistrationEvent::Registered { refresh, messages, .. } => [
            Some(Happened::Standing(Standing::Registered { refresh })),
            messages.map(|count| Happened::Messages(new(count))),
        ],
        RegistrationEvent::Failed { failure, retry_in, .. } => {
            let why = describe(&failure).1;
            [Some(Happened::Standing(Standing::Failed { why, retry_at: now + retry_in })), None]
        }
        RegistrationEvent::MessagesWaiting { count, .. } => {
            [None, Some(Happened::Messages(count.and_then(new)))]
        }
        _ => [None, None],
    }
}
