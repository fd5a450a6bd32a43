//! Compiled sources on disk, by what they were compiled from.
//!
//! Several processes build ahead of the one that measures, and all of them share a folder: what
//! one has compiled another only reads. An entry is named by everything that decides its content,
//! holds its own checksum, appears in one step, and is dropped when it is damaged. The folder is
//! bounded; what was not used for the longest time goes first.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use evo_types::ContentHash;

use super::{CompileRequest, Compiled};

/// The variable that names the folder. Without it nothing is kept.
const FOLDER: &str = "EVO_ARTIFACTS";
/// The first line of an entry: its form.
const FORM: &[u8] = b"evo-artifact 1\n";
const EXTENSION: &str = "cubin";
/// Bytes that all entries together may have after a look at the folder.
const MOST_BYTES: u64 = 512 << 20;
/// The folder is looked at before the first entry that a process writes, and after so many more.
const LOOK_EVERY: u32 = 64;
/// How the name of a file begins that is being written.
const UNFINISHED: &str = ".new-";
/// Nothing is written for so long: the process that began such a file was killed.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A folder of compiled sources.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    most_bytes: u64,
    written: AtomicU32,
}

impl Cache {
    /// The folder that the environment names, if it is there.
    pub(super) fn from_environment() -> Option<Self> {
        let folder = PathBuf::from(std::env::var_os(FOLDER)?);
        folder.is_dir().then(|| Self::at(folder, MOST_BYTES))
    }

    fn at(folder: PathBuf, most_bytes: u64) -> Self {
        Self {
            folder,
            most_bytes,
            written: AtomicU32::new(0),
        }
    }

    /// The entry of this key. A damaged one is removed.
    pub(super) fn get(&self, key: &ContentHash) -> Option<Compiled> {
        let path = self.path(key);
        let content = fs::read(&path).ok()?;
        let Some(compiled) = decode(&content) else {
            let _ = fs::remove_file(&path);
            return None;
        };
        // When it was last used decides what is dropped first.
        if let Ok(file) = fs::File::options().append(true).open(&path) {
            let _ = file.set_modified(SystemTime::now());
        }
        Some(compiled)
    }

    /// Keeps an entry. Where that fails, it will be compiled again: nothing else depends on it.
    pub(super) fn put(&self, key: &ContentHash, compiled: &Compiled) {
        let count = self.written.fetch_add(1, Ordering::Relaxed);
        if count.is_multiple_of(LOOK_EVERY) {
            self.trim();
        }
        let Some(content) = encode(compiled) else {
            return;
        };
        // A plugin in the same process has a copy of this code with counts of its own.
        let here = std::ptr::from_ref(self).addr();
        let name = format!("{UNFINISHED}{}-{here:x}-{count}", std::process::id());
        let beside = self.folder.join(name);
        let written = fs::File::create(&beside)
            .and_then(|mut file| file.write_all(&content))
            .and_then(|()| fs::rename(&beside, self.path(key)));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
    }

    fn path(&self, key: &ContentHash) -> PathBuf {
        self.folder.join(format!("{key}.{EXTENSION}"))
    }

    /// Drops what killed processes have left unfinished, and then what was not used for the
    /// longest time, until the rest is within bounds. Another process may do the same at the same
    /// time.
    fn trim(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        let mut found: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            let Ok(modified) = metadata.modified() else {
                continue;
            };
            if path.extension().is_some_and(|it| it == EXTENSION) {
                found.push((modified, metadata.len(), path));
            } else if is_abandoned(&path, modified) {
                let _ = fs::remove_file(path);
            }
        }
        found.sort();
        let mut total: u64 = found.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in found {
            if total <= self.most_bytes {
                return;
            }
            if fs::remove_file(path).is_ok() {
                total -= bytes;
            }
        }
    }
}

/// Whether a file was begun and never finished. A date in the future says nothing.
fn is_abandoned(path: &Path, modified: SystemTime) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let age = SystemTime::now().duration_since(modified);
    name.is_some_and(|name| name.starts_with(UNFINISHED)) && age.is_ok_and(|age| age > ABANDONED)
}

/// Everything that decides what a compilation gives, but the time at which it happens. `None` for
/// one that reads files which only the compiler knows.
pub(super) fn key(
    request: &CompileRequest,
    options: &[String],
    compiler: &[String],
) -> Option<ContentHash> {
    let reads_files = |option: &String| {
        ["-I", "-include", "--include-path", "--pre-include"]
            .iter()
            .any(|name| option.starts_with(name))
    };
    let given = |name: &str| request.headers.iter().any(|header| header.name == name);
    let mut texts = request.headers.iter().map(|header| &header.text);
    let unknown = |text: &String| text.lines().filter_map(included).any(|name| !given(name));
    if request.options.iter().any(reads_files) || unknown(&request.source) || texts.any(unknown) {
        return None;
    }
    let headers = request.headers.iter().flat_map(|it| [&it.name, &it.text]);
    let lists: [Vec<&String>; 5] = [
        vec![&request.name, &request.source],
        headers.collect(),
        options.iter().collect(),
        request.name_expressions.iter().collect(),
        compiler.iter().collect(),
    ];
    // The parts are hashed with their lengths, and the lists with theirs: no two requests that
    // differ are written alike.
    let counts: Vec<String> = lists.iter().map(|list| list.len().to_string()).collect();
    let counts = counts.join(",");
    let parts: Vec<&[u8]> = std::iter::once(counts.as_bytes())
        .chain(lists.iter().flatten().map(|text| text.as_bytes()))
        .collect();
    Some(ContentHash::of_parts(&parts))
}

/// What a line includes that may be a file of the user's: a name in quotes, an absolute path, or
/// what a macro says. Names in angle brackets are the compiler's own headers.
fn included(line: &str) -> Option<&str> {
    let directive = line.trim_start().strip_prefix('#')?.trim_start();
    let what = directive.strip_prefix("include")?.trim_start();
    if let Some(quoted) = what.strip_prefix('"') {
        return quoted.split('"').next();
    }
    match what.strip_prefix('<') {
        Some(own) if !own.starts_with('/') => None,
        _ => Some(what),
    }
}

/// Signs by which one state of a file or folder is told from another: its place, size and date.
pub(super) fn state_of(path: &Path) -> String {
    let metadata = fs::metadata(path).ok();
    let date = metadata.as_ref().and_then(|it| it.modified().ok());
    let date = date.and_then(|it| it.duration_since(SystemTime::UNIX_EPOCH).ok());
    format!(
        "{} {} {}",
        path.display(),
        metadata.map_or(0, |it| it.len()),
        date.unwrap_or_default().as_nanos()
    )
}

/// The form, a line with the checksum of all that follows, a line with log and names, the cubin.
fn encode(compiled: &Compiled) -> Option<Vec<u8>> {
    let texts = serde_json::to_string(&(&compiled.log, &compiled.lowered_names)).ok()?;
    let mut body = texts.into_bytes();
    body.push(b'\n');
    body.extend(&compiled.cubin);
    let mut content = FORM.to_vec();
    content.extend(ContentHash::of_bytes(&body).as_str().as_bytes());
    content.push(b'\n');
    content.extend(body);
    Some(content)
}

fn decode(content: &[u8]) -> Option<Compiled> {
    let rest = content.strip_prefix(FORM)?;
    let (checksum, body) = split_line(rest)?;
    if ContentHash::of_bytes(body).as_str().as_bytes() != checksum {
        return None;
    }
    let (texts, cubin) = split_line(body)?;
    let (log, lowered_names) = serde_json::from_slice(texts).ok()?;
    Some(Compiled {
        cubin: cubin.to_vec(),
        log,
        lowered_names,
    })
}

fn split_line(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = content.iter().position(|byte| *byte == b'\n')?;
    Some((content.get(..end)?, content.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Header;
    use super::*;

    fn compiled(byte: u8) -> Compiled {
        Compiled {
            cubin: vec![byte; 1000],
            log: format!("a line\nand {byte}\n"),
            lowered_names: vec!["_Z1kPf".to_owned()],
        }
    }

    fn request() -> CompileRequest {
        CompileRequest {
            name: "k.cu".to_owned(),
            source: "x".to_owned(),
            headers: Vec::new(),
            arch: "sm_90a".to_owned(),
            options: vec!["-DA=1".to_owned()],
            name_expressions: Vec::new(),
        }
    }

    fn key_of(change: impl FnOnce(&mut CompileRequest), compiler: &str) -> Option<ContentHash> {
        let mut request = request();
        change(&mut request);
        let options = request.options.clone();
        key(&request, &options, &[compiler.to_owned()])
    }

    #[test]
    fn what_was_kept_comes_back_and_damage_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned(), 1 << 20);
        let key = key_of(|_| {}, "13.0").unwrap();
        assert_eq!(cache.get(&key), None);
        cache.put(&key, &compiled(7));
        assert_eq!(cache.get(&key), Some(compiled(7)));
        let path = cache.path(&key);
        let whole = fs::read(&path).unwrap();
        // Any byte that changes, any end that is missing.
        for at in [0, 20, 90, 100, whole.len() - 1] {
            let mut torn = whole.clone();
            torn[at] ^= 1;
            fs::write(&path, &torn).unwrap();
            assert_eq!(cache.get(&key), None, "byte {at}");
            assert!(!path.exists(), "a damaged entry is dropped");
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(cache.get(&key), None, "cut at {at}");
        }
        cache.put(&key, &compiled(7));
        assert_eq!(cache.get(&key), Some(compiled(7)));
    }

    #[test]
    fn a_source_that_reads_files_of_its_own_has_no_key() {
        let with = |text: &str| {
            let source = format!("// text\n{text}\n__global__ void k() {{}}");
            key_of(|it| it.source = source, "13.0").is_some()
        };
        for kept in [
            "#include <mma.h>",
            "#  define include",
            "// #include \"a.h\"",
        ] {
            assert!(with(kept), "{kept}");
        }
        for read in [
            "#include \"a.h\"",
            " #  include \"/tmp/a.h\"",
            "#include </tmp/a.h>",
            "#include NAME",
        ] {
            assert!(!with(read), "{read}");
        }
        let header = Header {
            name: "a.h".to_owned(),
            text: String::new(),
        };
        let given = |it: &mut CompileRequest| {
            it.source = "#include \"a.h\"".to_owned();
            it.headers.push(header);
        };
        assert!(key_of(given, "13.0").is_some());
    }

    #[test]
    fn whatever_decides_the_code_decides_the_key() {
        let keys = [
            key_of(|_| {}, "13.0"),
            key_of(|_| {}, "13.1"),
            key_of(|it| it.source = "y".to_owned(), "13.0"),
            key_of(|it| it.options = vec!["-DA=2".to_owned()], "13.0"),
            key_of(|it| it.name = "l.cu".to_owned(), "13.0"),
            key_of(|it| it.name_expressions = vec!["k<4>".to_owned()], "13.0"),
            key_of(
                |it| {
                    it.headers.push(Header {
                        name: "h".to_owned(),
                        text: "t".to_owned(),
                    });
                },
                "13.0",
            ),
        ];
        for (place, key) in keys.iter().enumerate() {
            assert!(key.is_some() && !keys[..place].contains(key), "{place}");
        }
        assert_eq!(keys[0], key_of(|_| {}, "13.0"));
        let reads = |it: &mut CompileRequest| it.options = vec!["-I/usr/include".to_owned()];
        assert_eq!(key_of(reads, "13.0"), None);
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let size = encode(&compiled(0)).unwrap().len() as u64;
        let cache = Cache::at(folder.path().to_owned(), 2 * size);
        let keys: Vec<ContentHash> = (0..4u8).map(|it| ContentHash::of_bytes(&[it])).collect();
        for (age, key) in keys.iter().enumerate() {
            cache.put(key, &compiled(age as u8));
            let old = SystemTime::now() - Duration::from_secs(1000 - age as u64);
            let file = fs::File::options()
                .append(true)
                .open(cache.path(key))
                .unwrap();
            file.set_modified(old).unwrap();
        }
        assert!(cache.get(&keys[0]).is_some(), "used now");
        cache.trim();
        let left: Vec<bool> = keys.iter().map(|key| cache.path(key).exists()).collect();
        assert_eq!(left, [true, false, false, true]);
    }

    #[test]
    fn what_a_killed_process_left_unfinished_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned(), 1 << 20);
        let key = ContentHash::of_bytes(b"kept");
        cache.put(&key, &compiled(1));
        let write = |name: &str, age: Duration| {
            let path = folder.path().join(name);
            let file = fs::File::create(&path).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
            path
        };
        let left = write(".new-1-a-0", 2 * ABANDONED);
        let under_way = write(".new-2-a-0", Duration::ZERO);
        let foreign = write("README", 2 * ABANDONED);
        cache.trim();
        assert!(!left.exists());
        assert!(under_way.exists() && foreign.exists());
        assert!(cache.get(&key).is_some());
    }
}
