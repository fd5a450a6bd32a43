//! What a build really is: an identity that does not depend on names, paths and debug information.
//!
//! Two builds are the same execution when their machine code, their launch geometry and their
//! run-time parameters agree. The bytes of two equal programs rarely agree: debug information, a
//! build identifier, the name of the source file and the names of static functions or template
//! instantiations get into an object file without reaching the processor. So where an artifact is
//! an ELF file that is understood here, only what is executed or read by what is executed is
//! hashed, in a canonical order. Everything else (PTX, bytecode, plans that a kernel interprets)
//! counts as it is.
//!
//! A mistake in one direction costs one more measurement; in the other it would hide a candidate.
//! So whatever is not understood makes builds different: an ELF file that cannot be read counts
//! byte by byte, and names by which the outside finds something stay where there is more than one
//! candidate for the name.
//!
//! | module | is |
//! |---|---|
//! | `file` | the sections and symbols of an ELF file, read without trust |
//! | `canon` | the canonical form, written piece by piece |
//! | `host` | shared libraries and object files for a CPU |
//! | `cubin` | CUDA device code |
//! | `names` | names without what template arguments put into them |

mod canon;
mod cubin;
mod file;
mod host;
mod names;
#[cfg(test)]
mod tests;

use evo_types::{ContentHash, Direction, Metric};

use file::{File, Machine};

/// The identity of a piece of code.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Code {
    /// Equal for code that executes alike.
    pub(crate) hash: ContentHash,
    /// Bytes of instructions, where the artifact is machine code that is understood.
    pub(crate) code_bytes: Option<u64>,
}

impl Code {
    /// The identity of an artifact's bytes, whatever they are.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let machine_code = File::parse(bytes).and_then(|file| match file.machine {
            Machine::Host => host::canonical(&file),
            Machine::Cuda => cubin::canonical(&file),
        });
        match machine_code {
            Some(canon) => Self {
                hash: ContentHash::of_parts(&[b"machine code", canon.document()]),
                code_bytes: Some(canon.code_bytes()),
            },
            None => Self {
                hash: ContentHash::of_parts(&[b"bytes", bytes]),
                code_bytes: None,
            },
        }
    }

    /// The resource figures of a build: those that the plugin gave, and the size of the code where
    /// it is known and the plugin did not say it.
    pub(crate) fn figures(&self, given: &[Metric]) -> Vec<Metric> {
        const CODE_BYTES: &str = "code_bytes";
        // The journal's JSON holds finite numbers only.
        let finite = given.iter().filter(|figure| figure.is_finite());
        let mut figures: Vec<Metric> = finite.cloned().collect();
        if let Some(bytes) = self.code_bytes
            && figures.iter().all(|figure| figure.name != CODE_BYTES)
        {
            figures.push(Metric::new(CODE_BYTES, "B", Direction::Info, bytes as f64));
        }
        figures
    }
}
