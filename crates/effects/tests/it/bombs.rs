//! Text made to break the parser: an answer that asks, soon, on a small stack.

use crate::CATALOGUE;
use marque_effects::{Command, Reading, classify};
use std::time::{Duration, Instant};

const STACK_BYTES: usize = 1 << 20;
const TRIES_MAX: usize = 8;
const SOON: Duration = Duration::from_millis(250);

fn judged(text: String) -> (Reading, Duration) {
    std::sync::LazyLock::force(&CATALOGUE);
    let run = move || {
        // The best of some: another process on this machine is not what is measured.
        let mut best = Duration::MAX;
        let mut reading = Reading::default();
        for _ in 0..TRIES_MAX {
            let start = Instant::now();
            reading = classify(&Command::shell("bash", &text), &CATALOGUE);
            best = best.min(start.elapsed());
            if best <= SOON {
                break;
            }
        }
        (reading, best)
    };
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run).unwrap().join().unwrap()
}

#[test]
fn a_parser_bomb_is_asked_about_soon_and_on_a_small_stack() {
    let bombs = [
        "(( ".repeat(15),
        "( ".repeat(30),
        "{ ".repeat(385),
        "{ ".repeat(5000),
        "$(".repeat(2000),
        "$(".repeat(190),
        "${".repeat(190),
        "$[".repeat(190),
        "`".repeat(5001),
        "((((((((((a;b))))))))))\n".repeat(100),
        "( ( ( ( ( ( a; b ) ) ) ) ) )\n".repeat(500),
        "echo ".to_owned() + &"a[".repeat(40),
        "echo ".to_owned() + &"a[@((".repeat(40) + &")".repeat(80),
        "if a; then ".repeat(400),
        "if echo fi fi fi; then ".repeat(400),
        "case x in a) ".repeat(60),
        "case x in a) ( ( ".repeat(60),
        "case x in a) ;; b) ;; c) ( ".repeat(60),
        "$( \")\" ".repeat(150),
        "function f { ".repeat(400),
        "f() { ".repeat(400),
        "for ((;;)) { ".repeat(200),
        "while ".repeat(2000),
        "! ".repeat(20000) + "rm -rf /",
        "time ".repeat(5000),
        "[[ ( ( ( ( ( ( ( ( ( (".to_owned(),
        "[[ ".to_owned() + &"! ".repeat(3000),
        "a=( ".repeat(500),
        "echo \"".to_owned() + &"\\\"".repeat(20000) + "\"",
        "cat <<A\n".repeat(300),
        "coproc ".repeat(500),
        "99999999999999999999>f".to_owned(),
        "x | ".repeat(5000) + "y",
        "a && ".repeat(5000) + "b",
        "echo {a,b}".to_owned() + &"{a,b}".repeat(5000),
        "eval '".to_owned() + &"eval ".repeat(5000) + "'",
        "sh -c 'sh -c \"sh -c id\"' ".repeat(200),
        ": ".to_owned() + &"$((".repeat(60) + &"))".repeat(60),
        "<(".repeat(500),
        "+(".repeat(5000) + &")".repeat(5000),
    ];
    let mut late = Vec::new();
    for bomb in bombs {
        let shown: String = bomb.chars().take(30).collect();
        let (reading, took) = judged(bomb);
        if took > SOON {
            late.push(format!("{shown:?}: {took:?}"));
        }
        if !reading.asks() && !["! ", "time", "sh -c", "eval", "x | ", "a &&", "echo", "[[ "].iter().any(|start| shown.starts_with(start)) {
            late.push(format!("{shown:?}: is not asked about: {reading:?}"));
        }
    }
    assert!(late.is_empty(), "{}", late.join("\n"));
}

#[test]
fn ten_thousand_subcommands_are_unknown_and_what_was_found_counts() {
    let (reading, took) = judged("rm -rf /; ".to_owned() + &"true; ".repeat(10_000));
    assert!(!reading.unknown.is_empty() && took < SOON * 2, "{took:?} {reading:?}");
    let (reading, _) = judged("rm -rf /; ".to_owned() + &"true; ".repeat(700));
    assert!(!reading.unknown.is_empty(), "{reading:?}");
    assert!(reading.findings.iter().any(|finding| finding.tool == "rm" && finding.severe), "{reading:?}");
}
