//! Asks phones that have registered whether they are there (OPTIONS), which also keeps their ways
//! through NATs open.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use super::{Binding, Phones};
use crate::qualify::Status;
use crate::sip::settings::Watch;
use crate::sip::stack::Stack;

/// Questions lost in a row after which a phone counts as gone. One may be lost by anybody.
const LOST: u32 = 2;

/// Those that are watched.
#[derive(Default)]
pub(crate) struct Watched(HashMap<String, AbortHandle>);

impl Watched {
    /// Another process asks them.
    pub(crate) fn forget_all(&mut self) {
        self.0.drain().for_each(|(_, task)| task.abort());
    }

    /// A phone has come, gone or moved.
    pub(crate) fn changed(&mut self, stack: &Stack, phones: &Arc<Phones>, name: String) {
        if let Some(before) = self.0.remove(&name) {
            before.abort();
        }
        let found = phones.find(&name);
        if let Some((Some(watch), Some(binding))) = found.map(|(phone, at)| (phone.watch, at)) {
            let task = watch_one(stack.clone(), phones.clone(), name.clone(), binding, watch);
            self.0.insert(name, tokio::spawn(task).abort_handle());
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.values().for_each(AbortHandle::abort);
    }
}

async fn watch_one(
    stack: Stack,
    phones: Arc<Phones>,
    name: String,
    binding: Binding,
    watch: Watch,
) {
    let mut lost = 0;
    loop {
        let asked = Instant::now();
        let answer = stack.ask_at(&binding.contact, binding.address, binding.transport);
        let answered = tokio::time::timeout(watch.limit * 2, answer).await;
        let rtt = answered.is_ok_and(|answer| answer.is_some()).then(|| asked.elapsed());
        phones.polled(&name, rtt);
        let pause = match rtt {
            Some(rtt) => {
                lost = 0;
                let status = if rtt <= watch.limit { Status::Ok(rtt) } else { Status::Lagged(rtt) };
                phones.note(&name, &binding, status);
                if status.takes_calls() { watch.interval } else { watch.not_ok_interval }
            }
            None => {
                lost += 1;
                if lost >= LOST {
                    phones.note(&name, &binding, Status::Unreachable);
                    watch.not_ok_interval
                } else {
                    Duration::ZERO
                }
            }
        };
        // Not all at the same moment, where all have come at the same moment.
        tokio::time::sleep(pause.mul_f64(0.9 + fastrand::f64() / 10.0)).await;
    }
}

impl Phones {
    /// A phone was asked, and has answered in so much time or not at all.
    fn polled(&self, name: &str, round_trip: Option<Duration>) {
        if let Some(entry) = self.lock().entries.get_mut(name) {
            entry.polls.note(self.born.elapsed(), round_trip);
        }
    }

    /// A phone has answered, or not, where it was asked.
    fn note(&self, name: &str, binding: &Binding, status: Status) {
        let changed = self.lock().change(name, |entry| {
            let here = entry.binding.as_ref().is_some_and(|now| now.address == binding.address);
            let before = if here { std::mem::replace(&mut entry.status, status) } else { status };
            std::mem::discriminant(&before) != std::mem::discriminant(&status)
        });
        if changed == Some(true) {
            self.registry.seen(name, status);
        }
    }
}
