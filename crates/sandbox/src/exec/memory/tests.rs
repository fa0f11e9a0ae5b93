use super::*;

fn own() -> Memory {
    Memory::open(i32::try_from(std::process::id()).unwrap()).unwrap()
}

fn array(strings: &[Vec<u8>]) -> (Vec<Vec<u8>>, Vec<u64>) {
    let owned: Vec<Vec<u8>> = strings.iter().map(|string| [string.as_slice(), &[0]].concat()).collect();
    let pointers = owned.iter().map(|string| string.as_ptr() as u64).chain([0]).collect();
    (owned, pointers)
}

#[test]
fn strings_are_read_whatever_their_pages() {
    for len in [0, 1, 4_095, 4_096, 4_097, 9_000] {
        let (_owned, pointers) = array(&[b"first".to_vec(), vec![b'x'; len], Vec::new()]);
        let strings = own().strings(pointers.as_ptr() as u64, 1 << 20).unwrap();
        assert_eq!(strings.iter().map(<[u8]>::len).collect::<Vec<_>>(), [5, len, 0]);
        assert!(!strings.truncated);
    }
}

#[test]
fn strings_at_their_bound_are_whole_and_beyond_it_truncated() {
    let (_owned, pointers) = array(&[vec![b'a'; 9], vec![b'b'; 9]]);
    let at = pointers.as_ptr() as u64;
    let whole = own().strings(at, 20).unwrap();
    assert!(!whole.truncated && whole.bytes.len() == 20);
    let cut = own().strings(at, 19).unwrap();
    assert!(cut.truncated && cut.bytes.len() == 19 && cut.count == 1);
    let none = own().strings(at, 0).unwrap();
    assert!(none.truncated && none.bytes.is_empty());
}

#[test]
fn what_cannot_be_read_is_an_error() {
    assert!(own().strings(8, 100).is_err());
    let pointers = [16u64, 0];
    assert!(own().strings(pointers.as_ptr() as u64, 100).is_err());
    assert_eq!(own().strings(0, 100).unwrap(), Strings::default());
}
