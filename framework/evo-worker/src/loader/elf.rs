//! Reads just enough of a shared library's ELF header to refuse, before it is opened, what would
//! otherwise be a puzzling message or a signal.
//!
//! A library that was cut off inside a segment is mapped without complaint and then kills the
//! process with SIGBUS at the first touch of the missing pages; so every segment is compared with
//! the file's size.

use std::fmt;

/// Why a file is no library for this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ElfError {
    /// No ELF file: text, a script, an archive.
    NotElf(&'static str),
    /// For another word size, byte order or processor.
    Foreign(String),
    /// An executable, an object file, a core dump.
    NotShared(&'static str),
    /// The file ends before what its header announces.
    Truncated { announced: u64, actual: u64 },
}

impl fmt::Display for ElfError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotElf(what) => write!(
                formatter,
                "it is {what}, not a shared library; give the path of the built library \
                 (target/release/lib*.so)"
            ),
            Self::Foreign(what) => write!(
                formatter,
                "it was built for {what}, and this machine is {}; build it for this machine",
                std::env::consts::ARCH
            ),
            Self::NotShared(what) => write!(
                formatter,
                "it is {what}, not a shared library; build a Rust plugin with \
                 `crate-type = [\"cdylib\"]`, a C plugin with `-shared -fPIC`"
            ),
            Self::Truncated { announced, actual } => write!(
                formatter,
                "it is cut off: its header announces {announced} bytes or more, the file has \
                 {actual}; build or copy it again"
            ),
        }
    }
}

impl std::error::Error for ElfError {}

const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const BIG_ENDIAN: u8 = 2;
const TYPE_SHARED: u16 = 3;
const SEGMENT_LOAD: u32 = 1;
const SEGMENT_INTERPRETER: u32 = 3;

const MACHINES: [(u16, &str); 9] = [
    (3, "x86"),
    (8, "mips"),
    (20, "powerpc"),
    (21, "powerpc64"),
    (22, "s390x"),
    (40, "arm"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv64"),
];

/// Checks that the bytes are a whole shared library for this machine.
pub(crate) fn check(bytes: &[u8]) -> Result<(), ElfError> {
    let ident = match bytes.get(..16) {
        Some(ident) if ident.starts_with(b"\x7fELF") => ident,
        _ => return Err(ElfError::NotElf(kind_of(bytes))),
    };
    if ident[5] == BIG_ENDIAN && cfg!(target_endian = "little") {
        return Err(ElfError::Foreign("a big-endian machine".to_owned()));
    }
    if ident[5] == LITTLE_ENDIAN && cfg!(target_endian = "big") {
        return Err(ElfError::Foreign("a little-endian machine".to_owned()));
    }
    if ident[4] != CLASS_64 || cfg!(not(target_pointer_width = "64")) {
        return Err(ElfError::Foreign("a 32-bit machine".to_owned()));
    }
    check_machine(bytes)?;
    check_segments(bytes)?;
    check_sections(bytes)
}

fn check_machine(bytes: &[u8]) -> Result<(), ElfError> {
    let machine = read_u16(bytes, 18)?;
    let name = MACHINES
        .iter()
        .find(|(code, _)| *code == machine)
        .map(|(_, name)| *name);
    if name != Some(std::env::consts::ARCH) {
        return Err(ElfError::Foreign(name.map_or_else(
            || format!("processor type {machine}"),
            str::to_owned,
        )));
    }
    match read_u16(bytes, 16)? {
        TYPE_SHARED => Ok(()),
        1 => Err(ElfError::NotShared("an object file")),
        2 => Err(ElfError::NotShared("an executable")),
        4 => Err(ElfError::NotShared("a core dump")),
        _ => Err(ElfError::NotShared("an ELF file of an unknown type")),
    }
}

/// Every segment that is mapped must lie inside the file.
fn check_segments(bytes: &[u8]) -> Result<(), ElfError> {
    let table = read_u64(bytes, 32)?;
    let entry = u64::from(read_u16(bytes, 54)?);
    let count = u64::from(read_u16(bytes, 56)?);
    inside(bytes, table, entry.saturating_mul(count))?;
    for index in 0..count {
        let at = table + index * entry;
        let kind = read_u32(bytes, at)?;
        let offset = read_u64(bytes, at.saturating_add(8))?;
        let length = read_u64(bytes, at.saturating_add(32))?;
        if kind == SEGMENT_LOAD {
            inside(bytes, offset, length)?;
        }
        if kind == SEGMENT_INTERPRETER {
            return Err(ElfError::NotShared("an executable"));
        }
    }
    Ok(())
}

/// The table of sections ends a linked file, so a file without all of it was cut off.
fn check_sections(bytes: &[u8]) -> Result<(), ElfError> {
    let table = read_u64(bytes, 40)?;
    let entry = u64::from(read_u16(bytes, 58)?);
    let count = u64::from(read_u16(bytes, 60)?);
    inside(bytes, table, entry * count)
}

fn inside(bytes: &[u8], offset: u64, length: u64) -> Result<(), ElfError> {
    let announced = offset.saturating_add(length);
    let actual = bytes.len() as u64;
    if announced > actual {
        return Err(ElfError::Truncated { announced, actual });
    }
    Ok(())
}

fn read<const N: usize>(bytes: &[u8], at: u64) -> Result<[u8; N], ElfError> {
    let start = usize::try_from(at).ok();
    start
        .and_then(|start| bytes.get(start..)?.first_chunk::<N>())
        .copied()
        .ok_or(ElfError::Truncated {
            announced: at.saturating_add(N as u64),
            actual: bytes.len() as u64,
        })
}

fn read_u16(bytes: &[u8], at: u64) -> Result<u16, ElfError> {
    read(bytes, at).map(u16::from_ne_bytes)
}

fn read_u32(bytes: &[u8], at: u64) -> Result<u32, ElfError> {
    read(bytes, at).map(u32::from_ne_bytes)
}

fn read_u64(bytes: &[u8], at: u64) -> Result<u64, ElfError> {
    read(bytes, at).map(u64::from_ne_bytes)
}

/// What a file that is no ELF file looks like, for people.
fn kind_of(bytes: &[u8]) -> &'static str {
    let start = bytes.get(..512.min(bytes.len())).unwrap_or_default();
    if bytes.is_empty() {
        "an empty file"
    } else if start.starts_with(b"#!") {
        "a script"
    } else if start.starts_with(b"!<arch>") {
        "an archive of object files (a static library)"
    } else if start.starts_with(b"MZ") {
        "a Windows library"
    } else if start.starts_with(&[0xcf, 0xfa, 0xed, 0xfe]) {
        "a macOS library"
    } else if std::str::from_utf8(start).is_ok() {
        "a text file"
    } else {
        "a file of an unknown kind"
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A real, linked, 64-bit ELF file: the running test itself, declared to be a library.
    fn sample() -> Vec<u8> {
        let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        bytes[16..18].copy_from_slice(&TYPE_SHARED.to_ne_bytes());
        without_interpreter(&mut bytes);
        bytes
    }

    fn without_interpreter(bytes: &mut [u8]) {
        let table = read_u64(bytes, 32).unwrap();
        let entry = u64::from(read_u16(bytes, 54).unwrap());
        for index in 0..u64::from(read_u16(bytes, 56).unwrap()) {
            let at = table + index * entry;
            if read_u32(bytes, at).unwrap() == SEGMENT_INTERPRETER {
                bytes[at as usize..at as usize + 4].fill(0);
            }
        }
    }

    #[test]
    fn a_whole_library_passes_and_every_cut_is_seen() {
        let bytes = sample();
        assert_eq!(check(&bytes), Ok(()));
        for cut in [
            17,
            63,
            64,
            200,
            4096,
            bytes.len() / 2,
            bytes.len() - 4096,
            bytes.len() - 1,
        ] {
            assert!(
                matches!(check(&bytes[..cut]), Err(ElfError::Truncated { .. })),
                "cut at {cut}: {:?}",
                check(&bytes[..cut])
            );
        }
    }

    #[test]
    fn what_is_no_library_is_named() {
        let text = |bytes: &[u8]| check(bytes).unwrap_err().to_string();
        insta::assert_snapshot!(text(b""), @"it is an empty file, not a shared library; give the path of the built library (target/release/lib*.so)");
        assert!(text(b"# a plugin, I swear").starts_with("it is a text file"));
        assert!(text(b"#!/bin/sh\n").starts_with("it is a script"));
        assert!(text(b"!<arch>\n").starts_with("it is an archive"));
        assert!(text(&[0xff; 64]).starts_with("it is a file of an unknown kind"));
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(text(&program).starts_with("it is an executable"));
    }

    #[test]
    fn foreign_machines_are_named() {
        let mut bytes = sample();
        let other: (u16, &str) = if cfg!(target_arch = "x86_64") {
            (183, "aarch64")
        } else {
            (62, "x86_64")
        };
        bytes[18..20].copy_from_slice(&other.0.to_ne_bytes());
        assert_eq!(check(&bytes), Err(ElfError::Foreign(other.1.to_owned())));
        bytes[4] = 1;
        assert!(matches!(check(&bytes), Err(ElfError::Foreign(text)) if text.contains("32-bit")));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
            honest in any::<bool>(),
        ) {
            if honest && bytes.len() > 64 {
                bytes[..20].copy_from_slice(&sample_header());
            }
            let _ = check(&bytes);
        }
    }

    fn sample_header() -> [u8; 20] {
        let mut header = [0; 20];
        header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        header[16..18].copy_from_slice(&TYPE_SHARED.to_ne_bytes());
        header[18..20].copy_from_slice(&62u16.to_ne_bytes());
        header
    }
}
