//! Shared libraries and object files for x86-64 and AArch64.

use super::canon::{Canon, Place};
use super::file::{File, Section, Symbol};
use super::names;

const SHT_PROGBITS: u32 = 1;
const SHT_NOBITS: u32 = 8;
const SHT_INIT_ARRAY: u32 = 14;
const SHT_FINI_ARRAY: u32 = 15;
const SHT_PREINIT_ARRAY: u32 = 16;

const STT_OBJECT: u8 = 1;
const STT_FUNC: u8 = 2;
const STT_TLS: u8 = 6;
const STT_GNU_IFUNC: u8 = 10;

/// Write, allocate, execute.
const ACCESS: u64 = 0b111;

/// Bytes that a relocation of a linked file fills in.
const WORD: usize = 8;

/// What is written of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// What it holds is executed or read.
    Content,
    /// The linker made it; the relocations in it say what it means.
    Slots,
}

fn part(section: &Section<'_>) -> Option<Part> {
    let kinds = [
        SHT_PROGBITS,
        SHT_NOBITS,
        SHT_INIT_ARRAY,
        SHT_FINI_ARRAY,
        SHT_PREINIT_ARRAY,
    ];
    if !section.allocated() || !kinds.contains(&section.kind) {
        return None;
    }
    match section.name {
        b".interp" => None,
        // How to unwind follows from the code.
        b".eh_frame" | b".eh_frame_hdr" => None,
        b".got" | b".got.plt" | b".plt" | b".plt.got" | b".plt.sec" => Some(Part::Slots),
        _ => Some(Part::Content),
    }
}

/// The canonical form; `None` where a reference is not understood.
pub(super) fn canonical(file: &File<'_>) -> Option<Canon> {
    let parts: Vec<Option<Part>> = file.sections.iter().map(part).collect();
    let mut count = 0;
    let numbers: Vec<Option<u64>> = parts
        .iter()
        .map(|part| {
            part.map(|_| {
                count += 1;
                count
            })
        })
        .collect();
    let mut canon = Canon::default();
    for word in file.header {
        canon.number(word);
    }
    canon.number(count);
    let origin = file
        .sections
        .iter()
        .zip(&parts)
        .find(|(section, part)| part.is_some() && section.executable())
        .map_or(0, |(section, _)| section.address);
    for (index, (section, part)) in file.sections.iter().zip(&parts).enumerate() {
        let Some(part) = part else { continue };
        canon.number(section.flags & ACCESS);
        // Linked code refers to other sections by their distance.
        canon.number(if file.linked {
            section.address.wrapping_sub(origin)
        } else {
            0
        });
        if *part == Part::Slots {
            continue;
        }
        canon.number(section.size);
        if !section.is_room() {
            canon.bytes(&without_relocated(file, index, section));
        }
        if section.executable() {
            canon.count_code(section.size);
        }
    }
    relocations(file, &numbers, &mut canon)?;
    exports(file, &numbers, &mut canon)?;
    Some(canon)
}

/// The content without the words of a linked file that its relocations fill in.
fn without_relocated(file: &File<'_>, index: usize, section: &Section<'_>) -> Vec<u8> {
    let mut content = section.data.to_vec();
    if !file.linked {
        return content;
    }
    for relocation in file.relocations.iter().filter(|r| r.section == index) {
        let Ok(start) = usize::try_from(relocation.offset) else {
            continue;
        };
        let word = start.checked_add(WORD).map(|end| start..end);
        if let Some(word) = word.and_then(|range| content.get_mut(range)) {
            word.fill(0);
        }
    }
    content
}

/// Writes what is referred to from where, in the order of the places.
pub(super) fn relocations(
    file: &File<'_>,
    numbers: &[Option<u64>],
    canon: &mut Canon,
) -> Option<()> {
    let mut written = Vec::new();
    for relocation in &file.relocations {
        let Some(number) = numbers.get(relocation.section).copied().flatten() else {
            continue;
        };
        let target = file.target(relocation.symbol, relocation.addend, numbers)?;
        // An addend to something that is elsewhere is not in its place.
        let addend = match target {
            Place::Import(_) => relocation.addend,
            _ => 0,
        };
        written.push((number, relocation.offset, relocation.kind, target, addend));
    }
    written.sort();
    canon.number(written.len() as u64);
    for (number, offset, kind, target, addend) in written {
        canon.number(number);
        canon.number(offset);
        canon.number(u64::from(kind));
        canon.place(&target);
        canon.number(addend.cast_unsigned());
    }
    Some(())
}

/// What others can find by name. The only function goes without its name: there is nothing that
/// it could be confused with.
fn exports(file: &File<'_>, numbers: &[Option<u64>], canon: &mut Canon) -> Option<()> {
    let exported = |kinds: &[u8]| -> Vec<&Symbol<'_>> {
        file.symbols
            .iter()
            .filter(|symbol| !symbol.local && symbol.section.is_some())
            .filter(|symbol| kinds.contains(&symbol.kind))
            .collect()
    };
    entries(file, &exported(&[STT_FUNC, STT_GNU_IFUNC]), numbers, canon)?;
    entries(file, &exported(&[STT_OBJECT, STT_TLS]), numbers, canon)
}

/// Writes the places of symbols that can be found by name, with their names if there are several.
pub(super) fn entries(
    file: &File<'_>,
    symbols: &[&Symbol<'_>],
    numbers: &[Option<u64>],
    canon: &mut Canon,
) -> Option<()> {
    let mut written = Vec::new();
    for symbol in symbols {
        let section = symbol.section?;
        let number = numbers.get(section).copied().flatten().unwrap_or(0);
        let start = if file.linked {
            file.sections.get(section)?.address
        } else {
            0
        };
        let offset = symbol.value.wrapping_sub(start);
        let name = match symbols {
            [_] => Vec::new(),
            _ => names::base(symbol.name),
        };
        written.push((number, offset, name));
    }
    written.sort();
    canon.number(written.len() as u64);
    for (number, offset, name) in written {
        canon.number(number);
        canon.number(offset);
        canon.bytes(&name);
    }
    Some(())
}
