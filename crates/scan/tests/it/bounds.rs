//! Every limit at n and at n + 1.

use crate::home::Home;
use marque_scan::limits::*;
use marque_testkit::canary;

fn tail(len: usize, end: &str) -> String {
    let mut text = "#\n".repeat((len - end.len()) / 2);
    text.push_str(&"\n".repeat(len - end.len() - text.len()));
    text.push_str(end);
    assert_eq!(text.len(), len);
    text
}

/// A file that is not read: a link that leads out.
fn unreadable(home: &Home, name: &str) {
    let dir = home.path("p").join(name);
    std::fs::create_dir_all(&dir).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", dir.join(".env")).unwrap();
}

fn noted(report: &marque_scan::Report, what: &str) -> bool {
    report.notes.iter().any(|n| n.contains(what))
}

#[test]
fn a_file_of_the_longest_length_is_read_and_a_longer_one_is_said() {
    let home = Home::new();
    let line = format!("\nSHOP_TOKEN={}\n", canary("long"));
    home.write(".profile", &tail(FILE_BYTES_MAX, &line), 1);
    assert_eq!(home.scan().findings.len(), 1);
    home.write(".profile", &tail(FILE_BYTES_MAX + 1, &line), 1);
    let report = home.scan();
    assert!(report.findings.is_empty() && noted(&report, "is longer than"), "{report:?}");
}

#[test]
fn entries_are_counted() {
    let mut home = Home::new();
    let dir = home.path("many");
    std::fs::create_dir(&dir).unwrap();
    for n in 0..ENTRIES_MAX {
        std::fs::File::create(dir.join(n.to_string())).unwrap();
    }
    home.look_at(&dir);
    assert!(!noted(&home.scan(), "entries"));
    std::fs::File::create(dir.join("one more")).unwrap();
    assert!(noted(&home.scan(), "entries"));
}

#[test]
fn directories_are_entered_so_far_and_no_further() {
    let mut home = Home::new();
    let deep = (0..DEPTH_MAX).map(|n| format!("d{n}/")).collect::<String>();
    home.write(&format!("p/{deep}.env"), &format!("A_TOKEN={}\n", canary("deep")), 1);
    let dir = home.path("p");
    home.look_at(&dir);
    let report = home.scan();
    assert!(report.findings.len() == 1 && !noted(&report, "too deep"), "{report:?}");
    home.write(&format!("p/{deep}more/.env"), &format!("B_TOKEN={}\n", canary("deep")), 1);
    let report = home.scan();
    assert!(report.findings.len() == 1 && noted(&report, "too deep"), "{report:?}");
}

#[test]
fn paths_are_counted() {
    let mut home = Home::new();
    let file = home.write("x.txt", "nothing\n", 1);
    home.options.paths = vec![file; PATHS_MAX];
    assert!(marque_scan::scan(&home.options).is_ok());
    let again = home.options.paths[0].clone();
    home.look_at(&again);
    assert!(matches!(marque_scan::scan(&home.options), Err(marque_scan::Error::Paths { .. })));
}

#[test]
fn files_of_ssh_are_counted() {
    let home = Home::new();
    for n in 0..SSH_FILES_MAX {
        home.write(&format!(".ssh/{n:04}"), "x\n", 1);
    }
    assert!(!noted(&home.scan(), ".ssh"));
    home.write(".ssh/more", "x\n", 1);
    assert!(noted(&home.scan(), ".ssh"));
}

#[test]
fn variables_are_counted() {
    let mut home = Home::new();
    for n in 1..VARIABLES_MAX {
        home.env(&format!("V{n}"), "x");
    }
    home.env("LAST_TOKEN", &canary("last"));
    let report = home.scan();
    assert!(report.findings.len() == 1 && !noted(&report, "variables"), "{report:?}");
    home.options.env.insert(0, ("FIRST".into(), "x".into()));
    let report = home.scan();
    assert!(report.findings.is_empty() && noted(&report, "variables"), "{report:?}");
}

#[test]
fn an_environment_is_read_up_to_its_limit() {
    let mut home = Home::new();
    let last = format!("\0A_TOKEN={}", canary("env"));
    let filled = |len: usize| format!("F={}{last}", "f".repeat(len - last.len() - 2));
    home.process(5, "p", &filled(ENVIRON_BYTES_MAX));
    assert_eq!(home.scan().findings.len(), 1);
    // What lies beyond is not read: the value is cut short by one.
    home.process(5, "p", &filled(ENVIRON_BYTES_MAX + last.len()));
    assert_eq!(home.scan().findings.len(), 0);
}

#[test]
fn processes_are_counted() {
    let mut home = Home::new();
    for pid in 1..=u32::try_from(PROCESSES_MAX).unwrap() {
        home.process(pid, "", "A=b\0");
    }
    let report = home.scan();
    assert!(report.looked.processes == PROCESSES_MAX && !noted(&report, "processes were"), "{:?}", report.looked);
    home.process(u32::try_from(PROCESSES_MAX).unwrap() + 1, "p", "A=b\0");
    let report = home.scan();
    assert!(report.looked.processes == PROCESSES_MAX && noted(&report, "processes were"), "{:?}", report.looked);
}

#[test]
fn trees_are_followed_so_deep() {
    let home = Home::new();
    let nested = |depth: usize| {
        let value = format!("{{\"A_TOKEN\":\"{}\"}}", canary("json"));
        format!("{}{value}{}", "{\"a\":".repeat(depth), "}".repeat(depth))
    };
    home.write(".claude.json", &nested(NEST_MAX - 1), 1);
    assert_eq!(home.scan().findings.len(), 1);
    home.write(".claude.json", &nested(NEST_MAX), 1);
    assert_eq!(home.scan().findings.len(), 0);
}

#[test]
fn findings_notes_and_places_are_counted() {
    let mut home = Home::new();
    let mut text = String::new();
    for n in 0..FINDINGS_MAX {
        text.push_str(&format!("T{n}_TOKEN={}\n", canary("n")));
    }
    home.write(".profile", &text, 1);
    let report = home.scan();
    assert!(report.findings.len() == FINDINGS_MAX && !noted(&report, "not listed"));
    home.env("MORE_TOKEN", &canary("more"));
    let report = home.scan();
    assert!(report.findings.len() == FINDINGS_MAX && noted(&report, "not listed"));

    let mut home = Home::new();
    let secret = canary("shared");
    for n in 0..=PLACES_MAX + 1 {
        home.process(u32::try_from(n + 1).unwrap(), "p", &format!("A_TOKEN={secret}\0"));
    }
    assert_eq!(home.scan().findings[0].held_by.len(), PLACES_MAX);

    let mut home = Home::new();
    for n in 0..NOTES_MAX {
        unreadable(&home, &n.to_string());
    }
    let dir = home.path("p");
    home.look_at(&dir);
    assert_eq!(home.scan().notes.len(), NOTES_MAX);
    for n in 0..2 {
        unreadable(&home, &format!("more{n}"));
    }
    let report = home.scan();
    assert!(report.notes.len() == NOTES_MAX + 1 && noted(&report, "list is cut"));
}

#[test]
fn shown_text_is_cut() {
    let mut home = Home::new();
    let name = |len: usize| format!("{}_TOKEN", "N".repeat(len - 6));
    home.env(&name(TEXT_CHARS_MAX), &canary("name"));
    home.env(&name(TEXT_CHARS_MAX + 1), &canary("name"));
    let report = home.scan();
    let cut: Vec<bool> = report.findings.iter().map(|f| f.name.ends_with('…')).collect();
    assert_eq!(cut, [false, true], "{report:?}");
}
