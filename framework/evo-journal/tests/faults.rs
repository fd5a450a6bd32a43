//! Damage to a journal: torn tails are repaired, everything else is an error with its place.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use evo_journal::{Header, JournalError, Record, SCHEMA, Writer, read};
use proptest::prelude::*;

fn header() -> Record {
    Record::Header(Header {
        schema: SCHEMA,
        engine: "1".into(),
        evo: "0.1.0".into(),
        run: "r".into(),
    })
}

fn warning(number: u64) -> Record {
    Record::Warning {
        at: number as f64 + 0.1,
        message: format!("\"{number}\"\n\u{1f600}"),
    }
}

fn write(folder: &std::path::Path, records: u64) -> std::path::PathBuf {
    let path = folder.join("journal.jsonl");
    let mut writer = Writer::create(&path).unwrap();
    writer.append(&header()).unwrap();
    for number in 0..records {
        writer.append(&warning(number)).unwrap();
    }
    path
}

#[test]
fn what_was_appended_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), 3);
    let journal = read(&path).unwrap();
    assert_eq!(journal.records.len(), 4);
    assert_eq!(journal.records[0], header());
    assert_eq!(journal.records[3], warning(2));
    assert!(journal.torn_tail.is_none());
}

#[test]
fn every_cut_of_the_last_record_is_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), 2);
    let whole = fs::read(&path).unwrap();
    let body = &whole[..whole.len() - 1];
    let last = body.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for cut in last + 1..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let journal = read(&path).unwrap();
        assert_eq!(journal.records.len(), 2, "cut at {cut}");
        assert_eq!(journal.good_bytes, last as u64);
        let mut writer = Writer::resume(&journal).unwrap();
        writer.append(&warning(9)).unwrap();
        let journal = read(&path).unwrap();
        assert_eq!(journal.records[2], warning(9));
        assert!(journal.torn_tail.is_none());
        let aside = fs::read(folder.path().join("journal.jsonl.torn")).unwrap();
        assert_eq!(aside, &whole[last..cut]);
    }
}

#[test]
fn damage_in_the_middle_is_an_error_with_its_offset() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), 3);
    let mut bytes = fs::read(&path).unwrap();
    let second = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let place = second + 40;
    bytes[place] ^= 1;
    fs::write(&path, &bytes).unwrap();
    match read(&path).unwrap_err() {
        JournalError::Damaged { offset, line, .. } => {
            assert_eq!(offset, second as u64);
            assert_eq!(line, 2);
        }
        other => panic!("unexpected: {other}"),
    }
}

#[test]
fn a_removed_line_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), 4);
    let text = fs::read_to_string(&path).unwrap();
    let kept: Vec<&str> = text
        .lines()
        .enumerate()
        .filter(|(n, _)| *n != 2)
        .map(|(_, line)| line)
        .collect();
    fs::write(&path, kept.join("\n") + "\n").unwrap();
    let error = read(&path).unwrap_err().to_string();
    assert!(error.contains("has number 3, expected 2"), "{error}");
}

#[test]
fn other_files_are_no_journals() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    for content in ["", "hello\n", "{}\n", "{\"n\":0}\n"] {
        fs::write(&path, content).unwrap();
        assert!(
            matches!(read(&path), Err(JournalError::NoHeader { .. })),
            "{content:?}"
        );
    }
}

#[test]
fn a_newer_schema_is_refused_with_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let mut writer = Writer::create(&path).unwrap();
    let Record::Header(mut header) = header() else {
        unreachable!()
    };
    header.schema = SCHEMA + 1;
    writer.append(&Record::Header(header)).unwrap();
    let error = read(&path).unwrap_err().to_string();
    assert!(
        error.contains(&format!("has schema {}", SCHEMA + 1)),
        "{error}"
    );
    assert!(error.contains(&format!("reads up to {SCHEMA}")), "{error}");
}

#[test]
fn an_existing_journal_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), 1);
    assert!(Writer::create(&path).is_err());
    assert_eq!(read(&path).unwrap().records.len(), 2);
}

#[test]
fn a_full_disk_leaves_a_valid_journal() {
    // /dev/full accepts the open and fails every write.
    let path = std::path::Path::new("/dev/full");
    if !path.exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let real = write(folder.path(), 1);
    let mut journal = read(&real).unwrap();
    journal.path = path.to_owned();
    let mut writer = Writer::resume(&journal).unwrap();
    assert!(writer.append(&warning(1)).is_err());
    let second = writer.append(&warning(1)).unwrap_err().to_string();
    assert!(second.contains("an earlier write failed"), "{second}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens to the bytes, reading neither panics nor returns a record that was not
    /// written.
    #[test]
    fn no_damage_goes_unnoticed(place in 0usize..2000, bit in 0u8..8) {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), 6);
        let mut bytes = fs::read(&path).unwrap();
        let place = place % bytes.len();
        bytes[place] ^= 1 << bit;
        fs::write(&path, &bytes).unwrap();
        if let Ok(journal) = read(&path) {
            prop_assert_eq!(&journal.records[0], &header());
            for (number, record) in journal.records[1..].iter().enumerate() {
                prop_assert_eq!(record, &warning(number as u64));
            }
        }
    }
}
