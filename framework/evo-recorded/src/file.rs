//! Files: plain or compressed with xz.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::Reason;

/// The first bytes of an xz stream.
const XZ: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];

/// The greatest size of a recording's text: a compressed file must not fill the memory.
const MOST_BYTES: u64 = 1 << 30;

/// The most memory that the decompressor may take for its dictionary, in KiB.
const MOST_DICTIONARY_KIB: u32 = 256 << 10;

/// The text of a file, whichever way it is stored.
pub(crate) fn text(path: &Path) -> Result<String, Reason> {
    let mut file = File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if metadata.is_dir() {
        return Err("is a folder, not a recording".to_owned());
    }
    let mut bytes = Vec::new();
    file.by_ref()
        .take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.starts_with(&XZ) {
        bytes = decompressed(&bytes)?;
    }
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("has more than {} MiB of text", MOST_BYTES >> 20));
    }
    String::from_utf8(bytes).map_err(|_| "is no text in UTF-8".to_owned())
}

/// The name of a file without `.json` and `.xz`, for a text that has no name of its own.
pub(crate) fn stem(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy());
    let name = name.as_deref().unwrap_or("recording");
    name.trim_end_matches(".xz")
        .trim_end_matches(".json")
        .to_owned()
}

fn decompressed(bytes: &[u8]) -> Result<Vec<u8>, Reason> {
    let mut text = Vec::new();
    lzma_rust2::XzReader::new_mem_limit(bytes, true, MOST_DICTIONARY_KIB)
        .take(MOST_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(|error| format!("cannot be decompressed: {error}"))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn stored(bytes: &[u8]) -> Result<String, Reason> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        text(file.path())
    }

    fn compressed(text: &[u8]) -> Vec<u8> {
        let options = lzma_rust2::XzOptions::with_preset(1);
        let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn plain_and_compressed_files_read_alike() {
        assert_eq!(stored(b"{}"), Ok("{}".to_owned()));
        let mut twice = compressed(b"{ ");
        twice.extend(compressed(b"}"));
        assert_eq!(stored(&twice), Ok("{ }".to_owned()));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let whole = compressed(&[b'x'; 4096]);
        let cut = stored(&whole[..whole.len() / 2]).unwrap_err();
        assert!(cut.starts_with("cannot be decompressed"), "{cut}");
        assert_eq!(stored(&[0xff, 0xfe]), Err("is no text in UTF-8".to_owned()));
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            text(folder.path()),
            Err("is a folder, not a recording".to_owned())
        );
        assert!(text(&folder.path().join("none")).is_err());
    }
}
