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
    Child::run(&mut another(words), LONG).unwrap()
}

fn another(words: &[&str]) -> Command {
    let mut command;
    if rustix::process::getuid().is_root() {
        command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    } else {
        command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--map-auto", "setpriv", "--reuid", "1", "--regid", "1", "--clear-groups"]);
    }
    command.arg("--").args(words);
    command
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

/// Listens at its argument, lets everybody connect, and says when somebody has said something. Debian's base has it.
const LISTENS: &str = r#"use IO::Socket::UNIX; $| = 1;
my $s = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 5) or die $!; chmod 0777, $ARGV[0]; print "ready\n";
while (my $c = $s->accept) { print "heard\n" if sysread($c, my $b, 65536); }"#;

#[test]
fn the_passphrase_is_said_neither_in_another_users_directory_nor_to_another_user() {
    let house = House::empty();
    open_up(house.dir.path(), 0o777);
    let data = house.data();
    let socket = data.join("authority.sock");
    // His directory, which anybody may read: who listens in it does not matter.
    assert!(as_another(&["mkdir", "-m", "777", data.to_str().unwrap()]).status.success());
    let mut listener = Child::spawn(&mut another(&["perl", "-e", LISTENS, socket.to_str().unwrap()])).unwrap();
    listener.wait_for_line(LONG, |line| line == "ready").unwrap();
    for mode in ["755", "700"] {
        assert!(as_another(&["chmod", mode, data.to_str().unwrap()]).status.success());
        let exit = house.run_owner(&["unseal"]);
        assert!(exit.stderr.contains("error[MQ-5115]"), "{mode}: {exit:?}");
        let exit = Child::run(&mut house.serve(&[]), LONG).unwrap();
        assert!(exit.stderr.contains("error[MQ-5115]") && !data.join("signer").exists(), "{mode}: {exit:?}");
    }
    listener.kill();
    listener.wait(LONG).unwrap();
    assert!(!listener.stdout().contains("heard"));
    assert!(as_another(&["rm", "-r", data.to_str().unwrap()]).status.success());
    // One's own directory, as it should be, with his socket from when it was open.
    std::fs::create_dir(&data).unwrap();
    open_up(&data, 0o777);
    let mut listener = Child::spawn(&mut another(&["perl", "-e", LISTENS, socket.to_str().unwrap()])).unwrap();
    listener.wait_for_line(LONG, |line| line == "ready").unwrap();
    open_up(&data, 0o700);
    let exit = house.run_owner(&["unseal"]);
    assert!(exit.stderr.contains("error[MQ-5115]: what listens at") && exit.stderr.contains("another user's"), "{exit:?}");
    listener.kill();
    listener.wait(LONG).unwrap();
    assert!(!listener.stdout().contains("heard"));
}
