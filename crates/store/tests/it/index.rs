//! The search index by itself: what it answers, and what it refuses to be.

use marque_store::index::{Candidates, IndexError, IndexReader, IndexWriter, KeyOf, Row};
use proptest::prelude::*;
use std::path::Path;

const INSTANCE: [u8; 16] = [7; 16];

fn open(path: &Path) -> (IndexWriter, Option<String>) {
    let opened = IndexWriter::open(path, INSTANCE).unwrap();
    (opened.writer, opened.set_aside)
}

fn word(words: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop::sample::select(words).prop_map(str::to_owned))
}

type Columns = (Option<String>, Option<String>, Option<String>, Option<String>, Option<u16>);
type Keys = std::collections::BTreeSet<(u8, Vec<u8>)>;

/// Columns as rows and as questions have them.
fn columns() -> impl Strategy<Value = Columns> {
    (
        word(&["use.intent", "use.denied", "session.open"]),
        word(&["allowed", "denied"]),
        word(&["github", "slack", "it's; --"]),
        word(&["read", "write"]),
        prop::option::of(2104..2107u16),
    )
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let one = (columns(), prop::collection::btree_set((1..=5u8, prop::collection::vec(0..3u8, 1..3)), 0..4), 0..3u64);
    prop::collection::vec(one, 1..60).prop_map(|all| {
        let mut time_ms = 0;
        let row = |(seq, ((kind, decision, service, effect, code), keys, later)): (usize, (Columns, Keys, u64))| {
            time_ms += later;
            let keys = keys.into_iter().map(|(kind, id)| KeyOf { kind, id }).collect();
            Row { seq: seq as u64, time_ms, kind: kind.unwrap_or_else(|| "apply".into()), decision, service, effect, codes: code.into_iter().collect(), keys }
        };
        all.into_iter().enumerate().map(row).collect()
    })
}

fn fits(row: &Row, wanted: &Candidates) -> bool {
    wanted.kind.as_ref().is_none_or(|kind| *kind == row.kind)
        && (wanted.decision.is_none() || wanted.decision == row.decision)
        && (wanted.service.is_none() || wanted.service == row.service)
        && (wanted.effect.is_none() || wanted.effect == row.effect)
        && wanted.code.is_none_or(|code| row.codes.contains(&code))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_index_says_what_a_full_scan_says(
        rows in rows(), cut in any::<prop::sample::Index>(), (kind, decision, service, effect, code) in columns(),
        key in (1..=5u8, prop::collection::vec(0..3u8, 1..3)), from in 0..70u64, to in 0..70u64, most in 1..20usize, time_ms in 0..120u64,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.db");
        // In two transactions of two lives.
        let (first, second) = rows.split_at(cut.index(rows.len()));
        for part in [first, second] {
            let (mut writer, set_aside) = open(&path);
            prop_assert_eq!(set_aside, None);
            writer.apply(part, [part.len() as u8; 32]).unwrap();
        }
        let (writer, _) = open(&path);
        prop_assert_eq!((writer.applied(), writer.last_leaf()), (rows.len() as u64, Some([second.len() as u8; 32])));
        let reader = IndexReader::open(&path).unwrap();
        let seqs = |wanted: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| wanted(row)).map(|row| row.seq).take(most).collect::<Vec<_>>();
        let wanted = Candidates { kind, decision, service, effect, code };
        let inside = |row: &Row| row.seq >= from && row.seq < to;
        prop_assert_eq!(reader.candidates(&wanted, from, to, most).unwrap(), seqs(&|row| inside(row) && fits(row, &wanted)));
        let key = KeyOf { kind: key.0, id: key.1 };
        prop_assert_eq!(reader.touching(&key, from, most).unwrap(), seqs(&|row| row.seq >= from && row.keys.contains(&key)));
        prop_assert_eq!(reader.count(from, to).unwrap(), rows.iter().filter(|row| inside(row)).count() as u64);
        prop_assert_eq!(reader.first_at(time_ms).unwrap(), rows.iter().find(|row| row.time_ms >= time_ms).map(|row| row.seq));
    }
}

fn some_rows(n: u64) -> Vec<Row> {
    let key = |seq: u64| KeyOf { kind: 2, id: vec![u8::try_from(seq % 7).unwrap(); 10] };
    (0..n).map(|seq| Row { seq, time_ms: seq, kind: "use.intent".into(), keys: vec![key(seq)], ..Row::default() }).collect()
}

#[test]
fn what_is_no_index_of_this_journal_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.db");
    let whole = {
        let (mut writer, _) = open(&path);
        writer.apply(&some_rows(3_000), [1; 32]).unwrap();
        drop(writer);
        std::fs::read(&path).unwrap()
    };
    let mut torn = whole.clone();
    // A page in the middle, as a disk that lost it.
    torn[whole.len() / 2..][..4_096].fill(0x5a);
    for (what, bytes) in [("garbage", b"no database at all, by any means".repeat(99)), ("half", whole[..whole.len() / 2].to_vec()), ("torn", torn)] {
        std::fs::write(&path, &bytes).unwrap();
        let (mut writer, set_aside) = open(&path);
        assert!(set_aside.is_some(), "{what}");
        assert_eq!(writer.applied(), 0, "{what}");
        assert_eq!(std::fs::read(dir.path().join("index.db.damaged")).unwrap().len(), bytes.len(), "{what}: what was there is kept");
        writer.apply(&some_rows(10), [1; 32]).unwrap();
    }
    let other = IndexWriter::open(&path, [8; 16]).unwrap();
    assert!(other.set_aside.unwrap().contains("another journal"));
    // An interrupted beginning is no damage.
    drop(other.writer);
    std::fs::write(&path, b"").unwrap();
    assert_eq!(open(&path).1, None);
}

#[test]
fn records_are_added_in_order_and_whole_batches_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.db");
    let (mut writer, _) = open(&path);
    writer.apply(&some_rows(5), [1; 32]).unwrap();
    let mut gap = some_rows(9).split_off(5);
    gap[3].seq = 100;
    assert!(matches!(writer.apply(&gap, [2; 32]), Err(IndexError::Damaged(_))));
    drop(writer);
    let (writer, set_aside) = open(&path);
    assert_eq!((writer.applied(), writer.last_leaf(), set_aside), (5, Some([1; 32]), None));
}

#[test]
fn the_index_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(&dir.path().join("index.db"));
    writer.apply(&some_rows(5), [1; 32]).unwrap();
    for entry in dir.path().read_dir().unwrap().flatten() {
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
    }
}
