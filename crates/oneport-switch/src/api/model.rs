//! What the API shows. Durations are seconds or milliseconds, as their names say; what is not known
//! is null.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Declares types that travel as JSON.
macro_rules! model {
    ($($(#[$meta:meta])* $kind:ident $name:ident $body:tt)*) => {
        $(
            #[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
            $(#[$meta])*
            pub $kind $name $body
        )*
    };
}

model! {
    /// What is known of a peer by polls.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    enum PeerState {
        /// It is not polled.
        Unmonitored,
        /// It has not been asked yet, or nobody knows where it is.
        Unknown,
        /// It answers in time.
        Ok,
        /// It answers too late for calls.
        Lagged,
        /// It does not answer.
        Unreachable,
    }

    /// A peer as it is configured, and as it is now.
    struct PeerView {
        /// Its name.
        pub name: String,
        /// What polls say of it.
        pub state: PeerState,
        /// Round trip of the last poll.
        pub latency_ms: Option<f64>,
        /// Where it is: its configured address, or that from which it has registered.
        pub address: Option<String>,
        /// Whether it says by registering where it is.
        pub registers: bool,
        /// Until its registration is forgotten.
        pub expires_seconds: Option<u64>,
        /// The name under which we call it.
        pub username: Option<String>,
        /// Whether voice to it goes in trunk frames.
        pub trunk: bool,
        /// `off`, `allowed` or `required`.
        pub encryption: String,
        /// Whose order of codecs counts.
        pub codec_priority: String,
        /// What it may speak, best first.
        pub codecs: Vec<String>,
        /// Where the numbers that it calls are looked up.
        pub contexts: Vec<String>,
        /// How it may prove who it is.
        pub auth: Vec<String>,
        /// Whether it may come from some networks only.
        pub restricted: bool,
        /// Legs of calls that came from it.
        pub calls_in: usize,
        /// Legs of calls that went to it.
        pub calls_out: usize,
        /// The limits on it by name.
        pub limits: Vec<String>,
    }

    /// A poll of a peer.
    struct PollView {
        /// Since it ended.
        pub seconds_ago: f64,
        /// Until the answer came; null where none did.
        pub round_trip_ms: Option<f64>,
    }

    /// A peer, and how fast it has answered of late.
    struct PeerInFull {
        /// As in the list.
        pub peer: PeerView,
        /// Its last polls, oldest first: 180 at most.
        pub polls: Vec<PollView>,
    }

    /// Peers in the order of their names.
    struct Peers {
        /// Some of them.
        pub peers: Vec<PeerView>,
        /// How many there are in all.
        pub total: usize,
        /// Where the next page begins: the value for `after`.
        pub next: Option<String>,
    }

    /// A peer that has registered here.
    struct RegisteredHere {
        /// Its name.
        pub name: String,
        /// From where.
        pub address: String,
        /// Until it is forgotten, unless it comes again.
        pub expires_seconds: u64,
    }

    /// A SIP carrier as it is configured, and as it is now.
    struct CarrierView {
        /// Its name, without the `carrier:` by which it is a peer.
        pub name: String,
        /// Whether it answers OPTIONS.
        pub state: PeerState,
        /// Since when it is so.
        pub since_seconds: u64,
        /// How fast it answered the last time.
        pub latency_ms: Option<f64>,
        /// Its host, as it is configured.
        pub host: String,
        /// Where it is, that which answers first.
        pub addresses: Vec<String>,
        /// `udp`, `tcp` or `tls`.
        pub transport: String,
        /// Why no call can go there, if none can.
        pub down: Option<String>,
        /// How our registration stands there, if there is one.
        pub registration: Option<RegistrationState>,
        /// For how long it is granted.
        pub registered_seconds: Option<u64>,
        /// Why it failed.
        pub registration_failure: Option<String>,
        /// Calls from it that are up, those that are not answered among them.
        pub calls_in: usize,
        /// Calls to it that are up.
        pub calls_out: usize,
        /// Calls that were turned away because there were too many, since the start.
        pub turned_away: u64,
        /// What it may speak, best first.
        pub codecs: Vec<String>,
    }

    /// Carriers in the order of their names.
    struct CarriersView {
        /// All of them.
        pub carriers: Vec<CarrierView>,
    }

    /// Whether a switch with the same database is there.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    enum SwitchState {
        /// It gives signs of life.
        Alive,
        /// It gave none for too long.
        Dead,
        /// It has said goodbye.
        Left,
        /// It is this one, and the database does not answer.
        CutOff,
    }

    /// A switch among those with the same database.
    struct SwitchView {
        /// Its name.
        pub name: String,
        /// Whether it is the one that answers.
        pub here: bool,
        /// Whether it is there.
        pub state: SwitchState,
        /// Where its IAX2 port is reached.
        pub address: String,
        /// The version of oneport that it runs.
        pub version: String,
        /// Which run of it; later ones are greater. Null while the database has not seen it.
        pub incarnation: Option<i64>,
        /// The version of the shared configuration that it runs; null: none.
        #[serde(default)]
        pub configuration: Option<i64>,
    }

    /// The switches with the same database.
    struct SwitchesView {
        /// This one first, then the others by their names; none where `[cluster]` is missing.
        pub switches: Vec<SwitchView>,
        /// Peers that are registered at others, and called through them.
        pub registered_elsewhere: usize,
        /// Why this one knows nothing new of the others; null while the database answers.
        pub cut_off: Option<String>,
        /// Since when that is so.
        pub cut_off_seconds: Option<u64>,
        /// The newest version of the shared configuration that this one has heard of; null: there is none.
        #[serde(default)]
        pub configuration: Option<i64>,
        /// Why this one does not run it.
        #[serde(default)]
        pub configuration_refused: Option<String>,
    }

    /// How a registration of ours stands.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    enum RegistrationState {
        /// The registrar has not answered yet.
        Trying,
        /// It has us.
        Registered,
        /// It has refused, or does not answer.
        Failed,
    }

    /// A registration of ours elsewhere.
    struct RegisteredThere {
        /// The registrar.
        pub registrar: String,
        /// The name it knows us by.
        pub username: String,
        /// How it stands.
        pub state: RegistrationState,
        /// For how long it was granted, or is asked for.
        pub refresh_seconds: u64,
        /// Where the registrar sees us.
        pub apparent_address: Option<String>,
        /// Why it failed.
        pub failure: Option<String>,
    }

    /// Registrations both ways.
    struct Registrations {
        /// Peers registered here, by name; a page of them.
        pub here: Vec<RegisteredHere>,
        /// Where we register; all of it.
        pub elsewhere: Vec<RegisteredThere>,
        /// How many are registered here in all.
        pub total: usize,
        /// Where the next page begins: the value for `after`.
        pub next: Option<String>,
    }

    /// How far a call is.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    enum CallState {
        /// The caller must prove who it is.
        Identifying,
        /// It dials digit by digit.
        Dialling,
        /// Somebody is being looked for who takes it.
        Calling,
        /// It rings there.
        Ringing,
        /// It was answered.
        Answered,
        /// It waits in the parking lot.
        Parked,
    }

    /// What was heard on one leg.
    struct Heard {
        /// Frames that came in time.
        pub frames: u64,
        /// Frames that did not.
        pub lost: u64,
        /// Frames too late for any jitter buffer; they are among the lost.
        pub late: u64,
        /// Frames older than one before them.
        pub out_of_order: u64,
        /// Frames that had come before.
        pub duplicates: u64,
        /// Interarrival jitter (RFC 3550).
        pub jitter_ms: f64,
        /// Half of the frames came later than this behind the fastest ones.
        pub late_p50_ms: f64,
        /// One frame of twenty came later than this.
        pub late_p95_ms: f64,
        /// One frame of a hundred came later than this.
        pub late_p99_ms: f64,
        /// The latest.
        pub late_max_ms: f64,
        /// How late the newest came: a queue that fills shows here first.
        pub late_now_ms: f64,
        /// Bursts of loss (RFC 3611).
        pub bursts: u64,
        /// How long a burst is, on average.
        pub burst_ms: f64,
        /// How long a gap between bursts is, on average.
        pub gap_ms: f64,
        /// Frames lost of those in bursts, per cent.
        pub burst_loss_percent: f64,
        /// Frames lost of those in gaps, per cent.
        pub gap_loss_percent: f64,
        /// How much longer runs of loss are than at random; 1: they are not.
        pub burst_ratio: f64,
        /// By how many millionths the other side's clock is faster than ours; null before a minute of
        /// voice shows it.
        pub clock_ppm: Option<i32>,
        /// The rating R of the E-model (ITU-T G.107), 0 to 93.2; null before anything was heard.
        pub rating: Option<f64>,
        /// The mean opinion score, 1 to 4.41.
        pub mos: Option<f64>,
    }

    /// What the other side says it heard.
    struct HeardThere {
        /// Frames received.
        pub frames: u32,
        /// Frames lost.
        pub lost: u32,
        /// The same, per cent.
        pub lost_percent: u8,
        /// Frames that came too late.
        pub dropped: u32,
        /// Frames out of order.
        pub out_of_order: u32,
        /// Jitter.
        pub jitter_ms: u64,
        /// Delay of its jitter buffer.
        pub delay_ms: u64,
        /// The rating R of the E-model by these figures; null where they cannot be.
        pub rating: Option<f64>,
        /// The mean opinion score.
        pub mos: Option<f64>,
    }

    /// One leg of a call: one IAX2 call between this switch and somebody.
    struct LegView {
        /// The call it belongs to.
        pub call: String,
        /// Its name as Asterisk would write it: `IAX2/PEER-NUMBER`.
        pub channel: String,
        /// Whether it came in or went out.
        pub incoming: bool,
        /// The peer; null for a guest.
        pub peer: Option<String>,
        /// Where the other side is.
        pub address: String,
        /// Our call number.
        pub our_number: Option<u16>,
        /// Theirs.
        pub their_number: Option<u16>,
        /// The codec.
        pub codec: Option<String>,
        /// Whether its frames are encrypted.
        pub encrypted: bool,
        /// Since it began.
        pub seconds: f64,
        /// Round trip, smoothed.
        pub rtt_ms: Option<f64>,
        /// Round trip of the last LAGRQ.
        pub lag_ms: Option<f64>,
        /// The shortest of them.
        pub lag_least_ms: Option<f64>,
        /// The longest of them.
        pub lag_greatest_ms: Option<f64>,
        /// How much longer than the fastest the other side's last poll took to us.
        pub lag_here_ms: Option<f64>,
        /// The same of our last poll to it, as far as round trips tell.
        pub lag_there_ms: Option<f64>,
        /// What we heard.
        pub heard: Heard,
        /// What the other side says it heard; null where it says nothing.
        pub heard_there: Option<HeardThere>,
        /// Why it is choppy: names of causes, as docs/choppy.md lists them; empty where it is not.
        pub causes: Vec<String>,
        /// The same as a sentence, with the figures that show it.
        pub diagnosis: Option<String>,
        /// What mends it.
        pub remedies: Vec<String>,
        /// Who is not heard, and why; null where both sides are.
        #[serde(default)]
        pub one_way: Option<OneWayView>,
        /// Voice frames sent.
        pub sent_frames: u64,
        /// Reliable frames sent again.
        pub retransmissions: u64,
        /// Number of the next full frame that we send.
        pub sent_sequence: u8,
        /// Number of the next that we expect.
        pub received_sequence: u8,
        /// The first IAX message, such as `Rx:NEW`.
        pub first_message: String,
        /// The last so far.
        pub last_message: String,
    }

    /// How a leg has sounded for a part of its life, at worst; null: not known, or nothing was heard.
    struct PartView {
        /// Since the part ended.
        pub seconds_ago: f64,
        /// Frames lost on their way here.
        pub lost_percent: Option<f64>,
        /// Interarrival jitter (RFC 3550).
        pub jitter_ms: Option<f64>,
        /// How late frames came behind the fastest.
        pub late_ms: Option<f64>,
        /// Round trip.
        pub round_trip_ms: Option<f64>,
        /// Frames lost on their way there, as the other side says.
        pub lost_percent_there: Option<f64>,
        /// Jitter there.
        pub jitter_ms_there: Option<f64>,
        /// Delay of the jitter buffer there.
        pub buffer_ms_there: Option<f64>,
    }

    /// How a leg has sounded since its beginning.
    struct LegTimeline {
        /// The leg, as in the call.
        pub channel: String,
        /// Oldest first: of ten seconds each, and of twice as long whenever there would be more than 24.
        pub parts: Vec<PartView>,
    }

    /// How a call has sounded since its beginning.
    struct TimelineView {
        /// Its id.
        pub call: String,
        /// Its legs, that of the caller first.
        pub legs: Vec<LegTimeline>,
    }

    /// Voice flows one way only on a leg, or not at all.
    struct OneWayView {
        /// Who is not heard: `peer`, `other` (whoever it speaks with) or `both`.
        pub unheard: String,
        /// The name of the likeliest reason, as docs/media.md lists them.
        pub reason: String,
        /// The same as a sentence.
        pub why: String,
        /// Since that is known.
        pub seconds: f64,
    }

    /// Legs in the order in which they began.
    struct Legs {
        /// Some of them.
        pub legs: Vec<LegView>,
        /// How many there are in all.
        pub total: usize,
        /// Where the next page begins: the value for `after`.
        pub next: Option<String>,
    }

    /// The recording of a call.
    struct RecordingView {
        /// A WAV file with two channels: left the caller, right who was called.
        pub file: String,
        /// Since it began.
        pub seconds: f64,
        /// Frames that are missing since the disk did not keep up.
        pub frames_left_out: u64,
        /// Whether the file could not be written.
        pub failed: bool,
    }

    /// A call through the switch: its caller, and whoever is called for it.
    struct CallView {
        /// Its name in all of the API, the log and the records.
        pub id: String,
        /// The number of the process that has it, where that is an older one than serves now.
        #[serde(default)]
        pub process: Option<u32>,
        /// How far it is.
        pub state: CallState,
        /// The number called.
        pub number: String,
        /// The caller's number.
        pub calling_number: Option<String>,
        /// The route that leads it; null where none does.
        pub route: Option<String>,
        /// Where it leads: `builtin:NAME`, `peer:NAME`; null while that is open.
        pub destination: Option<String>,
        /// Since it began.
        pub seconds: f64,
        /// Its recording, while it is recorded.
        pub recording: Option<RecordingView>,
        /// Whose tokens are used to listen to it now.
        #[serde(default)]
        pub listeners: Vec<String>,
        /// The codecs of its two ends, where they differ and its voice is transcoded.
        #[serde(default)]
        pub transcoded: Option<TranscodedView>,
        /// The leg of the caller.
        pub caller: LegView,
        /// Legs to those who are called; several while they ring at once.
        pub called: Vec<LegView>,
    }

    /// Between which codecs a call is transcoded.
    #[derive(Eq)]
    struct TranscodedView {
        /// What the caller speaks and hears.
        pub caller: String,
        /// What who was called speaks and hears.
        pub called: String,
    }

    /// Calls in the order in which they began.
    struct Calls {
        /// Some of them.
        pub calls: Vec<CallView>,
        /// How many fit the filter in all.
        pub total: usize,
        /// Where the next page begins: the value for `after`.
        pub next: Option<String>,
    }

    /// One of the two sides of a call.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    enum Side {
        /// Who has placed it.
        Caller,
        /// Who was called.
        Called,
    }

    /// Where one side of a call shall go.
    struct Transfer {
        /// The number, as the other side may call it.
        pub to: String,
        /// The context in which it is looked up; null: that of the other side.
        #[serde(default)]
        pub context: Option<String>,
        /// Who is led on; the other side is hung up.
        pub party: Side,
    }

    /// A call to be placed: somebody is rung, and led on when it answers.
    struct Originate {
        /// Who is rung first: `peer:NAME` or `peer:NAME/NUMBER`.
        pub ring: String,
        /// Where it is led then: a number, looked up as if the peer had called it, or a destination:
        /// `peer:NAME/NUMBER`, `builtin:NAME`.
        pub to: String,
        /// The context in which the number is looked up; null: those of the peer.
        #[serde(default)]
        pub context: Option<String>,
        /// The caller's number that both are shown. Null: who is rung sees `to`, and who is called
        /// then sees the number of the first as its peer may say it.
        #[serde(default)]
        pub calling_number: Option<String>,
        /// The caller's name that both are shown.
        #[serde(default)]
        pub calling_name: Option<String>,
        /// How long the first may ring: 30 s where it is not said, 600 at most.
        #[serde(default)]
        #[schema(minimum = 1, maximum = 600)]
        pub timeout_seconds: Option<u64>,
    }

    /// A route, and why it is or is not the one.
    struct Step {
        /// Its name.
        pub route: String,
        /// Whether it is the one.
        pub chosen: bool,
        /// Why, or why not.
        pub why: String,
    }

    /// Where a number leads.
    struct DecisionView {
        /// The number.
        pub number: String,
        /// Each route in the order written.
        pub steps: Vec<Step>,
        /// Destinations in the order in which they are tried.
        pub targets: Vec<String>,
        /// How they are used, or why there are none.
        pub summary: String,
    }

    /// What a table of calls is sorted by.
    #[derive(Copy, Eq, Default)]
    #[serde(rename_all = "snake_case")]
    enum CallSort {
        /// How long they have been up.
        #[default]
        Age,
        /// Who calls.
        From,
        /// The number called.
        Number,
        /// Where they lead.
        To,
        /// How far they are.
        State,
        /// The worst mean opinion score of their legs.
        Mos,
        /// The greatest loss on their legs.
        Loss,
    }

    /// One leg in a row of a table.
    struct LegRow {
        /// The peer; for a guest its address.
        pub who: String,
        /// The codec.
        pub codec: Option<String>,
        /// Whether its frames are encrypted.
        pub encrypted: bool,
        /// The mean opinion score of what is heard here of it.
        pub mos_here: Option<f64>,
        /// The same of what it hears, as it says.
        pub mos_there: Option<f64>,
        /// Frames lost on the way from it.
        pub loss_percent: Option<f64>,
        /// Frames lost on the way to it, as it says.
        pub loss_percent_there: Option<u8>,
        /// The greater of both for each part of its timeline, oldest first; null where nothing was heard.
        #[serde(default)]
        pub losses: Vec<Option<f64>>,
        /// Interarrival jitter of what comes from it (RFC 3550).
        pub jitter_ms: f64,
        /// Round trip, smoothed.
        pub rtt_ms: Option<f64>,
        /// What ails it, as a sentence: one-way voice, or why it is choppy.
        pub trouble: Option<String>,
    }

    /// A call in a row of a table.
    struct CallRow {
        /// Its id.
        pub id: String,
        /// The number of the process that has it, where that is an older one than serves now.
        #[serde(default)]
        pub process: Option<u32>,
        /// How far it is.
        pub state: CallState,
        /// The caller's number.
        pub calling_number: Option<String>,
        /// The number called.
        pub number: String,
        /// Where it leads; null while that is open.
        pub destination: Option<String>,
        /// Since it began.
        pub seconds: f64,
        /// Whether it is recorded.
        pub recorded: bool,
        /// Whether somebody listens.
        pub listened: bool,
        /// Whether its ends speak different codecs.
        pub transcoded: bool,
        /// The leg of the caller.
        pub caller: LegRow,
        /// Legs to those who are called.
        pub called: Vec<LegRow>,
    }

    /// A part of a table of calls.
    struct CallRows {
        /// In the order that was asked for.
        pub rows: Vec<CallRow>,
        /// How many fit in all.
        pub total: usize,
        /// How many are up.
        pub up: usize,
    }

    /// A message of a call.
    struct LadderMessage {
        /// When it passed, from the beginning of the call.
        pub ms: f64,
        /// The place of its leg.
        pub leg: usize,
        /// Whether it came to the switch.
        pub incoming: bool,
        /// What it says in a few words, such as `NEW 600`.
        pub message: String,
        /// Whether its sender had sent it before.
        pub repeated: bool,
        /// All that it says, in one line.
        pub text: String,
    }

    /// The messages by which a call came about.
    struct Ladder {
        /// Its legs in the order in which they began, the caller's first.
        pub legs: Vec<String>,
        /// The oldest first.
        pub messages: Vec<LadderMessage>,
    }

    /// How many calls are so far.
    #[derive(Copy, Eq)]
    struct StateCount {
        /// How far.
        pub state: CallState,
        /// How many.
        pub calls: usize,
    }

    /// Calls whose worst leg has a mean opinion score of this and less than that of the class before.
    #[derive(Copy)]
    struct MosClass {
        /// The lower bound of the score.
        pub at_least: f64,
        /// How many.
        pub calls: usize,
    }

    /// The last hour, oldest first.
    struct History {
        /// How long a point is.
        pub seconds: usize,
        /// The most calls at once.
        pub calls: Vec<usize>,
        /// Calls that have begun.
        pub begun: Vec<u64>,
        /// Calls that were refused.
        pub refused: Vec<u64>,
    }

    /// How the process does.
    struct ProcessView {
        /// CPU of the last seconds, of one core.
        pub cpu_percent: f64,
        /// Cores that it may use.
        pub cores: usize,
        /// The most memory that it has had.
        pub memory_peak_bytes: u64,
        /// The longest that the switch took to answer in the last seconds.
        pub lag_ms: f64,
    }

    /// How its sockets do.
    struct SocketView {
        /// Datagrams that came, of the last seconds.
        pub datagrams_per_second: f64,
        /// Datagrams that the kernel dropped as the socket's buffer was full, since the start.
        pub overflowed: u64,
        /// Frames dropped for any reason, since the start.
        pub dropped: u64,
        /// Reliable frames sent again, since the start.
        pub retransmissions: u64,
    }

    /// How the switch does.
    struct Overview {
        /// Calls that are up.
        pub calls: usize,
        /// Legs of calls.
        pub legs: usize,
        /// How far they are.
        pub states: Vec<StateCount>,
        /// Calls begun, of the last seconds.
        pub begun_per_second: f64,
        /// Calls refused since the start.
        pub refused: u64,
        /// How calls sound that are up, the best first.
        pub mos: Vec<MosClass>,
        /// Calls of which nothing was heard yet.
        pub unheard: usize,
        /// Legs on which somebody is not heard.
        pub one_way: usize,
        /// The last hour.
        pub history: History,
        /// How the process does.
        pub process: ProcessView,
        /// How its sockets do.
        pub sockets: SocketView,
    }

    /// Who holds places under a limit.
    struct User {
        /// The peer.
        pub name: String,
        /// How many.
        pub calls: usize,
    }

    /// How much of a limit other switches hold.
    struct SharedView {
        /// Slots that are leased to this switch, or that it may use still.
        pub leased: usize,
        /// Slots that the others hold.
        pub elsewhere: usize,
        /// Of these, slots that stay theirs when the database does not hear of them: calls, and a few more.
        pub in_use_elsewhere: usize,
        /// How many there are: the least that any of them is configured with.
        pub max: usize,
        /// How many switches have the limit.
        pub switches: usize,
        /// How long ago the lease was renewed; null: not since the start.
        pub age_seconds: Option<f64>,
    }

    /// A limit and its use.
    struct LimitView {
        /// Its name; the number behind it where each number has a limit of its own.
        pub name: String,
        /// Calls up now.
        pub used: usize,
        /// Whether it only warns.
        pub soft: bool,
        /// How many may be up.
        pub max_calls: Option<usize>,
        /// How many may begin within a second.
        pub max_calls_per_second: Option<usize>,
        /// How many have begun within the last.
        pub begun_within_second: usize,
        /// The most at once since the start.
        pub peak: usize,
        /// Calls refused since the start.
        pub refused: u64,
        /// How long all places were taken.
        pub at_cap_seconds: f64,
        /// The most at once in each of the last minutes, oldest first; a day at most.
        pub history: Vec<usize>,
        /// The ten who hold the most.
        pub top: Vec<User>,
        /// Where several switches keep it together: calls at once.
        #[serde(default)]
        pub shared: Option<SharedView>,
        /// The same of calls within a second.
        #[serde(default)]
        pub shared_rate: Option<SharedView>,
    }

    /// All limits.
    struct LimitsView {
        /// In the order of the configuration; 1,000 at most.
        pub limits: Vec<LimitView>,
    }

    /// How busy a thread is that does media.
    struct ThreadView {
        /// `media`: that of the switch, with signalling of IAX2; `sip`: that of the SIP gateway.
        pub thread: String,
        /// CPU time of the last second, of all of its time; null where the system does not tell.
        pub cpu_percent: Option<f64>,
        /// The most that it came later than it was wanted, in the last quarter of a second.
        pub delay_ms: f64,
    }

    /// How many more calls fit.
    struct ForecastView {
        /// So many.
        pub calls: usize,
        /// Nine times of ten it is no less.
        pub at_least: usize,
        /// Nine times of ten it is no more.
        pub at_most: usize,
        /// What bounds it: `cpu`, `cpu_quota`, `limit`, `max_calls`,
        /// `max_calls_per_address`, `max_transcoded_calls`, `store`, `socket` or `overload`.
        pub bound: String,
        /// All of it in words.
        pub words: String,
    }

    /// How many more calls like those that are up with a peer fit.
    struct PeerCapacityView {
        /// The peer: a trunk, a carrier (`carrier:NAME`), a telephone.
        pub peer: String,
        /// Whether its voice goes in trunk frames.
        pub trunk: bool,
        /// The codec that most legs of its calls speak.
        pub codec: Option<String>,
        /// Its calls that are answered and bridged.
        pub calls: usize,
        /// Those whose ends speak different codecs.
        pub transcoded: usize,
        /// How many more fit.
        pub forecast: Option<ForecastView>,
        /// Why that is not known.
        pub why_not: Option<String>,
    }

    /// How busy the switch is, and how many more calls fit.
    struct CapacityView {
        /// Why new calls are refused.
        pub refusing: Option<String>,
        /// Threads that do media.
        pub threads: Vec<ThreadView>,
        /// CPU time used of the process's CPU quota, where it has one.
        pub cpu_quota_percent: Option<f64>,
        /// The CPU at which new calls are refused.
        pub mark_percent: u32,
        /// Calls that are answered and bridged.
        pub calls: usize,
        /// Those whose ends speak different codecs.
        pub transcoded: usize,
        /// CPU time that one of them takes in each second, as it was fitted to what was measured.
        pub call_cpu_ms: Option<f64>,
        /// The standard error of that.
        pub call_cpu_ms_error: Option<f64>,
        /// How many more of the present mix fit.
        pub forecast: Option<ForecastView>,
        /// Why that is not known.
        pub why_not: Option<String>,
        /// Peers that have such calls, by name.
        pub peers: Vec<PeerCapacityView>,
    }

    /// The state of the switch in a few figures.
    struct Status {
        /// Of the program.
        pub version: String,
        /// Since it started.
        pub uptime_seconds: u64,
        /// UDP addresses it listens on.
        pub listen: Vec<String>,
        /// Calls that are up.
        pub calls: usize,
        /// Legs of calls.
        pub legs: usize,
        /// Older processes of this switch, whose calls are not counted above.
        #[serde(default)]
        pub older: Vec<OlderView>,
        /// The profile of the configuration: `amateur-radio`; null without one.
        #[serde(default)]
        pub profile: Option<String>,
        /// Whether calls are encrypted: `off`, `allowed` (some may be), `required` (all are).
        #[serde(default)]
        pub encryption: String,
        /// Peers configured.
        pub peers: usize,
        /// Those of them that are LAGGED or UNREACHABLE.
        pub peers_unreachable: usize,
        /// Peers registered here.
        pub registered_here: usize,
        /// Registrations of ours.
        pub registrations: usize,
        /// Those of them that stand.
        pub registrations_good: usize,
        /// Limits of which all places are taken.
        pub limits_full: usize,
        /// Whether new calls are taken.
        pub ready: bool,
        /// Why they are not: the switch is drained, or has more to do than can be done in time.
        pub refusing: Option<String>,
        /// What is not as it should be, a sentence each.
        pub troubles: Vec<String>,
    }

    /// A process that has handed the port over to a newer one, and still has calls.
    #[derive(Eq)]
    struct OlderView {
        /// Its place among the processes of the switch since that was started: the first is 0.
        pub generation: u32,
        /// Its number in the system.
        pub pid: u32,
        /// Of the program.
        pub version: String,
        /// Legs of its calls.
        pub legs: usize,
        /// Its calls.
        pub calls: usize,
    }

    /// Another process has taken over.
    struct UpgradeView {
        /// The number in the system of the process that serves now.
        pub pid: u32,
        /// The process that served before, with the calls that stay with it.
        pub older: OlderView,
    }

    /// The process lives, or takes calls.
    struct Health {
        /// `ok`.
        pub status: String,
    }

    /// Whether the switch takes calls.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    enum DrainState {
        /// It does.
        Serving,
        /// It takes no new ones, and waits for those that are up.
        Draining,
        /// It takes no new ones, and none is up.
        Drained,
    }

    /// Whether the switch takes calls, and which are up.
    struct DrainView {
        /// Whether it takes calls.
        pub state: DrainState,
        /// Legs of calls that are up.
        pub legs: usize,
    }

    /// A member of a conference.
    struct MemberView {
        /// Its call.
        pub call: String,
        /// Who it is: a peer's name, or a guest's address.
        pub who: String,
        /// Whether the others do not hear it.
        pub muted: bool,
        /// Since it came in.
        pub seconds: f64,
        /// By how many dB the others hear it louder than it speaks.
        pub gain_db: f32,
        /// Whether it speaks, muted or not.
        pub talks: bool,
        /// Frames of it that were taken.
        pub frames: u64,
        /// Frames that came too late to be heard, or twice.
        pub late: u64,
        /// Audio that was made up in place of what did not come.
        pub concealed_ms: u64,
    }

    /// A conference that somebody is in.
    struct ConferenceView {
        /// Its name.
        pub room: String,
        /// In the order in which they came.
        pub members: Vec<MemberView>,
    }

    /// Conferences in the order of their names.
    struct ConferencesView {
        /// Some of them.
        pub conferences: Vec<ConferenceView>,
        /// How many there are in all.
        pub total: usize,
        /// Where the next page begins: the value for `after`.
        pub next: Option<String>,
    }

    /// A call that waits in the parking lot.
    struct ParkedView {
        /// Its slot.
        pub slot: u32,
        /// Its id.
        pub call: String,
        /// Who waits: a peer's name.
        pub who: String,
        /// Who has parked it, and gets it back; null: it came by itself.
        pub by: Option<String>,
        /// Until it goes back, or is hung up.
        pub seconds_left: Option<f64>,
    }

    /// The parking lot.
    struct ParkingView {
        /// How many calls may wait.
        pub slots: u32,
        /// Those that do, by their slots.
        pub parked: Vec<ParkedView>,
    }

    /// What a reload has changed, or would change.
    struct Reloaded {
        /// Whether it was carried out.
        pub applied: bool,
        /// A line for each change.
        pub changes: Vec<String>,
        /// Calls that go on untouched.
        pub calls: usize,
    }

    /// A radio node (docs/allstarlink.md): at the far end of a call, or one of which such a node tells.
    struct RadioNodeView {
        /// Its number; of one without a number its peer.
        pub node: String,
        /// The id of its call; null where others tell of it.
        pub call: Option<String>,
        /// The peer of its leg; null for a guest, and where others tell of it.
        pub peer: Option<String>,
        /// Whether it is keyed; null where nobody says.
        pub keyed: Option<bool>,
        /// How that is known: `frames` (KEY and UNKEY), `voice` (it sends some), `report` (it has said so in a text).
        pub keyed_by: Option<String>,
        /// How long it has been so; null of a node of this switch that is not keyed.
        pub for_seconds: Option<f64>,
        /// How long it was keyed since its call began.
        pub keyed_seconds: Option<f64>,
        /// How often.
        pub times: Option<u64>,
        /// With how many others it is linked, as it says.
        pub linked: Option<usize>,
        /// The last that it has said to people, in words.
        pub said: Option<String>,
    }

    /// A link of two nodes.
    struct RadioLinkView {
        /// The node that tells of it.
        pub from: String,
        /// The other one. A node tells of those that it reaches through others, too.
        pub to: String,
        /// `transceive`, `monitor` (`to` is heard, and hears nothing), `local_monitor` or `connecting`.
        pub mode: String,
        /// The id of the call that it is; null where a node tells of it.
        pub call: Option<String>,
    }

    /// Which radio nodes are linked with which, and who is keyed.
    struct RadioView {
        /// In the order of their numbers, 1,000 at most and those of calls.
        pub nodes: Vec<RadioNodeView>,
        /// Links, 2,000 at most.
        pub links: Vec<RadioLinkView>,
        /// Nodes of calls that are keyed now.
        pub keyed: usize,
        /// Nodes that are told of, and had no room here or where they are told of.
        pub left_out: usize,
    }
}

impl SwitchState {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Alive, Self::Dead, Self::Left, Self::CutOff];

    /// Its name in answers and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Dead => "dead",
            Self::Left => "left",
            Self::CutOff => "cut_off",
        }
    }
}

impl CallState {
    /// All of them, in the order in which a call goes through them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Identifying,
        Self::Dialling,
        Self::Calling,
        Self::Ringing,
        Self::Answered,
        Self::Parked,
    ];

    /// Its name in answers and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Identifying => "identifying",
            Self::Dialling => "dialling",
            Self::Calling => "calling",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Parked => "parked",
        }
    }
}
