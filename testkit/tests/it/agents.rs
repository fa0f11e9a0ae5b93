//! Published agents, unmodified, do what the script says.

use marque_testkit::{
    Options,
    agents::{Agent, ModelApi},
    canary,
    model::{Script, ScriptedModel, Turn},
    proc::Child,
    tools::Tools,
    upstream::Echo,
};
use tempfile::TempDir;

use super::LONG;

struct World {
    echo: marque_testkit::Server,
    model: ScriptedModel,
    secret: String,
    home: TempDir,
    work: TempDir,
}

fn world() -> World {
    let echo = Echo::start(Options::plain()).unwrap();
    let secret = canary("agent");
    let fetch = format!(
        "curl -s -H 'Authorization: Bearer {secret}' {} > seen.json; cat seen.json",
        echo.url("/echo")
    );
    let turns = vec![
        Turn::Bash(fetch),
        Turn::Bash("wc -c seen.json".to_owned()),
        Turn::Finish("done".to_owned()),
    ];
    let model = ScriptedModel::start(Options::plain(), &canary("model"), turns).unwrap();
    World {
        echo,
        model,
        secret,
        home: TempDir::new().unwrap(),
        work: TempDir::new().unwrap(),
    }
}

fn check(world: &World, agent: &Agent, api: &str) {
    let exit = Child::run(&mut agent.command(), LONG).unwrap();
    assert!(exit.status.success(), "{}{}", exit.stdout, exit.stderr);
    assert_eq!(
        world.echo.log().count_saw(&world.secret),
        1,
        "the command ran once"
    );
    assert!(
        world.work.path().join("seen.json").exists(),
        "in the working folder"
    );
    assert!(
        world.model.was_told("/echo"),
        "its output went back to the model"
    );
    let exchanges = world.model.exchanges();
    let turns: Vec<usize> = exchanges
        .iter()
        .filter_map(|exchange| exchange.turn)
        .collect();
    assert_eq!(turns, [0, 1, 2], "every turn was taken once, in order");
    assert!(
        exchanges
            .iter()
            .all(|exchange| exchange.api == api && exchange.key == world.model.key())
    );
}

#[test]
fn mini_swe_agent_runs_the_scripted_command() {
    let world = world();
    let (home, work) = (world.home.path(), world.work.path());
    let agent = Agent::mini(&Tools::find(), &world.model, "fetch the page", home, work).unwrap();
    check(&world, &agent, "chat");
}

#[test]
fn opencode_runs_the_scripted_command_over_each_model_api() {
    for (api, name) in [
        (ModelApi::Messages, "messages"),
        (ModelApi::Chat, "chat"),
        (ModelApi::Responses, "responses"),
    ] {
        let world = world();
        let (home, work) = (world.home.path(), world.work.path());
        let agent = Agent::opencode(
            &Tools::find(),
            &world.model,
            api,
            "fetch the page",
            home,
            work,
        )
        .unwrap();
        check(&world, &agent, name);
    }
}

#[test]
fn mini_swe_agent_in_text_mode_gets_fenced_commands() {
    let world = world();
    let (home, work) = (world.home.path(), world.work.path());
    let mut agent =
        Agent::mini(&Tools::find(), &world.model, "fetch the page", home, work).unwrap();
    agent.args.extend(
        [
            "-c",
            "mini_textbased.yaml",
            "--model-class",
            "litellm_textbased",
        ]
        .map(Into::into),
    );
    check(&world, &agent, "chat");
    let texts: Vec<String> = world
        .model
        .exchanges()
        .into_iter()
        .map(|exchange| exchange.text)
        .collect();
    assert!(
        texts
            .iter()
            .all(|text| text.contains("```mswea_bash_command\n")),
        "{texts:?}"
    );
}

#[test]
fn a_wrong_model_key_ends_the_agent_without_a_command() {
    let world = world();
    let (home, work) = (world.home.path(), world.work.path());
    let base = world.model.url("/v1");
    let agent =
        Agent::mini_with(&Tools::find(), &base, "wrong", "fetch the page", home, work).unwrap();
    let exit = Child::run(&mut agent.command(), LONG).unwrap();
    assert!(!exit.status.success());
    assert_eq!(world.echo.log().records().len(), 0);
    assert_eq!(
        world.model.log().count_saw("wrong"),
        1,
        "the key it saw is in the log"
    );
}

#[test]
fn each_agent_gets_the_script_its_task_names() {
    let script = |when: &str| Script {
        when: Some(when.to_owned()),
        turns: vec![Turn::Bash(format!("echo {when} > out"))],
    };
    let scripts = vec![script("first-task"), script("second-task")];
    let model = ScriptedModel::start_with(Options::plain(), "key", scripts).unwrap();
    let (home, tools) = (TempDir::new().unwrap(), Tools::find());
    let running: Vec<(Child, TempDir, &str)> = ["first-task", "second-task"]
        .map(|task| {
            let work = TempDir::new().unwrap();
            let agent = Agent::mini(&tools, &model, task, home.path(), work.path()).unwrap();
            (Child::spawn(&mut agent.command()).unwrap(), work, task)
        })
        .into();
    for (mut child, work, task) in running {
        assert!(child.wait(LONG).unwrap().status.success());
        assert_eq!(
            std::fs::read_to_string(work.path().join("out"))
                .unwrap()
                .trim(),
            task
        );
    }
}
