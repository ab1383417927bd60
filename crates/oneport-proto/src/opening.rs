//! Frames that open something: NEW, REGREQ, REGREL, POKE, FWDOWNL, PROVISION and MWI with no call number of ours
//! (RFC 5456 §6.1, §6.2, §6.7). Until a request has passed all checks here, nothing is kept of it.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::time::Duration;

use oneport_wire::{
    CallNumber, CauseCode, Element, ElementBuffer, Elements, FullHeader, IaxSubclass, Message,
};

use crate::call::{Call, read_message_count};
use crate::clock::Instant;
use crate::drop_reason::{DropReason, Limit};
use crate::endpoint::{Endpoint, Handled};
use crate::event::Event;
use crate::exchange::Exchange;
use crate::firmware::Wanted;
use crate::id::{CallId, RequestId};
use crate::index::Index;
use crate::offer::{Offer, PROTOCOL_VERSION};
use crate::path::Path;
use crate::provision::Device;
use crate::request::{Register, Request};
use crate::slots::Role;
use crate::token::EntryKind;

/// An opening frame that is not newer than the one that opened a call this young is a late copy of
/// an earlier one, not a restart of the peer.
const COPY_AGE: Duration = Duration::from_secs(10);

/// Bytes of a full frame without its elements.
const FULL_HEADER: usize = 12;

/// What the rules for call tokens make of a request.
enum Admission {
    Validated,
    Unvalidated,
    TokenSent,
    Refused(DropReason),
}

impl Endpoint {
    pub(crate) fn handle_opening(
        &mut self,
        now: Instant,
        from: Path,
        header: &FullHeader,
        message: &Message<'_>,
    ) -> Handled {
        let Message::Iax { subclass, elements } = *message else {
            return Handled::Dropped(DropReason::UnknownCall);
        };
        match subclass {
            IaxSubclass::Poke => {
                // Where it is seen tells it when a NAT has changed its port. It fits into three times
                // the question where that brings an empty CALLTOKEN, as ours and Asterisk's do.
                let mut seen = ElementBuffer::new();
                seen.push(&Element::ApparentAddress(from.remote));
                let question = FULL_HEADER + elements.as_bytes().len();
                if FULL_HEADER + seen.as_elements().as_bytes().len() > 3 * question {
                    seen = ElementBuffer::new();
                }
                self.cx.reply_stateless(from, header, IaxSubclass::Pong, seen.as_elements());
                Handled::Consumed
            }
            IaxSubclass::Mwi => {
                if !self.slots.is_registered_at(now, from.remote) {
                    return Handled::Dropped(DropReason::UnknownCall);
                }
                // Nothing is kept of it, so the number of the acknowledgement is nobody's.
                self.cx.reply_stateless(from, header, IaxSubclass::Ack, Elements::EMPTY);
                let count = read_message_count(elements);
                self.cx.tell_detail(Event::MessagesWaiting { from, count });
                Handled::Consumed
            }
            IaxSubclass::New
            | IaxSubclass::RegReq
            | IaxSubclass::RegRel
            | IaxSubclass::FwDownl
            | IaxSubclass::Provision => {
                let result = self.open(now, from, header, subclass, elements);
                result.map_or_else(Handled::Dropped, |()| Handled::Consumed)
            }
            _ => Handled::Dropped(DropReason::UnknownCall),
        }
    }

    fn open(
        &mut self,
        now: Instant,
        from: Path,
        header: &FullHeader,
        subclass: IaxSubclass,
        elements: Elements<'_>,
    ) -> Result<(), DropReason> {
        if header.source == CallNumber::STATELESS {
            return Err(DropReason::WrongCallNumber);
        }
        let existing = self.cx.index.find_by_theirs(from.remote, header.source);
        let fingerprint = self.cx.index.fingerprint(elements.as_bytes());
        if let Some(existing) = existing {
            self.answer_copy(now, existing, header, fingerprint)?;
        }
        if self.is_retired() && self.cx.config.own_address != Some(from.remote) {
            // What the number meant here is over, and whoever takes what is new may have it.
            if let Some(existing) = existing {
                self.peer_restarted(now, existing);
                self.cx.index.forget_theirs(from.remote, header.source, existing);
            }
            return Err(DropReason::Retired);
        }
        if subclass == IaxSubclass::Provision {
            return self.open_provision(now, from, header, existing, elements);
        }
        if subclass == IaxSubclass::FwDownl {
            self.serves_firmware(from, header)?;
        }
        let username = elements.iter().find_map(|element| match element {
            Element::Username(name) => Some(name.to_string()),
            _ => None,
        });
        let kind = match subclass {
            IaxSubclass::New => EntryKind::User,
            _ => EntryKind::Peer,
        };
        let validated = match self.admit(now, from, header, kind, username.as_deref(), elements) {
            Admission::Validated => true,
            // It amplifies: forty bytes ask for many times as much (AST-2008-011).
            Admission::Unvalidated if subclass == IaxSubclass::FwDownl => {
                let why = (DropReason::CallTokenMissing, None);
                return Err(self.turn_away(now, from, header, subclass, username, why));
            }
            Admission::Unvalidated => false,
            Admission::TokenSent => return Err(DropReason::CallTokenSent),
            Admission::Refused(reason) => {
                return Err(self.turn_away(now, from, header, subclass, username, (reason, None)));
            }
        };
        if let Some((reason, limit)) = self.full_up(from, existing, validated) {
            let why = (reason, Some(limit));
            return Err(self.turn_away(now, from, header, subclass, username, why));
        }
        let opened = match subclass {
            IaxSubclass::New => {
                let (mut offer, version, left_out) = Offer::read(from, elements);
                self.cx.counters.variables_left_out += left_out;
                if version > PROTOCOL_VERSION {
                    let why = (DropReason::UnknownVersion, None);
                    return Err(self.turn_away(now, from, header, subclass, username, why));
                }
                offer.address_validated = validated;
                self.open_call(now, header, existing, offer)
            }
            IaxSubclass::FwDownl => {
                let wanted = Wanted::read(elements);
                let served = wanted.map(|wanted| wanted.is_here(&self.cx.config.firmware));
                let (Some(wanted), Some(true)) = (wanted, served) else {
                    let reason = match served {
                        None => DropReason::Incomplete,
                        Some(_) => DropReason::NoSuchFirmware,
                    };
                    let why = (reason, None);
                    return Err(self.turn_away(now, from, header, subclass, username, why));
                };
                self.open_firmware(now, from, header, existing, wanted)
            }
            _ => {
                let Some(username) = username.clone().filter(|name| !name.is_empty()) else {
                    let why = (DropReason::Incomplete, None);
                    return Err(self.turn_away(now, from, header, subclass, None, why));
                };
                let refresh = elements.iter().find_map(|element| match element {
                    Element::Refresh(seconds) => Some(Duration::from_secs(seconds.into())),
                    _ => None,
                });
                let release = subclass == IaxSubclass::RegRel;
                let address_validated = validated;
                let device = Device::read(elements);
                let register =
                    Register { path: from, username, refresh, release, address_validated, device };
                self.open_request(now, header, existing, register)
            }
        };
        opened.map_err(|limit| {
            let why = (DropReason::TooManyCallsForAddress, Some(limit));
            self.turn_away(now, from, header, subclass, username, why)
        })?;
        let slot = self.cx.index.find_by_theirs(from.remote, header.source);
        if let Some(slot) = slot.and_then(|slot| self.slots.at(slot))
            && let Some(exchange) = slot.role.exchange_mut()
        {
            exchange.full.opened_by = fingerprint;
        }
        Ok(())
    }

    /// A repetition of the frame that opened `existing` is acknowledged again, an older copy
    /// ignored; `Ok` means that it is something new.
    ///
    /// A peer may use its number again as soon as both know of the end, and its new call has a clock
    /// that begins at zero, too: once `existing` is over, only what is equal to the last byte is a
    /// repetition.
    fn answer_copy(
        &mut self,
        now: Instant,
        existing: u32,
        header: &FullHeader,
        fingerprint: u64,
    ) -> Result<(), DropReason> {
        let Some(slot) = self.slots.at(existing) else { return Ok(()) };
        let over = matches!(slot.role, Role::Resting(_));
        let Some(exchange) = slot.role.exchange_mut() else { return Ok(()) };
        let Some(opened) = exchange.full.opened_at else { return Ok(()) };
        let young = now.since(exchange.created) < COPY_AGE;
        let differs = exchange.full.opened_by != fingerprint || !young;
        if over && exchange.full.reliable.is_settled() && differs {
            return Ok(());
        }
        if opened == header.timestamp {
            exchange.acknowledge(&mut self.cx, header.timestamp);
            return Err(DropReason::Duplicate);
        }
        let newer = header.timestamp.0.wrapping_sub(opened.0) <= u32::MAX / 2;
        if !newer && young {
            return Err(DropReason::Duplicate);
        }
        Ok(())
    }

    /// Applies the rules for call tokens.
    fn admit(
        &mut self,
        now: Instant,
        from: Path,
        header: &FullHeader,
        kind: EntryKind,
        username: Option<&str>,
        elements: Elements<'_>,
    ) -> Admission {
        let token = elements.iter().find_map(|element| match element {
            Element::CallToken(token) => Some(token),
            _ => None,
        });
        let cx = &mut self.cx;
        match token {
            Some([]) => {
                let token = cx.mint.mint(&mut cx.rng, now, from.remote);
                let mut reply = ElementBuffer::new();
                reply.push(&Element::CallToken(&token));
                cx.counters.call_tokens_sent += 1;
                cx.reply_stateless(from, header, IaxSubclass::CallToken, reply.as_elements());
                Admission::TokenSent
            }
            Some(token) if cx.mint.check(&mut cx.rng, now, from.remote, token) => {
                cx.config.call_token.came_with_token(kind, username);
                Admission::Validated
            }
            Some(_) => Admission::Refused(DropReason::BadCallToken),
            None if cx.config.call_token.requires(kind, username, from.remote.ip()) => {
                Admission::Refused(DropReason::CallTokenMissing)
            }
            None => Admission::Unvalidated,
        }
    }

    /// The limit that stands against one more exchange with this peer. `existing` is about to end.
    fn full_up(
        &self,
        from: Path,
        existing: Option<u32>,
        validated: bool,
    ) -> Option<(DropReason, Limit)> {
        let config = &self.cx.config;
        let ending = usize::from(existing.is_some());
        let of_address = self.cx.index.calls_of(from.remote.ip());
        let all = (self.slots.len(), config.max_calls.saturating_add(ending));
        let most_of_address = match config.exempt_address == Some(from.remote.ip()) {
            true => usize::MAX,
            false => config.max_calls_per_address,
        };
        let unvalidated = match validated {
            true => (0, usize::MAX),
            false => (self.slots.unvalidated, config.max_unvalidated_calls),
        };
        let limits = [
            (DropReason::TooManyCalls, all),
            (DropReason::TooManyCalls, unvalidated),
            (DropReason::TooManyCallsForAddress, (of_address, most_of_address)),
        ];
        let reached = limits.into_iter().find(|(_, (held, most))| held >= most);
        reached.map(|(reason, (held, most))| (reason, Limit { held, most }))
    }

    /// Turns a request away without keeping anything of it.
    fn turn_away(
        &mut self,
        now: Instant,
        from: Path,
        header: &FullHeader,
        subclass: IaxSubclass,
        username: Option<String>,
        (reason, limit): (DropReason, Option<Limit>),
    ) -> DropReason {
        let mut reason_given = ElementBuffer::new();
        let answer = match subclass {
            IaxSubclass::New | IaxSubclass::FwDownl => IaxSubclass::Reject,
            _ => {
                // So short that the answer is at most three times as long as the question.
                reason_given.push(&Element::CauseCode(CauseCode::FACILITY_REJECTED));
                reason_given.push(&Element::Cause("refused".into()));
                IaxSubclass::RegRej
            }
        };
        self.cx.reply_stateless(from, header, answer, reason_given.as_elements());
        self.cx.tell_refused(now, from, username, reason, limit);
        reason
    }

    fn open_call(
        &mut self,
        now: Instant,
        header: &FullHeader,
        existing: Option<u32>,
        offer: Offer,
    ) -> Result<(), Limit> {
        let exchange = self.open_exchange(now, offer.path, header, existing)?;
        let call = Call::offered(&self.cx, now, exchange, offer.formats, offer.encryption);
        let unvalidated = !offer.address_validated;
        self.cx.numbers.insert(&call.exchange, self.slots.vacant());
        let (slot, generation) = self.slots.insert(Role::Call(call), unvalidated);
        self.slots.schedule(&mut self.cx, slot);
        let call = CallId { slot, generation };
        self.cx.tell(Event::CallOffered { call, offer: Box::new(offer) });
        Ok(())
    }

    fn open_request(
        &mut self,
        now: Instant,
        header: &FullHeader,
        existing: Option<u32>,
        register: Register,
    ) -> Result<(), Limit> {
        let exchange = self.open_exchange(now, register.path, header, existing)?;
        let unvalidated = !register.address_validated;
        let request = Request::new(&self.cx, now, exchange, register.clone());
        let role = Role::Request(Box::new(request));
        let (slot, generation) = self.slots.insert(role, unvalidated);
        self.slots.schedule(&mut self.cx, slot);
        let request = RequestId { slot, generation };
        self.cx.tell(Event::RegisterRequested { request, register: Box::new(register) });
        Ok(())
    }

    /// Numbers for what the peer opens; they belong to the slot that is inserted next. All may be
    /// in use towards its address.
    pub(crate) fn open_exchange(
        &mut self,
        now: Instant,
        path: Path,
        header: &FullHeader,
        existing: Option<u32>,
    ) -> Result<Exchange, Limit> {
        if let Some(existing) = existing {
            self.peer_restarted(now, existing);
        }
        let cx = &mut self.cx;
        let slot = self.slots.vacant();
        let ours = cx
            .index
            .allocate(&mut cx.rng, path.remote, slot)
            .ok_or(Limit { held: Index::NUMBERS, most: Index::NUMBERS })?;
        cx.index.learn(path.remote, header.source, slot);
        let mut exchange = Exchange::opened(now, path, ours, header);
        exchange.acknowledge_later(now, header.timestamp);
        Ok(exchange)
    }
}
