//! What a device does at most, measured once and kept.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use evo_plugin::{DeviceFacts, Error};
use serde::{Deserialize, Serialize};

use crate::{cpu, gpu};

/// The version of what is measured: figures of another one are measured again.
const VERSION: u32 = 2;

/// Per second: bytes, or floating-point operations, of which a multiply-add is two.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Peaks {
    /// Bytes copied in memory, read and written ones counted both.
    pub(crate) memory: f64,
    /// Bytes read from the last cache.
    pub(crate) cache: Option<f64>,
    /// Multiply-adds in single precision by vector instructions or threads.
    pub(crate) vector: f64,
    /// Products of 16-bit numbers by the tensor cores.
    pub(crate) tensor_16: Option<f64>,
    /// Products of 8-bit numbers by the tensor cores.
    pub(crate) tensor_8: Option<f64>,
}

impl Peaks {
    fn is_sound(&self) -> bool {
        let others = [self.cache, self.tensor_16, self.tensor_8];
        let all = [Some(self.memory), Some(self.vector)]
            .into_iter()
            .chain(others);
        all.flatten().all(|rate| rate.is_finite() && rate > 0.0)
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    device: String,
    uuid: String,
    peaks: Peaks,
}

/// The peaks of a device: kept ones, or measured now, which takes a second or two.
///
/// # Errors
/// What the device said.
pub(crate) fn of(device: &DeviceFacts) -> Result<Peaks, Error> {
    let file = file(&device.uuid);
    if let Some(peaks) = file.as_ref().and_then(|file| read(file, &device.uuid)) {
        return Ok(peaks);
    }
    let peaks = match device.kind.as_str() {
        "cuda" => gpu::measure(&device.uuid)?,
        _ => cpu::measure(),
    };
    if !peaks.is_sound() {
        return Err(Error::Failed(format!(
            "the peaks of {} cannot be measured: {peaks:?}",
            device.name
        )));
    }
    if let Some(file) = file {
        let kept = Kept {
            version: VERSION,
            device: device.name.clone(),
            uuid: device.uuid.clone(),
            peaks,
        };
        // Where they cannot be kept, they are measured again.
        let _ = write(&file, &kept);
    }
    Ok(peaks)
}

/// `roofline/` in the user's cache, as for the plugin store.
fn file(uuid: &str) -> Option<PathBuf> {
    let of = |name: &str| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
        Some(PathBuf::from(value))
    };
    let cache = of("EVO_CACHE_DIR")
        .or_else(|| of("XDG_CACHE_HOME").map(|cache| cache.join("evo")))
        .or_else(|| of("HOME").map(|home| home.join(".cache/evo")))?;
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = uuid.chars().map(plain).collect();
    Some(cache.join("roofline").join(format!("{name}.json")))
}

fn read(file: &PathBuf, uuid: &str) -> Option<Peaks> {
    let kept: Kept = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    let own = kept.version == VERSION && kept.uuid == uuid;
    own.then_some(kept.peaks).filter(Peaks::is_sound)
}

/// In one step: others may read it meanwhile.
fn write(file: &PathBuf, kept: &Kept) -> std::io::Result<()> {
    let folder = file.parent().map(PathBuf::from).unwrap_or_default();
    fs::create_dir_all(&folder)?;
    let mut new = tempfile::NamedTempFile::new_in(&folder)?;
    new.write_all(&serde_json::to_vec_pretty(kept)?)?;
    new.persist(file).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
// A test says what is wrong by failing.
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_read_and_what_is_damaged_is_not() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("roofline/x.json");
        let peaks = Peaks {
            memory: 1.0,
            cache: None,
            vector: 2.0,
            tensor_16: Some(3.0),
            tensor_8: None,
        };
        let kept = Kept {
            version: VERSION,
            device: "d".to_owned(),
            uuid: "x".to_owned(),
            peaks,
        };
        write(&file, &kept).unwrap();
        assert_eq!(read(&file, "x"), Some(peaks));
        assert_eq!(read(&file, "y"), None);
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("\"memory\": 1.0", "\"memory\": -1.0")).unwrap();
        assert_eq!(read(&file, "x"), None);
        fs::write(&file, text.replace("\"version\": 2", "\"version\": 1")).unwrap();
        assert_eq!(read(&file, "x"), None);
        fs::write(&file, "{").unwrap();
        assert_eq!(read(&file, "x"), None);
    }
}
