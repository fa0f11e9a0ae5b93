//! What an agent sees of the file system, and what it cannot change.

use crate::world::{World, is_root, promise, script, start};
use marque_sandbox::files::protected_by_default;
use marque_sandbox::{Plan, Workspace};
use std::fs;
use std::os::unix::fs::MetadataExt;

fn read(path: &str) -> String {
    format!("attempt(lambda: open({path:?}).read())\n")
}

promise!(credential_files_of_the_home_are_not_there, || {
    let world = World::new();
    let mut attack = String::new();
    let mut control = String::new();
    for name in [".aws/credentials", ".ssh/id_ed25519", ".netrc", ".kube/config", ".config/gh/hosts.yml", ".npmrc", ".docker/config.json", ".bash_history"] {
        attack += &read(&world.write(name, "canary").display().to_string());
        control += "canary\n";
    }
    let attack = script(&attack);
    assert_eq!(world.outside(&attack), control, "the control");
    assert_eq!(world.inside(&attack).text, control.replace("canary", "ENOENT"));
});

promise!(a_home_that_is_the_workspace_still_hides_its_credentials, || {
    let world = World::new();
    let paths = [".aws/credentials", ".ssh/id_ed25519", ".netrc"].map(|name| world.write(name, "canary").display().to_string());
    let plain = world.write("notes", "plain").display().to_string();
    let attack = script(&[&read(&paths[0]), &read(&paths[1]), &read(&paths[2]), &read(&plain)].map(String::as_str).concat());
    assert_eq!(world.outside(&attack), "canary\ncanary\ncanary\nplain\n", "the control");
    let mut plan = world.plan(&attack);
    plan.files.workspace = Workspace::shared(&world.home);
    assert_eq!(start(plan).done().text, "ENOENT\nENOENT\n\nplain\n");
});

promise!(the_private_home_is_writable_and_nothing_of_it_stays, || {
    let world = World::new();
    let path = world.home.join(".cache/x");
    let done = world.inside(&script(&format!("os.makedirs({0:?})\nopen({0:?} + '/f', 'w').write('y')\nprint(open({0:?} + '/f').read())", path.display().to_string())));
    assert_eq!(done.text, "y\n");
    assert!(!path.exists());
});

promise!(the_workspace_is_writable_and_its_files_are_the_users, || {
    let world = World::new();
    world.write("work/old", "a");
    let done = world.inside("import os\nopen('new', 'w').write('b')\nos.rename('old', 'older')\nos.makedirs('d/e')\nos.symlink('new', 'link')");
    assert_eq!(done.text, "");
    assert_eq!(fs::read_to_string(world.workspace.join("new")).unwrap(), "b");
    assert!(world.workspace.join("older").exists() && world.workspace.join("d/e").is_dir());
    assert_eq!(fs::metadata(world.workspace.join("new")).unwrap().uid(), rustix::process::geteuid().as_raw());
});

promise!(a_copy_is_seen_at_the_workspaces_place_and_the_original_stays, || {
    let world = World::new();
    world.write("work/f", "original");
    let copy = world.home.join("copy");
    let copied = marque_sandbox::workspace::copy(&world.workspace, &copy).unwrap();
    let mut plan = world.plan("import os\nprint(os.getcwd(), open('f').read())\nopen('f', 'w').write('changed')\nos.symlink('/etc', 'out')");
    plan.files.workspace = Workspace { at: world.workspace.clone(), from: copy };
    assert_eq!(start(plan).done().text, format!("{} original\n", world.workspace.display()));
    assert_eq!(fs::read_to_string(world.workspace.join("f")).unwrap(), "original");
    let changed: Vec<_> = copied.changes().unwrap().list.iter().map(|change| change.path.display().to_string()).collect();
    assert_eq!(changed, ["f", "out"]);
});

promise!(hooks_and_settings_of_agents_cannot_be_changed_or_made, || {
    let world = World::new();
    world.write("work/.git/hooks/pre-commit", "old");
    world.write("work/.git/info/exclude", "");
    world.write("work/.claude/settings.json", "{}");
    let attack = script(
        r#"
def put(path):
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    open(path, 'w').write('evil'); return 'written'
for path in ('.git/hooks/pre-commit', '.git/hooks/post-checkout', '.claude/settings.json', '.cursor/mcp.json', '.mcp.json', '.envrc', '.vscode/tasks.json'):
    attempt(lambda: put(path))
attempt(lambda: os.rename('.git', '.git2'))
attempt(lambda: os.rename('.git/hooks', '.git/hooks2'))
attempt(lambda: os.rename('.claude', 'x'))
attempt(lambda: os.remove('.envrc'))
attempt(lambda: put('.git/index'))
attempt(lambda: open('.git/info/exclude').read().split())
"#,
    );
    let mut plan = world.plan(&attack);
    plan.files.protected = protected_by_default();
    let text = start(plan).done().text;
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[..7].iter().all(|line| matches!(*line, "EROFS" | "EACCES")), "{text}");
    assert_eq!(lines[7..11], ["EBUSY", "EBUSY", "EBUSY", "EBUSY"], "{text}");
    assert_eq!(lines[11], "written");
    assert!(lines[12].contains("'/.envrc'") && lines[12].contains("'/.cursor'"), "{text}");
    let left: Vec<_> = fs::read_dir(&world.workspace).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing that was made to mount on stays: {left:?}");
    // The control: without protection all of it is possible.
    let control = world.outside(&attack);
    assert!(control.starts_with("written\nwritten\nwritten\nwritten\nwritten\nwritten\nwritten\n"), "{control}");
});

promise!(a_link_in_a_protected_path_is_reported_rather_than_followed, || {
    let world = World::new();
    fs::create_dir_all(world.workspace.join("real")).unwrap();
    std::os::unix::fs::symlink("real", world.workspace.join(".vscode")).unwrap();
    let mut plan = world.plan("print('ran')");
    plan.files.protected = protected_by_default();
    let running = start(plan);
    let unprotected: Vec<_> = running.supervisor.unprotected().iter().map(|path| path.display().to_string()).collect();
    assert_eq!(unprotected, [".vscode/settings.json", ".vscode/tasks.json"]);
    assert_eq!(running.done().text, "ran\n");
});

promise!(a_secret_file_of_the_workspace_is_read_as_placeholders, || {
    let world = World::new();
    world.write("work/.env", "TOKEN=real");
    let attack = script("attempt(lambda: open('.env').read())\nattempt(lambda: open('.env', 'a').write('x'))\nattempt(lambda: os.rename('.env', 'other'))");
    let mut plan = world.plan(&attack);
    plan.files.overlays = vec![(".env".into(), b"TOKEN=placeholder".to_vec())];
    assert_eq!(start(plan).done().text, "TOKEN=placeholder\nEROFS\nEBUSY\n");
    assert_eq!(fs::read_to_string(world.workspace.join(".env")).unwrap(), "TOKEN=real");
    assert_eq!(world.outside(&script("attempt(lambda: open('.env').read())")), "TOKEN=real\n", "the control");
});

promise!(the_sessions_certificates_lie_over_the_systems, || {
    let world = World::new();
    let mut plan = world.plan("print(open('/etc/ssl/certs/ca-certificates.crt').read())");
    plan.files.trust = Some(b"roots of the session".to_vec());
    assert_eq!(start(plan).done().text, "roots of the session\n");
});

promise!(the_system_is_read_only_and_shows_nothing_that_not_everybody_may_read, || {
    let world = World::new();
    let attack = script(
        r#"
def put(path):
    open(path, 'a').write('x'); return 'written'
for path in ('/usr/bin/env', '/usr/new', '/etc/passwd', '/etc/new', '/new', '/proc/sys/kernel/core_pattern', '/proc/sys/vm/drop_caches', '/sys/devices/system/cpu/online'):
    attempt(lambda: put(path))
def shadow():
    return len(open('/etc/shadow').read())
attempt(shadow)
attempt(lambda: sorted(os.listdir('/')))
"#,
    );
    let text = world.inside(&attack).text;
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[..8].iter().all(|line| matches!(*line, "EROFS" | "EACCES")), "{text}");
    assert!(lines[8] == "0" || lines[8] == "EACCES", "{text}");
    let seen = lines[9];
    assert!(!seen.contains("'root'") && !seen.contains("'srv'") && !seen.contains("'boot'") && seen.contains("'usr'"), "{seen}");
    if is_root() {
        let control: u64 = world.outside(&script("print(len(open('/etc/shadow').read()))")).trim().parse().unwrap();
        assert!(control > 0, "the control");
    }
});

promise!(landlock_binds_the_agent_beside_the_mounts, || {
    // Process 1 is the agent's own user, and no mount is in the way of a signal.
    let text = World::new().inside(&script("attempt(lambda: os.kill(1, 0))\nattempt(lambda: os.kill(os.getpid(), 0))")).text;
    assert_eq!(text, "EPERM\nNone\n");
});

promise!(a_plan_that_cannot_be_carried_out_says_where_and_leaves_nothing, || {
    let world = World::new();
    let refused = |change: &dyn Fn(&mut Plan)| {
        let mut plan = world.plan("");
        plan.files.protected = protected_by_default();
        change(&mut plan);
        marque_sandbox::spawn(plan).map(drop).unwrap_err()
    };
    let missing = refused(&|plan| plan.files.shown = vec!["/nowhere".into()]);
    assert_eq!(missing.about.as_deref(), Some(std::path::Path::new("/nowhere")));
    let root = refused(&|plan| plan.files.workspace = Workspace::shared("/"));
    assert_eq!(root.step, marque_sandbox::Step::Plan);
    let directory = refused(&|plan| plan.directory = "/root".into());
    assert!(directory.help().contains("directory"), "{directory}");
    assert!(refused(&|plan| plan.program = "/usr/bin/nothing".into()).is_missing_program());
    assert_eq!(fs::read_dir(&world.workspace).unwrap().count(), 0);
});
