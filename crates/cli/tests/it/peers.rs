//! Another user of the machine: neither the session's proxy nor the authority's socket is his, whatever he knows.

use crate::house::{House, LONG};
use crate::local::{Local, until};
use marque_testkit::proc::{Child, Exit};
use marque_testkit::upstream::Echo;
use marque_testkit::{Options, canary};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Runs it as somebody else: `nobody` for root; for an ordinary user, one of the subordinate users that are his (`/etc/subuid`),
/// whom nothing else on the machine runs as.
fn as_another(words: &[&str]) -> Exit {
    let mut command;
    if rustix::process::getuid().is_root() {
        command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    } else {
        command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--map-auto", "setpriv", "--reuid", "1", "--regid", "1", "--clear-groups"]);
    }
    Child::run(command.arg("--").args(words), LONG).unwrap()
}

fn as_self(words: &[&str]) -> Exit {
    Child::run(Command::new(words[0]).args(&words[1..]), LONG).unwrap()
}

fn open_up(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn another_user_can_use_neither_a_sessions_proxy_nor_the_control_socket() {
    let house = House::new();
    let local = Local::of(&house);
    until("it opens", LONG, || local.try_open().ok());
    let echo = Echo::start(Options::plain()).unwrap();
    let (origin, secret) = (format!("http://api.test:{}", echo.port()), canary("peer"));
    local.add_credential("api", "http", &origin, &secret).unwrap();
    let grants = json!([{ "type": "http", "environment": "staging", "locations": [origin], "actions": ["GET"], "paths": ["/**"] }]);
    let opened = local.open_session(&grants).unwrap();
    // With the session's own secret in his hands.
    let proxy = format!("http://marque:{}@{}", opened["proxy_secret"].as_str().unwrap(), opened["proxy"].as_str().unwrap());
    let url = format!("{origin}/echo");
    let through = ["curl", "-sS", "-w", " %{http_code}", "--noproxy", "", "-x", &proxy, &url];
    let own = as_self(&through);
    assert!(own.stdout.ends_with(" 200"), "the control: {own:?}");
    assert_eq!(echo.log().count_saw(&secret), 1);
    let other = as_another(&through);
    assert!(other.stdout.ends_with(" 407") && other.stdout.contains("MQ-4113") && other.stdout.contains("another user"), "{other:?}");
    let tls = as_another(&["curl", "-sS", "-k", "-w", " %{http_connect}", "--noproxy", "", "-x", &proxy, "https://api.test:443/"]);
    assert!(tls.stdout.ends_with(" 407"), "{tls:?}");
    assert_eq!(echo.log().records().len(), 1, "nothing of his went upstream");

    let socket = house.data().join("authority.sock");
    let asks = ["curl", "-sS", "-w", " %{http_code}", "--unix-socket", socket.to_str().unwrap(), "http://marque/v1/sessions"];
    assert!(as_self(&asks).stdout.ends_with(" 200"), "the control");
    // As it is; then with every directory above it open; then with a socket that somebody has opened to all.
    let stranger = |what: &str| {
        let exit = as_another(&asks);
        assert!(!exit.status.success() && exit.stdout.ends_with(" 000"), "{what}: {exit:?}");
    };
    stranger("as it is");
    open_up(house.dir.path(), 0o755);
    open_up(&house.data(), 0o755);
    stranger("open directories");
    open_up(&socket, 0o666);
    stranger("an open socket");
    assert!(as_self(&asks).stdout.ends_with(" 200"), "the owner still has it");
}
