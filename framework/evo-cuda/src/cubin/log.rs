//! The assembler's log: `ptxas -v` prints a few lines for each kernel.

use std::collections::BTreeMap;

/// What the log says of one kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Said {
    pub(super) spill_store_bytes: Option<u32>,
    pub(super) spill_load_bytes: Option<u32>,
    pub(super) barriers: Option<u32>,
    pub(super) shared_bytes: Option<u32>,
}

/// Reads the log; lines of another form are passed over.
pub(super) fn read(log: &str) -> BTreeMap<&str, Said> {
    let mut all: BTreeMap<&str, Said> = BTreeMap::new();
    // `Used` belongs to the entry, the spills to the function that was named last.
    let (mut entry, mut function) = ("", "");
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            entry = rest.split('\'').next().unwrap_or_default();
            function = entry;
        } else if let Some((_, rest)) = line.split_once("Function properties for ") {
            function = rest.trim();
        } else if line.contains(" spill stores,") {
            let said = all.entry(function).or_default();
            said.spill_store_bytes = before(line, " bytes spill stores");
            said.spill_load_bytes = before(line, " bytes spill loads");
        } else if line.contains(": Used ") {
            let said = all.entry(entry).or_default();
            said.barriers = before(line, " barriers");
            said.shared_bytes = Some(before(line, " bytes smem").unwrap_or(0));
        }
    }
    all
}

/// The number before some words.
fn before(line: &str, words: &str) -> Option<u32> {
    let (front, _) = line.split_once(words)?;
    front.rsplit([' ', ',', '\t']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_log_are_read() {
        let log = "k.cu(3): warning #177-D: variable \"x\" was declared but never referenced\n\
            ptxas info    : 20 bytes gmem, 256 bytes cmem[3]\n\
            ptxas info    : Compiling entry function '_Z1aPf' for 'sm_80'\n\
            ptxas info    : Function properties for _Z1aPf\n\
            ptxas         .     8 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads\n\
            ptxas info    : Used 16 registers, used 1 barriers, 256 bytes smem, 370 bytes cmem[0]\n\
            ptxas info    : Compiling entry function 'b' for 'sm_80'\n\
            ptxas info    : Function properties for b\n\
            \x20   0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n\
            ptxas info    : Used 8 registers, 360 bytes cmem[0]\n";
        let said = read(log);
        assert_eq!(said.len(), 2);
        let a = Said {
            spill_store_bytes: Some(12),
            spill_load_bytes: Some(16),
            barriers: Some(1),
            shared_bytes: Some(256),
        };
        assert_eq!(said["_Z1aPf"], a);
        let b = Said {
            spill_store_bytes: Some(0),
            spill_load_bytes: Some(0),
            barriers: None,
            shared_bytes: Some(0),
        };
        assert_eq!(said["b"], b);
        assert!(read("").is_empty());
    }
}
