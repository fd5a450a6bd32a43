//! One line of a journal: `{"n":3,"sum":"9ae0daaf","record":{...}}`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Record;

#[derive(Serialize)]
struct Written<'a> {
    n: u64,
    sum: String,
    record: &'a RawValue,
}

#[derive(Deserialize)]
struct Read<'a> {
    n: u64,
    sum: String,
    #[serde(borrow)]
    record: &'a RawValue,
}

fn checksum(number: u64, record: &str) -> String {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(record.as_bytes());
    format!("{:08x}", hasher.finalize())
}

/// Writes a record as a line, with the line feed.
pub(crate) fn encode(number: u64, record: &Record) -> Result<String, serde_json::Error> {
    let text = serde_json::to_string(record)?;
    let sum = checksum(number, &text);
    let record = RawValue::from_string(text)?;
    let mut line = serde_json::to_string(&Written {
        n: number,
        sum,
        record: &record,
    })?;
    line.push('\n');
    Ok(line)
}

/// Reads a line without its line feed; the error says what is wrong.
pub(crate) fn decode(number: u64, line: &str) -> Result<Record, String> {
    let read: Read<'_> =
        serde_json::from_str(line).map_err(|error| format!("it is no record: {error}"))?;
    if read.n != number {
        return Err(format!("it has number {}, expected {number}", read.n));
    }
    if read.sum != checksum(number, read.record.get()) {
        return Err("its checksum does not match".to_owned());
    }
    serde_json::from_str(read.record.get()).map_err(|error| format!("unknown content: {error}"))
}
