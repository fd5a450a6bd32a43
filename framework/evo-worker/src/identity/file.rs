//! The sections and symbols of an ELF file. The bytes come from a plugin, so nothing in them is
//! trusted: what does not fit makes the file unreadable, and the sizes of what is read are bounded
//! by the size of the file.

use object::LittleEndian;
use object::elf::{
    EM_AARCH64, EM_X86_64, ET_DYN, ET_REL, FileHeader64, SHF_ALLOC, SHF_EXECINSTR, SHT_DYNSYM,
    SHT_NOBITS, SHT_REL, SHT_RELA, SHT_SYMTAB, SectionHeader64, Sym64,
};
use object::read::elf::{
    FileHeader, Rel as _, Rela as _, SectionHeader as _, SectionTable, Sym as _,
};

use super::canon::Place;

const ENDIAN: LittleEndian = LittleEndian;

/// The machine number of CUDA device code.
const EM_CUDA: u16 = 190;

/// More sections than this are no honest build.
const MOST_SECTIONS: usize = 20_000;

/// What the code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    /// x86-64 or AArch64.
    Host,
    /// A CUDA device.
    Cuda,
}

/// An ELF file.
#[derive(Debug)]
pub(super) struct File<'a> {
    pub(super) machine: Machine,
    /// Machine number, file type and flags: what the header says of the code.
    pub(super) header: [u64; 3],
    /// Whether addresses are fixed, so that code refers to other sections by distance.
    pub(super) linked: bool,
    pub(super) sections: Vec<Section<'a>>,
    pub(super) relocations: Vec<Relocation>,
    /// Symbols by their place in the table; those of the loader for a linked file.
    pub(super) symbols: Vec<Symbol<'a>>,
}

/// A section.
#[derive(Debug)]
pub(super) struct Section<'a> {
    pub(super) name: &'a [u8],
    pub(super) kind: u32,
    pub(super) flags: u64,
    pub(super) info: u32,
    pub(super) address: u64,
    pub(super) size: u64,
    /// Empty for a section that is only room.
    pub(super) data: &'a [u8],
}

impl Section<'_> {
    pub(super) fn allocated(&self) -> bool {
        self.flags & SHF_ALLOC.0 != 0
    }

    pub(super) fn executable(&self) -> bool {
        self.flags & SHF_EXECINSTR.0 != 0
    }

    pub(super) fn is_room(&self) -> bool {
        self.kind == SHT_NOBITS.0
    }
}

/// A relocation: at a place in a section, a reference to a symbol or to an address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Relocation {
    /// The section that is changed, by index; for a linked file the one at the address.
    pub(super) section: usize,
    pub(super) offset: u64,
    pub(super) kind: u32,
    /// The index of a symbol; 0 for none.
    pub(super) symbol: usize,
    pub(super) addend: i64,
}

/// A symbol.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol<'a> {
    pub(super) name: &'a [u8],
    /// The section that it is in, by index; `None` for an imported or absolute one.
    pub(super) section: Option<usize>,
    pub(super) undefined: bool,
    pub(super) local: bool,
    pub(super) kind: u8,
    pub(super) other: u8,
    pub(super) value: u64,
}

impl<'a> File<'a> {
    /// Reads a file; `None` for anything that is not understood.
    pub(super) fn parse(data: &'a [u8]) -> Option<Self> {
        let header = FileHeader64::<LittleEndian>::parse(data).ok()?;
        if !header.is_little_endian() {
            return None;
        }
        let number = header.e_machine(ENDIAN).0;
        let machine = match number {
            EM_CUDA => Machine::Cuda,
            _ if number == EM_X86_64.0 || number == EM_AARCH64.0 => Machine::Host,
            _ => return None,
        };
        let kind = header.e_type(ENDIAN);
        let linked = match machine {
            // The places in a cubin are relative to its sections, whatever its type says.
            Machine::Cuda => false,
            Machine::Host if kind == ET_DYN => true,
            Machine::Host if kind == ET_REL => false,
            Machine::Host => return None,
        };
        let table = header.sections(ENDIAN, data).ok()?;
        if table.len() > MOST_SECTIONS {
            return None;
        }
        let sections = sections(data, &table)?;
        let symbols = symbols(data, &table, linked)?;
        let relocations = relocations(data, &table, &sections, linked)?;
        Some(Self {
            machine,
            header: [
                u64::from(number),
                u64::from(kind.0),
                u64::from(header.e_flags(ENDIAN).0),
            ],
            linked,
            sections,
            relocations,
            symbols,
        })
    }

    /// What a symbol and an addend mean. `numbers` are the order numbers of sections.
    pub(super) fn target(
        &self,
        symbol: usize,
        addend: i64,
        numbers: &[Option<u64>],
    ) -> Option<Place<'a>> {
        if symbol == 0 {
            return self.at_address(addend, numbers);
        }
        let symbol = self.symbols.get(symbol)?;
        match symbol.section {
            Some(section) => {
                let start = self.start(section)?;
                let offset = symbol.value.wrapping_sub(start).wrapping_add_signed(addend);
                match numbers.get(section).copied().flatten() {
                    Some(number) => Some(Place::Section { number, offset }),
                    // Not executed and not read, as far as is known here.
                    None => Some(Place::Nothing),
                }
            }
            None if symbol.undefined => Some(Place::Import(symbol.name)),
            None => Some(Place::Absolute(symbol.value.wrapping_add_signed(addend))),
        }
    }

    /// An address of a linked file.
    fn at_address(&self, address: i64, numbers: &[Option<u64>]) -> Option<Place<'a>> {
        let address = u64::try_from(address).ok()?;
        if !self.linked {
            return Some(Place::Absolute(address));
        }
        let section = containing(&self.sections, address)?;
        let offset = address.wrapping_sub(self.start(section)?);
        Some(match numbers.get(section).copied().flatten() {
            Some(number) => Place::Section { number, offset },
            None => Place::Nothing,
        })
    }

    /// What symbol values of a section count from.
    fn start(&self, section: usize) -> Option<u64> {
        let section = self.sections.get(section)?;
        Some(if self.linked { section.address } else { 0 })
    }
}

type Table<'a> = SectionTable<'a, FileHeader64<LittleEndian>>;

fn sections<'a>(data: &'a [u8], table: &Table<'a>) -> Option<Vec<Section<'a>>> {
    let mut total = 0usize;
    let mut found = Vec::with_capacity(table.len());
    for header in table.iter() {
        let header: &SectionHeader64<LittleEndian> = header;
        let content = header.data(ENDIAN, data).ok()?;
        // Sections that share bytes could make a small file a large document.
        total = total.checked_add(content.len())?;
        if total > data.len().checked_mul(2)? {
            return None;
        }
        found.push(Section {
            name: table.section_name(ENDIAN, header).ok()?,
            kind: header.sh_type(ENDIAN).0,
            flags: header.sh_flags(ENDIAN).0,
            info: header.sh_info(ENDIAN),
            address: header.sh_addr(ENDIAN),
            size: header.sh_size(ENDIAN),
            data: content,
        });
    }
    Some(found)
}

/// The symbols that relocations name.
fn symbols<'a>(data: &'a [u8], table: &Table<'a>, linked: bool) -> Option<Vec<Symbol<'a>>> {
    let kind = if linked { SHT_DYNSYM } else { SHT_SYMTAB };
    let symbols = table.symbols(ENDIAN, data, kind).ok()?;
    let mut found = Vec::with_capacity(symbols.len());
    for (index, symbol) in symbols.enumerate() {
        let symbol: &Sym64<LittleEndian> = symbol;
        let section = symbols.symbol_section(ENDIAN, symbol, index).ok()?;
        found.push(Symbol {
            name: symbols.symbol_name(ENDIAN, symbol).ok()?,
            section: section.map(|index| index.0),
            undefined: symbol.is_undefined(ENDIAN),
            local: symbol.is_local(),
            kind: symbol.st_type().0,
            other: symbol.st_other().0,
            value: symbol.st_value(ENDIAN),
        });
    }
    Some(found)
}

/// The relocations of an object file, or those of a linked file that the loader carries out.
fn relocations(
    data: &[u8],
    table: &Table<'_>,
    sections: &[Section<'_>],
    linked: bool,
) -> Option<Vec<Relocation>> {
    let mut found = Vec::new();
    for header in table.iter() {
        let header: &SectionHeader64<LittleEndian> = header;
        let kind = header.sh_type(ENDIAN);
        if kind != SHT_REL && kind != SHT_RELA {
            continue;
        }
        if linked && !header.sh_flags(ENDIAN).contains(SHF_ALLOC) {
            // Kept by the linker for other tools: already carried out.
            continue;
        }
        let changed = usize::try_from(header.sh_info(ENDIAN)).ok()?;
        let place = |offset: u64| {
            if linked {
                let section = containing(sections, offset)?;
                let start = sections.get(section)?.address;
                Some((section, offset.wrapping_sub(start)))
            } else {
                sections.get(changed)?;
                Some((changed, offset))
            }
        };
        if let Some((entries, _)) = header.rela(ENDIAN, data).ok()? {
            for entry in entries {
                let (section, offset) = place(entry.r_offset(ENDIAN))?;
                found.push(Relocation {
                    section,
                    offset,
                    kind: entry.r_type(ENDIAN, false).0,
                    symbol: usize::try_from(entry.r_sym(ENDIAN, false)).ok()?,
                    addend: entry.r_addend(ENDIAN),
                });
            }
        }
        if let Some((entries, _)) = header.rel(ENDIAN, data).ok()? {
            for entry in entries {
                let (section, offset) = place(entry.r_offset(ENDIAN))?;
                found.push(Relocation {
                    section,
                    offset,
                    kind: entry.r_type(ENDIAN).0,
                    symbol: usize::try_from(entry.r_sym(ENDIAN)).ok()?,
                    addend: 0,
                });
            }
        }
    }
    Some(found)
}

/// The section that an address of a linked file is in. The end of a section counts as its own,
/// because tables are referred to by their end.
fn containing(sections: &[Section<'_>], address: u64) -> Option<usize> {
    let within = |section: &Section<'_>, last: bool| {
        let offset = address.checked_sub(section.address);
        section.allocated()
            && offset.is_some_and(|o| o < section.size || (last && o == section.size))
    };
    let inside = sections.iter().position(|section| within(section, false));
    inside.or_else(|| sections.iter().position(|section| within(section, true)))
}
