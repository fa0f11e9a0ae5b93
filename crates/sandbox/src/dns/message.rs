//! Questions and answers (RFC 1035): bytes in, bytes out.

use super::names::Names;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is sent back, and what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The message.
    pub bytes: Vec<u8>,
    /// The name and type of the question, where it could be read.
    pub asked: Option<(String, u16)>,
    /// The code of the answer (RFC 1035 section 4.1.1).
    pub code: u8,
}

const HEADER_BYTES: usize = 12;
const NAME_BYTES: usize = 253;
const LABEL_BYTES: u8 = 63;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;
const OK: u8 = 0;
const FORMAT: u8 = 1;
const FAILED: u8 = 2;
const NO_NAME: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;
const REFUSED: u8 = 5;
/// An address is good for the whole session: no client need ask twice.
const TTL_S: u32 = 3_600;

struct Question<'a> {
    name: String,
    kind: u16,
    class: u16,
    /// As it was asked, for the answer.
    bytes: &'a [u8],
}

/// Answers one question. `None` where nothing may be sent back: it was not a question.
pub fn answer(query: &[u8], names: &mut Names, ipv6: bool) -> Option<Answer> {
    let header = query.first_chunk::<HEADER_BYTES>()?;
    let [id_high, id_low, flags, _, count_high, count_low, ..] = *header;
    const IS_ANSWER: u8 = 0x80;
    if flags & IS_ANSWER != 0 {
        return None;
    }
    let head = Head { id: [id_high, id_low], flags };
    let opcode = (flags >> 3) & 15;
    if opcode != 0 {
        return Some(head.answer(NOT_IMPLEMENTED, None, None));
    }
    let question = if [count_high, count_low] == [0, 1] { question(query) } else { None };
    let Some(question) = question else { return Some(head.answer(FORMAT, None, None)) };
    let (code, address) = decide(&question, names, ipv6);
    Some(head.answer(code, Some(&question), address))
}

/// Addresses are the one thing that is answered: another type would need somebody who knows, and asking carries data out.
fn decide(question: &Question<'_>, names: &mut Names, ipv6: bool) -> (u8, Option<IpAddr>) {
    if question.class != CLASS_IN || !matches!(question.kind, TYPE_A | TYPE_AAAA) {
        return (REFUSED, None);
    }
    let four = question.kind == TYPE_A;
    if !four && !ipv6 {
        return (OK, None);
    }
    if question.name == "localhost" || question.name.ends_with(".localhost") {
        return (OK, Some(if four { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }));
    }
    if question.name.is_empty() || !is_host(&question.name) {
        return (NO_NAME, None);
    }
    match names.number(&question.name) {
        Ok(number) => (OK, Some(if four { Names::v4(number).into() } else { Names::v6(number).into() })),
        Err(_) => (FAILED, None),
    }
}

fn is_host(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'))
}

/// The one question behind the header. Its name has no pointers: there is nothing before it to point to.
fn question(query: &[u8]) -> Option<Question<'_>> {
    let mut rest = query.get(HEADER_BYTES..)?;
    let mut name = String::new();
    let mut used = 0;
    loop {
        let (len, after) = rest.split_first()?;
        used += 1;
        if *len == 0 {
            rest = after;
            break;
        }
        if *len > LABEL_BYTES {
            return None;
        }
        let (label, after) = after.split_at_checked(usize::from(*len))?;
        used += label.len();
        if !name.is_empty() {
            name.push('.');
        }
        // A dot within a label would make another name of it.
        name.extend(label.iter().map(|b| if b.is_ascii() && *b != b'.' { char::from(b.to_ascii_lowercase()) } else { '\u{fffd}' }));
        if used > NAME_BYTES + 1 {
            return None;
        }
        rest = after;
    }
    let [kind_high, kind_low, class_high, class_low] = *rest.first_chunk::<4>()?;
    let bytes = query.get(HEADER_BYTES..HEADER_BYTES + used + 4)?;
    let (kind, class) = (u16::from_be_bytes([kind_high, kind_low]), u16::from_be_bytes([class_high, class_low]));
    Some(Question { name, kind, class, bytes })
}

struct Head {
    id: [u8; 2],
    flags: u8,
}

impl Head {
    fn answer(&self, code: u8, question: Option<&Question<'_>>, address: Option<IpAddr>) -> Answer {
        const IS_ANSWER: u8 = 0x80;
        const OPCODE_AND_DESIRED: u8 = 0x79;
        const AVAILABLE: u8 = 0x80;
        let mut bytes = vec![0; HEADER_BYTES];
        let [id_high, id_low] = self.id;
        let head = [id_high, id_low, IS_ANSWER | (self.flags & OPCODE_AND_DESIRED), AVAILABLE | code];
        let counts = [0, u8::from(question.is_some()), 0, u8::from(address.is_some()), 0, 0, 0, 0];
        for (place, byte) in bytes.iter_mut().zip(head.into_iter().chain(counts)) {
            *place = byte;
        }
        if let Some(question) = question {
            bytes.extend_from_slice(question.bytes);
            if let Some(address) = address {
                record(&mut bytes, question.kind, address);
            }
        }
        Answer { bytes, asked: question.map(|q| (q.name.clone(), q.kind)), code }
    }
}

/// One record: a pointer to the question's name, type, class, life, and the address.
fn record(out: &mut Vec<u8>, kind: u16, address: IpAddr) {
    const POINTER_TO_QUESTION: [u8; 2] = [0xc0, HEADER_BYTES as u8];
    out.extend_from_slice(&POINTER_TO_QUESTION);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&CLASS_IN.to_be_bytes());
    out.extend_from_slice(&TTL_S.to_be_bytes());
    let (four, six);
    let octets: &[u8] = match address {
        IpAddr::V4(v4) => {
            four = v4.octets();
            &four
        }
        IpAddr::V6(v6) => {
            six = v6.octets();
            &six
        }
    };
    out.extend_from_slice(&(octets.len() as u16).to_be_bytes());
    out.extend_from_slice(octets);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{DNS_UDP_BYTES, NAMES};
    use proptest::prelude::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut out = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            out.push(label.len() as u8);
            out.extend_from_slice(label.as_bytes());
        }
        out.push(0);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&CLASS_IN.to_be_bytes());
        out
    }

    fn ask(name: &str, kind: u16) -> (u8, Vec<u8>) {
        let answer = answer(&query(name, kind), &mut Names::new(), true).unwrap();
        (answer.code, answer.bytes)
    }

    #[test]
    fn a_name_is_answered_with_an_address_that_leads_back_to_it() {
        let mut names = Names::new();
        let answer = answer(&query("Api.Example.com", TYPE_A), &mut names, true).unwrap();
        assert_eq!(answer.bytes[..4], [7, 9, 0x81, 0x80]);
        let address = Ipv4Addr::from_bits(u32::from_be_bytes(*answer.bytes.last_chunk().unwrap()));
        assert_eq!(names.name_of(address.into()), Some("api.example.com"));
        assert_eq!(answer.asked, Some(("api.example.com".into(), TYPE_A)));
        // The spelling of the question comes back as it was.
        assert!(answer.bytes.windows(3).any(|w| w == b"Api"));
    }

    #[test]
    fn nothing_but_addresses_is_answered() {
        for kind in [2, 5, 12, 15, 16, 33, 65, 255] {
            assert_eq!(ask("example.com", kind).0, REFUSED, "type {kind}");
        }
        let mut names = Names::new();
        let mut odd_class = query("example.com", TYPE_A);
        *odd_class.last_mut().unwrap() = 3;
        assert_eq!(answer(&odd_class, &mut names, true).unwrap().code, REFUSED);
        assert_eq!(names.asked().count(), 0);
    }

    #[test]
    fn loopback_is_the_agents_own_and_without_ipv6_there_is_no_such_address() {
        assert_eq!(ask("localhost", TYPE_A).1.last_chunk(), Some(&[127, 0, 0, 1]));
        assert_eq!(ask("app.localhost", TYPE_AAAA).1.last_chunk(), Some(&Ipv6Addr::LOCALHOST.octets()));
        let none = answer(&query("example.com", TYPE_AAAA), &mut Names::new(), false).unwrap();
        assert_eq!((none.code, none.bytes[7]), (OK, 0));
    }

    #[test]
    fn the_last_address_is_followed_by_a_failure() {
        let mut names = Names::new();
        for index in 0..NAMES {
            names.number(&format!("n{index}")).unwrap();
        }
        assert_eq!(answer(&query("one.more", TYPE_A), &mut names, true).unwrap().code, FAILED);
        assert_eq!(answer(&query("n0", TYPE_A), &mut names, true).unwrap().code, OK);
    }

    #[test]
    fn names_are_so_long_and_no_longer() {
        let label = "a".repeat(61);
        let longest = [label.as_str(); 4].join(".") + ".bbbb";
        assert_eq!(longest.len(), 252);
        assert_eq!(ask(&(longest.clone() + "b"), TYPE_A).0, OK);
        assert_eq!(ask(&(longest + "bb"), TYPE_A).0, FORMAT);
        assert_eq!(ask(&"a".repeat(63), TYPE_A).0, OK);
    }

    #[test]
    fn odd_questions_are_refused_and_answers_are_not_answered() {
        let mut names = Names::new();
        let mut is_answer = query("a.b", TYPE_A);
        is_answer[2] |= 0x80;
        assert_eq!(answer(&is_answer, &mut names, true), None);
        let mut update = query("a.b", TYPE_A);
        update[2] |= 5 << 3;
        assert_eq!(answer(&update, &mut names, true).unwrap().code, NOT_IMPLEMENTED);
        let mut two = query("a.b", TYPE_A);
        two[5] = 2;
        assert_eq!(answer(&two, &mut names, true).unwrap().code, FORMAT);
        let mut pointer = query("a.b", TYPE_A);
        pointer[12] = 0xc0;
        assert_eq!(answer(&pointer, &mut names, true).unwrap().code, FORMAT);
        let mut dotted = query("axb.c", TYPE_A);
        dotted[14] = b'.';
        assert_eq!(answer(&dotted, &mut names, true).unwrap().code, NO_NAME);
        assert_eq!(answer(&[0; 11], &mut names, true), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_shortly_or_not_at_all(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut names = Names::new();
            if let Some(answer) = answer(&bytes, &mut names, true) {
                prop_assert!(answer.bytes.len() <= DNS_UDP_BYTES);
                prop_assert_eq!(&answer.bytes[..2], &bytes[..2]);
                prop_assert!(names.asked().count() <= 1);
            }
        }
    }
}
