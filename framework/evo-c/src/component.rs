//! What every part of a C plugin has: its table, copied, and the address that the plugin knows it by.

use crate::table::Listed;

/// A part of a plugin.
pub(crate) struct Component<T> {
    /// Where the plugin has it; never read after the copy was made.
    pub(crate) address: *const T,
    pub(crate) table: T,
    /// Plugin and component, in front of lines of the log.
    pub(crate) label: String,
}

impl<T> Component<T> {
    pub(crate) fn new(listed: Listed<T>, plugin: &str, name: &str) -> Self {
        Self {
            address: listed.address,
            table: listed.table,
            label: format!("{plugin}/{name}"),
        }
    }
}

impl<T: Copy> Clone for Component<T> {
    fn clone(&self) -> Self {
        Self {
            address: self.address,
            table: self.table,
            label: self.label.clone(),
        }
    }
}

// SAFETY: tables are constants of a library that is never unloaded, and the header asks a plugin to
// let its functions be called from any thread.
unsafe impl<T> Send for Component<T> {}
// SAFETY: as above; the functions that take a table may be called from several threads at once.
unsafe impl<T> Sync for Component<T> {}
