//! Locks between processes: one writer per run folder, one ranked measurement per device.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::{RunError, Stop};

/// A lock file that is held until it is dropped. It names its holder.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock, or says who holds it.
    pub(crate) fn try_take(path: &Path) -> std::io::Result<Result<Self, String>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        Self::try_lock(file, true)
    }

    /// As [`try_take`](Self::try_take), also where the file belongs to another user: a lock needs
    /// no permission to write, only the holder's name does.
    fn try_take_shared(path: &Path) -> std::io::Result<Result<Self, String>> {
        match Self::try_take(path) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Self::try_lock(File::open(path)?, false)
            }
            other => other,
        }
    }

    fn try_lock(mut file: File, sign: bool) -> std::io::Result<Result<Self, String>> {
        match file.try_lock() {
            Ok(()) if sign => {
                file.set_len(0)?;
                file.rewind()?;
                let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
                write!(file, "process {} on {}", std::process::id(), host.trim())?;
                file.flush()?;
                Ok(Ok(Self { file }))
            }
            Ok(()) => Ok(Ok(Self { file })),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder)?;
                if holder.is_empty() {
                    holder.push_str("another process");
                }
                Ok(Err(holder))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The system releases it in any case when the file is closed.
        let _ = self.file.unlock();
    }
}

/// Where the lock of a device is: the same for every run on the host, whatever its folder.
fn device_lock_path(uuid: &str) -> PathBuf {
    let folder = std::env::var_os("EVO_LOCK_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let name: String = uuid
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        })
        .take(64)
        .collect();
    folder.join(format!("evo-device-{name}.lock"))
}

/// Waits until no other run measures on the device. `waiting` is told once who holds it.
///
/// # Errors
/// Where the lock file cannot be used, or the user asked to stop while waiting.
pub(crate) fn device(
    uuid: &str,
    stop: &Stop,
    mut waiting: impl FnMut(String),
) -> Result<Option<Lock>, RunError> {
    let path = device_lock_path(uuid);
    let mut told = false;
    loop {
        match Lock::try_take_shared(&path) {
            Ok(Ok(lock)) => return Ok(Some(lock)),
            Ok(Err(holder)) => {
                if !told {
                    waiting(holder);
                    told = true;
                }
            }
            Err(error) => {
                return Err(RunError::environment(format!(
                    "{}: cannot lock the device: {error}",
                    path.display()
                ))
                .hint("set EVO_LOCK_DIR to a folder that every user of the device may write to"));
            }
        }
        if stop.requested() {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_who_holds_the_lock() {
        let path = std::env::temp_dir().join(format!("evo-lock-test-{}", std::process::id()));
        let held = Lock::try_take(&path).unwrap().unwrap();
        let holder = Lock::try_take(&path).unwrap().unwrap_err();
        assert!(
            holder.starts_with(&format!("process {}", std::process::id())),
            "{holder}"
        );
        drop(held);
        assert!(Lock::try_take(&path).unwrap().is_ok());
        fs::remove_file(&path).unwrap();
    }
}
