use crate::support::typical;
use marque_journal::limits::*;
use marque_journal::merkle::leaf_hash;
use marque_journal::segment::*;
use proptest::prelude::*;

fn header() -> SegmentHeader {
    SegmentHeader { number: 0, first_seq: 0, instance: [7; 16], root: marque_journal::merkle::empty_root(), previous: [0; 32] }
}

/// A segment with batches of these numbers of records, an opening after each, and a zero tail. Gives batch offsets too.
fn segment(batches: &[u64], tail: usize) -> (Vec<u8>, Vec<usize>) {
    let mut file = header().to_bytes().to_vec();
    let mut writer = BatchWriter::new(0, header().hash());
    let mut offsets = Vec::new();
    for count in batches {
        for _ in 0..*count {
            let seq = writer.next_seq();
            typical(seq).with(|head, body| writer.push_record(head, body)).unwrap();
            writer.push_opening(&Opening { seq, field: 1, subject: [2; 16], nonce: [3; 12], ciphertext: b"sealed" }).unwrap();
        }
        offsets.push(file.len());
        file.extend_from_slice(writer.finish().unwrap());
        writer.begin_next();
    }
    offsets.push(file.len());
    file.resize(file.len() + tail, 0);
    (file, offsets)
}

fn scan_of(file: &[u8]) -> Scan<'_> {
    scan(file, &Expect::default()).unwrap()
}

#[test]
fn what_is_written_is_read() {
    let (file, offsets) = segment(&[1, 3, 2], 4096);
    let scan = scan_of(&file);
    assert_eq!((scan.next_seq, scan.end, scan.tail), (6, offsets[3], Tail::Clean));
    assert_eq!(scan.batches.iter().map(|b| (b.offset, b.first_seq, b.records)).collect::<Vec<_>>(), [(offsets[0], 0, 1), (offsets[1], 1, 3), (offsets[2], 4, 2)]);
    assert_eq!(scan.records().count(), 6);
    assert_eq!(scan.record(4).unwrap(), typical(4).encode());
    assert_eq!(scan.record(6), None);
    let opening = scan.frames().find_map(|f| if let Frame::Opening(o) = f { Some(o) } else { None }).unwrap();
    assert_eq!((opening.seq, opening.ciphertext), (0, &b"sealed"[..]));
    assert_eq!(recover(&scan, None).unwrap().append_at, offsets[3]);
}

#[test]
fn a_writer_goes_on_where_a_scan_ended() {
    let (mut file, _) = segment(&[2], 0);
    let (next_seq, tip) = (scan_of(&file).next_seq, scan_of(&file).tip);
    let mut writer = BatchWriter::new(next_seq, tip);
    typical(2).with(|head, body| writer.push_record(head, body)).unwrap();
    file.extend_from_slice(writer.finish().unwrap());
    assert_eq!(scan_of(&file).next_seq, 3);
}

#[test]
fn a_cut_last_batch_is_torn_and_dropped_only_above_the_mark() {
    let (file, offsets) = segment(&[2, 2], 4096);
    let mark = |seq| Some(Mark { seq, leaf_hash: leaf_hash(&typical(seq).encode()) });
    for cut in offsets[1] + 1..offsets[2] {
        let mut torn = file.clone();
        torn[cut..].fill(0);
        let scan = scan_of(&torn);
        // A batch whose last bytes are zero anyway cannot be told from a whole one, and is one.
        if torn == file {
            continue;
        }
        assert!(matches!(scan.tail, Tail::Torn { offset, .. } if offset == offsets[1]), "cut at {cut}: {:?}", scan.tail);
        let plan = recover(&scan, mark(1)).unwrap();
        assert_eq!((plan.next_seq, plan.append_at, plan.dropped.unwrap().first_seq), (2, offsets[1], 2));
        assert_eq!(recover(&scan, mark(2)), Err(RefuseToStart::AcknowledgedLost { acknowledged: 2, next_seq: 2 }));
    }
    let changed = Some(Mark { seq: 1, leaf_hash: [0; 32] });
    assert_eq!(recover(&scan_of(&file), changed), Err(RefuseToStart::AcknowledgedChanged(1)));
    assert!(!recover(&scan_of(&file), None).unwrap().marked);
    // The whole last batch cut off leaves no trace in the file: only the mark tells.
    let mut cut = file.clone();
    cut[offsets[1]..].fill(0);
    assert_eq!(scan_of(&cut).tail, Tail::Clean);
    assert_eq!(recover(&scan_of(&cut), mark(3)), Err(RefuseToStart::AcknowledgedLost { acknowledged: 3, next_seq: 2 }));
}

#[test]
fn a_flipped_bit_before_a_good_batch_refuses_to_start() {
    let (file, offsets) = segment(&[2, 2], 512);
    for at in offsets[0]..offsets[1] {
        let mut bad = file.clone();
        bad[at] ^= 1;
        let scan = scan_of(&bad);
        assert!(matches!(scan.tail, Tail::Corrupt { offset, .. } if offset == offsets[0]), "byte {at}: {:?}", scan.tail);
        assert!(matches!(recover(&scan, None), Err(RefuseToStart::Corrupt { .. })));
    }
}

#[test]
fn a_flipped_bit_in_the_last_batch_is_never_read_as_good() {
    let (file, offsets) = segment(&[2, 2], 512);
    let last = Some(Mark { seq: 3, leaf_hash: leaf_hash(&typical(3).encode()) });
    for at in offsets[1]..offsets[2] {
        let mut bad = file.clone();
        bad[at] ^= 0x10;
        let scan = scan_of(&bad);
        assert_ne!(scan.tail, Tail::Clean);
        assert!(recover(&scan, last).is_err(), "byte {at}");
    }
}

#[test]
fn garbage_in_the_preallocated_tail_is_never_clean() {
    let (file, offsets) = segment(&[2], 512);
    for at in offsets[1]..file.len() {
        let mut bad = file.clone();
        bad[at] = 1;
        assert!(matches!(scan_of(&bad).tail, Tail::Torn { offset, end, .. } if offset == offsets[1] && end == at + 1));
    }
    // More than a batch can hold was never one interrupted write.
    let mut far = file.clone();
    far.resize(offsets[1] + BATCH_HEADER_BYTES + MAX_BATCH_BYTES, 0);
    far.push(1);
    assert!(matches!(scan_of(&far).tail, Tail::Corrupt { .. }));
    far.pop();
    *far.last_mut().unwrap() = 1;
    assert!(matches!(scan_of(&far).tail, Tail::Torn { .. }));
}

#[test]
fn bytes_after_a_torn_batch_with_an_intact_header_are_damage() {
    let (mut file, offsets) = segment(&[2, 2], 512);
    file[offsets[1] + BATCH_HEADER_BYTES + 40] ^= 1;
    assert!(matches!(scan_of(&file).tail, Tail::Torn { .. }));
    file[offsets[2] + 100] = 1;
    assert!(matches!(scan_of(&file).tail, Tail::Corrupt { .. }));
}

#[test]
fn exchanged_and_repeated_batches_are_found() {
    let (file, o) = segment(&[2, 2, 2], 0);
    let (a, b, c) = (&file[o[0]..o[1]], &file[o[1]..o[2]], &file[o[2]..o[3]]);
    for order in [vec![a, c, b], vec![a, c], vec![a, b, b, c], vec![b, c], vec![a, b, c, a]] {
        let bad = [&file[..HEADER_BYTES], &order.concat()].concat();
        assert!(matches!(scan_of(&bad).tail, Tail::Corrupt { fault: Fault::Chain, .. }));
    }
}

#[test]
fn a_header_is_the_one_expected_or_refused() {
    let (file, _) = segment(&[1], 0);
    for at in 0..HEADER_BYTES {
        let mut bad = file.clone();
        bad[at] ^= 1;
        assert_eq!(scan(&bad, &Expect::default()).unwrap_err(), HeaderFault::Damaged);
    }
    assert_eq!(scan(&file[..HEADER_BYTES - 1], &Expect::default()).unwrap_err(), HeaderFault::Damaged);
    let good = header();
    let expect = Expect { number: Some(0), first_seq: Some(0), instance: Some([7; 16]), root: Some(good.root), previous: Some([0; 32]) };
    assert!(scan(&file, &expect).is_ok());
    for wrong in [
        Expect { number: Some(1), ..expect },
        Expect { first_seq: Some(1), ..expect },
        Expect { instance: Some([8; 16]), ..expect },
        Expect { root: Some([1; 32]), ..expect },
        Expect { previous: Some([1; 32]), ..expect },
    ] {
        assert_eq!(scan(&file, &wrong).unwrap_err(), HeaderFault::Unexpected);
    }
}

#[test]
fn a_refused_frame_leaves_the_batch_as_it_was() {
    let mut writer = BatchWriter::new(5, [0; 32]);
    typical(5).with(|head, body| writer.push_record(head, body)).unwrap();
    let before = writer.finish().unwrap().to_vec();
    assert_eq!(typical(5).with(|head, body| writer.push_record(head, body)), Err(PushError::Seq { expected: 6, found: 5 }));
    assert!(typical(6).with(|head, _| writer.push_record(head, &[0xff])).is_err());
    assert_eq!(writer.finish().unwrap(), before);
}

#[test]
fn batches_and_openings_are_bounded_at_n() {
    let opening = |ciphertext: &[u8]| {
        let mut out = Vec::new();
        Opening { seq: 0, field: 0, subject: [0; 16], nonce: [0; 12], ciphertext }.encode(&mut out).map(|()| out)
    };
    let around = opening(&[0; 70_000]).unwrap().len() - 70_000;
    let longest = MAX_OPENING_BYTES - around;
    let bytes = opening(&vec![0; longest]).unwrap();
    assert_eq!(bytes.len(), MAX_OPENING_BYTES);
    assert!(Opening::decode(&bytes).is_ok());
    assert_eq!(opening(&vec![0; longest + 1]), Err(OpeningFault::TooLong(MAX_OPENING_BYTES + 1)));
    assert!(Opening::decode(&[bytes, vec![0]].concat()).is_err());

    let small = Opening { seq: 0, field: 0, subject: [0; 16], nonce: [0; 12], ciphertext: &[] };
    let mut writer = BatchWriter::new(0, [0; 32]);
    for _ in 0..MAX_BATCH_FRAMES {
        writer.push_opening(&small).unwrap();
    }
    assert_eq!(writer.push_opening(&small), Err(PushError::Full(BatchFull)));
    writer.begin_next();
    writer.push_opening(&small).unwrap();

    let mut writer = BatchWriter::new(0, [0; 32]);
    let big = vec![0; longest];
    let frame = MAX_OPENING_BYTES + FRAME_HEADER_BYTES;
    for _ in 0..MAX_BATCH_BYTES / frame {
        writer.push_opening(&Opening { ciphertext: &big, ..small }).unwrap();
    }
    let left = MAX_BATCH_BYTES % frame - FRAME_HEADER_BYTES - around;
    assert_eq!(writer.push_opening(&Opening { ciphertext: &big[..left + 1], ..small }), Err(PushError::Full(BatchFull)));
    writer.push_opening(&Opening { ciphertext: &big[..left], ..small }).unwrap();
    assert_eq!(writer.len_bytes(), BATCH_HEADER_BYTES + MAX_BATCH_BYTES);
}

proptest! {
    #[test]
    fn scanning_arbitrary_bytes_never_panics(junk in prop::collection::vec(any::<u8>(), 0..400)) {
        let file = [&header().to_bytes()[..], &junk].concat();
        let scan = scan_of(&file);
        prop_assert_eq!(scan.batches.len(), 0);
        prop_assert_eq!(scan.tail == Tail::Clean, junk.iter().all(|b| *b == 0));
    }

    /// Any one edit below the mark is refused, wherever it is.
    #[test]
    fn no_edit_below_the_mark_goes_unnoticed(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let (mut file, offsets) = segment(&[1, 2, 1], 64);
        let at = HEADER_BYTES + at.index(offsets[3] - HEADER_BYTES);
        file[at] ^= flip;
        let mark = Mark { seq: 3, leaf_hash: leaf_hash(&typical(3).encode()) };
        prop_assert!(recover(&scan_of(&file), Some(mark)).is_err());
    }

    #[test]
    fn arbitrary_openings_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(opening) = Opening::decode(&bytes) {
            let mut again = Vec::new();
            opening.encode(&mut again).unwrap();
            prop_assert_eq!(again, bytes);
        }
    }
}

/// The figure is for a release build: `cargo test --release -p marque-journal -- --nocapture an_encoded`.
#[test]
fn an_encoded_and_hashed_record_costs_no_allocation_of_its_own() {
    let records: Vec<_> = (0..1000).map(typical).collect();
    let mut writer = BatchWriter::new(0, [0; 32]);
    let fill = |writer: &mut BatchWriter| {
        for owned in &records {
            let owned = crate::support::Owned { seq: writer.next_seq(), ..owned.clone() };
            owned.with(|head, body| writer.push_record(head, body)).unwrap();
        }
        let place = writer.finish().unwrap().as_ptr();
        writer.begin_next();
        place
    };
    let first = fill(&mut writer);
    assert_eq!(first, fill(&mut writer), "the buffer is reused");
    let mut out = Vec::with_capacity(2000);
    let start = std::time::Instant::now();
    for owned in &records {
        out.clear();
        owned.with(|head, body| marque_journal::record::encode(head, body, &mut out)).unwrap();
        std::hint::black_box(leaf_hash(&out));
    }
    println!("{} bytes: {:?} each, backlink list of the test included", out.len(), start.elapsed() / 1000);
}
