//! What a cubin says of its kernels, read without a device: its ELF sections, and the assembler's
//! log for what is in no section.
//!
//! The section `.nv.info` and its siblings per kernel are lists of attributes. NVIDIA does not
//! document them; `cuobjdump -elf` names them. What is read here was held against that tool and
//! the assembler's log for CUDA 12 and 13.

mod log;

use std::collections::BTreeMap;

use evo_types::{Direction, Metric};
use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _};

use crate::arch::RESERVED_SHARED;

/// Why a cubin cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the machine code cannot be read: {0}")]
pub struct CubinError(String);

/// One parameter of a kernel as the machine code has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Bytes from the start of the parameters.
    pub offset: u32,
    /// Size in bytes.
    pub bytes: u32,
}

/// What one kernel needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KernelFigures {
    /// The symbol.
    pub name: String,
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of stack of a thread.
    pub stack_bytes: u32,
    /// Bytes stored by spills of a thread; absent where the log does not tell.
    pub spill_store_bytes: Option<u32>,
    /// Bytes loaded by spills of a thread; absent where the log does not tell.
    pub spill_load_bytes: Option<u32>,
    /// Bytes of static shared memory of a block, without what the system reserves.
    pub shared_bytes: u32,
    /// Bytes of constant memory: the kernel's own, arguments included, and the module's.
    pub constant_bytes: u32,
    /// Bytes of instructions.
    pub code_bytes: u32,
    /// Barriers of a block; absent where neither file nor log tells.
    pub barriers: Option<u32>,
    /// The parameters in their order.
    pub parameters: Vec<Parameter>,
    /// The launch bound `__launch_bounds__(threads)`, if the kernel has one.
    pub max_threads: Option<u32>,
}

impl KernelFigures {
    /// The figures as metrics that inform: `registers`, `spill_store_bytes`, ...
    pub fn metrics(&self) -> Vec<Metric> {
        let figures = [
            ("registers", "count", Some(self.registers)),
            ("spill_store_bytes", "B", self.spill_store_bytes),
            ("spill_load_bytes", "B", self.spill_load_bytes),
            ("stack_bytes", "B", Some(self.stack_bytes)),
            ("shared_bytes", "B", Some(self.shared_bytes)),
            ("constant_bytes", "B", Some(self.constant_bytes)),
            ("code_bytes", "B", Some(self.code_bytes)),
            ("barriers", "count", self.barriers),
        ];
        let known = figures.into_iter().filter_map(|(name, unit, figure)| {
            Some(Metric::new(name, unit, Direction::Info, f64::from(figure?)))
        });
        known.collect()
    }
}

type Elf<'a> = ElfFile64<'a, Endianness>;

fn parse(cubin: &[u8]) -> Result<Elf<'_>, CubinError> {
    let elf = Elf::parse(cubin).map_err(|error| CubinError(error.to_string()))?;
    let machine = elf.elf_header().e_machine.get(elf.endian());
    if machine != object::elf::EM_CUDA {
        return Err(CubinError(format!(
            "it is an ELF file for machine {}, not for CUDA",
            machine.0
        )));
    }
    Ok(elf)
}

/// The kernels of a cubin in the order of their symbols. `log` is what the assembler said with
/// `-v`; an empty one leaves out what only it tells.
///
/// # Errors
/// Where the bytes are no cubin of a known form.
pub fn kernels(cubin: &[u8], log: &str) -> Result<Vec<KernelFigures>, CubinError> {
    let elf = parse(cubin)?;
    let sections = Sections::of(&elf)?;
    let by_symbol = sections.per_symbol(&elf)?;
    let said = log::read(log);
    let mut kernels = Vec::new();
    for (name, code_bytes) in &sections.code {
        let mut kernel = KernelFigures {
            name: name.clone(),
            code_bytes: *code_bytes,
            constant_bytes: sections.constants(name),
            ..KernelFigures::default()
        };
        let Some(attributes) = sections.info.get(name.as_str()) else {
            // A device function that was not inlined; no kernel.
            continue;
        };
        kernel.take_attributes(attributes)?;
        if let Some((registers, stack)) = by_symbol.get(name) {
            kernel.registers = *registers;
            kernel.stack_bytes = *stack;
        }
        let said = said.get(name.as_str());
        kernel.shared_bytes = match said.and_then(|said| said.shared_bytes) {
            Some(bytes) => bytes,
            None => sections.shared(name),
        };
        kernel.spill_store_bytes = said.and_then(|said| said.spill_store_bytes);
        kernel.spill_load_bytes = said.and_then(|said| said.spill_load_bytes);
        kernel.barriers = said.and_then(|said| said.barriers).or(kernel.barriers);
        kernels.push(kernel);
    }
    Ok(kernels)
}

/// Whether a cubin has variables on the device, in which its kernels can leave something. Constants count too:
/// the machine code does not tell them apart, and NVRTC keeps each `constexpr` of a source that was compiled with
/// `-default-device`, used or not.
///
/// # Errors
/// Bytes that are no cubin.
pub fn has_variables(cubin: &[u8]) -> Result<bool, CubinError> {
    let elf = parse(cubin)?;
    let named = |section: object::read::elf::ElfSection64<'_, '_, Endianness>| {
        section
            .name_bytes()
            .is_ok_and(|name| name.starts_with(b".nv.global"))
    };
    Ok(elf.sections().any(named))
}

/// The sections that tell about kernels.
#[derive(Default)]
struct Sections<'a> {
    /// Bytes of instructions by symbol.
    code: BTreeMap<String, u32>,
    /// Attributes by symbol.
    info: BTreeMap<&'a str, &'a [u8]>,
    /// Attributes of the module.
    module: &'a [u8],
    /// Bytes by name, of constants and shared memory.
    sizes: BTreeMap<&'a str, u32>,
}

impl<'a> Sections<'a> {
    fn of(elf: &Elf<'a>) -> Result<Self, CubinError> {
        let mut found = Self::default();
        for section in elf.sections() {
            let broken = |error: object::Error| CubinError(error.to_string());
            let name = section.name_bytes().map_err(broken)?;
            let name = std::str::from_utf8(name)
                .map_err(|_| CubinError("a section's name is no text".to_owned()))?;
            let bytes = u32::try_from(section.size())
                .map_err(|_| CubinError(format!("the section {name} is too large")))?;
            if let Some(kernel) = name.strip_prefix(".text.") {
                found.code.insert(kernel.to_owned(), bytes);
            } else if let Some(kernel) = name.strip_prefix(".nv.info.") {
                found.info.insert(kernel, section.data().map_err(broken)?);
            } else if name == ".nv.info" {
                found.module = section.data().map_err(broken)?;
            } else if name.starts_with(".nv.constant") || name.starts_with(".nv.shared.") {
                found.sizes.insert(name, bytes);
            }
        }
        Ok(found)
    }

    /// Registers and stack by the kernel's name.
    fn per_symbol(&self, elf: &Elf<'a>) -> Result<BTreeMap<String, (u32, u32)>, CubinError> {
        let mut figures: BTreeMap<String, (u32, u32)> = BTreeMap::new();
        for attribute in Attributes(self.module) {
            let attribute = attribute?;
            let [symbol, figure] = attribute.words()[..] else {
                continue;
            };
            let symbol = elf.symbol_by_index(object::SymbolIndex(symbol as usize));
            let Ok(name) = symbol.and_then(|symbol| symbol.name().map(str::to_owned)) else {
                continue;
            };
            let entry = figures.entry(name).or_default();
            match attribute.code {
                Attribute::REGISTERS => entry.0 = figure,
                Attribute::FRAME_SIZE => entry.1 = figure,
                _ => {}
            }
        }
        Ok(figures)
    }

    fn constants(&self, kernel: &str) -> u32 {
        let own = format!(".{kernel}");
        let sizes = self.sizes.iter().filter(|(name, _)| {
            let Some(rest) = name.strip_prefix(".nv.constant") else {
                return false;
            };
            let rest = rest.trim_start_matches(|it: char| it.is_ascii_digit());
            rest.is_empty() || rest == own
        });
        sizes.fold(0, |total, (_, bytes)| total.saturating_add(*bytes))
    }

    fn shared(&self, kernel: &str) -> u32 {
        let bytes = self.sizes.get(format!(".nv.shared.{kernel}").as_str());
        // Where there is such a section, the kernel's begins with what the system reserves.
        let reserved = self.sizes.contains_key(".nv.shared.reserved.0");
        let reserved = if reserved { RESERVED_SHARED } else { 0 };
        bytes.map_or(0, |bytes| bytes.saturating_sub(reserved))
    }
}

impl KernelFigures {
    fn take_attributes(&mut self, attributes: &[u8]) -> Result<(), CubinError> {
        let mut parameters = BTreeMap::new();
        for attribute in Attributes(attributes) {
            let attribute = attribute?;
            let words = attribute.words();
            match (attribute.code, &words[..]) {
                (Attribute::PARAMETER, [_, place, packed]) => {
                    let (ordinal, offset) = (place & 0xffff, place >> 16);
                    let bytes = packed >> 18;
                    parameters.insert(ordinal, Parameter { offset, bytes });
                }
                (Attribute::LARGE_PARAMETER, [_, place, packed]) => {
                    let (ordinal, offset) = (place & 0xffff, place >> 16);
                    let bytes = packed & 0xffff;
                    parameters.insert(ordinal, Parameter { offset, bytes });
                }
                (Attribute::MAX_THREADS, [x, y, z]) => {
                    self.max_threads = x.checked_mul(*y).and_then(|it| it.checked_mul(*z));
                }
                (Attribute::BARRIERS, []) => self.barriers = Some(u32::from(attribute.value)),
                _ => {}
            }
        }
        self.parameters = parameters.into_values().collect();
        Ok(())
    }
}

/// One attribute of `.nv.info`.
struct Attribute<'a> {
    code: u8,
    /// The value of an attribute without content.
    value: u8,
    content: &'a [u8],
}

impl Attribute<'_> {
    const MAX_THREADS: u8 = 0x05;
    const FRAME_SIZE: u8 = 0x11;
    const PARAMETER: u8 = 0x17;
    const REGISTERS: u8 = 0x2f;
    const LARGE_PARAMETER: u8 = 0x45;
    const BARRIERS: u8 = 0x4c;

    fn words(&self) -> Vec<u32> {
        let (words, _) = self.content.as_chunks::<4>();
        words.iter().map(|word| u32::from_le_bytes(*word)).collect()
    }
}

/// Reads a list of attributes.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, CubinError>;

    fn next(&mut self) -> Option<Self::Item> {
        /// The format whose content follows, of the size that the head gives.
        const SIZED: u8 = 4;
        if self.0.is_empty() {
            return None;
        }
        let Some(([format, code, low, high], rest)) = self.0.split_first_chunk() else {
            self.0 = &[];
            return Some(Err(CubinError("an attribute is cut off".to_owned())));
        };
        let size = match *format {
            SIZED => usize::from(u16::from_le_bytes([*low, *high])),
            _ => 0,
        };
        let Some((content, rest)) = rest.split_at_checked(size) else {
            self.0 = &[];
            return Some(Err(CubinError(format!("attribute {code:#x} is cut off"))));
        };
        self.0 = rest;
        Some(Ok(Attribute {
            code: *code,
            value: *low,
            content,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_cubin_is_an_error() {
        assert!(kernels(b"", "").is_err());
        assert!(kernels(b"\x7fELF", "").is_err());
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let error = kernels(&own, "").unwrap_err();
        assert!(error.to_string().contains("not for CUDA"), "{error}");
    }

    #[test]
    fn attributes_are_read_and_a_torn_list_is_an_error() {
        let list = [
            4, 0x2f, 8, 0, 1, 0, 0, 0, 9, 0, 0, 0, 2, 0x4c, 3, 0, 3, 0x1b, 0xff, 0,
        ];
        let read: Vec<_> = Attributes(&list).map(Result::unwrap).collect();
        assert_eq!(read[0].words(), [1, 9]);
        assert_eq!((read[1].code, read[1].value), (Attribute::BARRIERS, 3));
        assert_eq!(read.len(), 3);
        for end in [1, 3, 4, 11, 14] {
            assert!(Attributes(&list[..end]).any(|it| it.is_err()), "{end}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_fail(bytes in proptest::collection::vec(0u8..=255, 0..200)) {
            let mut attributes = KernelFigures::default();
            let _ = attributes.take_attributes(&bytes);
            let mut file = b"\x7fELF\x02\x01\x01\x41\x08\0\0\0\0\0\0\0".to_vec();
            file.extend(bytes);
            proptest::prop_assert!(kernels(&file, "").is_err());
        }
    }
}
