//! Clocks that are set, and a machine that sleeps (threats M4): the second build reads two numbers from a file and adds them
//! to wall clock and boot time at every look.

use crate::house::{House, LONG};
use crate::load::{Seat, Upstream, grants};
use crate::local::{Local, until};
use crate::oracle::{python, told};
use serde_json::json;
use std::path::{Path, PathBuf};

const LIMITS: [&str; 2] = ["--journal-limits", "524288,524288,0"];
/// Length of a session, as `Local::open_session` asks for it.
const SESSION_S: i64 = 600;
const HOUR_S: i64 = 3600;

struct World {
    house: House,
    local: Local,
    upstream: Upstream,
    shift: PathBuf,
}

impl World {
    fn new() -> Self {
        let house = House::empty();
        let shift = house.dir.path().join("shift");
        let house = house.of_the_second_build(&[("MARQUE_CLOCK_SHIFT", shift.to_str().unwrap())]);
        let local = Local::of(&house);
        let mut this = Self { house, local, upstream: Upstream::start(), shift };
        this.open();
        this.local.add_credential("gh", "github", &this.upstream.origin, &this.upstream.secret).unwrap();
        this
    }

    fn open(&mut self) {
        self.house.start(&LIMITS);
        until("it opens", LONG, || self.local.try_open().ok());
    }

    /// Shifts wall clock and boot time by so many seconds, for good.
    fn shift(&self, wall_s: i64, boot_s: i64) {
        let next = self.shift.with_extension("next");
        std::fs::write(&next, format!("{} {}", wall_s * 1000, boot_s * 1000)).unwrap();
        std::fs::rename(next, &self.shift).unwrap();
    }

    fn seat(&self) -> Seat {
        Seat::of(&self.local.open_session(&grants(None)).unwrap())
    }

    fn status(&self, seat: &Seat, id: &str) -> Option<u16> {
        seat.ask(&mut None, "GET", &format!("{}/repos/acme/{id}", self.upstream.origin)).ok().map(|(status, _)| status)
    }

    fn seen(&self) -> usize {
        self.upstream.server.log().count_saw(&self.upstream.secret)
    }

    fn is_listed(&self, seat: &Seat) -> bool {
        let all = self.local.get("/v1/sessions").unwrap();
        all.as_array().unwrap().iter().any(|s| s["session"] == json!(seat.session))
    }
}

fn seconds_of_records(data: &Path) -> Vec<u64> {
    let mut times = Vec::new();
    crate::oracle::each_record(data, |raw| times.push(marque_journal::record::decode(raw).unwrap().head().time_ms / 1000));
    times
}

#[test]
fn a_machine_that_slept_through_a_sessions_end_admits_nothing_more_and_ends_it() {
    let world = World::new();
    let seat = world.seat();
    assert_eq!(world.status(&seat, "before"), Some(200));
    assert!(world.is_listed(&seat));
    // Awake again: boot time went on, and nobody has corrected the wall clock yet.
    world.shift(0, SESSION_S + 1);
    assert_ne!(world.status(&seat, "after"), Some(200));
    assert_eq!(world.seen(), 1);
    until("the overdue session ends", LONG, || (!world.is_listed(&seat)).then_some(()));
    let mut house = world.house;
    house.kill();
    assert!(told(&house.data()).ends.contains_key(&seat.session));
}

#[test]
fn a_clock_that_is_set_back_extends_no_session() {
    let world = World::new();
    let seat = world.seat();
    world.shift(-2 * HOUR_S, 0);
    assert_eq!(world.status(&seat, "in-time"), Some(200));
    world.shift(-2 * HOUR_S, SESSION_S - 60);
    assert_eq!(world.status(&seat, "still-in-time"), Some(200));
    world.shift(-2 * HOUR_S, SESSION_S + 1);
    assert_ne!(world.status(&seat, "late"), Some(200));
    assert_eq!(world.seen(), 2);
}

#[test]
fn a_clock_that_leapt_ahead_and_came_back_does_not_make_later_sessions_endless() {
    let world = World::new();
    let before = world.seat();
    world.shift(2 * HOUR_S, 0);
    assert_ne!(world.status(&before, "overtaken"), Some(200), "the later of both clocks counts");
    world.shift(0, 0);
    assert_ne!(world.status(&before, "and-back"), Some(200), "what is over stays over");
    let after = world.seat();
    assert_eq!(world.status(&after, "new"), Some(200));
    world.shift(0, SESSION_S + 1);
    assert_ne!(world.status(&after, "overdue"), Some(200), "its own end comes in its own time");
    assert_eq!(world.seen(), 1);
}

#[test]
fn a_start_with_a_clock_behind_the_last_record_goes_on_from_there() {
    let mut world = World::new();
    let seat = world.seat();
    assert_eq!(world.status(&seat, "first"), Some(200));
    world.house.kill();
    world.shift(-3 * HOUR_S, 0);
    world.open();
    assert_ne!(world.status(&seat, "of-the-dead"), Some(200));
    let seat = world.seat();
    assert_eq!(world.status(&seat, "second"), Some(200));
    world.shift(-3 * HOUR_S, SESSION_S + 1);
    assert_ne!(world.status(&seat, "late"), Some(200));
    world.house.stop();
    let times = seconds_of_records(&world.house.data());
    assert!(times.is_sorted(), "{times:?}");
    assert!(times.last().unwrap() - times.first().unwrap() >= SESSION_S as u64, "{times:?}");
    let exit = python(&world.house.data(), &[]);
    assert!(!exit.stdout.contains("not consistent") && matches!(exit.status.code(), Some(0 | 8)), "{exit:?}");
}
