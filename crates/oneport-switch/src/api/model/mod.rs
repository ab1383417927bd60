//! What the API shows. Durations are seconds or milliseconds, as their names say; what is not known
//! is null.

mod calls;
mod capacity;
mod carriers;
mod conferences;
mod ladder;
mod legs;
mod limits;
mod overview;
mod parking;
mod peers;
mod radio;
mod registrations;
mod routes;
mod switches;
mod system;
mod table;

pub use calls::{
    CallState, CallView, Calls, Originate, RecordingView, Side, TranscodedView, Transfer,
};
pub use capacity::{CapacityView, ForecastView, PeerCapacityView, ThreadView};
pub use carriers::{CarrierView, CarriersView};
pub use conferences::{ConferenceView, ConferencesView, MemberView};
pub use ladder::{Ladder, LadderMessage};
pub use legs::{Heard, HeardThere, LegTimeline, LegView, Legs, OneWayView, PartView, TimelineView};
pub use limits::{LimitView, LimitsView, SharedView, User};
pub use overview::{History, MosClass, Overview, ProcessView, SocketView, StateCount};
pub use parking::{ParkedView, ParkingView};
pub use peers::{PeerInFull, PeerState, PeerView, Peers, PollView};
pub use radio::{RadioLinkView, RadioNodeView, RadioView};
pub use registrations::{RegisteredHere, RegisteredThere, RegistrationState, Registrations};
pub use routes::{DecisionView, RouteView, RoutesView, Step};
pub use switches::{SwitchState, SwitchView, SwitchesView};
pub use system::{DrainState, DrainView, Health, OlderView, Reloaded, Status, UpgradeView};
pub use table::{CallRow, CallRows, CallSort, LegRow};
