//! Ctrl-C and its relatives: the first one saves, the second one kills what is under way.

use evo_run::{RunError, Stop};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::command::note;

/// Listens on a thread of its own for the rest of the program's life.
pub(crate) fn listen(stop: &Stop, quiet: bool) -> Result<(), RunError> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| RunError::environment(format!("cannot listen for signals: {error}")))?;
    let stop = stop.clone();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            stop.request(u8::try_from(signal).unwrap_or(0));
            if !quiet && !stop.at_once() {
                note(
                    "\nstopping: a trial under way is finished, everything else is done again by \
                     `evo resume`. Once more to kill the trial.",
                );
            }
        }
    });
    Ok(())
}
