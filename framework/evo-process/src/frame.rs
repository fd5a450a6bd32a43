//! Frames: four bytes with the length, lowest first, and then a JSON object in UTF-8.

use std::io::{self, Read, Write};

use serde_json::{Map, Value};
use thiserror::Error;

/// The largest frame in bytes. Buffers cross in shared memory, so this is ample for documents.
pub(crate) const MOST_BYTES: usize = 64 << 20;

/// Why a frame could not be read or written.
#[derive(Debug, Error)]
pub(crate) enum FrameError {
    #[error("it closed the socket")]
    Closed,
    #[error("it ended without an answer, while something that it started keeps the socket open")]
    Orphaned,
    #[error("it closed the socket in the middle of a message")]
    CutOff,
    #[error("it announced a message of {0} bytes; the most is {MOST_BYTES}")]
    TooLarge(u64),
    #[error("it sent something that is no JSON object: {0}")]
    NotJson(String),
    #[error("a message of {0} bytes is too large to be sent; the most is {MOST_BYTES}")]
    Oversized(usize),
    #[error("the socket failed: {0}")]
    Io(#[from] io::Error),
}

/// Reads one frame.
pub(crate) fn read(from: &mut impl Read) -> Result<Map<String, Value>, FrameError> {
    let mut head = [0; 4];
    let mut filled = 0;
    while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) if filled == 0 => return Err(FrameError::Closed),
            Ok(0) => return Err(FrameError::CutOff),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(FrameError::Closed);
            }
            Err(error) => return Err(error.into()),
        }
    }
    let length = u64::from(u32::from_le_bytes(head));
    if length > MOST_BYTES as u64 {
        return Err(FrameError::TooLarge(length));
    }
    // Grows as bytes arrive: an announced length allocates nothing.
    let mut body = Vec::new();
    let count = from.take(length).read_to_end(&mut body)?;
    if count as u64 != length {
        return Err(FrameError::CutOff);
    }
    serde_json::from_slice(&body).map_err(|error| {
        let shown: String = String::from_utf8_lossy(&body).chars().take(60).collect();
        FrameError::NotJson(format!("{error}; it begins with {shown:?}"))
    })
}

/// Writes one frame.
pub(crate) fn write(to: &mut impl Write, message: &Map<String, Value>) -> Result<(), FrameError> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message).map_err(io::Error::from)?;
    let length = frame.len() - 4;
    let head = u32::try_from(length)
        .ok()
        .filter(|_| length <= MOST_BYTES)
        .ok_or(FrameError::Oversized(length))?;
    if let Some(place) = frame.first_chunk_mut() {
        *place = head.to_le_bytes();
    }
    Ok(to.write_all(&frame)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_message_survives_and_a_cut_one_is_seen(
            entries in prop::collection::btree_map(".{0,8}", any::<i64>(), 0..6),
        ) {
            let message: Map<String, Value> =
                entries.into_iter().map(|(key, value)| (key, Value::from(value))).collect();
            let mut bytes = Vec::new();
            write(&mut bytes, &message).unwrap();
            prop_assert_eq!(read(&mut bytes.as_slice()).unwrap(), message);
            for cut in 1..bytes.len() {
                prop_assert!(matches!(read(&mut &bytes[..cut]), Err(FrameError::CutOff)));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&mut bytes.as_slice());
        }
    }

    #[test]
    fn what_is_no_message_is_named() {
        let frame = |body: &[u8]| [&(body.len() as u32).to_le_bytes(), body].concat();
        let error = |bytes: &[u8]| read(&mut &bytes[..]).unwrap_err().to_string();
        assert_eq!(error(b""), "it closed the socket");
        assert!(error(&frame(b"[1]")).contains("no JSON object"));
        assert!(error(&frame(b"\xff\xfe")).contains("no JSON object"));
        // A print that went to the socket.
        assert!(error(b"hello, world").contains("the most is 67108864"));
    }
}
