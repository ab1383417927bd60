//! One call.

use std::time::Duration;

use oneport_media::Codec;
use oneport_proto::{
    CallEnd, CallId, CallStats, Challenge, CommandError, DtmfPhase, Offer, Progress,
};
use oneport_wire::{CauseCode, ConnectedLine, Control, Format};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time;

use crate::audio::{AudioReader, AudioWriter, QUEUE};
use crate::driver::{Driver, Stopped};
use crate::phone::Lines;
use crate::video::{self, VideoReader, VideoWriter};

/// How long a key is held down, and the pause behind it.
const KEY_DOWN: Duration = Duration::from_millis(100);
const KEY_UP: Duration = Duration::from_millis(100);

/// What happens in a call.
///
/// ```no_run
/// # async fn example(mut call: oneport::Call) {
/// use oneport::{CallEvent, DtmfPhase};
///
/// while let Some(event) = call.next_event().await {
///     match event {
///         CallEvent::Answered => println!("somebody answers"),
///         CallEvent::Dtmf { digit, phase: DtmfPhase::Begin } => println!("{}", char::from(digit)),
///         CallEvent::Text(text) => println!("{text}"),
///         CallEvent::Ended(end) => println!("it is over: {}", end.cause),
///         _ => {}
///     }
/// }
/// # }
/// ```
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum CallEvent {
    /// The caller of an incoming call proved who it is.
    Authenticated,
    /// The other side accepted: media may flow, though nobody has answered yet.
    Accepted(Format),
    /// It goes on, short of an answer.
    Progress(Progress),
    /// Somebody answered.
    Answered,
    /// A digit.
    Dtmf {
        /// ASCII `0`-`9`, `A`-`D`, `*`, `#`.
        digit: u8,
        /// Pressed or released.
        phase: DtmfPhase,
    },
    /// Text.
    Text(String),
    /// The radio at the other side has keyed up: it sends. The data may name the tone (CTCSS) that
    /// opened its receiver; mostly it is empty.
    Keyed(Vec<u8>),
    /// The radio at the other side has unkeyed.
    Unkeyed,
    /// The party that we are connected to now, as after a transfer.
    ConnectedLine {
        /// Its number.
        number: Option<String>,
        /// Its name.
        name: Option<String>,
    },
    /// The call was redirected on its way.
    Redirecting {
        /// Number of the party that redirected it.
        from: Option<String>,
        /// Number of the party to which it goes.
        to: Option<String>,
        /// How often it was.
        count: Option<u32>,
    },
    /// Hold, flash and the like.
    Control {
        /// Which.
        control: Control,
        /// Its data.
        payload: Vec<u8>,
    },
    /// The other side wants us to go on with another number: a blind transfer. Call it, or not.
    TransferRequested {
        /// The number.
        number: String,
        /// The context in which it shall be looked up.
        context: Option<String>,
    },
    /// It goes on straight with the far end of a transfer, at this address.
    Transferred(std::net::SocketAddr),
    /// It is over. The last event.
    Ended(Box<CallEnd>),
}

/// A call could not be placed or changed.
///
/// ```no_run
/// # async fn example(mut call: oneport::Call) {
/// use oneport::{CallError, CauseCode};
///
/// match call.answered().await {
///     Ok(format) => println!("answered, in {format}"),
///     Err(CallError::Ended(end)) if end.cause == CauseCode::USER_BUSY => println!("busy"),
///     Err(other) => println!("{other}"),
/// }
/// # }
/// ```
#[derive(Clone, PartialEq, Debug, Error)]
pub enum CallError {
    /// The engine refuses.
    #[error(transparent)]
    Refused(#[from] CommandError),
    /// The phone has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// It ended.
    #[error("the call ended: {} ({:?})", .0.cause, .0.reason)]
    Ended(Box<CallEnd>),
    /// No codec of ours speaks the format agreed upon.
    #[error("no codec here speaks {0}")]
    NoCodec(Format),
}

/// A call. Dropping it hangs up.
///
/// ```no_run
/// # async fn example(mut call: oneport::Call) -> Result<(), Box<dyn std::error::Error>> {
/// use oneport::{CauseCode, media};
///
/// call.answered().await?;
/// let (_, speaker) = call.audio().await?;
/// speaker.play(&media::wav::read("hello.wav".as_ref(), speaker.sample_rate())?).await;
/// call.send_dtmf("1#").await?;
/// call.hangup(CauseCode::NORMAL_CLEARING);
/// let end = call.ended().await?;
/// println!("{} frames heard, {} lost", end.stats.received.frames, end.stats.received.lost);
/// # Ok(())
/// # }
/// ```
pub struct Call {
    driver: Driver<Lines>,
    id: CallId,
    events: mpsc::Receiver<CallEvent>,
    format: Option<Format>,
    ended: bool,
}

impl Call {
    pub(crate) fn new(
        driver: Driver<Lines>,
        id: CallId,
        events: mpsc::Receiver<CallEvent>,
        format: Option<Format>,
    ) -> Self {
        Self { driver, id, events, format, ended: false }
    }

    /// Its handle in the engine.
    #[must_use]
    pub const fn id(&self) -> CallId {
        self.id
    }

    /// The format agreed upon, once there is one.
    #[must_use]
    pub const fn format(&self) -> Option<Format> {
        self.format
    }

    /// The next event; `None` behind the last.
    pub async fn next_event(&mut self) -> Option<CallEvent> {
        let event = self.events.recv().await?;
        match &event {
            CallEvent::Accepted(format) => self.format = Some(*format),
            CallEvent::Ended(_) => self.ended = true,
            _ => {}
        }
        Some(event)
    }

    /// Waits until somebody answers; other events before that are dropped.
    ///
    /// # Errors
    /// The call ended, or the phone stopped.
    pub async fn answered(&mut self) -> Result<Format, CallError> {
        loop {
            match self.next_event().await {
                Some(CallEvent::Answered) => return self.format.ok_or_else(|| Stopped.into()),
                Some(CallEvent::Ended(end)) => return Err(CallError::Ended(end)),
                Some(_) => {}
                None => return Err(Stopped.into()),
            }
        }
    }

    /// Waits until the call is over; other events before that are dropped.
    ///
    /// # Errors
    /// The phone stopped.
    pub async fn ended(&mut self) -> Result<CallEnd, Stopped> {
        loop {
            match self.next_event().await {
                Some(CallEvent::Ended(end)) => return Ok(*end),
                Some(_) => {}
                None => return Err(Stopped),
            }
        }
    }

    /// Audio in both directions, in an accepted call. What comes from now on is heard, what came
    /// before is gone; asking again ends the reader from before.
    ///
    /// # Errors
    /// The call is not accepted, or speaks a format for which there is no codec; or the phone
    /// stopped.
    pub async fn audio(&self) -> Result<(AudioReader, AudioWriter), CallError> {
        let writer = self.speaker()?;
        let (sender, frames) = mpsc::channel(QUEUE);
        let id = self.id;
        self.driver.with(move |_, lines, _| lines.listen(id, sender)).await?;
        Ok((AudioReader::new(frames), writer))
    }

    /// Audio towards the other side only.
    ///
    /// # Errors
    /// As [`audio`](Self::audio).
    pub fn speaker(&self) -> Result<AudioWriter, CallError> {
        let format = self.format.ok_or(CommandError::WrongPhase)?;
        let codec = Codec::for_format(format).ok_or(CallError::NoCodec(format))?;
        Ok(AudioWriter::new(self.driver.clone(), self.id, codec))
    }

    /// Video in both directions, in an accepted call that carries some. What comes from now on is
    /// seen, what came before is gone; asking again ends the reader from before.
    ///
    /// # Errors
    /// The phone stopped.
    pub async fn video(&self) -> Result<(VideoReader, VideoWriter), Stopped> {
        let (sender, frames) = mpsc::channel(video::QUEUE);
        let id = self.id;
        self.driver.with(move |_, lines, _| lines.watch(id, sender)).await?;
        Ok((VideoReader::new(frames), VideoWriter::new(self.driver.clone(), id)))
    }

    /// Keys that can be pressed while events are waited for.
    #[must_use]
    pub fn keypad(&self) -> Keypad {
        Keypad { driver: self.driver.clone(), call: self.id }
    }

    /// Sends the other side's voice back to it.
    ///
    /// # Errors
    /// The call is not accepted, or over.
    pub async fn echo(&self) -> Result<(), CallError> {
        let id = self.id;
        Ok(self.driver.with(move |endpoint, _, _| endpoint.link(id, id)).await??)
    }

    /// Hangs up. The last event follows at once.
    pub fn hangup(&self, cause: CauseCode) {
        let id = self.id;
        self.driver.post(move |endpoint, _, now| {
            // It may have ended by itself.
            let _ = endpoint.hangup(now, id, cause, None);
        });
    }

    /// Asks the other side to connect its party to another number: a blind transfer. It hangs up
    /// when that is done.
    ///
    /// # Errors
    /// The call has ended or is not accepted.
    pub async fn transfer(&self, number: impl Into<String>) -> Result<(), CallError> {
        let (id, number) = (self.id, number.into());
        let transfer = self
            .driver
            .with(move |endpoint, _, now| endpoint.blind_transfer(now, id, &number, None));
        Ok(transfer.await??)
    }

    /// Presses keys, as [`Keypad::press`].
    ///
    /// # Errors
    /// As there.
    pub async fn send_dtmf(&self, digits: &str) -> Result<(), CallError> {
        self.keypad().press(digits).await
    }

    /// Sends text.
    ///
    /// # Errors
    /// It is too long, or the call is not accepted or over.
    pub async fn send_text(&self, text: impl Into<String>) -> Result<(), CallError> {
        let (id, text) = (self.id, text.into());
        Ok(self.driver.with(move |endpoint, _, now| endpoint.send_text(now, id, &text)).await??)
    }

    /// Sends a control frame, such as flash.
    ///
    /// # Errors
    /// The call is not accepted or over.
    pub async fn send_control(&self, control: Control) -> Result<(), CallError> {
        self.control(control, Vec::new()).await
    }

    async fn control(&self, control: Control, payload: Vec<u8>) -> Result<(), CallError> {
        let id = self.id;
        let send = self
            .driver
            .with(move |endpoint, _, now| endpoint.send_control(now, id, control, &payload));
        Ok(send.await??)
    }

    /// Tells the other side whom it is connected to now.
    ///
    /// # Errors
    /// The call is not accepted or over.
    pub async fn connected_line(&self, number: &str, name: &str) -> Result<(), CallError> {
        let (number, name) = (Some(number.into()), Some(name.into()));
        let line = ConnectedLine { number, name, ..ConnectedLine::default() };
        self.control(Control::ConnectedLine, line.to_bytes()).await
    }

    /// Puts the other side on hold, with music of a class, if one is named.
    ///
    /// # Errors
    /// The call is not accepted or over.
    pub async fn hold(&self, music: Option<&str>) -> Result<(), CallError> {
        self.control(Control::Hold, music.unwrap_or_default().into()).await
    }

    /// Ends that.
    ///
    /// # Errors
    /// The call is not accepted or over.
    pub async fn unhold(&self) -> Result<(), CallError> {
        self.control(Control::Unhold, Vec::new()).await
    }

    /// Keys up the radio at the other side: what we say is sent by it. The data may name a tone
    /// (CTCSS); mostly it is empty.
    ///
    /// # Errors
    /// The call is not accepted or over.
    pub async fn key(&self, data: &[u8]) -> Result<(), CallError> {
        let (id, data) = (self.id, data.to_vec());
        Ok(self.driver.with(move |endpoint, _, now| endpoint.key(now, id, &data)).await??)
    }

    /// Unkeys it.
    ///
    /// # Errors
    /// The call is not accepted or over.
    pub async fn unkey(&self) -> Result<(), CallError> {
        let id = self.id;
        Ok(self.driver.with(move |endpoint, _, now| endpoint.unkey(now, id)).await??)
    }

    /// Its figures up to now; `None` when it is over (then they are in its last event).
    pub async fn stats(&self) -> Option<CallStats> {
        let id = self.id;
        self.driver.with(move |endpoint, _, _| endpoint.call_stats(id)).await.ok().flatten()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let id = self.id;
        self.driver.post(move |endpoint, lines, now| {
            let _ = endpoint.hangup(now, id, CauseCode::NORMAL_CLEARING, None);
            lines.forget_call(id);
        });
    }
}

/// The keys of a call.
///
/// ```no_run
/// # async fn example(mut call: oneport::Call) -> Result<(), oneport::CallError> {
/// // Keys are pressed while the answer to them is waited for.
/// let keypad = call.keypad();
/// let (pressed, event) = tokio::join!(keypad.press("4711#"), call.next_event());
/// pressed?;
/// println!("{event:?}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Keypad {
    driver: Driver<Lines>,
    call: CallId,
}

impl Keypad {
    /// Presses keys one after the other: 0-9, A-D, * and #, each held for 100 ms.
    ///
    /// # Errors
    /// No such key, or the call is not accepted or over.
    pub async fn press(&self, digits: &str) -> Result<(), CallError> {
        let id = self.call;
        for digit in digits.bytes() {
            self.driver.with(move |endpoint, _, now| endpoint.dtmf_begin(now, id, digit)).await??;
            time::sleep(KEY_DOWN).await;
            self.driver.with(move |endpoint, _, now| endpoint.dtmf_end(now, id, digit)).await??;
            time::sleep(KEY_UP).await;
        }
        Ok(())
    }
}

/// A call offered to us. Dropping it rejects.
///
/// ```no_run
/// # async fn example(phone: oneport::Phone) -> Result<(), oneport::CallError> {
/// use oneport::{CauseCode, Challenge, Secret};
///
/// while let Some(mut call) = phone.incoming().await {
///     if call.offer().called_number != "600" {
///         call.reject(CauseCode::UNALLOCATED);
///         continue;
///     }
///     call.authenticate(Challenge::md5("site", Secret::from("correct horse"))).await?;
///     call.ring().await?;
///     let call = call.answer().await?;
///     call.echo().await?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct IncomingCall {
    call: Call,
    offer: Box<Offer>,
    format: Format,
    accepted: bool,
}

impl IncomingCall {
    pub(crate) fn new(call: Call, offer: Box<Offer>, format: Format) -> Self {
        Self { call, offer, format, accepted: false }
    }

    /// Who calls whom.
    #[must_use]
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Asks the caller for a proof, and waits for it.
    ///
    /// # Errors
    /// It did not prove anything, or the call ended otherwise.
    pub async fn authenticate(&mut self, challenge: Challenge) -> Result<(), CallError> {
        let id = self.call.id;
        let driver = &self.call.driver;
        driver.with(move |endpoint, _, now| endpoint.challenge_call(now, id, challenge)).await??;
        loop {
            match self.call.next_event().await {
                Some(CallEvent::Authenticated) => return Ok(()),
                Some(CallEvent::Ended(end)) => return Err(CallError::Ended(end)),
                Some(_) => {}
                None => return Err(Stopped.into()),
            }
        }
    }

    async fn accept(&mut self) -> Result<(), CallError> {
        if !self.accepted {
            let (id, format) = (self.call.id, self.format);
            let driver = &self.call.driver;
            driver.with(move |endpoint, _, now| endpoint.accept(now, id, format)).await??;
            self.accepted = true;
            self.call.format = Some(format);
        }
        Ok(())
    }

    /// Accepts it and rings.
    ///
    /// # Errors
    /// The caller has gone.
    pub async fn ring(&mut self) -> Result<(), CallError> {
        self.accept().await?;
        let id = self.call.id;
        let driver = &self.call.driver;
        Ok(driver.with(move |endpoint, _, now| endpoint.ringing(now, id)).await??)
    }

    /// Its handle in the engine.
    #[must_use]
    pub const fn id(&self) -> CallId {
        self.call.id
    }

    /// Waits until the caller gives up, while it is neither answered nor rejected.
    ///
    /// # Errors
    /// The phone stopped.
    pub async fn given_up(&mut self) -> Result<CallEnd, Stopped> {
        self.call.ended().await
    }

    /// Accepts it, if that was not done by [`ring`](Self::ring), and answers.
    ///
    /// # Errors
    /// The caller has gone.
    pub async fn answer(mut self) -> Result<Call, CallError> {
        self.accept().await?;
        let id = self.call.id;
        let driver = &self.call.driver;
        driver.with(move |endpoint, _, now| endpoint.answer(now, id)).await??;
        Ok(self.call)
    }

    /// Rejects it, or hangs up where it rang.
    pub fn reject(self, cause: CauseCode) {
        self.call.hangup(cause);
    }
}
