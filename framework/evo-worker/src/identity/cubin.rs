//! CUDA device code: the ELF files that `ptxas` and NVRTC make.
//!
//! A cubin has a section for each function (`.text.NAME`), and beside it sections with the room
//! that the function needs (`.nv.shared.NAME`), its bank of arguments (`.nv.constant0.NAME`) and
//! what the driver has to know to launch it (`.nv.info.NAME`: registers, frame, barriers, where
//! arguments lie). The names of sections hold the names of functions, so sections go by their kind
//! and by the section that they belong to.

use super::canon::{Canon, Place};
use super::file::{File, Section, Symbol};
use super::host::{entries, relocations};

const STT_FUNC: u8 = 2;
/// A variable of the device (`STT_CUDA_OBJECT`).
const STT_OBJECT: u8 = 13;
/// A function that can be launched (`STO_CUDA_ENTRY`).
const ENTRY: u8 = 0x10;

/// Write, allocate, execute, and the processor's own bits such as the number of barriers.
const MEANINGFUL_FLAGS: u64 = 0b111 | 0xfff0_0000;

/// What the header's flags say of the architecture; the upper byte tells how the file was made,
/// such as with line numbers.
const ARCHITECTURE: u64 = 0x00ff_ffff;

/// What a section is for, by its name: kinds that are executed, read, or say what a launch needs.
/// The capsules (`.nv.capmerc`, `.nv.merc`) are another form of the same code.
const KINDS: [&[u8]; 9] = [
    b".text.",
    b".nv.constant",
    b".nv.global.init",
    b".nv.global",
    b".nv.shared.",
    b".nv.local.",
    b".nv.info",
    b".nv.uft",
    b".nv.udt",
];
const TEXT: usize = 0;
const INFO: usize = 6;

fn kind(section: &Section<'_>) -> Option<usize> {
    KINDS.iter().position(|kind| section.name.starts_with(kind))
}

/// The digits that follow `.nv.constant`: the bank.
fn bank<'a>(section: &Section<'a>) -> &'a [u8] {
    let rest = section
        .name
        .strip_prefix(b".nv.constant")
        .unwrap_or_default();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    rest.get(..digits).unwrap_or_default()
}

/// The canonical form; `None` where a reference is not understood.
pub(super) fn canonical(file: &File<'_>) -> Option<Canon> {
    let kinds: Vec<Option<usize>> = file.sections.iter().map(kind).collect();
    if !kinds.contains(&Some(TEXT)) {
        return None;
    }
    let mut count = 0;
    let numbers: Vec<Option<u64>> = kinds
        .iter()
        .map(|kind| {
            kind.map(|_| {
                count += 1;
                count
            })
        })
        .collect();
    let mut canon = Canon::default();
    let [machine, kind, flags] = file.header;
    for word in [machine, kind, flags & ARCHITECTURE] {
        canon.number(word);
    }
    canon.number(count);
    for (section, kind) in file.sections.iter().zip(&kinds) {
        if let Some(kind) = kind {
            write(file, section, *kind, &numbers, &mut canon)?;
        }
    }
    relocations(file, &numbers, &mut canon)?;
    let global = |kind: u8| {
        move |symbol: &&Symbol<'_>| symbol.kind == kind && !symbol.local && symbol.section.is_some()
    };
    let functions = file.symbols.iter().filter(global(STT_FUNC));
    let launched: Vec<&Symbol<'_>> = functions.filter(|s| s.other & ENTRY != 0).collect();
    entries(file, &launched, &numbers, &mut canon)?;
    let objects: Vec<&Symbol<'_>> = file.symbols.iter().filter(global(STT_OBJECT)).collect();
    entries(file, &objects, &numbers, &mut canon)?;
    Some(canon)
}

fn write(
    file: &File<'_>,
    section: &Section<'_>,
    kind: usize,
    numbers: &[Option<u64>],
    canon: &mut Canon,
) -> Option<()> {
    canon.number(kind as u64);
    canon.bytes(bank(section));
    canon.number(section.flags & MEANINGFUL_FLAGS);
    canon.number(section.size);
    if kind == TEXT {
        // The upper byte is the number of registers, the rest a symbol.
        canon.number(u64::from(section.info >> 24));
        canon.count_code(section.size);
    } else {
        let owner = usize::try_from(section.info).ok()?;
        canon.number(numbers.get(owner).copied().flatten().unwrap_or(0));
    }
    if section.is_room() {
        return Some(());
    }
    if kind == INFO {
        info(file, section.data, numbers, canon)
    } else {
        canon.bytes(section.data);
        Some(())
    }
}

/// Where the attributes of a launch name a symbol: in their first word, or in all words.
fn named_words(attribute: u8, words: usize) -> usize {
    match attribute {
        // Where arguments lie, frame, least stack, greatest stack, registers.
        0x0a | 0x11 | 0x12 | 0x23 | 0x2f => words.min(1),
        // Functions that are elsewhere.
        0x0f => words,
        _ => 0,
    }
}

/// The attributes of a launch, with places for symbols. Each is a format, an attribute and two
/// bytes: the value itself, or for format 4 the size of what follows.
fn info(file: &File<'_>, data: &[u8], numbers: &[Option<u64>], canon: &mut Canon) -> Option<()> {
    const SIZED: u8 = 4;
    let mut rest = data;
    while !rest.is_empty() {
        let (head, after) = rest.split_first_chunk::<4>()?;
        let [format, attribute, low, high] = *head;
        canon.bytes(head);
        rest = after;
        if format != SIZED {
            continue;
        }
        let size = usize::from(u16::from_le_bytes([low, high]));
        let (payload, after) = rest.split_at_checked(size)?;
        rest = after;
        let (words, tail) = payload.as_chunks::<4>();
        let named = named_words(attribute, words.len());
        for (place, word) in words.iter().enumerate() {
            if place < named {
                let symbol = usize::try_from(u32::from_le_bytes(*word)).ok()?;
                canon.place(&of_symbol(file, symbol, numbers)?);
            } else {
                canon.bytes(word);
            }
        }
        canon.bytes(tail);
    }
    Some(())
}

/// What a symbol of an attribute is.
fn of_symbol<'a>(file: &File<'a>, symbol: usize, numbers: &[Option<u64>]) -> Option<Place<'a>> {
    match symbol {
        0 => Some(Place::Nothing),
        _ => file.target(symbol, 0, numbers),
    }
}
