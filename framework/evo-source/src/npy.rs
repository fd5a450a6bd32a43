//! Files with values: NumPy's `.npy` (format versions 1 to 3), or raw little-endian numbers.

use evo_plugin::Dtype;

use crate::element;

/// The values of a file, checked against the tensor that they are for.
///
/// # Errors
/// In words, where the file is damaged, of another shape or of another type.
pub(crate) fn values<'a>(
    path: &str,
    content: &'a [u8],
    shape: &[usize],
) -> Result<(Dtype, &'a [u8]), String> {
    if !content.starts_with(MAGIC) {
        return Err(format!(
            "{path}: this is no .npy file; raw numbers are in a file called .bin"
        ));
    }
    let (header, data) = split(content).ok_or_else(|| format!("{path}: its header is cut off"))?;
    let field = |name: &str| {
        field(header, name).ok_or_else(|| format!("{path}: its header has no `{name}`"))
    };
    let kind = field("descr")?.trim_matches(['\'', '"']);
    let dtype = dtype(kind).ok_or_else(|| {
        format!(
            "{path}: numbers of type {kind} are not supported; convert them to <f8, <f4, <f2, \
             <i8, <i4, |i1 or |u1"
        )
    })?;
    if field("fortran_order")? != "False" {
        return Err(format!(
            "{path}: its order is column-major; save `numpy.ascontiguousarray(...)`"
        ));
    }
    let extents: Option<Vec<usize>> = field("shape")?
        .trim_matches(['(', ')'])
        .split(',')
        .map(str::trim)
        .filter(|extent| !extent.is_empty())
        .map(|extent| extent.parse().ok())
        .collect();
    if extents.as_deref() != Some(shape) {
        return Err(format!(
            "{path}: its shape is {}, but must be {shape:?}",
            field("shape")?
        ));
    }
    let length = shape
        .iter()
        .try_fold(dtype.size(), |a, b| a.checked_mul(*b));
    if length != Some(data.len()) {
        return Err(format!("{path}: it has {} bytes of data", data.len()));
    }
    Ok((dtype, data))
}

const MAGIC: &[u8] = b"\x93NUMPY";

fn split(content: &[u8]) -> Option<(&str, &[u8])> {
    let version = *content.get(6)?;
    let (length, start) = if version == 1 {
        let bytes: [u8; 2] = content.get(8..10)?.try_into().ok()?;
        (usize::from(u16::from_le_bytes(bytes)), 10)
    } else {
        let bytes: [u8; 4] = content.get(8..12)?.try_into().ok()?;
        (u32::from_le_bytes(bytes) as usize, 12)
    };
    let header = content.get(start..)?.get(..length)?;
    let data = content.get(start..)?.get(length..)?;
    Some((std::str::from_utf8(header).ok()?, data))
}

/// A value of the header, which is the text of a Python dictionary.
fn field<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let at = header.find(&format!("'{name}'"))?;
    let rest = header.get(at + name.len() + 2..)?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start();
    let end = if rest.starts_with('(') {
        rest.find(')')? + 1
    } else {
        rest.find([',', '}'])?
    };
    rest.get(..end).map(str::trim)
}

fn dtype(kind: &str) -> Option<Dtype> {
    Some(match kind {
        "<f8" => Dtype::F64,
        "<f4" => Dtype::F32,
        "<f2" => Dtype::F16,
        "<i8" => Dtype::I64,
        "<i4" => Dtype::I32,
        "|i1" => Dtype::I8,
        "|u1" => Dtype::U8,
        _ => return None,
    })
}

/// The bytes of an input: its type must be the tensor's.
///
/// # Errors
/// In words, where the file does not fit.
pub(crate) fn input<'a>(
    path: &str,
    content: &'a [u8],
    dtype: Dtype,
    shape: &[usize],
) -> Result<&'a [u8], String> {
    if path.ends_with(".bin") {
        let length = shape
            .iter()
            .try_fold(dtype.size(), |a, b| a.checked_mul(*b));
        return if length == Some(content.len()) {
            Ok(content)
        } else {
            Err(format!(
                "{path}: it has {} bytes, and {dtype:?} of the shape {shape:?} has {}",
                content.len(),
                length.unwrap_or_default()
            ))
        };
    }
    let (found, data) = values(path, content, shape)?;
    if found != dtype {
        return Err(format!(
            "{path}: its numbers are {found:?}, but the tensor's are {dtype:?}"
        ));
    }
    Ok(data)
}

/// An output as doubles: of any type that is supported; a `.bin` has doubles.
///
/// # Errors
/// In words, where the file does not fit.
pub(crate) fn output(path: &str, content: &[u8], shape: &[usize]) -> Result<Vec<f64>, String> {
    let (dtype, data) = if path.ends_with(".bin") {
        (Dtype::F64, input(path, content, Dtype::F64, shape)?)
    } else {
        values(path, content, shape)?
    };
    Ok(element::to_doubles(data, dtype))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file as NumPy writes it.
    fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut file = MAGIC.to_vec();
        file.extend([1, 0]);
        file.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(data);
        file
    }

    #[test]
    fn a_file_is_read_and_checked() {
        let data: Vec<u8> = [1.0f32, 2.0, 3.0]
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let file = npy("<f4", "(3,)", &data);
        assert_eq!(input("a.npy", &file, Dtype::F32, &[3]).unwrap(), data);
        assert_eq!(output("a.npy", &file, &[3]).unwrap(), [1.0, 2.0, 3.0]);
        let wrong =
            |file: &[u8], dtype, shape: &[usize]| input("a.npy", file, dtype, shape).unwrap_err();
        assert!(wrong(&file, Dtype::F64, &[3]).contains("its numbers are F32"));
        assert!(wrong(&file, Dtype::F32, &[1, 3]).contains("must be [1, 3]"));
        assert!(wrong(&file[..file.len() - 1], Dtype::F32, &[3]).contains("11 bytes"));
        assert!(wrong(b"text", Dtype::F32, &[3]).contains("no .npy file"));
        assert!(wrong(&npy(">f4", "(3,)", &data), Dtype::F32, &[3]).contains("not supported"));
        assert_eq!(input("a.bin", &data, Dtype::F32, &[3]).unwrap(), data);
        assert!(input("a.bin", &data, Dtype::F32, &[4]).is_err());
    }

    proptest! {
        #[test]
        fn damaged_files_are_errors_and_no_panic(
            cut in 0usize..100,
            place in 0usize..90,
            byte in any::<u8>(),
        ) {
            let mut file = npy("<f8", "(2, 2)", &[0; 32]);
            if let Some(target) = file.get_mut(place) {
                *target = byte;
            }
            let end = cut.min(file.len());
            let _ = output("a.npy", &file[..end], &[2, 2]);
            prop_assert!(output("a.npy", &file[..end.min(file.len() - 1)], &[2, 2]).is_err());
        }
    }
}
