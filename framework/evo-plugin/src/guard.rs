//! Keeps panics on the plugin's side of the boundary.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};

use crate::Error;

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Replaces the panic hook of this library's copy of the standard library by one that remembers
/// where the panic was and what it said.
pub(crate) fn install_hook() {
    panic::set_hook(Box::new(|info| {
        let message = info
            .payload()
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| info.payload().downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "(no message)".to_owned());
        let place = info
            .location()
            .map_or_else(String::new, |place| format!("at {place}: "));
        let text = format!("{place}{message}");
        eprintln!("plugin panicked {text}");
        LAST_PANIC.with(|last| *last.borrow_mut() = Some(text));
    }));
}

/// Runs plugin code; a panic becomes [`Error::Panicked`].
pub(crate) fn guard<T>(body: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // A panic that the plugin caught by itself has left its text.
    LAST_PANIC.with(|last| last.borrow_mut().take());
    panic::catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        // A panic on a helper thread left its text there; the payload still has the message.
        let text = LAST_PANIC
            .with(|last| last.borrow_mut().take())
            .or_else(|| {
                payload
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| payload.downcast_ref::<String>().cloned())
            });
        // Dropping a foreign payload may itself panic; forgetting it cannot.
        std::mem::forget(payload);
        Err(Error::Panicked(
            text.unwrap_or_else(|| "(no message)".to_owned()),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_text() {
        let result: Result<(), Error> = guard(|| panic!("planted {}", 1));
        assert_eq!(result, Err(Error::Panicked("planted 1".into())));
        assert_eq!(guard(|| Ok(1)), Ok(1));
    }
}
