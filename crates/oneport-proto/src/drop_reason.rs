//! Nothing is dropped without a name and a count.

use core::fmt;

macro_rules! counted {
    ($(#[$enum_doc:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$enum_doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Name for metrics: lower case, words joined by underscores.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

counted! {
    /// Why a received datagram, or one entry of a trunk frame, was dropped.
    DropReason {
        /// Not an IAX2 frame: too short, or a header that lies.
        Malformed => "malformed",
        /// An information element runs past the end of its frame.
        MalformedElements => "malformed_elements",
        /// A full frame for a call that is not, or no longer, here.
        UnknownCall => "unknown_call",
        /// A mini frame or trunk entry for a call that is not here.
        UnknownMediaCall => "unknown_media_call",
        /// A full frame whose call numbers do not belong together.
        WrongCallNumber => "wrong_call_number",
        /// Seen before.
        Duplicate => "duplicate",
        /// Something before it is missing; it was asked for.
        OutOfOrder => "out_of_order",
        /// Does not belong into the call's present phase.
        Unexpected => "unexpected",
        /// A call token that is forged, too old or for another address.
        BadCallToken => "bad_call_token",
        /// Needs a call token; one was offered.
        CallTokenSent => "call_token_sent",
        /// Came without a call token though its address or name needs one.
        CallTokenMissing => "call_token_missing",
        /// An IAX version that is not known.
        UnknownVersion => "unknown_version",
        /// Over the limit of calls.
        TooManyCalls => "too_many_calls",
        /// Over the limit of calls for this address.
        TooManyCallsForAddress => "too_many_calls_for_address",
        /// A request that lacks what it must have, such as a registration without a user name.
        Incomplete => "incomplete",
        /// Voice or video before the call was accepted, or after it ended.
        MediaTooEarly => "media_too_early",
        /// Voice or video in a format not known, or before any frame named one.
        UnknownFormat => "unknown_format",
        /// A transfer that is not allowed, or not the one under way.
        TransferRefused => "transfer_refused",
        /// On an encrypted call, and no key of it fits.
        DecryptionFailed => "decryption_failed",
        /// In the clear, on a call that must be encrypted.
        NotEncrypted => "not_encrypted",
        /// Video in a format that this call does not carry: none, unless it was offered and allowed.
        Video => "video",
        /// The linked call was not ready or carries another format.
        LinkNotReady => "link_not_ready",
        /// No room to send it on.
        TransmitBufferFull => "transmit_buffer_full",
        /// The application does not fetch its events.
        EventQueueFull => "event_queue_full",
    }
}

/// Counts of an endpoint since its start.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    drops: [u64; DropReason::ALL.len()],
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Frames of voice and video relayed between linked calls.
    pub relayed: u64,
    /// Reliable frames sent again.
    pub retransmissions: u64,
    /// VNAKs sent.
    pub vnaks_sent: u64,
    /// Call tokens handed out.
    pub call_tokens_sent: u64,
    /// Calls whose peer has changed its address.
    pub calls_moved: u64,
    /// Trunk frames sent.
    pub trunk_frames_sent: u64,
    /// Keys of encrypted calls changed by us.
    pub key_changes: u64,
    /// Proofs of identity that failed.
    pub authentication_failures: u64,
}

impl Counters {
    pub(crate) fn drop(&mut self, reason: DropReason) {
        if let Some(count) = self.drops.get_mut(reason as usize) {
            *count += 1;
        }
    }

    /// How often `reason` occurred.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).copied().unwrap_or_default()
    }

    /// Every reason with its count.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().copied().zip(self.drops.iter().copied())
    }
}
