//! How a user's Ctrl-C reaches a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// A shared request to stop. The first one lets the trial under way finish and saves; the second
/// kills it.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    requests: Arc<AtomicU8>,
    signal: Arc<AtomicU8>,
}

impl Stop {
    /// Asks to stop, because of a signal. Safe to call from a signal-handling thread.
    pub fn request(&self, signal: u8) {
        self.signal.store(signal, Ordering::SeqCst);
        let _ = self
            .requests
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| {
                Some(count.saturating_add(1))
            });
    }

    /// Whether the run should end after what is under way.
    pub fn requested(&self) -> bool {
        self.requests.load(Ordering::SeqCst) >= 1
    }

    /// Whether what is under way should be killed.
    pub fn at_once(&self) -> bool {
        self.requests.load(Ordering::SeqCst) >= 2
    }

    /// The number of the last signal.
    pub fn signal(&self) -> u8 {
        self.signal.load(Ordering::SeqCst)
    }

    /// The name of the last signal.
    pub fn signal_name(&self) -> &'static str {
        match self.signal() {
            2 => "SIGINT",
            15 => "SIGTERM",
            1 => "SIGHUP",
            _ => "a request",
        }
    }
}
