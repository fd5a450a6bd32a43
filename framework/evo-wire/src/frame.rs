//! Frames: four bytes of length, four bytes of CRC-32, then JSON. All integers little-endian.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The largest frame. A peer that announces more is broken; nothing is allocated for it.
pub const MAX_FRAME: usize = 64 << 20;

/// Why a frame could not be read or written.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The other side closed the channel between two frames.
    #[error("the other side closed the channel")]
    Closed,
    /// The channel broke, or timed out (kind `WouldBlock` or `TimedOut`).
    #[error("the channel broke: {0}")]
    Io(#[from] io::Error),
    /// The frame is larger than [`MAX_FRAME`].
    #[error("a frame of {0} bytes was announced; the limit is {MAX_FRAME}")]
    TooLarge(usize),
    /// The checksum does not match.
    #[error("the checksum of a frame does not match its content")]
    Checksum,
    /// The JSON is not a message.
    #[error("a frame holds no message of this protocol: {0}")]
    Message(#[from] serde_json::Error),
}

/// Writes one message as a frame.
///
/// # Errors
/// [`FrameError::TooLarge`], or what the channel or the encoding returned.
pub fn write_frame<T: Serialize>(channel: &mut impl Write, message: &T) -> Result<(), FrameError> {
    let body = serde_json::to_vec(message)?;
    if body.len() > MAX_FRAME {
        return Err(FrameError::TooLarge(body.len()));
    }
    let mut frame = Vec::with_capacity(body.len() + 8);
    frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
    frame.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    frame.extend_from_slice(&body);
    channel.write_all(&frame)?;
    channel.flush()?;
    Ok(())
}

/// Reads one message.
///
/// # Errors
/// [`FrameError::Closed`] at the end of the channel between frames; every other kind for a broken
/// channel or peer.
pub fn read_frame<T: DeserializeOwned>(channel: &mut impl Read) -> Result<T, FrameError> {
    let mut header = [0u8; 8];
    let mut filled = 0;
    while filled < header.len() {
        match channel.read(&mut header[filled..]) {
            Ok(0) if filled == 0 => return Err(FrameError::Closed),
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let [l0, l1, l2, l3, c0, c1, c2, c3] = header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > MAX_FRAME {
        return Err(FrameError::TooLarge(length));
    }
    let mut body = vec![0u8; length];
    channel.read_exact(&mut body)?;
    if crc32fast::hash(&body) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(FrameError::Checksum);
    }
    Ok(serde_json::from_slice(&body)?)
}

#[cfg(test)]
mod tests {
    use evo_types::Phase;

    use super::*;
    use crate::{Envelope, Reply};

    fn sample() -> Envelope<Reply> {
        Envelope {
            id: 7,
            body: Reply::Progress {
                phase: Phase::Verify,
                item: Some(2),
            },
        }
    }

    #[test]
    fn frames_survive_a_round_trip() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &sample()).unwrap();
        write_frame(&mut bytes, &sample()).unwrap();
        let mut channel = bytes.as_slice();
        for _ in 0..2 {
            assert_eq!(
                read_frame::<Envelope<Reply>>(&mut channel).unwrap(),
                sample()
            );
        }
        assert!(matches!(
            read_frame::<Envelope<Reply>>(&mut channel),
            Err(FrameError::Closed)
        ));
    }

    #[test]
    fn damage_is_recognised() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &sample()).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let read = read_frame::<Envelope<Reply>>(&mut bytes.as_slice());
        assert!(matches!(read, Err(FrameError::Checksum)));
    }

    #[test]
    fn an_oversized_frame_is_refused_before_anything_is_allocated() {
        let header = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        let read = read_frame::<Envelope<Reply>>(&mut header.as_slice());
        assert!(matches!(read, Err(FrameError::TooLarge(_))));
    }

    #[test]
    fn a_torn_frame_is_an_io_error() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &sample()).unwrap();
        for cut in 1..bytes.len() {
            let read = read_frame::<Envelope<Reply>>(&mut &bytes[..cut]);
            assert!(matches!(read, Err(FrameError::Io(_))), "cut at {cut}");
        }
    }
}
