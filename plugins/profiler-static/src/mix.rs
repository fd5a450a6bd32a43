//! The mix of instructions in a disassembler's listing.

use std::collections::BTreeMap;

/// How many instructions of each kind a listing has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mix(pub(crate) BTreeMap<&'static str, u64>);

impl Mix {
    fn add(&mut self, kind: &'static str) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// Kinds that are there even where there are none of them: rules compare them.
    fn of(kinds: &[&'static str]) -> Self {
        Self(kinds.iter().map(|kind| (*kind, 0)).collect())
    }
}

/// The kinds of a GPU's instructions.
const SASS: [&str; 12] = [
    "all", "tensor", "float", "integer", "special", "shared", "global", "local", "copy", "barrier",
    "branch", "other",
];

/// Of `nvdisasm -c`: `/*0040*/ @P0 LDG.E.128 R4, [R2] ;`.
pub(crate) fn sass(listing: &str) -> Mix {
    let mut mix = Mix::of(&SASS);
    for line in listing.lines() {
        let Some(name) = sass_name(line) else {
            continue;
        };
        // What fills the end of a function.
        if name == "NOP" {
            continue;
        }
        mix.add("all");
        mix.add(sass_kind(name));
    }
    mix
}

fn sass_name(line: &str) -> Option<&str> {
    let (address, rest) = line.trim_start().strip_prefix("/*")?.split_once("*/")?;
    if address.is_empty() || !address.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let mut words = rest.split_whitespace();
    let mut word = words.next()?;
    if word.starts_with('@') {
        word = words.next()?;
    }
    let name = word.split(['.', ';']).next()?;
    name.starts_with(|c: char| c.is_ascii_uppercase())
        .then_some(name)
}

fn sass_kind(name: &str) -> &'static str {
    let begins = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
    match name {
        "HMMA" | "IMMA" | "DMMA" | "BMMA" | "QMMA" | "OMMA" | "HGMMA" | "QGMMA" | "IGMMA"
        | "BGMMA" | "UTCHMMA" | "UTCQMMA" => "tensor",
        "MUFU" => "special",
        "LDGSTS" | "UBLKCP" | "UBLKPF" | "UTMALDG" | "UTMASTG" | "UTMAPF" | "UTMAREDG" => "copy",
        "LDL" | "STL" => "local",
        "LDS" | "STS" | "LDSM" | "STSM" | "ATOMS" => "shared",
        "LDG" | "STG" | "LD" | "ST" | "ATOM" | "ATOMG" | "RED" | "REDG" => "global",
        "BAR" | "SYNCS" | "WARPSYNC" | "DEPBAR" | "LDGDEPBAR" | "ARRIVES" | "FENCE" | "MEMBAR"
        | "WARPGROUP" | "WARPGROUPSET" | "NANOSLEEP" | "UCGABAR_ARV" | "UCGABAR_WAIT" => "barrier",
        "BRA" | "BRX" | "EXIT" | "CALL" | "RET" | "BSSY" | "BSYNC" | "JMP" | "BREAK" | "YIELD" => {
            "branch"
        }
        _ if begins(&[
            "FADD", "FMUL", "FFMA", "FMNMX", "HADD", "HMUL", "HFMA", "HMNMX", "DADD",
        ]) || begins(&[
            "DMUL", "DFMA", "FSEL", "FSET", "F2F", "F2I", "I2F", "FRND", "DSET",
        ]) =>
        {
            "float"
        }
        _ if begins(&[
            "IADD", "IMAD", "LOP", "SHF", "LEA", "ISET", "VIADD", "IABS", "PRMT",
        ]) || begins(&[
            "IMNMX", "VIMNMX", "SEL", "POPC", "FLO", "UIADD", "UIMAD", "ULOP",
        ]) || begins(&[
            "ULEA", "USHF", "UISET", "USEL", "PLOP", "SHL", "SHR", "BMSK",
        ]) =>
        {
            "integer"
        }
        _ => "other",
    }
}

/// The kinds of a CPU's instructions.
const X86: [&str; 11] = [
    "all",
    "vector_512",
    "vector_256",
    "vector_128",
    "scalar_float",
    "fused",
    "divide",
    "gather",
    "memory",
    "branch",
    "call",
];

/// Of `objdump -d --no-show-raw-insn` for x86-64: `1139: vfmadd231ps %ymm1,%ymm2,%ymm3`. An instruction
/// can be of several kinds.
pub(crate) fn x86(listing: &str) -> Mix {
    let mut mix = Mix::of(&X86);
    for line in listing.lines() {
        let Some((name, operands)) = x86_instruction(line) else {
            continue;
        };
        mix.add("all");
        let scalar = name.ends_with("ss") || name.ends_with("sd");
        if operands.contains("%zmm") {
            mix.add("vector_512");
        } else if operands.contains("%ymm") {
            mix.add("vector_256");
        } else if operands.contains("%xmm") {
            mix.add(if scalar { "scalar_float" } else { "vector_128" });
        }
        if name.starts_with("vfmadd") || name.starts_with("vfmsub") || name.starts_with("vfnm") {
            mix.add("fused");
        }
        if name.contains("div") || name.contains("sqrt") {
            mix.add("divide");
        }
        if name.contains("gather") {
            mix.add("gather");
        }
        if operands.contains('(') && !name.starts_with("lea") && !name.starts_with("nop") {
            mix.add("memory");
        }
        if name.starts_with('j') {
            mix.add("branch");
        }
        if name.starts_with("call") {
            mix.add("call");
        }
    }
    mix
}

fn x86_instruction(line: &str) -> Option<(&str, &str)> {
    let (address, rest) = line.trim_start().split_once(":\t")?;
    if address.is_empty() || !address.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let rest = rest.trim_start();
    let (name, operands) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let word = |name: &str| name.starts_with(|c: char| c.is_ascii_lowercase());
    word(name).then_some((name, operands))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(mix: &Mix) -> Vec<(&'static str, u64)> {
        mix.0
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(kind, count)| (*kind, *count))
            .collect()
    }

    /// As nvdisasm 13.2 prints a kernel for sm_90a.
    const KERNEL: &str = "\t.target\tsm_90a\n\
        .text.k:\n\
        \x20       /*0000*/                   LDC R1, c[0x0][0x28] ;\n\
        \x20       /*0040*/               @P0 EXIT ;\n\
        \x20       /*0070*/                   VIADD R3, R0, 0x3f ;\n\
        \x20       /*0080*/               @!P1 LDGSTS.E.BYPASS.128 [R6], desc[UR4][R2.64] ;\n\
        \x20       /*0090*/                   HMMA.16816.F32 R4, R8, R2, R4 ;\n\
        \x20       /*00a0*/                   MUFU.EX2 R5, R5 ;\n\
        \x20       /*00b0*/                   FFMA R5, R5, R6, -R7 ;\n\
        \x20       /*00c0*/                   STL [R1+0x4], R5 ;\n\
        \x20       /*00d0*/                   LDSM.16.M88.4 R8, [R9] ;\n\
        \x20       /*00e0*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;\n\
        \x20       /*00f0*/                   BRA `(.L_x_0) ;\n\
        \x20       /*0100*/                   NOP ;\n\
        .L_x_0:\n";

    #[test]
    fn the_kinds_of_a_gpu_kernels_instructions_are_counted() {
        let expected = [
            ("all", 11),
            ("barrier", 1),
            ("branch", 2),
            ("copy", 1),
            ("float", 1),
            ("integer", 1),
            ("local", 1),
            ("other", 1),
            ("shared", 1),
            ("special", 1),
            ("tensor", 1),
        ];
        assert_eq!(counts(&sass(KERNEL)), expected);
        // Every instruction is of one kind.
        let mix = sass(KERNEL);
        let parts: u64 = mix
            .0
            .iter()
            .filter(|(kind, _)| **kind != "all")
            .map(|it| it.1)
            .sum();
        assert_eq!(parts, mix.0["all"]);
    }

    #[test]
    fn the_kinds_of_a_cpu_kernels_instructions_are_counted() {
        let listing = "k.so:     file format elf64-x86-64\n\n0000000000001139 <filter>:\n\
            \x20   1139:\tvfmadd231ps (%rax,%rcx,4),%ymm2,%ymm3\n\
            \x20   113f:\tvmulps %zmm1,%zmm2,%zmm3\n\
            \x20   1145:\tmulss  %xmm1,%xmm2\n\
            \x20   1149:\taddps  %xmm1,%xmm2\n\
            \x20   114d:\tvdivps %ymm1,%ymm2,%ymm3\n\
            \x20   1151:\tlea    0x8(%rax),%rcx\n\
            \x20   1155:\tjne    1139 <filter>\n\
            \x20   1157:\tcall   1030 <expf@plt>\n\
            \x20   115c:\tret\n";
        let expected = [
            ("all", 9),
            ("branch", 1),
            ("call", 1),
            ("divide", 1),
            ("fused", 1),
            ("memory", 1),
            ("scalar_float", 1),
            ("vector_128", 1),
            ("vector_256", 2),
            ("vector_512", 1),
        ];
        assert_eq!(counts(&x86(listing)), expected);
    }

    #[test]
    fn what_is_no_listing_has_no_instructions() {
        for text in ["", "/**/", "/*zz*/ FADD", "1139:\t", ":\tret", "/*00*/ @P0"] {
            assert_eq!(sass(text).0["all"], 0, "{text}");
            assert_eq!(x86(text).0["all"], 0, "{text}");
        }
    }
}
