use super::*;
use crate::limits::DEPTH;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

fn fates(changes: &Changes) -> Vec<(String, Fate, bool)> {
    changes.list.iter().map(|c| (c.path.display().to_string(), c.fate, c.runs.is_some())).collect()
}

#[test]
fn a_copy_lists_what_was_added_changed_and_removed_with_digests() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir_all(from.join("src")).unwrap();
    fs::write(from.join("src/a.rs"), "one").unwrap();
    fs::write(from.join("gone"), "x").unwrap();
    fs::write(from.join("same"), "y").unwrap();
    let copied = copy(&from, &to).unwrap();
    assert_eq!(copied.changes().unwrap().list, []);
    fs::write(to.join("src/a.rs"), "two").unwrap();
    fs::remove_file(to.join("gone")).unwrap();
    fs::write(to.join("build.rs"), "fn main() {}").unwrap();
    let changes = copied.changes().unwrap();
    let wanted = [("build.rs", Fate::Added, true), ("gone", Fate::Removed, false), ("src/a.rs", Fate::Changed, false)];
    assert_eq!(fates(&changes), wanted.map(|(path, fate, runs)| (path.to_owned(), fate, runs)));
    let changed = changes.list.last().unwrap();
    assert_eq!(changed.before.unwrap().digest.to_string(), "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed");
    assert_eq!(fs::read_to_string(from.join("src/a.rs")).unwrap(), "one", "the original is as it was");
}

#[test]
fn a_change_that_keeps_size_and_time_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    fs::write(from.join("f"), "aaaa").unwrap();
    let copied = copy(&from, &to).unwrap();
    let time = fs::metadata(to.join("f")).unwrap().modified().unwrap();
    fs::write(to.join("f"), "bbbb").unwrap();
    fs::File::options().write(true).open(to.join("f")).unwrap().set_modified(time).unwrap();
    assert_eq!(fates(&copied.changes().unwrap()), [("f".to_owned(), Fate::Changed, false)]);
}

#[test]
fn links_are_compared_as_links_and_never_followed_out() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "s").unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir_all(from.join("d")).unwrap();
    fs::write(from.join("d/f"), "x").unwrap();
    symlink("d", from.join("l")).unwrap();
    let copied = copy(&from, &to).unwrap();
    fs::remove_file(to.join("l")).unwrap();
    symlink(&outside, to.join("l")).unwrap();
    // A directory that became a link out of the workspace.
    fs::remove_dir_all(to.join("d")).unwrap();
    symlink(&outside, to.join("d")).unwrap();
    let changes = copied.changes().unwrap();
    let wanted = [("d", Fate::Changed), ("d/f", Fate::Removed), ("l", Fate::Changed)];
    assert_eq!(fates(&changes), wanted.map(|(path, fate)| (path.to_owned(), fate, false)));
    assert!(changes.list.iter().all(|change| !change.path.ends_with("secret")));
}

#[test]
fn what_runs_on_the_host_is_listed_when_it_changes_wherever_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join(".git/hooks")).unwrap();
    fs::create_dir_all(dir.path().join("sub/.git")).unwrap();
    fs::create_dir_all(dir.path().join("node_modules/x")).unwrap();
    fs::write(dir.path().join("Makefile"), "all:\n").unwrap();
    fs::write(dir.path().join(".git/config"), "[core]\n").unwrap();
    let before = HostFiles::look(dir.path()).unwrap();
    assert_eq!(before.changes().unwrap().list, []);
    for (path, text) in [
        ("Makefile", "all:\n\tevil\n"),
        (".git/config", "[core]\nfsmonitor = evil\n"),
        (".git/hooks/pre-commit", "#!/bin/sh\n"),
        ("sub/.git/config", "[core]\nhooksPath = .\n"),
        ("sub/build.rs", "fn main() {}"),
        ("src.rs", "nothing"),
        ("node_modules/x/package.json", "{}"),
    ] {
        fs::write(dir.path().join(path), text).unwrap();
    }
    let changes = before.changes().unwrap();
    let paths: Vec<_> = changes.list.iter().map(|c| c.path.display().to_string()).collect();
    assert_eq!(paths, [".git/config", ".git/hooks/pre-commit", "Makefile", "sub/.git/config", "sub/build.rs"]);
    assert_eq!(changes.left_out, [Path::new("node_modules")]);
}

#[test]
fn permission_to_execute_is_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    fs::write(from.join("f"), "x").unwrap();
    let copied = copy(&from, &to).unwrap();
    fs::set_permissions(to.join("f"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(fates(&copied.changes().unwrap()), [("f".to_owned(), Fate::Changed, false)]);
}

#[test]
fn so_many_bytes_are_copied_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    fs::create_dir(&from).unwrap();
    fs::write(from.join("f"), "12345").unwrap();
    assert_eq!(copy::copy_within(&from, &dir.path().join("a"), 5).unwrap().bytes, 5);
    assert!(copy::copy_within(&from, &dir.path().join("b"), 4).is_err());
}

#[test]
fn a_workspace_is_walked_so_deep_and_no_deeper() {
    let dir = tempfile::tempdir().unwrap();
    let mut path = dir.path().to_owned();
    // The entry itself counts: DEPTH directories and nothing in the last.
    for _ in 0..DEPTH {
        path.push("d");
    }
    fs::create_dir_all(&path).unwrap();
    assert!(HostFiles::look(dir.path()).is_ok());
    fs::write(path.join("f"), "x").unwrap();
    assert!(HostFiles::look(dir.path()).is_err());
}
