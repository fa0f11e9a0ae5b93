use super::*;

fn ops(layout: Layout) -> Vec<String> {
    layout.compile(false, 1_000).unwrap().ops.iter().map(|op| format!("{} {}", name(op), op.at().to_string_lossy())).collect()
}

fn name(op: &Op) -> &'static str {
    match op {
        Op::Directory(..) => "dir",
        Op::File(_) => "file",
        Op::Link(..) => "link",
        Op::Mount(What::EmptyDirectory | What::EmptyFile, ..) => "hide",
        Op::Mount(What::Bytes(_), ..) => "bytes",
        Op::Mount(..) => "mount",
        Op::Limit(..) => "limit",
    }
}

#[test]
fn parents_come_before_children_and_places_are_made_only_in_what_is_ours() {
    let mut layout = Layout::new();
    layout.tmpfs("/home/u", 1, 0o700);
    layout.show_at(Path::new("/home/u/w"), Path::new("/home/u/w"), Access::Write, true);
    layout.show_at(Path::new("/home/u/w/.git"), Path::new("/home/u/w/.git"), Access::Write, true);
    layout.cover(Path::new("/home/u/w/.npmrc"), false);
    assert_eq!(
        ops(layout),
        ["dir home", "dir home/u", "mount home/u", "dir home/u/w", "mount home/u/w", "mount home/u/w/.git", "hide home/u/w/.npmrc"]
    );
}

#[test]
fn what_is_not_shown_need_not_be_hidden_and_hidden_places_hold_no_mounts() {
    let mut layout = Layout::new();
    layout.tmpfs("/home/u", 1, 0o700);
    layout.cover(Path::new("/home/u/.aws"), true);
    layout.show_at(Path::new("/w"), Path::new("/w"), Access::Write, true);
    layout.cover(Path::new("/w/secret"), true);
    layout.cover(Path::new("/w/secret/inner"), false);
    assert_eq!(ops(layout), ["dir home", "dir home/u", "mount home/u", "dir w", "mount w", "hide w/secret"]);
}

#[test]
fn limits_are_written_between_a_fresh_proc_and_its_read_only_parts() {
    let mut layout = Layout::new();
    layout.special();
    layout.read_only(Path::new("/proc/sys"), true);
    let ops = ops(layout);
    let place = |wanted: &str| ops.iter().position(|op| op == wanted).unwrap();
    assert!(place("mount proc") < place("limit proc/sys/user/max_user_namespaces"));
    assert!(place("limit proc/sys/user/max_user_namespaces") < place("mount proc/sys"));
}

#[test]
fn links_on_the_way_are_shown_and_a_loop_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().canonicalize().unwrap();
    std::fs::create_dir(base.join("real")).unwrap();
    std::os::unix::fs::symlink("real", base.join("name")).unwrap();
    std::os::unix::fs::symlink("loop", base.join("loop")).unwrap();
    let mut layout = Layout::new();
    assert_eq!(layout.show(&base.join("name"), Access::Write).unwrap(), base.join("real"));
    assert!(matches!(layout.nodes.get(&base.join("name")), Some(Node::Link(to)) if to == Path::new("real")));
    assert_eq!(layout.show(&base.join("loop"), Access::Read).unwrap_err().errno, Errno::LOOP);
}

#[test]
fn so_many_mounts_and_no_more() {
    let build = |count: usize| {
        let mut layout = Layout::new();
        for index in 0..count {
            layout.tmpfs(format!("/t/{index}"), 1, 0o700);
        }
        layout.compile(true, 1).map(|stage| stage.rules.len())
    };
    assert_eq!(build(MOUNTS).unwrap(), MOUNTS + 1);
    assert_eq!(build(MOUNTS + 1).unwrap_err().errno, Errno::TOOBIG);
}

#[test]
fn so_many_laid_bytes_and_no_more() {
    let build = |bytes: usize| {
        let mut layout = Layout::new();
        layout.tmpfs("/t", 1, 0o700);
        layout.lay_if_there(Path::new("/t/file"), &vec![0; bytes]).unwrap();
        layout.compile(true, 1).map(drop)
    };
    assert!(build(OVERLAY_BYTES).is_ok());
    assert_eq!(build(OVERLAY_BYTES + 1).unwrap_err().errno, Errno::TOOBIG);
}
