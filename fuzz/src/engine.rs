//! Inputs by seeded mutation, and the watch over what a target does with them.

use crate::{Target, corpus};
use rustix::time::{ClockId, clock_gettime};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Longest input, in bytes. Parsers whose own limit is lower refuse it early, which is part of what is tested.
pub const INPUT_BYTES_MAX: usize = 128 << 10;
/// Stack of the thread that feeds a target: a parser that recurses over its input overflows it.
const STACK_BYTES: usize = 1 << 20;
/// Mutations of one seed at most.
const MUTATIONS_MAX: u64 = 6;

/// How long a target is fed, and how long one input may take.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Fewest inputs, however long they take: the same on every machine.
    pub at_least: u64,
    /// Most inputs.
    pub inputs: u64,
    /// Processor time after which no further input is begun, when there were enough.
    pub time: Duration,
    /// Processor time that one input may take, whatever it is.
    pub one_input: Duration,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fed {
    /// Inputs.
    pub inputs: u64,
    /// Processor time of the slowest.
    pub slowest: Duration,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which target.
    pub target: &'static str,
    /// What happened.
    pub what: String,
    /// On which input.
    pub input: Vec<u8>,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}\n  input, {} bytes: {}", self.target, self.what, self.input.len(), self.input.escape_ascii())
    }
}

/// Feeds a target until the budget is spent: every seed as it is, long repetitions of what means something, then mutations.
///
/// # Errors
/// The first input that panics, breaks a law or takes too long. An overflow of the stack ends the process; the name of the
/// thread is the target's.
pub fn run(target: &'static Target, seed: u64, budget: Budget) -> Result<Fed, Box<Finding>> {
    let work = move || feed(target, seed, budget);
    let thread = std::thread::Builder::new().name(target.name.to_owned()).stack_size(STACK_BYTES);
    let broken = |what: String| Box::new(Finding { target: target.name, what, input: Vec::new() });
    let handle = thread.spawn(work).map_err(|e| broken(e.to_string()))?;
    handle.join().map_err(|_| broken("the engine itself panicked".into()))?
}

fn feed(target: &'static Target, seed: u64, budget: Budget) -> Result<Fed, Box<Finding>> {
    let seeds = corpus::seeds(target.name);
    let mut fed = Fed { inputs: 0, slowest: Duration::ZERO };
    let began = processor_time();
    let mut one = |input: &[u8]| -> Result<bool, Box<Finding>> {
        let took = observe(target, input, budget.one_input)?;
        fed.inputs += 1;
        fed.slowest = fed.slowest.max(took);
        let in_time = processor_time().saturating_sub(began) < budget.time;
        Ok(fed.inputs < budget.inputs && (in_time || fed.inputs < budget.at_least))
    };
    let mut go = one(b"")?;
    for input in &seeds {
        go = go && one(input)?;
    }
    for token in TOKENS {
        go = go && one(&repeated(token, INPUT_BYTES_MAX / 4))?;
    }
    let mut random = Random(seed ^ hash(target.name.as_bytes()));
    while go {
        let input = mutated(&mut random, &seeds);
        go = one(&input)?;
    }
    Ok(fed)
}

fn observe(target: &'static Target, input: &[u8], most: Duration) -> Result<Duration, Box<Finding>> {
    let finding = |what: String| Box::new(Finding { target: target.name, what, input: input.to_vec() });
    let before = processor_time();
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.feed)(input))) {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        return Err(finding(format!("panicked: {}", text.unwrap_or_default())));
    }
    let took = processor_time().saturating_sub(before);
    if took > most {
        return Err(finding(format!("took {took:?} of processor time, {most:?} is the most")));
    }
    Ok(took)
}

/// Of this thread, so that a busy machine does not matter.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// xorshift64*: the same everywhere (Vigna, "An experimental exploration of Marsaglia's xorshift generators").
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = if self.0 == 0 { 0x9e37_79b9_7f4a_7c15 } else { self.0 };
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `n`; 0 for 0.
    fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % n).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        let at = self.below(list.len());
        list.get(at)
    }
}

fn hash(bytes: &[u8]) -> u64 {
    // FNV-1a.
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// Texts that mean something to some parser.
const TOKENS: &[&[u8]] = &[
    b"{", b"[", b"(", b"{\"a\":", b"[[", b"\"", b"\\", b"\\u0000", b"\\ud800", b"null", b"-0", b"1e400", b"18446744073709551616", b"..", b"/",
    b"//", b"%", b"%2e", b"%2F", b"%00", b"%25", b"*", b"**", b"@", b":", b".", b"-", b"=", b"&", b";", b",", b"#", b"?", b" ", b"\t", b"\n", b"\r\n",
    b"\r\n\r\n", b"\0", b"\x7f", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x80\xae", b"a", b"A", b"0", b"0000", b"0001", b"0004", b"fff0", b"ffff",
    b"\x9f", b"\xbf", b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff", b"\x81", b"\xa1", b"\x7f\xff", b"\x80\xfe\xff\xff", b"content-length: 1\r\n",
    b"transfer-encoding: chunked\r\n", b"host: a\r\n", b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"query{a{b(c:$d)}}", b"...on A{", b"fragment F on A{...F}",
    b"\"\"\"", b"shallow ", b"refs/heads/", b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd", b"ghp_0123456789abcdefghijABCDEFGHIJ012345", b"-----BEGIN ",
    b" PRIVATE KEY-----", b"eyJ", b"[[op]]\n", b"match = [\"GET api:/{a}/**\"]\n", b"when { ", b"forbid (principal, action, resource)", b"!", b"&&", b"key: ",
    b"- ", b"machine ", b"password ",
];

fn repeated(token: &[u8], len: usize) -> Vec<u8> {
    token.iter().copied().cycle().take(len.max(1)).collect()
}

fn mutated(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = random.pick(seeds).cloned().unwrap_or_default();
    let rounds = 1 + random.next() % MUTATIONS_MAX;
    for _ in 0..rounds {
        mutate(random, &mut input, seeds);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn mutate(random: &mut Random, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let at = random.below(input.len() + 1);
    let len = 1 + random.below(16.min(input.len().saturating_sub(at).max(1)));
    let end = (at + len).min(input.len());
    match random.below(11) {
        // A bit.
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << (random.next() % 8);
            }
        }
        // A byte.
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = u8::try_from(random.next() % 256).unwrap_or(0);
            }
        }
        // A token in place, or instead.
        2 => insert(input, at..at, random.pick(TOKENS).copied().unwrap_or_default()),
        3 => insert(input, at..end, random.pick(TOKENS).copied().unwrap_or_default()),
        // A piece goes.
        4 => insert(input, at..end, b""),
        // A piece comes again.
        5 => {
            let piece = input.get(at..end).unwrap_or_default().to_vec();
            insert(input, at..at, &piece);
        }
        // The tail goes.
        6 => input.truncate(at),
        // A length: four or eight bytes of a number near an edge.
        7 => {
            let number = random.pick(&[0u64, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_ffff, u64::MAX]).copied().unwrap_or(0);
            let bytes = number.to_be_bytes();
            let from = if random.below(2) == 0 { 4 } else { 0 };
            insert(input, at..end, bytes.get(from..).unwrap_or_default());
        }
        // A piece of another seed.
        8 => {
            let other = random.pick(seeds).cloned().unwrap_or_default();
            let from = random.below(other.len() + 1);
            let to = (from + random.below(256)).min(other.len());
            insert(input, at..end, other.get(from..to).unwrap_or_default());
        }
        // A long run of something.
        9 => {
            let token = random.pick(TOKENS).copied().unwrap_or_default();
            let run = repeated(token, 1 + random.below(2048));
            insert(input, at..at, &run);
        }
        // A piece of decimal or hexadecimal digits becomes another number.
        _ => {
            let number = random.next() >> random.below(64);
            insert(input, at..end, number.to_string().as_bytes());
        }
    }
}

fn insert(input: &mut Vec<u8>, place: std::ops::Range<usize>, piece: &[u8]) {
    let tail = input.get(place.end..).unwrap_or_default().to_vec();
    input.truncate(place.start);
    input.extend_from_slice(piece);
    input.extend_from_slice(&tail);
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Budget = Budget { at_least: 1, inputs: 300, time: Duration::from_secs(5), one_input: Duration::from_secs(1) };

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        let seeds = vec![b"one seed".to_vec(), b"another".to_vec()];
        let make = |seed| {
            let mut random = Random(seed);
            (0..200).map(|_| mutated(&mut random, &seeds)).collect::<Vec<_>>()
        };
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
    }

    #[test]
    fn a_target_that_panics_is_found() {
        static BAD: Target = Target { name: "bad", feed: |input| assert!(!input.starts_with(b"{"), "an open brace") };
        let found = run(&BAD, 1, FINE).unwrap_err();
        assert!(found.what.contains("an open brace") && found.input.starts_with(b"{"), "{found}");
    }

    #[test]
    fn a_target_that_takes_too_long_is_found() {
        static SLOW: Target = Target {
            name: "slow",
            feed: |input| {
                let pairs = input.iter().flat_map(|a| input.iter().map(move |b| u64::from(*a) * u64::from(*b)));
                assert_ne!(pairs.sum::<u64>(), 1);
            },
        };
        let budget = Budget { one_input: Duration::from_millis(50), ..FINE };
        assert!(run(&SLOW, 1, budget).unwrap_err().what.contains("processor time"));
    }

    #[test]
    fn the_budget_ends_a_run() {
        static QUIET: Target = Target { name: "quiet", feed: |_| {} };
        assert_eq!(run(&QUIET, 1, FINE).unwrap().inputs, FINE.inputs);
    }
}
