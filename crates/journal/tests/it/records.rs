use crate::support::{Owned, record, typical};
use marque_journal::cbor::{CborError, Reader, Writer, validate};
use marque_journal::limits::*;
use marque_journal::record::{KeyKind, Malformed, decode, encode};
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_record_survives_the_round_trip(owned in record()) {
        let bytes = owned.encode();
        let decoded = decode(&bytes).unwrap();
        owned.with(|head, body| {
            prop_assert_eq!(&decoded.head(), head);
            prop_assert_eq!(decoded.body(), body);
            Ok(())
        })?;
    }

    /// Whatever the decoder takes, the encoder writes again byte for byte: there is no second encoding.
    #[test]
    fn a_record_has_one_encoding(owned in record(), at in any::<prop::sample::Index>(), edit in 0..4u8, byte: u8) {
        let mut bytes = owned.encode();
        let at = at.index(bytes.len());
        match edit {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
        if let Ok(decoded) = decode(&bytes) {
            let mut again = Vec::new();
            encode(&decoded.head(), decoded.body(), &mut again).unwrap();
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(decoded) = decode(&bytes) {
            let mut again = Vec::new();
            encode(&decoded.head(), decoded.body(), &mut again).unwrap();
            prop_assert_eq!(&again, &bytes);
        }
        prop_assert!(validate(&bytes).is_err() || bytes[0] >> 5 == 5);
    }

    #[test]
    fn integers_survive_the_round_trip(value: i64) {
        let mut out = Vec::new();
        Writer::new(&mut out).int(value);
        let mut reader = Reader::new(&out);
        prop_assert_eq!(reader.int(), Ok(value));
        prop_assert_eq!(reader.end(), Ok(()));
    }
}

fn minimal() -> Owned {
    Owned {
        backlinks: vec![],
        cause: None,
        digests: [None; 3],
        lease: None,
        taint: 0,
        commitments: vec![],
        mode: None,
        session: None,
        leaf: String::new(),
        body: vec![],
        ..typical(3)
    }
}

fn try_encode(owned: &Owned) -> Result<Vec<u8>, Malformed> {
    let mut out = b"before".to_vec();
    match owned.with(|head, body| encode(head, body, &mut out)) {
        Ok(()) => Ok(out[6..].to_vec()),
        Err(error) => {
            assert_eq!(out, b"before", "a refused record leaves the buffer alone");
            Err(error)
        }
    }
}

#[test]
fn every_non_canonical_encoding_is_refused() {
    // {0: 1, 1: 3, 2: 5, 3: "a"} is the smallest record.
    let good = [0xa4, 0, 1, 1, 3, 2, 5, 3, 0x61, b'a'];
    assert!(decode(&good).is_ok());
    let whole = |error| Err(Malformed::Cbor { field: 16, error });
    let cases: [(&[u8], Result<(), Malformed>); 22] = [
        (&[0xbf, 0, 1, 1, 3, 2, 5, 3, 0x61, b'a', 0xff], whole(CborError::Indefinite)),
        (&[0xb8, 4, 0, 1, 1, 3, 2, 5, 3, 0x61, b'a'], whole(CborError::NotShortest)),
        (&[0xa4, 0, 1, 1, 0x18, 3, 2, 5, 3, 0x61, b'a'], Err(Malformed::Cbor { field: 1, error: CborError::NotShortest })),
        (&[0xa4, 0, 1, 1, 3, 2, 5, 3, 0x78, 1, b'a'], Err(Malformed::Cbor { field: 3, error: CborError::NotShortest })),
        (&[0xa4, 0, 1, 2, 5, 1, 3, 3, 0x61, b'a'], Err(Malformed::Missing(1))),
        (&[0xa4, 0, 1, 0, 1, 2, 5, 3, 0x61, b'a'], whole(CborError::KeyOrder)),
        (&[0xa3, 0, 1, 1, 3, 2, 5], Err(Malformed::Missing(3))),
        (&[0xa0], Err(Malformed::Missing(0))),
        (&[0xa4, 0, 2, 1, 3, 2, 5, 3, 0x61, b'a'], Err(Malformed::Version(2))),
        (&[0xa4, 0, 1, 1, 3, 2, 5, 3, 0x61, b'a', 0], whole(CborError::Trailing)),
        (&[0xa5, 0, 1, 1, 3, 2, 5, 3, 0x61, b'a', 16, 1], Err(Malformed::UnknownField(16))),
        (&[0xa5, 0, 1, 1, 3, 2, 5, 3, 0x61, b'a', 12, 0], Err(Malformed::Empty(12))),
        (&[0xa5, 0, 1, 1, 3, 2, 5, 3, 0x61, b'a', 5, 0x60], Err(Malformed::Empty(5))),
        (&[0xa5, 0, 1, 1, 3, 2, 5, 3, 0x61, b'a', 6, 0x80], Err(Malformed::Empty(6))),
        (&[0xa5, 0, 1, 1, 3, 2, 5, 3, 0x61, b'a', 13, 0xa0], Err(Malformed::Empty(13))),
        (&[0xa5, 0, 1, 1, 3, 2, 5, 3, 0x61, b'a', 15, 0xa0], Err(Malformed::Empty(15))),
        (&[0xa5, 0, 1, 1, 3, 2, 5, 3, 0x61, b'a', 14, 4], Err(Malformed::Bounds(14))),
        (&[0xa5, 0, 1, 1, 3, 2, 5, 3, 0x61, b'a', 7, 3], Err(Malformed::Cause)),
        (&[0xa5, 0, 1, 1, 3, 2, 5, 3, 0x61, b'a', 15, 0xa2, 2, 0, 1, 0], Err(Malformed::Cbor { field: 15, error: CborError::KeyOrder })),
        (&[0xa5, 0, 1, 1, 3, 2, 5, 3, 0x61, b'a', 15, 0xa1, 1, 0xfb, 0, 0, 0, 0, 0, 0, 0, 0], Err(Malformed::Cbor { field: 15, error: CborError::Forbidden })),
        (&[0xa5, 0, 1, 1, 3, 2, 5, 3, 0x61, b'a', 15, 0xa1, 0x20, 1], Err(Malformed::Cbor { field: 15, error: CborError::Unexpected })),
        (&[0xa5, 0, 1, 1, 3, 2, 5, 3, 0x61, 0xff], Err(Malformed::Cbor { field: 3, error: CborError::Utf8 })),
    ];
    for (bytes, expected) in cases {
        assert_eq!(decode(bytes).map(|_| ()), expected, "{bytes:02x?}");
    }
}

#[test]
fn an_empty_body_is_left_out() {
    let empty = minimal();
    let map = Owned { body: vec![0xa0], ..minimal() };
    assert_eq!(try_encode(&empty), try_encode(&map));
}

#[test]
fn bounds_hold_at_n_and_not_at_n_plus_1() {
    let fits = |owned: Owned| try_encode(&owned).map(|bytes| drop(decode(&bytes).unwrap()));
    for (extra, expected) in [(0, Ok(())), (1, Err(()))] {
        let bounds = |field: u64| expected.map_err(|()| Malformed::Bounds(field));
        assert_eq!(fits(Owned { kind: "k".repeat(MAX_KIND_BYTES + extra), ..minimal() }), bounds(3));
        assert_eq!(fits(Owned { leaf: "l".repeat(MAX_LEAF_BYTES + extra), ..minimal() }), bounds(5));
        let links = (0..MAX_BACKLINKS + extra).map(|i| (KeyKind::Human, vec![i as u8], 0, None)).collect();
        assert_eq!(fits(Owned { backlinks: links, ..minimal() }), bounds(6));
        let long = vec![(KeyKind::Human, vec![1; MAX_KEY_ID_BYTES + extra], 0, None)];
        assert_eq!(fits(Owned { backlinks: long, ..minimal() }), bounds(6));
        let commitments = (0..(MAX_COMMITMENTS + extra) as u64).map(|i| (i, [0; 32])).collect();
        assert_eq!(fits(Owned { commitments, ..minimal() }), bounds(13));

        let mut deep = vec![0xa1, 1];
        deep.extend(std::iter::repeat_n(0x81, MAX_BODY_DEPTH - 1 + extra));
        deep.push(0);
        let too_deep = Malformed::Cbor { field: 15, error: CborError::TooDeep };
        assert_eq!(fits(Owned { body: deep, ..minimal() }), expected.map_err(|()| too_deep));

        let around = try_encode(&Owned { body: vec![0xa1, 1, 0x59, 0x01, 0x00].into_iter().chain([0; 256]).collect(), ..minimal() }).unwrap().len() - 256;
        let fill = MAX_RECORD_BYTES - around + extra;
        let mut body = Vec::new();
        Writer::new(&mut body).map(1).uint(1).bytes(&vec![0; fill]);
        let too_long = Malformed::TooLong(MAX_RECORD_BYTES + 1);
        assert_eq!(fits(Owned { body, ..minimal() }), expected.map_err(|()| too_long));
    }
    assert_eq!(decode(&vec![0; MAX_RECORD_BYTES + 1]), Err(Malformed::TooLong(MAX_RECORD_BYTES + 1)));
}

#[test]
fn backlinks_that_contradict_themselves_are_refused() {
    let link = |kind, id: u8, n, prev| (kind, vec![id], n, prev);
    let refused = [
        vec![link(KeyKind::Human, 1, 0, Some(1))],
        vec![link(KeyKind::Human, 1, 1, None)],
        vec![link(KeyKind::Human, 1, 1, Some(3))],
        vec![link(KeyKind::Human, 1, 0, None), link(KeyKind::Human, 1, 0, None)],
        vec![link(KeyKind::Session, 1, 0, None), link(KeyKind::Human, 1, 0, None)],
    ];
    for backlinks in refused {
        assert_eq!(try_encode(&Owned { backlinks, ..minimal() }), Err(Malformed::Backlinks));
    }
    assert!(try_encode(&Owned { kind: "Upper".to_owned(), ..minimal() }).is_err());
    assert!(try_encode(&Owned { kind: String::new(), ..minimal() }).is_err());
}
