//! The identity of real object code: built with `cc`, and shipped device code.

use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;

use super::Code;

/// A kernel with a static function and a constant.
const KERNEL: &str = r#"
static float NAME(float x) { return x * FACTOR + 0.25f; }
static const float table[4] = {1.0f, 2.0f, 3.0f, LAST};
float (*chosen)(float) = NAME;
extern float sqrtf(float);
void run(float *y, const float *x, long n) {
    for (long i = 0; i < n; ++i) y[i] = sqrtf(NAME(x[i])) + table[i & 3] + chosen(x[i]);
}
"#;

const DEFINES: [&str; 3] = ["-DNAME=step", "-DFACTOR=2.0f", "-DLAST=4.0f"];
const SHARED: [&str; 3] = ["-shared", "-fPIC", "-O2"];
const OBJECT: [&str; 2] = ["-c", "-O2"];

/// Compiles in a folder of its own.
fn compile(file: &str, source: &str, options: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(file), source).unwrap();
    let status = Command::new("cc")
        .current_dir(folder.path())
        .args(options)
        .args(["-o", "out", file])
        .status()
        .expect("the tests need a C compiler");
    assert!(status.success());
    std::fs::read(folder.path().join("out")).unwrap()
}

fn code(options: &[&[&str]]) -> Code {
    Code::of(&compile("a.c", KERNEL, &options.concat()))
}

#[test]
fn names_comments_files_and_debug_information_do_not_matter() {
    for kind in [&SHARED[..], &OBJECT[..]] {
        let plain = compile("a.c", KERNEL, &[kind, &DEFINES].concat());
        let commented = format!("/* what it does */\n{KERNEL}\n// the end\n");
        let defines = ["-DNAME=a_longer_name", "-DFACTOR=2.0f", "-DLAST=4.0f"];
        let linker: &[&str] = match kind.contains(&"-shared") {
            true => &["-Wl,--build-id=sha1"],
            false => &[],
        };
        let noisy = [kind, &defines, &["-g", "-DUNUSED=17"], linker].concat();
        let noisy = compile("another_file.c", &commented, &noisy);
        assert_ne!(plain, noisy);
        assert_eq!(Code::of(&plain), Code::of(&noisy), "{kind:?}");
        assert!(Code::of(&plain).code_bytes.unwrap() > 32);
    }
}

#[test]
fn without_a_build_id_the_code_is_the_same() {
    let with = code(&[&SHARED, &DEFINES, &["-Wl,--build-id=sha1"]]);
    let without = code(&[&SHARED, &DEFINES, &["-Wl,--build-id=none"]]);
    assert_eq!(with, without);
}

#[test]
fn a_constant_or_an_instruction_matters() {
    for kind in [&SHARED[..], &OBJECT[..]] {
        let plain = code(&[kind, &DEFINES]);
        let others = [
            ["-DNAME=step", "-DFACTOR=3.0f", "-DLAST=4.0f"],
            ["-DNAME=step", "-DFACTOR=2.0f", "-DLAST=5.0f"],
            ["-DNAME=step", "-DFACTOR=x", "-DLAST=4.0f"],
        ];
        for other in others {
            assert_ne!(plain.hash, code(&[kind, &other]).hash, "{kind:?} {other:?}");
        }
        let optimised = code(&[kind, &DEFINES, &["-O3", "-funroll-all-loops"]]);
        assert_ne!(plain.hash, optimised.hash, "{kind:?}");
    }
}

#[test]
fn a_function_that_is_elsewhere_matters_by_its_name() {
    for kind in [&SHARED[..], &OBJECT[..]] {
        let build = |name: &str| {
            let source = format!(
                "extern float {name}(float); float run(float x) {{ return {name}(x) + 1.0f; }}"
            );
            Code::of(&compile("a.c", &source, kind))
        };
        assert_eq!(build("fast_exp"), build("fast_exp"));
        assert_ne!(build("fast_exp").hash, build("slow_exp").hash);
    }
}

#[test]
fn which_of_two_functions_has_a_name_matters() {
    let source = "int ONE(int x) { return x + 1; } int TWO(int x) { return x * 3; }";
    for kind in [&SHARED[..], &OBJECT[..]] {
        let build = |one, two| Code::of(&compile("a.c", source, &[kind, &[one, two]].concat()));
        let first = build("-DONE=run", "-DTWO=other");
        let second = build("-DONE=other", "-DTWO=run");
        assert_ne!(first.hash, second.hash, "{kind:?}");
    }
    let source = "int ONE(int x) { return x + 1; }";
    let build = |one| Code::of(&compile("a.c", source, &[&SHARED[..], &[one]].concat()));
    assert_eq!(build("-DONE=run_64"), build("-DONE=run_128"));
}

#[test]
fn which_function_is_pointed_to_matters() {
    let source = "static int a(int x) { return x + 1; } static int b(int x) { return x * 3; }
        int (*both[2])(int) = {a, b}; int (*chosen)(int) = CHOSEN; int run(int x) { return chosen(x); }";
    for kind in [&SHARED[..], &OBJECT[..]] {
        let build = |chosen| Code::of(&compile("a.c", source, &[kind, &[chosen]].concat()));
        assert_ne!(
            build("-DCHOSEN=a").hash,
            build("-DCHOSEN=b").hash,
            "{kind:?}"
        );
    }
}

fn fixture(name: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "src/identity/fixtures", name]
        .iter()
        .collect();
    std::fs::read(Path::new(&path)).unwrap()
}

#[test]
fn a_kernel_of_a_device_does_not_go_by_its_name() {
    let plain = fixture("scale.cubin");
    let renamed = fixture("scale_renamed.cubin");
    assert_ne!(plain, renamed);
    let code = Code::of(&plain);
    assert_eq!(code, Code::of(&renamed));
    assert_eq!(code.code_bytes, Some(640));
}

#[test]
fn an_instruction_or_shared_memory_of_a_device_matters() {
    let plain = Code::of(&fixture("scale.cubin")).hash;
    let factor = Code::of(&fixture("scale_factor.cubin")).hash;
    let width = Code::of(&fixture("scale_width.cubin")).hash;
    assert_ne!(plain, factor);
    assert_ne!(plain, width);
    assert_ne!(factor, width);
}

/// One byte of a file that is read is another execution; one that is not leaves it alone.
#[test]
fn every_byte_of_the_text_matters() {
    let plain = fixture("scale.cubin");
    let code = Code::of(&plain);
    // `.text` is at 0x780 with 0x280 bytes: see `readelf -S`.
    for offset in (0x780..0xa00).step_by(16) {
        let mut changed = plain.clone();
        changed[offset] ^= 1;
        assert_ne!(code.hash, Code::of(&changed).hash, "{offset:#x}");
    }
    // The note about the tool is at 0x568.
    let mut changed = plain.clone();
    changed[0x5a0] ^= 1;
    assert_eq!(code.hash, Code::of(&changed).hash);
}

#[test]
fn what_is_no_machine_code_counts_as_it_is() {
    for bytes in [
        &b""[..],
        b"TILE_M=64",
        b"\x7fELF",
        b".version 8.0\n.target sm_90a",
    ] {
        let code = Code::of(bytes);
        assert_eq!(code.code_bytes, None);
        assert_eq!(code, Code::of(bytes));
    }
    assert_ne!(Code::of(b"a").hash, Code::of(b"b").hash);
}

fn object() -> Vec<u8> {
    static OBJECT_FILE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    OBJECT_FILE
        .get_or_init(|| compile("a.c", KERNEL, &[&OBJECT[..], &DEFINES].concat()))
        .clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_have_an_identity(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert_eq!(Code::of(&bytes), Code::of(&bytes));
    }

    #[test]
    fn damaged_files_have_an_identity(
        cubin in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..24),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let mut bytes = if cubin { fixture("scale.cubin") } else { object() };
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        prop_assert_eq!(Code::of(&bytes), Code::of(&bytes));
    }

    /// Headers are where a reader goes wrong: the section table and the first bytes of the file.
    #[test]
    fn damaged_headers_have_an_identity(
        cubin in any::<bool>(),
        changes in prop::collection::vec((0usize..2048, any::<u8>()), 1..8),
    ) {
        let mut bytes = if cubin { fixture("scale.cubin") } else { object() };
        let length = bytes.len();
        let table = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize;
        for (place, value) in changes {
            let place = if place < 64 { place } else { table + place - 64 };
            if place < length {
                bytes[place] = value;
            }
        }
        prop_assert_eq!(Code::of(&bytes), Code::of(&bytes));
    }
}
