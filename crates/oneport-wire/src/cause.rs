//! Cause codes: why a call ended (RFC 5456 §8.6.21; values of ITU-T Q.850).

use core::fmt;

/// A cause code. Any value can come; those with a name are constants here.
///
/// ```
/// use oneport_wire::CauseCode;
///
/// assert_eq!(CauseCode(17), CauseCode::USER_BUSY);
/// assert_eq!(CauseCode(17).to_string(), "user busy (17)");
/// assert_eq!(CauseCode(200).to_string(), "unknown cause (200)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CauseCode(pub u8);

impl CauseCode {
    /// 0: none.
    pub const NONE: Self = Self(0);
    /// 1: unallocated number.
    pub const UNALLOCATED: Self = Self(1);
    /// 2: no route to transit network.
    pub const NO_ROUTE_TRANSIT: Self = Self(2);
    /// 3: no route to destination.
    pub const NO_ROUTE: Self = Self(3);
    /// 5: misdialled trunk prefix.
    pub const MISDIALLED_PREFIX: Self = Self(5);
    /// 6: channel unacceptable.
    pub const CHANNEL_UNACCEPTABLE: Self = Self(6);
    /// 7: call awarded and delivered.
    pub const AWARDED: Self = Self(7);
    /// 8: pre-empted.
    pub const PREEMPTED: Self = Self(8);
    /// 14: number ported away.
    pub const PORTED: Self = Self(14);
    /// 16: normal clearing.
    pub const NORMAL_CLEARING: Self = Self(16);
    /// 17: user busy.
    pub const USER_BUSY: Self = Self(17);
    /// 18: no user response.
    pub const NO_USER_RESPONSE: Self = Self(18);
    /// 19: no answer.
    pub const NO_ANSWER: Self = Self(19);
    /// 20: subscriber absent.
    pub const SUBSCRIBER_ABSENT: Self = Self(20);
    /// 21: call rejected.
    pub const REJECTED: Self = Self(21);
    /// 22: number changed.
    pub const NUMBER_CHANGED: Self = Self(22);
    /// 23: redirected to new destination.
    pub const REDIRECTED: Self = Self(23);
    /// 25: exchange routing error, such as a call that runs in a circle.
    pub const ROUTING_ERROR: Self = Self(25);
    /// 26: answered elsewhere.
    pub const ANSWERED_ELSEWHERE: Self = Self(26);
    /// 27: destination out of order.
    pub const DESTINATION_OUT_OF_ORDER: Self = Self(27);
    /// 28: invalid number format.
    pub const INVALID_NUMBER: Self = Self(28);
    /// 29: facility rejected.
    pub const FACILITY_REJECTED: Self = Self(29);
    /// 30: response to status enquiry.
    pub const STATUS_RESPONSE: Self = Self(30);
    /// 31: normal, unspecified.
    pub const NORMAL_UNSPECIFIED: Self = Self(31);
    /// 34: no circuit available.
    pub const CIRCUIT_CONGESTION: Self = Self(34);
    /// 38: network out of order.
    pub const NETWORK_OUT_OF_ORDER: Self = Self(38);
    /// 41: temporary failure.
    pub const TEMPORARY_FAILURE: Self = Self(41);
    /// 42: switch congestion.
    pub const SWITCH_CONGESTION: Self = Self(42);
    /// 43: access information discarded.
    pub const ACCESS_INFORMATION_DISCARDED: Self = Self(43);
    /// 44: requested channel not available.
    pub const CHANNEL_UNAVAILABLE: Self = Self(44);
    /// 45: pre-empted by precedence.
    pub const PRECEDENCE_BLOCKED: Self = Self(45);
    /// 47: resource unavailable.
    pub const RESOURCE_UNAVAILABLE: Self = Self(47);
    /// 50: facility not subscribed.
    pub const FACILITY_NOT_SUBSCRIBED: Self = Self(50);
    /// 52: outgoing calls barred.
    pub const OUTGOING_BARRED: Self = Self(52);
    /// 54: incoming calls barred.
    pub const INCOMING_BARRED: Self = Self(54);
    /// 55: incoming calls barred within the closed user group.
    pub const INCOMING_BARRED_IN_GROUP: Self = Self(55);
    /// 57: bearer capability not authorised.
    pub const BEARER_NOT_AUTHORISED: Self = Self(57);
    /// 58: bearer capability not available.
    pub const BEARER_NOT_AVAILABLE: Self = Self(58);
    /// 63: service not available.
    pub const SERVICE_UNAVAILABLE: Self = Self(63);
    /// 65: bearer capability not implemented.
    pub const BEARER_NOT_IMPLEMENTED: Self = Self(65);
    /// 66: channel type not implemented.
    pub const CHANNEL_NOT_IMPLEMENTED: Self = Self(66);
    /// 69: facility not implemented.
    pub const FACILITY_NOT_IMPLEMENTED: Self = Self(69);
    /// 70: only restricted digital bearer available.
    pub const RESTRICTED_DIGITAL_ONLY: Self = Self(70);
    /// 79: service not implemented.
    pub const SERVICE_NOT_IMPLEMENTED: Self = Self(79);
    /// 81: invalid call reference.
    pub const INVALID_CALL_REFERENCE: Self = Self(81);
    /// 82: identified channel does not exist.
    pub const CHANNEL_DOES_NOT_EXIST: Self = Self(82);
    /// 83: suspended call exists, but not this one.
    pub const SUSPENDED_CALL_OTHER: Self = Self(83);
    /// 84: call identity in use.
    pub const CALL_IDENTITY_IN_USE: Self = Self(84);
    /// 85: no call suspended.
    pub const NO_CALL_SUSPENDED: Self = Self(85);
    /// 86: call with this identity was cleared.
    pub const CALL_CLEARED: Self = Self(86);
    /// 87: not a member of the closed user group.
    pub const NOT_IN_GROUP: Self = Self(87);
    /// 88: incompatible destination.
    pub const INCOMPATIBLE_DESTINATION: Self = Self(88);
    /// 91: invalid transit network.
    pub const INVALID_TRANSIT_NETWORK: Self = Self(91);
    /// 95: invalid message.
    pub const INVALID_MESSAGE: Self = Self(95);
    /// 96: mandatory element missing.
    pub const MANDATORY_ELEMENT_MISSING: Self = Self(96);
    /// 97: message type does not exist.
    pub const MESSAGE_TYPE_NONEXISTENT: Self = Self(97);
    /// 98: message does not fit the state.
    pub const WRONG_MESSAGE: Self = Self(98);
    /// 99: element does not exist.
    pub const ELEMENT_NONEXISTENT: Self = Self(99);
    /// 100: invalid element contents.
    pub const INVALID_ELEMENT_CONTENTS: Self = Self(100);
    /// 101: wrong call state.
    pub const WRONG_CALL_STATE: Self = Self(101);
    /// 102: recovery on timer expiry.
    pub const TIMER_EXPIRY: Self = Self(102);
    /// 103: element length error.
    pub const ELEMENT_LENGTH_ERROR: Self = Self(103);
    /// 111: protocol error.
    pub const PROTOCOL_ERROR: Self = Self(111);
    /// 127: interworking.
    pub const INTERWORKING: Self = Self(127);

    /// Its meaning in words, or `unknown cause`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "none",
            1 => "unallocated number",
            2 => "no route to transit network",
            3 => "no route to destination",
            5 => "misdialled trunk prefix",
            6 => "channel unacceptable",
            7 => "call awarded and delivered",
            8 => "pre-empted",
            14 => "number ported away",
            16 => "normal clearing",
            17 => "user busy",
            18 => "no user response",
            19 => "no answer",
            20 => "subscriber absent",
            21 => "call rejected",
            22 => "number changed",
            23 => "redirected to new destination",
            25 => "exchange routing error",
            26 => "answered elsewhere",
            27 => "destination out of order",
            28 => "invalid number format",
            29 => "facility rejected",
            30 => "response to status enquiry",
            31 => "normal, unspecified",
            34 => "no circuit available",
            38 => "network out of order",
            41 => "temporary failure",
            42 => "switch congestion",
            43 => "access information discarded",
            44 => "requested channel not available",
            45 => "pre-empted by precedence",
            47 => "resource unavailable",
            50 => "facility not subscribed",
            52 => "outgoing calls barred",
            54 => "incoming calls barred",
            55 => "incoming calls barred in the closed user group",
            57 => "bearer capability not authorised",
            58 => "bearer capability not available",
            63 => "service not available",
            65 => "bearer capability not implemented",
            66 => "channel type not implemented",
            69 => "facility not implemented",
            70 => "only restricted digital bearer available",
            79 => "service not implemented",
            81 => "invalid call reference",
            82 => "identified channel does not exist",
            83 => "suspended call exists, but not this one",
            84 => "call identity in use",
            85 => "no call suspended",
            86 => "call with this identity was cleared",
            87 => "not in the closed user group",
            88 => "incompatible destination",
            91 => "invalid transit network",
            95 => "invalid message",
            96 => "mandatory element missing",
            97 => "message type does not exist",
            98 => "message does not fit the state",
            99 => "element does not exist",
            100 => "invalid element contents",
            101 => "wrong call state",
            102 => "recovery on timer expiry",
            103 => "element length error",
            111 => "protocol error",
            127 => "interworking",
            _ => "unknown cause",
        }
    }
}

/// Its meaning and its number, such as `user busy (17)`.
impl fmt::Display for CauseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl fmt::Debug for CauseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
