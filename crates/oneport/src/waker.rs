//! Wakes the driver's thread out of its wait for datagrams.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Who wakes.
#[derive(Clone)]
pub(crate) struct Waker(Arc<Shared>);

struct Shared {
    stream: UnixStream,
    /// It was woken and has not looked yet: once is enough.
    is_woken: Arc<AtomicBool>,
}

/// Who is woken.
pub(crate) struct WakeUps {
    stream: UnixStream,
    is_woken: Arc<AtomicBool>,
}

/// Both.
///
/// # Errors
/// The system gives no pair of sockets.
pub(crate) fn pair() -> io::Result<(Waker, WakeUps)> {
    let (here, there) = UnixStream::pair()?;
    here.set_nonblocking(true)?;
    there.set_nonblocking(true)?;
    let is_woken = Arc::new(AtomicBool::new(false));
    let waker = Waker(Arc::new(Shared { stream: here, is_woken: is_woken.clone() }));
    Ok((waker, WakeUps { stream: there, is_woken }))
}

impl Waker {
    /// Ends the present wait, or the next one where there is none.
    pub(crate) fn wake(&self) {
        if !self.0.is_woken.swap(true, Ordering::AcqRel) {
            // A thread that has ended needs no waking.
            let _ = (&self.0.stream).write(&[0]);
        }
    }
}

impl WakeUps {
    /// Takes note of all before: what was asked for by then is seen now.
    pub(crate) fn clear(&self) {
        // The order counts: whoever wakes in between writes again.
        let _ = (&self.stream).read(&mut [0; 16]);
        self.is_woken.store(false, Ordering::Release);
    }
}

impl AsFd for WakeUps {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Wakes when it is dropped.
#[derive(Clone)]
pub(crate) struct WakeAtLast(pub(crate) Waker);

impl Drop for WakeAtLast {
    fn drop(&mut self) {
        self.0.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_readable(wake_ups: &WakeUps) -> bool {
        let mut byte = [0];
        rustix::net::recv(wake_ups, &mut byte, rustix::net::RecvFlags::PEEK).is_ok()
    }

    #[test]
    fn many_wake_ups_are_one_and_the_next_counts_again() {
        let (waker, wake_ups) = pair().expect("a pair");
        assert!(!is_readable(&wake_ups));
        (0..1_000).for_each(|_| waker.wake());
        assert!(is_readable(&wake_ups));
        wake_ups.clear();
        assert!(!is_readable(&wake_ups));
        drop(WakeAtLast(waker));
        assert!(is_readable(&wake_ups));
    }
}
