//! Loading what was compiled.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Mutex, PoisonError};

use evo_plugin::Error;
use evo_types::ContentHash;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::scratch;
use super::shim::SYMBOL;

type Call = unsafe extern "C" fn(*mut u64);

/// The function of a loaded library. Libraries are never unloaded: their code may have started
/// threads, and the same code is wanted again for the next shape.
#[derive(Clone, Copy)]
pub(crate) struct Entry(Call);

impl Entry {
    /// Calls it.
    ///
    /// # Safety
    /// The words must be what the library's shim was made for.
    pub(crate) unsafe fn call(self, words: &mut [u64]) {
        // SAFETY: the caller's promise.
        unsafe { (self.0)(words.as_mut_ptr()) }
    }
}

static LOADED: Mutex<BTreeMap<ContentHash, Entry>> = Mutex::new(BTreeMap::new());

/// Loads a library, once.
///
/// # Errors
/// `Failed` where it cannot be loaded, with the loader's text.
pub(crate) fn load_entry(bytes: &[u8]) -> Result<Entry, Error> {
    let hash = ContentHash::of_bytes(bytes);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(entry) = loaded.get(&hash) {
        return Ok(*entry);
    }
    let entry = open(&hash, bytes)?;
    loaded.insert(hash, entry);
    Ok(entry)
}

fn open(hash: &ContentHash, bytes: &[u8]) -> Result<Entry, Error> {
    let folder = scratch::folder()?;
    // The loader takes a name that it has seen for the library that it has loaded: the name is
    // the content's.
    let path = folder.path().join(format!("{hash}.so"));
    fs::write(&path, bytes)
        .map_err(|error| Error::Failed(format!("{} cannot be written: {error}", path.display())))?;
    let wrong = |error: libloading::Error| {
        let cause = std::error::Error::source(&error).map_or(String::new(), |it| format!(": {it}"));
        Error::Failed(format!("the built kernel cannot be loaded: {error}{cause}"))
    };
    // SAFETY: the library was compiled from the user's source; running its initialisers is what
    // the user asked for, in a process that may die of it.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) }.map_err(wrong)?;
    // SAFETY: the shim defines the symbol with this type.
    let call = *unsafe { library.get::<Call>(SYMBOL.as_bytes()) }.map_err(wrong)?;
    std::mem::forget(library);
    Ok(Entry(call))
}
