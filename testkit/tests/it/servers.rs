//! Real servers: nginx, the registry, OpenBao; and the binaries for shell scripts.

use std::{fs, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use marque_testkit::{
    canary,
    docker_registry::{DockerRegistry, docker_pull},
    http::{self, Route},
    nginx::Nginx,
    openbao::OpenBao,
    pki::Ca,
    proc::Child,
    tools::Tools,
};
use serde_json::{Value, json};

use super::LONG;

#[test]
fn nginx_logs_the_credential_it_saw() {
    let ca = Ca::new().unwrap();
    let cert = ca.issue(&["localhost"]).unwrap();
    let route = Route {
        tls: Some(ca.client_config(&[]).unwrap()),
        ..Route::default()
    };
    let secret = canary("nginx");
    for cert in [None, Some(&cert)] {
        let server = Nginx::start(cert).unwrap();
        server.check_is_own(&route).unwrap();
        fs::write(server.static_folder().join("page"), "a static page").unwrap();
        let page = http::get(&route, &server.url_for("localhost", "/static/page"), &[]).unwrap();
        assert_eq!(page.text(), "a static page");
        let headers = [
            ("authorization", secret.as_str()),
            ("x-request-id", "the-request"),
        ];
        let answer =
            http::get(&route, &server.url_for("localhost", "/anything"), &headers).unwrap();
        assert_eq!(answer.json().unwrap()["authorization"], secret);
        let line = server.wait_for_log(LONG, "the-request").unwrap();
        assert_eq!(
            (&line["authorization"], &line["uri"]),
            (&json!(secret), &json!("/anything"))
        );
    }
}

#[test]
fn a_docker_shaped_pull_works_with_the_password_and_not_without() {
    let registry = DockerRegistry::start("puller", "mq-registry-password").unwrap();
    registry.push_image("acme/app", "1").unwrap();
    let basic = |password: &str| format!("Basic {}", STANDARD.encode(format!("puller:{password}")));
    let pull = |authorization: &str| {
        docker_pull(
            &Route::default(),
            &registry.url(),
            "acme/app",
            "1",
            authorization,
        )
    };
    let pulled = pull(&basic("mq-registry-password")).unwrap();
    assert_eq!(pulled.blobs.len(), 2);
    assert!(registry.issued().contains(&pulled.token));
    let refused = pull(&basic("wrong")).unwrap_err().to_string();
    assert!(refused.contains("the token was answered 401"), "{refused}");
    let forged = [("authorization", "Bearer e30.e30.e30")];
    let answer = http::get(
        &Route::default(),
        &format!("{}/v2/acme/app/manifests/1", registry.url()),
        &forged,
    )
    .unwrap();
    assert_eq!(answer.status, 401, "the registry itself judges tokens");
    let bearer = format!("Bearer {}", pulled.token);
    let other = format!("{}/v2/acme/other/tags/list", registry.url());
    let answer = http::get(&Route::default(), &other, &[("authorization", &bearer)]).unwrap();
    assert_eq!(answer.status, 401, "a token is for its repository alone");
}

#[test]
fn openbao_keeps_a_secret_and_audits_its_reading() {
    let server = OpenBao::start(&Tools::find()).unwrap();
    let secret = canary("bao");
    server
        .put_secret("app/db", &json!({ "password": secret }))
        .unwrap();
    assert_eq!(
        server.secret("app/db").unwrap(),
        json!({ "password": secret })
    );
    assert!(
        server
            .child_token(&["default"], 60)
            .unwrap()
            .starts_with("s.")
    );
    let reads = server
        .audit_log()
        .into_iter()
        .filter(|line| line.pointer("/request/path") == Some(&json!("secret/data/app/db")));
    assert!(reads.count() >= 2);
}

#[test]
fn the_upstreams_binary_serves_until_its_input_closes() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_testkit-upstreams"));
    command
        .arg("--dir")
        .arg(folder.path())
        .args(["echo", "echo-tls", "github=ghp_mine", "git"]);
    let mut child = Child::spawn(&mut command).unwrap();
    let ready: Value = serde_json::from_str(
        &child
            .wait_for_line(LONG, |line| line.starts_with('{'))
            .unwrap(),
    )
    .unwrap();
    let echo = &ready["servers"]["echo"];
    let url = format!("{}/__testkit", echo["url"].as_str().unwrap());
    assert_eq!(
        http::get(&Route::default(), &url, &[])
            .unwrap()
            .json()
            .unwrap()["nonce"],
        echo["nonce"]
    );
    let user = format!(
        "{}/user",
        ready["servers"]["github"]["url"].as_str().unwrap()
    );
    let answer = http::get(
        &Route::default(),
        &user,
        &[("authorization", "Bearer ghp_mine")],
    )
    .unwrap();
    assert_eq!(answer.json().unwrap()["login"], "octocat");
    child.close_stdin();
    let exit = child.wait(LONG).unwrap();
    assert!(exit.status.success());
    let end: Value = serde_json::from_str(exit.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(end["requests"]["github"], 1);
    let lines = fs::read_to_string(ready["servers"]["github"]["log"].as_str().unwrap()).unwrap();
    assert!(lines.contains("\"value\":\"ghp_mine\""));
}

#[test]
fn the_model_binary_reports_its_exchanges() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.json");
    fs::write(
        &script,
        r#"[{"bash":"ls"},{"tool":{"name":"read","args":{"path":"x"}}},{"finish":"done"}]"#,
    )
    .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_testkit-model"));
    let mut child = Child::spawn(command.args(["--key", "k", "--script"]).arg(&script)).unwrap();
    let ready: Value = serde_json::from_str(
        &child
            .wait_for_line(LONG, |line| line.starts_with('{'))
            .unwrap(),
    )
    .unwrap();
    let url = format!("{}/chat/completions", ready["url"].as_str().unwrap());
    let tools = json!([{ "type": "function", "function": { "name": "bash", "parameters": { "properties": { "command": { "type": "string" } } } } }]);
    let body =
        json!({ "model": "m", "messages": [{ "role": "user", "content": "go" }], "tools": tools })
            .to_string();
    let answer = http::send(
        &Route::default(),
        "POST",
        &url,
        &[("authorization", "Bearer k")],
        body.as_bytes(),
    )
    .unwrap();
    let call = answer
        .json()
        .unwrap()
        .pointer("/choices/0/message/tool_calls/0/function")
        .cloned();
    assert_eq!(
        call,
        Some(json!({ "name": "bash", "arguments": "{\"command\":\"ls\"}" }))
    );
    child.close_stdin();
    let exit = child.wait(LONG).unwrap();
    let end: Value = serde_json::from_str(exit.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(end["exchanges"][0]["turn"], 0);
}
