//! What a worker prints: drained all the time, and the last part of it kept.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Bytes of output that are kept.
const KEPT: usize = 16 << 10;

/// The last part of what a worker printed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<u8>>>);

impl Tail {
    /// Drains a pipe on a thread of its own until it is closed. A worker that prints without end
    /// is neither blocked nor kept in memory.
    pub(crate) fn drain(&self, mut pipe: impl Read + Send + 'static) {
        let kept = Arc::clone(&self.0);
        thread::spawn(move || {
            let mut buffer = [0u8; 8192];
            while let Ok(count) = pipe.read(&mut buffer) {
                if count == 0 {
                    break;
                }
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(&buffer[..count]);
                let surplus = kept.len().saturating_sub(KEPT);
                kept.drain(..surplus);
            }
        });
    }

    /// The last lines, without terminal escapes.
    pub(crate) fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let clean: String = text
            .chars()
            .filter(|c| *c == '\n' || !c.is_control())
            .collect();
        let lines: Vec<&str> = clean.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}
