use crate::house::House;
use marque_testkit::agents::{Agent, ModelApi};
use marque_testkit::encode::{find_any, needles};
use marque_testkit::model::{ScriptedModel, Turn};
use marque_testkit::proc::Child;
use marque_testkit::tools::Tools;
use marque_testkit::{Options, canary};
use std::path::Path;
use std::time::Duration;

/// What the agent holds instead of a key.
const KEY: &str = "marque-placeholder";
const AGENT: Duration = Duration::from_secs(300);

/// A published agent, unmodified, works against two upstreams whose credentials it never sees: its own model, and an API.
fn works(agent: impl Fn(&Tools, &str, &Path, &Path) -> Agent, api: &str) {
    let house = House::new();
    let tools = Tools::find();
    let (secret, model_key) = (canary("api"), canary("model"));
    let (echo, origin) = house.echo(&secret);
    let cert = house.ca.issue(&["model.test"]).unwrap();
    let script = vec![
        Turn::Bash(format!("curl -sS {origin}/v1/items > got.txt; curl -sS -X DELETE {origin}/v1/items >> got.txt; env >> got.txt")),
        Turn::Finish("done".into()),
    ];
    let model = ScriptedModel::start(Options::tls(cert.server_config().unwrap()), &model_key, script).unwrap();
    let port = model.port();
    let (host, pin) = (format!("https://model.test:{port}"), format!("model.test:{port}=127.0.0.1"));
    house.add_credential("model", &model_key, &["--service", "http", "--host", &host, "--place", "bearer", "--pin", &pin]);
    let work = house.dir.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let home = house.dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let agent = agent(&tools, &format!("{host}/v1"), &home, &work);
    let grants = [format!("http GET on {origin}/**"), format!("http POST,GET on {host}/v1/**")];
    let mut command = house.owner(&["run", "--purpose", "list the items", "--env", "staging"]);
    for grant in &grants {
        command.args(["--grant", grant]);
    }
    for (name, value) in &agent.env {
        command.arg("--set").arg(format!("{name}={value}"));
    }
    command.arg("--");
    command.current_dir(&agent.work);
    command.arg(&agent.program).args(&agent.args);
    let exit = Child::run(&mut command, AGENT).unwrap();
    let got = std::fs::read_to_string(agent.work.join("got.txt")).unwrap_or_else(|e| panic!("{api}: {e}: {exit:?}"));
    assert_eq!(echo.log().count_saw(&secret), 1, "{api}: the API saw its credential once");
    assert!(model.exchanges().iter().any(|e| e.key.contains(&model_key)), "{api}: the model saw its key");
    assert!(got.contains("MQ-2104"), "{api}: the write was refused: {got}");
    for text in [&got, &exit.stdout, &exit.stderr] {
        for key in [&secret, &model_key] {
            assert!(find_any(text.as_bytes(), &needles(key.as_bytes())).is_none(), "{api}: {text}");
        }
    }
    let live: serde_json::Value = serde_json::from_str(&house.ok(&["--json", "session", "list"]).stdout).unwrap();
    assert_eq!(live["items"], serde_json::json!([]));
}

#[test]
fn mini_swe_agent_works_with_credentials_it_never_sees() {
    works(|tools, url, home, work| Agent::mini_with(tools, url, KEY, "List the items.", home, work).unwrap(), "mini-swe-agent");
}

#[test]
fn opencode_works_with_credentials_it_never_sees() {
    works(
        |tools, url, home, work| {
            Agent::opencode_with(tools, url, KEY, ModelApi::Chat, "List the items.", home, work).unwrap()
        },
        "opencode",
    );
}
