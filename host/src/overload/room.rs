//! The room that bodies have in memory, all requests together. It is the process's, as its memory is.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::memory::give_back_at_once;
use crate::error::{Error, Reason};

static HELD: AtomicU64 = AtomicU64::new(0);
static MAX: AtomicU64 = AtomicU64::new(u64::MAX);

/// Room that is taken, until it is dropped.
#[derive(Debug, Default)]
pub struct Hold(u64);

/// Bytes with the room that they take.
struct Kept {
    bytes: Bytes,
    _hold: Hold,
}

/// How many bytes of bodies are held.
pub(super) fn held() -> u64 {
    HELD.load(Ordering::Relaxed)
}

/// How many may be.
pub(super) fn set_max(max: u64) {
    MAX.store(max, Ordering::Relaxed);
}

impl Hold {
    /// Whether so many bytes more would find room now. It is not taken: a client that announces much and sends little is
    /// to keep nobody out.
    ///
    /// # Errors
    /// `Overloaded`.
    pub fn check(bytes: u64) -> Result<(), Error> {
        if held().saturating_add(bytes) > MAX.load(Ordering::Relaxed) { full() } else { Ok(()) }
    }

    /// Takes room for so many bytes more.
    ///
    /// # Errors
    /// `Overloaded` if there is none.
    pub fn grow(&mut self, bytes: u64) -> Result<(), Error> {
        let max = MAX.load(Ordering::Relaxed);
        let fits = |held: u64| held.checked_add(bytes).filter(|held| *held <= max);
        match HELD.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(held) => {
                self.0 += bytes;
                if held >= max / 2 {
                    // What is freed now must not count as if it were held.
                    give_back_at_once(true);
                }
                Ok(())
            }
            Err(_) => full(),
        }
    }
}

fn full() -> Result<(), Error> {
    Err(Error::new(Reason::Overloaded, "no more room for bodies in memory"))
}

impl Drop for Hold {
    fn drop(&mut self) {
        HELD.fetch_sub(self.0, Ordering::Relaxed);
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The same bytes, whose room is free once the last of their copies is gone.
#[must_use]
pub fn keep(bytes: Bytes, hold: Hold) -> Bytes {
    if bytes.is_empty() { bytes } else { Bytes::from_owner(Kept { bytes, _hold: hold }) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Hold, held, keep, set_max};
    use crate::error::Reason;

    #[test]
    fn room_is_free_again_once_the_last_copy_is_gone() {
        // The only test of this process that takes so much: others move by some bytes.
        const LARGE: u64 = 1 << 40;
        set_max(4 * LARGE);
        let mut hold = Hold::default();
        hold.grow(LARGE).unwrap();
        let bytes = keep(Bytes::from_static(b"hello"), hold);
        let copy = bytes.slice(1..3);
        drop(bytes);
        assert!(held() >= LARGE);
        let mut other = Hold::default();
        assert_eq!(other.grow(4 * LARGE).unwrap_err().reason, Reason::Overloaded);
        assert_eq!(Hold::check(4 * LARGE).unwrap_err().reason, Reason::Overloaded);
        other.grow(LARGE / 2).unwrap();
        drop((copy, other));
        assert!(held() < LARGE);
        set_max(u64::MAX);
    }
}
