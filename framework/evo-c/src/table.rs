//! Reading what a plugin lists: every pointer, length and text is checked before it is used.

use std::ffi::c_char;
use std::mem::MaybeUninit;

use crate::abi;

/// Most bytes of one text.
const MOST_TEXT: usize = 1 << 20;
/// Most components of one kind.
const MOST_COMPONENTS: usize = 1024;
/// Most bytes of a table: far more than any version of one will have.
const MOST_TABLE: usize = 1 << 16;

/// A structure that begins with its size.
///
/// # Safety
/// All zeros must be a value of it, and so must be any prefix of a value with zeros after it, cut
/// between two members.
pub(crate) unsafe trait Table: Copy {
    /// The name in the header.
    const NAME: &'static str;
    /// The size in version 1.0.
    const LEAST: usize;
}

// SAFETY: numbers, raw pointers and `Option`s of functions.
unsafe impl Table for abi::Plugin {
    const NAME: &'static str = "evo_plugin";
    const LEAST: usize = size_of::<Self>();
}

// SAFETY: as above.
unsafe impl Table for abi::Kernel {
    const NAME: &'static str = "evo_kernel";
    const LEAST: usize = std::mem::offset_of!(Self, prepare);
}

// SAFETY: as above.
unsafe impl Table for abi::Problem {
    const NAME: &'static str = "evo_problem";
    const LEAST: usize = size_of::<Self>();
}

// SAFETY: as above.
unsafe impl Table for abi::Objective {
    const NAME: &'static str = "evo_objective";
    const LEAST: usize = size_of::<Self>();
}

// SAFETY: as above.
unsafe impl Table for abi::Profiler {
    const NAME: &'static str = "evo_profiler";
    const LEAST: usize = size_of::<Self>();
}

/// Copies the part of a table that both sides know; what the plugin's version does not have is
/// zero.
///
/// # Safety
/// `size` bytes must be readable at `table`, of a table that the header describes.
///
/// # Errors
/// A size that no version of the table can have.
pub(crate) unsafe fn copy_table<T: Table>(table: *const T, size: usize) -> Result<T, String> {
    if size < T::LEAST || size > MOST_TABLE || !size.is_multiple_of(align_of::<usize>()) {
        return Err(format!(
            "struct_size is {size}, which no version of {name} has (1.0 has {least}); set it to \
             sizeof({name})",
            name = T::NAME,
            least = T::LEAST
        ));
    }
    let mut copy = MaybeUninit::<T>::zeroed();
    // SAFETY: both sides have that many bytes, and they are different memory.
    unsafe {
        std::ptr::copy_nonoverlapping(
            table.cast::<u8>(),
            copy.as_mut_ptr().cast::<u8>(),
            size.min(size_of::<T>()),
        );
    }
    // SAFETY: zeros and prefixes are values of a `Table`.
    Ok(unsafe { copy.assume_init() })
}

/// A component's address in the plugin, and the copy of its table.
pub(crate) struct Listed<T> {
    pub(crate) address: *const T,
    pub(crate) table: T,
    /// Its place, such as `kernels[1]`, for messages.
    pub(crate) place: String,
}

/// Reads a list of pointers to tables that begin with their size.
///
/// # Safety
/// Where `list` is not null, `count` pointers must be readable there, each null or the address of
/// a table.
///
/// # Errors
/// A list that cannot be right.
pub(crate) unsafe fn read_list<T: Table>(
    list: *const *const T,
    count: usize,
    name: &str,
) -> Result<Vec<Listed<T>>, String> {
    if list.is_null() {
        return match count {
            0 => Ok(Vec::new()),
            _ => Err(format!("{name} is NULL, but there are said to be {count}")),
        };
    }
    if count == 0 {
        return Err(format!(
            "{name} is set, but its count is 0; set it to EVO_COUNT({name})"
        ));
    }
    if count > MOST_COMPONENTS {
        return Err(format!(
            "{name} is said to have {count} entries; at most {MOST_COMPONENTS} are possible"
        ));
    }
    (0..count)
        .map(|index| {
            let place = format!("{name}[{index}]");
            // SAFETY: the caller promised `count` pointers.
            let address = unsafe { *list.add(index) };
            if address.is_null() || !address.is_aligned() {
                return Err(format!("{place} is no address of a table ({address:p})"));
            }
            // SAFETY: the caller promised a table, which begins with its size.
            let size = unsafe { *address.cast::<usize>() };
            // SAFETY: as above.
            let table = unsafe { copy_table(address, size) };
            Ok(Listed {
                address,
                table: table.map_err(|error| format!("{place}: {error}"))?,
                place,
            })
        })
        .collect()
}

/// Reads a text; `None` where it is null.
///
/// # Safety
/// A pointer that is not null must be one to bytes that end with a zero.
///
/// # Errors
/// A text that is too long, or not UTF-8.
pub(crate) unsafe fn text(pointer: *const c_char, what: &str) -> Result<Option<String>, String> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: handed on to the caller.
    let bytes = unsafe { bytes(pointer, MOST_TEXT) };
    if bytes.len() == MOST_TEXT {
        return Err(format!(
            "{what} has {MOST_TEXT} bytes or more; does it end with a NUL byte?"
        ));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(error) => Err(format!(
            "{what} is not UTF-8: byte {} is wrong, after `{}`",
            error.valid_up_to(),
            tail(bytes, error.valid_up_to())
        )),
    }
}

/// As [`text`], for a text that must be there.
///
/// # Safety
/// As for [`text`].
///
/// # Errors
/// As for [`text`], and where it is null.
pub(crate) unsafe fn required(pointer: *const c_char, what: &str) -> Result<String, String> {
    // SAFETY: handed on to the caller.
    unsafe { text(pointer, what) }?.ok_or_else(|| format!("{what} is NULL, but must be set"))
}

/// The bytes before the terminating zero, at most so many.
///
/// # Safety
/// The pointer must be one to bytes that end with a zero.
pub(crate) unsafe fn bytes<'a>(pointer: *const c_char, most: usize) -> &'a [u8] {
    let pointer = pointer.cast::<u8>();
    // SAFETY: nothing after the first zero is read.
    let length = (0..most).find(|index| unsafe { *pointer.add(*index) } == 0);
    // SAFETY: as many bytes as were just read, or `most` of them.
    unsafe { std::slice::from_raw_parts(pointer, length.unwrap_or(most)) }
}

/// The last characters before a position.
fn tail(bytes: &[u8], end: usize) -> String {
    let before = bytes.get(..end).unwrap_or_default();
    let text = String::from_utf8_lossy(before);
    let skip = text.chars().count().saturating_sub(20);
    text.chars().skip(skip).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zeroed<T: Table>() -> T {
        // SAFETY: zeros are a value of a table.
        unsafe { MaybeUninit::<T>::zeroed().assume_init() }
    }

    unsafe extern "C-unwind" fn prepare(
        _: *mut abi::Instance,
        _: *const evo_plugin::abi::RawTensor,
        _: usize,
        _: *const abi::Host,
    ) -> i32 {
        0
    }

    #[test]
    fn what_an_older_table_does_not_have_is_null() {
        let mut kernel: abi::Kernel = zeroed();
        kernel.prepare = Some(prepare);
        // SAFETY: the table is there in full.
        let of = |size| unsafe { copy_table(&raw const kernel, size) };
        assert!(of(size_of::<abi::Kernel>()).unwrap().prepare.is_some());
        assert!(of(abi::Kernel::LEAST).unwrap().prepare.is_none());
    }

    #[test]
    fn what_a_newer_table_has_more_is_left_out() {
        let newer = [zeroed::<abi::Kernel>(), zeroed()];
        // SAFETY: two tables' memory stands for one larger table.
        let copy = unsafe { copy_table(newer.as_ptr(), size_of_val(&newer)) };
        assert!(copy.unwrap().prepare.is_none());
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        let kernel: abi::Kernel = zeroed();
        for size in [
            0,
            1,
            8,
            abi::Kernel::LEAST - 8,
            size_of::<abi::Kernel>() + 1,
            1 << 20,
        ] {
            // SAFETY: the size is refused before it is used.
            let error = unsafe { copy_table(&raw const kernel, size) }
                .err()
                .unwrap();
            assert!(error.contains("set it to sizeof(evo_kernel)"), "{error}");
        }
    }

    #[test]
    fn lists_are_checked() {
        let kernel: abi::Kernel = zeroed();
        let list = [std::ptr::null(), &raw const kernel];
        // SAFETY: two pointers, one null and one to a table.
        let of = |list: *const *const abi::Kernel, count| unsafe {
            read_list(list, count, "kernels").err()
        };
        assert_eq!(of(std::ptr::null(), 0), None);
        for (list, count, expected) in [
            (
                std::ptr::null(),
                3,
                "kernels is NULL, but there are said to be 3",
            ),
            (list.as_ptr(), 0, "EVO_COUNT(kernels)"),
            (list.as_ptr(), usize::MAX, "at most 1024"),
            (list.as_ptr(), 2, "kernels[0] is no address"),
        ] {
            let error = of(list, count).unwrap();
            assert!(error.contains(expected), "{error}");
        }
        // SAFETY: one pointer to a table, whose size is 0.
        let error = unsafe { read_list(list.as_ptr().add(1), 1, "kernels") }
            .err()
            .unwrap();
        assert!(error.starts_with("kernels[0]: struct_size is 0"), "{error}");
    }

    #[test]
    fn texts_are_checked() {
        // SAFETY: null, or bytes that end with a zero.
        let of = |bytes: &[u8]| unsafe { text(bytes.as_ptr().cast(), "kernels[0].info") };
        assert_eq!(of(b"abc\0").unwrap().unwrap(), "abc");
        // SAFETY: null.
        assert_eq!(unsafe { text(std::ptr::null(), "x") }, Ok(None));
        // SAFETY: null.
        let error = unsafe { required(std::ptr::null(), "name") }.unwrap_err();
        assert_eq!(error, "name is NULL, but must be set");
        assert_eq!(
            of(b"{\"name\": \"\xff\"}\0").unwrap_err(),
            "kernels[0].info is not UTF-8: byte 10 is wrong, after `{\"name\": \"`"
        );
        let long = vec![b'x'; MOST_TEXT + 1];
        assert!(
            of(&long)
                .unwrap_err()
                .contains("does it end with a NUL byte?")
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            bytes.push(0);
            // SAFETY: the bytes end with a zero.
            let read = unsafe { text(bytes.as_ptr().cast(), "x") };
            let end = bytes.iter().position(|byte| *byte == 0).unwrap();
            prop_assert_eq!(read.is_ok(), std::str::from_utf8(&bytes[..end]).is_ok());
        }
    }
}
