"""Element types as numpy has them, and conversions for those that it has not.

numpy has no bf16 and no 8-bit floats: arrays of them hold the bit patterns, as uint16 and uint8.
"""

import numpy as np

NUMPY = {
    "f64": np.float64,
    "f32": np.float32,
    "f16": np.float16,
    "bf16": np.uint16,
    "f8_e4m3": np.uint8,
    "i64": np.int64,
    "i32": np.int32,
    "i8": np.int8,
    "u8": np.uint8,
}


def from_bf16(bits):
    """The values of bf16 bit patterns, exactly, as float32."""
    return (np.asarray(bits, np.uint16).astype(np.uint32) << 16).view(np.float32)


def to_bf16(values):
    """Bit patterns of values rounded to bf16, to nearest and ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    # A NaN must not round to infinity.
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)


def _f8_e4m3_table():
    bits = np.arange(256)
    exponent, mantissa = (bits >> 3) & 15, bits & 7
    normal = (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    values = np.where(exponent == 0, mantissa / 8 * 2.0**-6, normal)
    values = np.where((bits & 127) == 127, np.nan, values)
    return np.where(bits >= 128, -values, values).astype(np.float32)


_F8_E4M3 = _f8_e4m3_table()


def from_f8_e4m3(bits):
    """The values of 8-bit floats (4 exponent bits, 3 mantissa bits, no infinity), as float32."""
    return _F8_E4M3[np.asarray(bits, np.uint8)]


def to_f8_e4m3(values):
    """Bit patterns of values rounded to 8-bit floats, to nearest and ties to even; what is too
    large becomes the largest."""
    values = np.asarray(values, np.float32)
    positive = _F8_E4M3[:127]
    middles = (positive[1:] + positive[:-1]) / 2
    size = np.abs(values)
    # Below a middle: rounded down; on a middle: to the pattern with the last bit clear.
    low = np.searchsorted(middles, size, side="left")
    high = np.searchsorted(middles, size, side="right")
    bits = np.where(low % 2 == 0, low, high).astype(np.uint8)
    bits = np.where(np.isnan(values), np.uint8(127), bits)
    return np.where(np.signbit(values), bits | np.uint8(128), bits)


def values_of(array, dtype):
    """The values of a tensor's array as numbers."""
    if dtype == "bf16":
        return from_bf16(array)
    if dtype == "f8_e4m3":
        return from_f8_e4m3(array)
    return array


def bits_of(values, dtype):
    """Numbers as a tensor's array holds them: rounded, or as bit patterns."""
    if dtype == "bf16":
        return to_bf16(values)
    if dtype == "f8_e4m3":
        return to_f8_e4m3(values)
    return np.asarray(values).astype(NUMPY[dtype])
