//! What passes between the two legs of a bridged call. Voice is relayed by the engine; signalling
//! goes through here.

use oneport_proto::{
    CallEnd, CallId, CommandError, DropReason, DtmfPhase, EndReason, Endpoint, Instant, Progress,
};
use oneport_wire::{CauseCode, Control};

/// Counts what could not be passed on. A leg that is gone takes the other with it.
pub(crate) fn passed(endpoint: &mut Endpoint, to: CallId, result: Result<(), CommandError>) {
    let reason = match result {
        Ok(()) => return,
        Err(CommandError::UnknownCall) => DropReason::CallEnded,
        Err(CommandError::QueueFull) => DropReason::QueueFull,
        Err(CommandError::WrongPhase) => DropReason::LinkNotReady,
        Err(_) => DropReason::Unexpected,
    };
    let path = endpoint.call_path(to);
    endpoint.report_drops(reason, 1, path, Some(to));
}

/// Passes progress of the called leg on to the caller's. Errors are of no account: a leg that is
/// gone takes the other with it.
pub(crate) fn pass_progress(
    endpoint: &mut Endpoint,
    now: Instant,
    caller: CallId,
    progress: Progress,
) {
    let control = match progress {
        Progress::Proceeding => Control::Proceeding,
        Progress::Ringing => Control::Ringing,
        Progress::EarlyMedia => Control::Progress,
        Progress::StopIndication => Control::StopIndication,
        // A leg that says no is ended: there may be another destination.
        _ => return,
    };
    let _ = endpoint.send_control(now, caller, control, &[]);
}

/// Passes a key on.
pub(crate) fn pass_digit(
    endpoint: &mut Endpoint,
    now: Instant,
    to: CallId,
    digit: u8,
    phase: DtmfPhase,
) {
    let result = match phase {
        DtmfPhase::Begin => endpoint.dtmf_begin(now, to, digit),
        DtmfPhase::End => endpoint.dtmf_end(now, to, digit),
    };
    passed(endpoint, to, result);
}

/// Passes a control frame on if it concerns the other side and not just the link it came over.
pub(crate) fn pass_control(
    endpoint: &mut Endpoint,
    now: Instant,
    to: CallId,
    control: Control,
    payload: &[u8],
) {
    let passes = matches!(
        control,
        Control::Flash | Control::Wink | Control::VideoUpdate | Control::SourceUpdate
    );
    if passes {
        let result = endpoint.send_control(now, to, control, payload);
        passed(endpoint, to, result);
    }
}

/// Whether a destination that ended so is worth being followed by the next: it could not take the
/// call, rather than did not want it.
pub(crate) fn tries_next(end: &CallEnd) -> bool {
    match end.reason {
        EndReason::TimedOut
        | EndReason::Unanswered
        | EndReason::SetupTimedOut
        | EndReason::CannotAuthenticate
        | EndReason::Invalidated
        | EndReason::PeerRestarted => true,
        // We hang up a leg that rings too long, and no other while its caller waits.
        EndReason::LocalHangup => end.cause == CauseCode::NO_ANSWER,
        EndReason::RemoteHangup | EndReason::RemoteReject => could_not_take(end.cause),
        _ => false,
    }
}

/// Whether a destination that ends a call with this cause could not take it, rather than did not want it.
pub(crate) const fn could_not_take(cause: CauseCode) -> bool {
    matches!(
        cause,
        CauseCode::NO_ROUTE_TRANSIT
            | CauseCode::DESTINATION_OUT_OF_ORDER
            | CauseCode::CIRCUIT_CONGESTION
            | CauseCode::NETWORK_OUT_OF_ORDER
            | CauseCode::TEMPORARY_FAILURE
            | CauseCode::SWITCH_CONGESTION
            | CauseCode::CHANNEL_UNAVAILABLE
            | CauseCode::RESOURCE_UNAVAILABLE
            | CauseCode::FACILITY_NOT_SUBSCRIBED
            | CauseCode::SERVICE_UNAVAILABLE
            | CauseCode::TIMER_EXPIRY
    )
}

/// What the caller is told when the called leg ended so.
pub(crate) fn cause_for_caller(end: &CallEnd) -> CauseCode {
    match end.reason {
        EndReason::TimedOut | EndReason::SetupTimedOut => CauseCode::DESTINATION_OUT_OF_ORDER,
        // That our credentials are wrong there is none of the caller's business.
        EndReason::CannotAuthenticate => CauseCode::TEMPORARY_FAILURE,
        _ => end.cause,
    }
}
