//! The thread of a driver. Mostly it has one endpoint; another driver's may live there too, which saves both
//! the kernel and each other's wake-ups where they talk with one another.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use oneport_proto::Lateness;
use smallvec::SmallVec;

use super::crossing::Crossing;
use super::gathering::Gathering;
use crate::socket::{self, ReceiveBuffers, Watched};
use crate::waker::{WakeUps, Waker};
use crate::workload::{WorkMeter, Workload};

/// While there are calls the thread sleeps no longer than this, so that it sees how late the system wakes
/// it: twenty looks a second show a tenth of a second surely, and half of what takes 25 ms.
const GLANCE: Duration = Duration::from_millis(50);

/// How often endpoints may answer each other before the sockets get their turn.
const CROSSINGS: usize = 16;

/// What all endpoints of a thread use.
pub(super) struct Common {
    pub(super) crossing: Crossing,
    pub(super) work: WorkMeter,
    pub(super) received: ReceiveBuffers,
    pub(super) gathering: Gathering,
    /// Whose turn it is.
    pub(super) place: usize,
}

/// An endpoint with all that is its own.
pub(super) trait Resident {
    /// It has moved in.
    fn begin(&mut self, common: &mut Common);

    /// Takes what has come, does what is due and sends; `ready`: what its application watches can be read.
    /// `true`: there is more.
    fn work(&mut self, common: &mut Common, ready: bool) -> bool;

    /// Takes what others of this thread have sent.
    fn receive_crossed(&mut self, common: &mut Common);

    /// Whether it has stopped.
    fn has_stopped(&self) -> bool;

    /// How long nothing is to be done, unless something arrives.
    fn until_next_timeout(&self) -> Duration;

    /// Whether somebody listens, who hears it when the thread is late.
    fn is_busy(&self) -> bool;

    /// What it waits for.
    fn watched(&mut self) -> Watched<'_>;

    /// The thread came so much later than it was wanted.
    fn report_lateness(&mut self, late: Duration);

    /// How busy the thread was.
    fn handle_workload(&mut self, workload: &Workload);
}

/// Makes an endpoint on the thread where it lives.
pub(super) type Builder = Box<dyn FnOnce() -> Box<dyn Resident> + Send>;

/// How a thread waits for what arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// So long it looks without a rest before it sleeps, while there are calls.
    pub(super) busy_poll: Duration,
    /// So long datagrams that come fast may gather.
    pub(super) gather: Duration,
}

/// The thread of a driver, where another one may live too: see
/// [`Driver::start_beside`](super::Driver::start_beside).
///
/// ```no_run
/// use oneport::{Application, Driver, DriverConfig, StartError};
///
/// # fn example<A: Application, B: Application>(one: &Driver<A>, other: B) -> Result<(), StartError> {
/// let listen = vec![([127, 0, 0, 1], 0).into()];
/// let config = DriverConfig { listen, ..DriverConfig::default() };
/// // What the two send each other is not seen by the kernel.
/// let beside = Driver::start_beside(&one.host(), config, other)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Host {
    newcomers: Sender<Builder>,
    pub(super) waker: Waker,
}

impl Host {
    /// A thread with this endpoint, which takes and waits for what arrives as `pace` says.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(first: Builder, pace: Pace) -> io::Result<Self> {
        let (waker, wake_ups) = crate::waker::pair()?;
        let (newcomers, arrivals) = mpsc::channel();
        let builder = thread::Builder::new().name("oneport".into());
        builder.spawn(move || run(first(), &arrivals, &wake_ups, pace))?;
        Ok(Self { newcomers, waker })
    }

    /// Another endpoint moves in. Where the thread has ended, so has it.
    pub(super) fn move_in(&self, newcomer: Builder) {
        let _ = self.newcomers.send(newcomer);
        self.waker.wake();
    }
}

fn run(first: Box<dyn Resident>, arrivals: &Receiver<Builder>, wake_ups: &WakeUps, pace: Pace) {
    // Who looks without a rest wants no delay.
    let gather = if pace.busy_poll.is_zero() { pace.gather } else { Duration::ZERO };
    let mut common = Common {
        crossing: Crossing::default(),
        work: WorkMeter::start(),
        received: ReceiveBuffers::new(),
        gathering: Gathering::new(gather, Instant::now()),
        place: 0,
    };
    let mut residents: SmallVec<[Box<dyn Resident>; 2]> = SmallVec::new();
    let mut ready: SmallVec<[bool; 2]> = SmallVec::new();
    residents.push(first);
    residents[0].begin(&mut common);
    let mut woke = Instant::now();
    loop {
        while let Ok(newcomer) = arrivals.try_recv() {
            let mut newcomer = newcomer();
            newcomer.begin(&mut common);
            residents.push(newcomer);
        }
        // Who has just moved in has waited for nothing yet.
        ready.resize(residents.len(), true);
        let mut more = false;
        for (place, (resident, ready)) in residents.iter_mut().zip(&ready).enumerate() {
            common.place = place;
            more |= resident.work(&mut common, *ready);
        }
        for _ in 0..CROSSINGS {
            if common.crossing.is_empty() {
                break;
            }
            for (place, resident) in residents.iter_mut().enumerate() {
                common.place = place;
                resident.receive_crossed(&mut common);
            }
        }
        more |= !common.crossing.is_empty();
        for place in (0..residents.len()).rev() {
            if residents[place].has_stopped() {
                residents.remove(place);
                common.crossing.move_out(place);
            }
        }
        if residents.is_empty() {
            return;
        }
        let next = residents.iter().map(|resident| resident.until_next_timeout()).min();
        let mut wait = if more { Duration::ZERO } else { next.unwrap_or_default() };
        let mut sleepless = Duration::ZERO;
        if residents.iter().any(|resident| resident.is_busy()) {
            wait = wait.min(GLANCE);
            sleepless = pace.busy_poll;
        }
        // Others have waited while it worked.
        let slept = Instant::now();
        note_lateness(&mut residents, &mut common, slept - woke);
        let mut rest = common.gathering.rest(slept);
        // What is overdue is so although it had its time: there is more work than time.
        if wait.is_zero() {
            rest = Duration::ZERO;
        }
        if !rest.is_zero() {
            socket::rest(wake_ups, rest);
            wait = wait.saturating_sub(rest);
        }
        let watched: SmallVec<[Watched<'_>; 2]> =
            residents.iter_mut().map(|resident| resident.watched()).collect();
        let looked;
        (ready, looked) = socket::wait(watched, wake_ups, wait, sleepless);
        common.work.note_no_work(looked);
        woke = Instant::now();
        common.gathering.take(woke);
        note_lateness(&mut residents, &mut common, (woke - slept).saturating_sub(rest + wait));
        if let Some(workload) = common.work.sample(woke) {
            for resident in &mut residents {
                resident.handle_workload(&workload);
            }
        }
    }
}

/// The thread came so much later than it was wanted.
fn note_lateness(residents: &mut [Box<dyn Resident>], common: &mut Common, late: Duration) {
    common.work.note_lateness(late);
    if late >= Lateness::LEAST {
        for resident in residents {
            resident.report_lateness(late);
        }
    }
}
