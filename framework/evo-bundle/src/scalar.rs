//! The types of scalar arguments.

use evo_types::Value;

/// A number as C passes it, by its size and kind, on 64-bit Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarType {
    /// `bool`
    Bool,
    /// Signed, 32 bits.
    I32,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 64 bits.
    I64,
    /// Unsigned, 64 bits.
    U64,
    /// `float`
    F32,
    /// `double`
    F64,
}

/// The names in C.
const NAMES: [(&str, ScalarType); 19] = [
    ("bool", ScalarType::Bool),
    ("int", ScalarType::I32),
    ("int32_t", ScalarType::I32),
    ("unsigned", ScalarType::U32),
    ("unsigned int", ScalarType::U32),
    ("uint32_t", ScalarType::U32),
    ("long", ScalarType::I64),
    ("long long", ScalarType::I64),
    ("int64_t", ScalarType::I64),
    ("ptrdiff_t", ScalarType::I64),
    ("ssize_t", ScalarType::I64),
    ("unsigned long", ScalarType::U64),
    ("unsigned long long", ScalarType::U64),
    ("uint64_t", ScalarType::U64),
    ("size_t", ScalarType::U64),
    ("uintptr_t", ScalarType::U64),
    ("intptr_t", ScalarType::I64),
    ("float", ScalarType::F32),
    ("double", ScalarType::F64),
];

impl ScalarType {
    /// The type with a name in C.
    pub fn of(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(own, _)| *own == name)
            .map(|(_, kind)| *kind)
    }

    /// All names in C.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// The bytes of a value in this type, in the lowest bytes of eight; little-endian.
    ///
    /// # Errors
    /// Where the value does not fit in the type, in words.
    pub fn bytes(self, value: &Value) -> Result<[u8; 8], String> {
        let wrong = || format!("{value} does not fit in {}", self.c_name());
        let float = || value.as_float().ok_or_else(wrong);
        let int = || value.as_int().ok_or_else(wrong);
        let wide = match self {
            Self::Bool => match value {
                Value::Bool(value) => u64::from(*value),
                Value::Int(value @ (0 | 1)) => value.unsigned_abs(),
                _ => return Err(wrong()),
            },
            Self::I32 => u64::from(i32::try_from(int()?).map_err(|_| wrong())?.cast_unsigned()),
            Self::U32 => u64::from(u32::try_from(int()?).map_err(|_| wrong())?),
            Self::I64 => int()?.cast_unsigned(),
            Self::U64 => u64::try_from(int()?).map_err(|_| wrong())?,
            Self::F32 => {
                let narrow = float()? as f32;
                if !narrow.is_finite() {
                    return Err(wrong());
                }
                u64::from(narrow.to_bits())
            }
            Self::F64 => float()?.to_bits(),
        };
        Ok(wide.to_le_bytes())
    }

    /// The type in C and C++, with `stdint.h` and `stdbool.h` at hand.
    pub fn c_name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::I32 => "int32_t",
            Self::U32 => "uint32_t",
            Self::I64 => "int64_t",
            Self::U64 => "uint64_t",
            Self::F32 => "float",
            Self::F64 => "double",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_does_not_fit_is_an_error() {
        let int = ScalarType::of("int").unwrap();
        assert_eq!(
            int.bytes(&Value::Int(-2)).unwrap()[..4],
            (-2i32).to_le_bytes()
        );
        assert!(int.bytes(&Value::Int(1 << 31)).is_err());
        assert!(int.bytes(&Value::Float(1.5)).is_err());
        assert!(ScalarType::U64.bytes(&Value::Int(-1)).is_err());
        assert!(ScalarType::F32.bytes(&Value::Float(1e300)).is_err());
        let half = ScalarType::F32.bytes(&Value::Float(0.5)).unwrap();
        assert_eq!(half[..4], 0.5f32.to_le_bytes());
        assert_eq!(ScalarType::Bool.bytes(&Value::Bool(true)).unwrap()[0], 1);
        assert!(ScalarType::of("int *").is_none());
    }
}
