//! Snapshots on a simulated disk: what is believed, and that nothing else changes what a start makes of the journal.

use super::tests::{Counters, INSTANCE, World};
use super::*;
use crate::disk::replace_file;
use crate::disk::sim::{SimDisk, Trouble};
use crate::limits;
use crate::machine::Announcement;
use marque_journal::cbor::{Kind, Reader as Cbor, Writer};
use marque_journal::merkle::sha256;
use std::collections::BTreeMap;

/// A journal of several segments, each with its snapshot announced.
fn lived(seed: u64) -> (World, SimDisk) {
    let mut world = World::new(seed);
    let disk = SimDisk::new(seed);
    let mut parts = world.open(&disk, None).unwrap();
    for _ in 0..40 {
        world.batch(&mut parts, 8_000).unwrap();
        let taken = parts.core.shared.take();
        parts.integrator.step(taken).unwrap();
    }
    // The last of them is announced too.
    for _ in 0..2 {
        world.batch(&mut parts, 1).unwrap();
        let taken = parts.core.shared.take();
        parts.integrator.step(taken).unwrap();
    }
    assert!(parts.core.segment.number >= 4, "only {} segments", parts.core.segment.number);
    drop(parts);
    (world, disk.reboot())
}

fn snapshots(disk: &SimDisk) -> Vec<u32> {
    snapshot::numbers(&disk.list(DIR).unwrap())
}

fn file(disk: &SimDisk, number: u32) -> Vec<u8> {
    read_file(disk, &snapshot::snapshot_path(number), u64::MAX).unwrap().unwrap()
}

fn put(disk: &SimDisk, number: u32, bytes: &[u8]) {
    replace_file(disk, &snapshot::snapshot_path(number), bytes).unwrap();
}

/// Opens, checks that everything is as the records have it, and gives from where it began.
fn start(world: &mut World, disk: &SimDisk) -> (Option<u64>, Vec<String>) {
    let mark = world.mark();
    let parts = world.open(disk, mark).unwrap_or_else(|error| panic!("{error}"));
    world.check(&parts);
    let Recovery { snapshot, replayed, records, passed_over, .. } = parts.recovery.clone();
    assert_eq!(replayed, records - snapshot.unwrap_or(0));
    (snapshot, passed_over)
}

/// The same snapshot with another state or place, as somebody makes it who has no signer: the tag is the old one.
fn changed(file: &[u8], at: usize, item: &[u8]) -> Vec<u8> {
    let (bytes, tag) = file.split_last_chunk::<32>().unwrap();
    let mut r = Cbor::new(bytes);
    let mut out = Vec::new();
    let len = r.array().unwrap();
    let mut w = Writer::new(&mut out);
    w.array(len as usize);
    for index in 0..len as usize {
        let own = r.item(3).unwrap();
        w.raw(if index == at { item } else { own });
    }
    out.extend_from_slice(tag);
    out
}

/// The same with the tag that the signer would give it.
fn vouched(world: &World, mut file: Vec<u8>) -> Vec<u8> {
    file.truncate(file.len() - 32);
    let tag = world.signer.signer().vouch(&sha256(&file)).unwrap();
    file.extend_from_slice(&tag);
    file
}

fn bytes_of(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out).bytes(bytes);
    out
}

fn uint_of(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out).uint(value);
    out
}

#[test]
fn a_start_reads_what_the_newest_snapshot_does_not_have() {
    let (mut world, disk) = lived(11);
    let kept = snapshots(&disk);
    assert_eq!(kept.len(), limits::SNAPSHOTS_KEPT, "the newest two are kept: {kept:?}");
    let (from, passed_over) = start(&mut world, &disk.reboot());
    assert!(from.is_some_and(|seq| seq > world.acknowledged.len() as u64 / 2), "{from:?}");
    assert!(passed_over.is_empty(), "{passed_over:?}");
}

#[test]
fn whatever_is_wrong_with_a_snapshot_the_state_is_that_of_the_records() {
    let (mut world, disk) = lived(12);
    let [newest, older] = snapshots(&disk)[..] else { panic!("two snapshots") };
    let (whole, before) = (file(&disk, newest), file(&disk, older));
    let newest_seq = start(&mut world, &disk.reboot()).0.unwrap();
    let richer: BTreeMap<u64, u64> = (0..20).map(|key| (key, 0)).collect();
    let richer = Counters { used: richer, ..Counters::default() }.bytes();
    let kinds: Vec<Kind> = {
        let mut r = Cbor::new(&whole[..whole.len() - 32]);
        r.array().unwrap();
        (0..9).map(|_| { let kind = r.peek().unwrap(); r.item(3).unwrap(); kind }).collect()
    };
    assert_eq!(kinds[8], Kind::Bytes, "the state is the last item");
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("more is left of every budget", changed(&whole, 8, &bytes_of(&richer))),
        ("another instance", changed(&whole, 1, &bytes_of(&[1; 16]))),
        ("another version", changed(&whole, 0, &uint_of(2))),
        ("another segment", changed(&whole, 2, &uint_of(u64::from(newest) - 1))),
        ("another time", changed(&whole, 4, &uint_of(0))),
        ("another tip", changed(&whole, 5, &bytes_of(&[0; 32]))),
        ("an older one that was announced", before.clone()),
        ("cut", whole[..whole.len() - 1].to_vec()),
        ("longer", [whole.clone(), vec![0]].concat()),
        ("empty", Vec::new()),
    ];
    for (what, bytes) in &bad {
        let disk = disk.reboot();
        put(&disk, newest, bytes);
        let (from, passed_over) = start(&mut world, &disk);
        assert!(from.is_some_and(|seq| seq < newest_seq), "{what}: it goes on from the older one: {from:?}");
        assert_eq!(passed_over.len(), 1, "{what}: and says so: {passed_over:?}");
    }
    for at in (0..whole.len()).step_by(37) {
        let disk = disk.reboot();
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        put(&disk, newest, &bytes);
        assert!(start(&mut world, &disk).0.is_some_and(|seq| seq < newest_seq), "byte {at} counts");
    }
    // Nothing that is left is believed: every record is read.
    let disk = disk.reboot();
    put(&disk, newest, &before);
    put(&disk, older, &whole);
    assert_eq!(start(&mut world, &disk).0, None);
    for number in [newest, older] {
        disk.remove(&snapshot::snapshot_path(number)).unwrap();
    }
    assert_eq!(start(&mut world, &disk), (None, Vec::new()));
}

/// Of a segment that has its place in the journal, by somebody who can write the directory and knows everything.
#[test]
fn a_snapshot_that_no_record_announces_is_not_believed() {
    let (mut world, disk) = lived(13);
    let disk = disk.reboot();
    let parts = world.open(&disk, world.mark()).unwrap();
    let last = parts.core.segment.number;
    drop(parts);
    let [newest, _] = snapshots(&disk)[..] else { panic!("two snapshots") };
    assert_eq!(newest, last);
    let honest = file(&disk, newest);
    // The right place, tree and tip; and twice the budget.
    let planted = vouched(&world, changed(&honest, 8, &bytes_of(&Counters::default().bytes())));
    put(&disk, newest, &planted);
    let found = snapshot::read(&disk, INSTANCE, newest, world.signer.signer().as_mut()).unwrap();
    let (from, passed_over) = start(&mut world, &disk);
    assert!(from.is_some_and(|seq| seq < found.announcement.seq), "{from:?}");
    assert!(passed_over[0].contains("no record announces it"), "{passed_over:?}");
    // One ahead of the journal is none either.
    put(&disk, last + 1, &honest);
    let (_, passed_over) = start(&mut world, &disk);
    assert!(passed_over[0].contains("no segment after it"), "{passed_over:?}");
}

/// Whoever can write the directory can append a record to a journal whose process is dead, and so announce what he likes.
#[test]
fn a_snapshot_that_the_signer_did_not_see_is_not_believed_though_a_record_announces_it() {
    let (mut world, disk) = lived(19);
    let [newest, _] = snapshots(&disk)[..] else { panic!("two snapshots") };
    let planted = changed(&file(&disk, newest), 8, &bytes_of(&Counters::default().bytes()));
    let announce = |world: &mut World, planted: &[u8]| {
        let disk = disk.reboot();
        let mut parts = world.open(&disk, world.mark()).unwrap();
        let seq = parts.recovery.snapshot.unwrap();
        world.announced.lock().unwrap().push(Announcement { seq, digest: sha256(planted) });
        world.batch(&mut parts, 1).unwrap();
        drop(parts);
        put(&disk, newest, planted);
        (disk.reboot(), seq)
    };
    let (with_record, seq) = announce(&mut world, &planted);
    let (from, passed_over) = start(&mut world, &with_record);
    assert!(from.is_none_or(|from| from < seq), "{from:?}");
    assert!(passed_over[0].contains("did not vouch"), "{passed_over:?}");
    // The control: the same two acts with the signer's tag are all that a snapshot needs.
    let mut world = lived(19).0;
    let vouched = vouched(&world, planted);
    let (with_both, seq) = announce(&mut world, &vouched);
    let parts = world.open(&with_both, world.mark()).unwrap();
    assert_eq!(parts.recovery.snapshot, Some(seq));
}

#[test]
fn what_is_remembered_from_before_a_snapshot_is_compared_with_the_records() {
    let (mut world, disk) = lived(14);
    let from = start(&mut world, &disk.reboot()).0.unwrap();
    // A mark that is older than every snapshot: all records are read, and one that lies is found.
    let mark = |seq: u64, leaf_hash| Mark { instance: INSTANCE, seq, leaf_hash, checkpoint: None };
    let parts = world.open(&disk.reboot(), Some(mark(3, world.acknowledged[3]))).unwrap();
    assert_eq!(parts.recovery.snapshot, None);
    assert_eq!(parts.recovery.passed_over.len(), 2);
    assert!(world.open(&disk.reboot(), Some(mark(3, [1; 32]))).is_err());
    // And one in the tail is found where the tail alone is read.
    let in_tail = from + 1;
    let parts = world.open(&disk.reboot(), Some(mark(in_tail, world.acknowledged[in_tail as usize]))).unwrap();
    assert_eq!(parts.recovery.snapshot, Some(from));
    assert!(world.open(&disk.reboot(), Some(mark(in_tail, [1; 32]))).is_err());
}

#[test]
fn without_the_tiles_before_it_a_snapshot_is_not_gone_on_from() {
    let (mut world, disk) = lived(15);
    let disk = disk.reboot();
    disk.remove(SYNCED).unwrap();
    let (from, passed_over) = start(&mut world, &disk);
    assert_eq!((from, passed_over.len()), (None, 2), "{passed_over:?}");
    replace_file(&disk, SYNCED, b"9999999").unwrap();
    assert_eq!(start(&mut world, &disk).0, None);
}

#[test]
fn a_segment_that_is_missing_or_cut_refuses_as_it_did() {
    let (world, disk) = lived(16);
    let without = disk.reboot();
    without.remove("journal/00000000.seg").unwrap();
    assert!(matches!(world.open(&without, world.mark()), Err(OpenError::SegmentMissing(0))));
    let exchanged = disk.reboot();
    exchanged.rename("journal/00000001.seg", "journal/x").unwrap();
    exchanged.rename("journal/00000000.seg", "journal/00000001.seg").unwrap();
    exchanged.rename("journal/x", "journal/00000000.seg").unwrap();
    assert!(matches!(world.open(&exchanged, world.mark()), Err(OpenError::Header { .. })));
}

#[test]
fn a_crash_at_any_step_of_writing_a_snapshot_loses_nothing() {
    // Operations of the integrator's step that writes one, counted on a run without trouble.
    let reach = |world: &mut World, disk: &SimDisk| {
        let mut parts = world.open(disk, None).unwrap();
        while parts.core.segment.number < 2 {
            world.batch(&mut parts, 2_000).unwrap();
            if parts.core.segment.number < 2 {
                let taken = parts.core.shared.take();
                parts.integrator.step(taken).unwrap();
            }
        }
        assert_eq!(snapshots(disk), [1]);
        parts
    };
    let (mut world, disk) = (World::new(17), SimDisk::new(17));
    let mut parts = reach(&mut world, &disk);
    let before = disk.operations();
    let taken = parts.core.shared.take();
    parts.integrator.step(taken).unwrap();
    assert!(snapshots(&disk).contains(&2));
    let operations = disk.operations() - before;
    assert!(operations > 8, "{operations}");
    drop(parts);
    let mut resumed = 0;
    for at in 0..operations {
        for trouble in [Trouble::PowerCut(at), Trouble::Eio(at)] {
            let (mut world, disk) = (World::new(17), SimDisk::new(17));
            let mut parts = reach(&mut world, &disk);
            disk.plan(Some(trouble));
            let taken = parts.core.shared.take();
            let ended = parts.integrator.step(taken);
            // A partial tile or a snapshot that could not be removed does no harm; everything else ends the process.
            assert!(ended.is_err() || matches!(trouble, Trouble::Eio(_)) || at + 4 > operations, "{trouble:?}");
            disk.plan(None);
            drop(parts);
            let disk = disk.reboot();
            resumed += u64::from(start(&mut world, &disk).0.is_some());
            // And it goes on.
            let mut parts = world.open(&disk, world.mark()).unwrap();
            world.batch(&mut parts, 8_000).unwrap();
        }
    }
    assert!(resumed > operations, "the older one is there after most of them: {resumed} of {}", 2 * operations);
}

/// As it was before there were snapshots, by a start; now moments after it, and by the next start.
#[test]
fn a_record_before_the_snapshot_that_was_changed_is_found() {
    let (world, disk) = lived(18);
    let whole = world.open(&disk.reboot(), world.mark()).unwrap();
    whole.earlier.as_ref().unwrap().check(whole.core.shared.disk.as_ref(), || false).unwrap();
    drop(whole);
    for offset in [200, 30_000, 60_000] {
        let disk = disk.reboot();
        assert!(disk.flip_bit("journal/00000000.seg", offset, 3));
        let parts = world.open(&disk, world.mark()).unwrap();
        let earlier = parts.earlier.clone().unwrap();
        assert!(earlier.check(&disk, || true).is_ok(), "a journal that is closed has no time to read");
        assert!(earlier.run(&parts.core.shared).is_err(), "byte {offset}");
        drop(parts);
        // The snapshots are gone with it, so that the next start reads everything and refuses.
        assert!(snapshots(&disk).is_empty());
        assert!(world.open(&disk, world.mark()).is_err());
    }
}
