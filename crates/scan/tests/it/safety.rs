use crate::home::{Home, one};
use marque_testkit::canary;
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn a_link_that_leads_out_is_said_and_not_followed() {
    let mut home = Home::new();
    let outside = home.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secrets"), format!("[prod]\naws_secret_access_key = {}\n", canary("out"))).unwrap();
    std::fs::write(outside.join(".env"), format!("OUT_TOKEN={}\n", canary("out"))).unwrap();
    std::fs::create_dir(home.path(".aws")).unwrap();
    symlink(outside.join("secrets"), home.path(".aws/credentials")).unwrap();
    std::fs::create_dir(home.path("web")).unwrap();
    symlink(&outside, home.path("web/linked")).unwrap();
    symlink("../../outside/.env", home.path("web/.env")).unwrap();
    symlink(home.path("web"), home.path("web/loop")).unwrap();
    let web = home.path("web");
    home.look_at(&web);
    let report = home.scan();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert_eq!(report.notes.iter().filter(|n| n.contains("leads elsewhere")).count(), 2, "{:?}", report.notes);
}

#[test]
fn a_link_that_stays_within_is_followed() {
    let home = Home::new();
    home.write("dotfiles/npmrc", &format!("//npm.acme.dev/:_authToken={}\n", canary("npm")), 3);
    symlink("dotfiles/npmrc", home.path(".npmrc")).unwrap();
    let report = home.scan();
    assert_eq!(one(&report, "npm npm.acme.dev").place, "~/.npmrc");
}

#[test]
fn what_is_no_regular_text_file_is_left() {
    let home = Home::new();
    std::fs::create_dir(home.path(".npmrc")).unwrap();
    home.write(".vault-token", "binary\0token-9f3a7c1e5b8d26049f3a7c1e5b8d2604", 1);
    // A pipe with no writer would hang a reader that does not look first.
    let status = std::process::Command::new("mkfifo").arg(home.path(".netrc")).status().unwrap();
    assert!(status.success());
    let report = home.scan();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert_eq!((report.looked.files, report.looked.binary), (0, 1));
}

#[test]
fn what_cannot_be_read_is_said() {
    let mut home = Home::new();
    let path = home.write(".pgpass", "a:1:b:c:d\n", 1);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o0)).unwrap();
    let gone = home.path("gone");
    let report = home.scan();
    // Root reads everything; then there is nothing to be said.
    let readable = std::fs::File::open(&path).is_ok();
    assert_eq!(report.notes.iter().any(|n| n.contains("~/.pgpass") && n.contains("cannot be read")), !readable, "{:?}", report.notes);
    home.look_at(&gone);
    let error = marque_scan::scan(&home.options).unwrap_err().to_string();
    assert!(error.contains("gone"), "{error}");
}

#[test]
fn control_characters_of_names_do_not_reach_a_terminal() {
    let mut home = Home::new();
    home.env("EVIL\u{1b}[2J\u{202e}_TOKEN", &canary("evil"));
    let report = home.scan();
    assert_eq!(report.findings.len(), 1);
    assert!(report.findings[0].name.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{:?}", report.findings[0].name);
}
