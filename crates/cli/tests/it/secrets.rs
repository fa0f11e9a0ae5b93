//! I2 through the program itself: a published agent finds planted secrets in six places without Marque and in none under it,
//! in no form, in nothing that it received, in no memory of its processes and in no core of them.
//!
//! At grade D: the secrets were moved into the authority, as `credential add` and the removal of the file leave them. What is
//! left in a user's files is the agent's to read, and `run` says so.

use crate::house::{House, LONG, PASSPHRASE};
use marque_testkit::agents::Agent;
use marque_testkit::encode::{find_any, needles};
use marque_testkit::model::{ScriptedModel, Turn};
use marque_testkit::proc::{Child, descendants, program};
use marque_testkit::search::{Findings, Search};
use marque_testkit::tools::Tools;
use marque_testkit::upstream::Echo;
use marque_testkit::{Options, Server, canary};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const AGENT: Duration = Duration::from_secs(300);

/// Where the agent looks, each into a file of its own.
const LOOKS: [(&str, &str); 6] = [
    ("environment", "env"),
    ("child", "sh -c 'tr \"\\0\" \"\\n\" < /proc/self/environ; tr \"\\0\" \"\\n\" < /proc/$PPID/environ'"),
    ("netrc", "cat ~/.netrc"),
    ("settings", "cat ~/.config/shop/settings.toml .env"),
    ("history", "cat ~/.bash_history"),
    ("answer", "curl -sS -H \"Authorization: Bearer $API_TOKEN\" $API_URL/reflect"),
];

/// What the agent does: looks everywhere, then waits until its memory has been read.
fn turns() -> Vec<Turn> {
    let look = |(name, command): &(&str, &str)| format!("( {command} ) > got.{name} 2>&1; ");
    let all: String = LOOKS.iter().map(look).collect();
    // What was found goes to the model, and so into the agent's memory.
    let tell = "cat got.*; curl -sS -o /dev/null $API_URL/looked; cat go";
    vec![Turn::Bash(format!("{all}{tell}")), Turn::Finish("done".into())]
}

struct World {
    house: House,
    secret: String,
    echo: Server,
    home: PathBuf,
    work: PathBuf,
}

impl World {
    fn new() -> Self {
        let house = House::new();
        let secret = canary("planted");
        let (home, work) = (house.dir.path().join("home"), house.dir.path().join("work"));
        std::fs::create_dir_all(home.join(".config/shop")).unwrap();
        std::fs::create_dir(&work).unwrap();
        let cert = house.ca.issue(&["api.test", "model.test"]).unwrap();
        let echo = Echo::start(Options::tls(cert.server_config().unwrap())).unwrap();
        let made = Child::run(Command::new("mkfifo").arg(work.join("go")), LONG).unwrap();
        assert!(made.status.success());
        Self { house, secret, echo, home, work }
    }

    fn plant(&self) {
        let secret = &self.secret;
        let put = |path: PathBuf, text: String| std::fs::write(path, text).unwrap();
        put(self.home.join(".netrc"), format!("machine api.test login agent password {secret}\n"));
        put(self.home.join(".config/shop/settings.toml"), format!("token = \"{secret}\"\n"));
        put(self.home.join(".bash_history"), format!("export API_TOKEN={secret}\nmake\n"));
        put(self.work.join(".env"), format!("API_TOKEN={secret}\n"));
    }

    /// The same script for the agent, with a model of its own.
    fn model(&self, key: &str) -> ScriptedModel {
        let cert = self.house.ca.issue(&["model.test", "127.0.0.1"]).unwrap();
        ScriptedModel::start(Options::tls(cert.server_config().unwrap()), key, turns()).unwrap()
    }

    /// Reads the memory of the processes while the agent waits, and cores of them; then lets it go on.
    fn inspect(&self, pids: impl Fn() -> Vec<i32>, search: &Search) -> (Findings, Findings) {
        let looked = |records: &[marque_testkit::log::Record]| records.iter().any(|r| r.target == "/looked").then_some(());
        self.echo.log().wait_for(AGENT, looked).expect("the agent looked");
        let (mut memory, cores) = (Findings::default(), self.house.dir.path().join("cores"));
        std::fs::create_dir(&cores).unwrap();
        let pids = pids();
        for pid in &pids {
            match search.process(*pid) {
                Ok(findings) => memory.add(findings),
                Err(error) => memory.unread.push(error.to_string()),
            }
        }
        let gcore = program("gcore", "install Debian's `gdb`").unwrap();
        for pid in &pids {
            let mut command = Command::new(&gcore);
            command.arg("-o").arg(cores.join("core")).arg(pid.to_string());
            // A process that ended meanwhile has no core; that there are some is checked.
            Child::run(&mut command, LONG).unwrap();
        }
        let cores = search.tree(&cores).unwrap();
        std::fs::write(self.work.join("go"), "go\n").unwrap();
        (memory, cores)
    }

    /// The places in which the agent got the secret, of those that it looked at.
    fn found_by_agent(&self, search: &Search) -> Vec<&'static str> {
        let has = |name: &str| {
            let bytes = std::fs::read(self.work.join(format!("got.{name}"))).unwrap_or_else(|e| panic!("{name}: {e}"));
            !search.bytes(name, &bytes).hits.is_empty()
        };
        LOOKS.iter().map(|(name, _)| *name).filter(|name| has(name)).collect()
    }
}

fn cores_are_there(cores: &Findings) {
    assert!(cores.searched_bytes > 10_000_000, "there are cores: {}", cores.searched_bytes);
}

#[test]
fn without_marque_a_published_agent_finds_the_secret_in_six_places() {
    let world = World::new();
    world.plant();
    let (port, key) = (world.echo.port(), canary("model"));
    let model = world.model(&key);
    let ca = world.house.dir.path().join("upstream-ca.pem");
    let curlrc = format!("resolve = api.test:{port}:127.0.0.1\ncacert = {}\n", ca.display());
    std::fs::write(world.home.join(".curlrc"), curlrc).unwrap();
    let agent = Agent::mini_with(&Tools::find(), &model.url("/v1"), &key, "Look.", &world.home, &world.work).unwrap();
    let agent = agent
        .with_env("API_TOKEN", &world.secret)
        .with_env("API_URL", &format!("https://api.test:{port}"))
        .with_env("SSL_CERT_FILE", ca.to_str().unwrap());
    let search = Search::new(&[&world.secret]).unwrap();
    let mut run = Child::spawn(&mut agent.command()).unwrap();
    let (memory, cores) = world.inspect(|| descendants(run.pid()), &search);
    run.wait(AGENT).unwrap();
    assert_eq!(world.found_by_agent(&search), LOOKS.map(|(name, _)| name));
    assert!(memory.hits.iter().any(|h| h.place.contains("/mem ")), "and in its memory");
    assert!(memory.hits.iter().any(|h| h.place.ends_with("environ")), "and in its environment");
    cores_are_there(&cores);
    assert!(!cores.hits.is_empty(), "and in a core");
}

#[test]
fn under_marque_the_same_agent_finds_it_nowhere() {
    let world = World::new();
    let (port, model_key) = (world.echo.port(), canary("model"));
    let house = &world.house;
    let model = world.model(&model_key);
    let origin = format!("https://api.test:{port}");
    let at = |name: &str, port: u16| (format!("https://{name}:{port}"), format!("{name}:{port}=127.0.0.1"));
    for (name, secret, port) in [("api", &world.secret, port), ("model", &model_key, model.port())] {
        let (host, pin) = at(&format!("{name}.test"), port);
        house.add_credential(name, secret, &["--service", "http", "--host", &host, "--place", "bearer", "--pin", &pin]);
    }
    let base = format!("https://model.test:{}/v1", model.port());
    let agent = Agent::mini_with(&Tools::find(), &base, "marque-placeholder", "Look.", &world.home, &world.work).unwrap();
    let agent = agent.with_env("API_URL", &origin);
    let grants = [format!("http GET on {origin}/**"), format!("http POST,GET on {base}/**")];
    let mut command = house.owner(&["run", "--purpose", "look around", "--env", "staging"]);
    for grant in &grants {
        command.args(["--grant", grant]);
    }
    for (name, value) in &agent.env {
        command.arg("--set").arg(format!("{name}={value}"));
    }
    command.arg("--").arg(&agent.program).args(&agent.args).current_dir(&agent.work);
    // In the user's own shell the variable is still there.
    command.env("API_TOKEN", &world.secret);
    let search = Search::new(&[&world.secret, &model_key, PASSPHRASE]).unwrap();
    let mut run = Child::spawn(&mut command).unwrap();
    let launcher = run.pid();
    // The launcher is the user's, and has the user's environment; everything below it is the agent's.
    let (memory, cores) = world.inspect(|| descendants(launcher).into_iter().filter(|pid| *pid != launcher).collect(), &search);
    let exit = run.wait(AGENT).unwrap();
    assert_eq!(world.found_by_agent(&search), Vec::<&str>::new());
    assert!(memory.hits.is_empty(), "{:?}", memory.hits);
    assert!(memory.searched_bytes > 10_000_000, "the agent was there: {}", memory.searched_bytes);
    cores_are_there(&cores);
    assert!(cores.hits.is_empty(), "{:?}", cores.hits);
    // It did work: both upstreams saw their credential, and what the agent got has the mask in it.
    assert!(world.echo.log().count_saw(&world.secret) >= 1);
    assert!(model.exchanges().iter().any(|e| e.key.contains(&model_key)));
    let answer = std::fs::read_to_string(world.work.join("got.answer")).unwrap();
    assert!(answer.starts_with("reflected=") && answer.len() == "reflected=\n".len() + world.secret.len(), "{answer}");
    // Every byte that it kept or sent on: its files, its trajectory, its output, what its model was told.
    for folder in [&world.home, &world.work] {
        let found = search.tree(folder).unwrap();
        assert!(found.hits.is_empty(), "{:?}", found.hits);
    }
    let told: Vec<String> = model.exchanges().iter().map(|e| e.request.to_string()).collect();
    for text in told.iter().chain([&exit.stdout, &exit.stderr]) {
        assert!(search.bytes("output", text.as_bytes()).hits.is_empty(), "{text}");
    }
    assert!(told.iter().any(|t| t.contains("reflected=")), "the model was told what was found");
}

/// One thing to ask the echo upstream for, at a host of its own: what is withheld after three hits is withheld by target.
struct Case {
    over: &'static str,
    target: String,
    /// Bytes of it must arrive: the coding is one that can be undone, and the place one that is shown.
    shown: &'static str,
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    let mut add = |over, target: String, shown| all.push(Case { over, target, shown });
    for form in ["raw", "base64", "base64url", "hex", "percent", "json"] {
        add("http1", format!("/reflect?form={form}"), "reflected");
        for pad in 1..3 {
            add("http1", format!("/reflect?form={form}&pad={pad}"), "reflected");
        }
        for split in [1, 3, 11] {
            add("http1", format!("/reflect?form={form}&split={split}"), "reflected");
        }
        for coding in ["gzip", "br", "zstd"] {
            add("http1", format!("/reflect?form={form}&coding={coding}&split=5"), "reflected");
        }
        for place in ["header", "trailer", "error", "redirect", "cookie"] {
            let shown = if place == "error" { "reflected" } else { "credential is in" };
            add("http1", format!("/reflect?in={place}&form={form}"), shown);
            add("http2", format!("/reflect?in={place}&form={form}"), shown);
        }
        add("http2", format!("/reflect?form={form}&split=2"), "reflected");
    }
    add("http1", "/sse?events=2&reflect=1".into(), "event: tick");
    add("http1", "/echo".into(), "\"ok\":true");
    add("http2", "/echo".into(), "\"ok\":true");
    add("websocket", "/ws".into(), "credential: ");
    all
}

/// Asks for every case with a Python client; what came back is in a file for each.
fn ask(house: &House, secret: &str, is_direct: bool) -> (Vec<Case>, PathBuf, String) {
    let cases = cases();
    let names: Vec<String> = (0..cases.len()).map(|n| format!("h{n}.test")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).chain(["127.0.0.1"]).collect();
    let cert = house.ca.issue(&all).unwrap();
    let echo = Echo::start(Options::tls(cert.server_config().unwrap())).unwrap();
    let port = echo.port();
    let folder = house.dir.path().join("seen");
    std::fs::create_dir(&folder).unwrap();
    let list = cases.iter().zip(&names).enumerate().map(|(n, (case, host))| {
        serde_json::json!({ "name": format!("{n:03}"), "host": host, "port": port, "target": case.target, "over": case.over })
    });
    let list: Vec<_> = list.collect();
    let list = serde_json::json!({
        "direct": is_direct, "secret": if is_direct { secret } else { "" }, "cases": list,
    });
    let file = house.dir.path().join("cases.json");
    std::fs::write(&file, list.to_string()).unwrap();
    let python = Tools::find().python().unwrap();
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/matrix.py");
    let said = if is_direct {
        let mut command = Command::new(&python);
        command.arg(&client).arg(&file).arg(&folder).env("SSL_CERT_FILE", house.dir.path().join("upstream-ca.pem"));
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"] {
            command.env_remove(name);
        }
        Child::run(&mut command, AGENT).unwrap()
    } else {
        let hosts: Vec<String> = names.iter().enumerate().map(|(n, name)| format!("h{n}=https://{name}:{port}")).collect();
        let pins: Vec<String> = names.iter().map(|name| format!("{name}:{port}=127.0.0.1")).collect();
        let mut args = vec!["--service", "http", "--place", "bearer"];
        for (host, pin) in hosts.iter().zip(&pins) {
            args.extend(["--host", host, "--pin", pin]);
        }
        house.add_credential("echo", secret, &args);
        let locations: Vec<String> = names.iter().map(|name| format!("https://{name}:{port}")).collect();
        let mut command = house.owner(&["run", "--purpose", "ask for everything", "--env", "staging"]);
        for some in locations.chunks(32) {
            let grant = serde_json::json!({
                "type": "http", "environment": "staging", "locations": some, "actions": ["GET"], "paths": ["/**"],
            });
            command.args(["--grant", &grant.to_string()]);
        }
        command.arg("--").arg(&python).arg(&client).arg(&file).arg(&folder);
        Child::run(&mut command, AGENT).unwrap()
    };
    assert!(said.stdout.contains(&format!("asked {}", cases.len())), "{said:?}");
    if !is_direct {
        let records = echo.log().records();
        let bare: Vec<_> = records.iter().filter(|r| r.credentials.is_empty()).map(|r| &r.target).collect();
        assert_eq!((records.len(), bare), (cases.len(), Vec::new()), "every request came, with its credential: {:?}", refused(&folder));
    }
    (cases, folder, said.stdout + &said.stderr)
}

/// The first of the answers that are Marque's own.
fn refused(folder: &Path) -> Option<String> {
    let answers = std::fs::read_dir(folder).unwrap().flatten().filter_map(|entry| std::fs::read(entry.path()).ok());
    answers.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).find(|text| text.contains("x-marque: "))
}

#[test]
fn no_byte_that_an_agent_receives_holds_the_secret_in_any_place_form_or_coding() {
    let house = House::new();
    let secret = canary("matrix");
    let (cases, folder, output) = ask(&house, &secret, false);
    let forms = needles(secret.as_bytes());
    assert!(find_any(output.as_bytes(), &forms).is_none());
    for (n, case) in cases.iter().enumerate() {
        let bytes = std::fs::read(folder.join(format!("{n:03}"))).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(find_any(&bytes, &forms).is_none(), "{} {}: {text}", case.over, case.target);
        // Chunk framing stands between pieces: the text without it holds nothing either.
        let joined = unchunked(&bytes);
        assert!(find_any(&joined, &forms).is_none(), "{} {}: {text}", case.over, case.target);
        let joined = String::from_utf8_lossy(&joined).into_owned();
        let came = joined.contains(case.shown) || text.contains(case.shown);
        assert!(came, "{} {}: nothing came: {text}", case.over, case.target);
    }
}

#[test]
fn without_marque_the_same_client_receives_the_secret_in_every_case() {
    let house = House::new();
    let secret = canary("matrix");
    let (cases, folder, _) = ask(&house, &secret, true);
    let forms = needles(secret.as_bytes());
    let received = cases.iter().enumerate().filter(|(n, _)| {
        let bytes = std::fs::read(folder.join(format!("{n:03}"))).unwrap();
        find_any(&bytes, &forms).is_some() || find_any(&unchunked(&bytes), &forms).is_some()
    });
    let missed: Vec<_> = {
        let received: Vec<usize> = received.map(|(n, _)| n).collect();
        cases.iter().enumerate().filter(|(n, _)| !received.contains(n)).map(|(_, c)| c.target.as_str()).collect()
    };
    // Compressed bodies hold it in a form of their own, which the search does not undo; HTTP/2 trailers are not shown by the
    // client.
    let hidden = |t: &&&str| !t.contains("coding=") && !t.contains("in=trailer");
    assert_eq!(missed.iter().filter(hidden).count(), 0, "{missed:?}");
}

/// The body of an HTTP/1.1 answer without its chunk lines; other bytes as they are.
fn unchunked(bytes: &[u8]) -> Vec<u8> {
    let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return bytes.to_vec() };
    let (head, mut rest) = bytes.split_at(at + 4);
    if !String::from_utf8_lossy(head).to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return bytes.to_vec();
    }
    let mut out = head.to_vec();
    while let Some(line) = rest.windows(2).position(|w| w == b"\r\n") {
        let size = std::str::from_utf8(&rest[..line]).ok().and_then(|t| usize::from_str_radix(t.trim(), 16).ok());
        let Some(size) = size.filter(|size| *size > 0 && line + 2 + size + 2 <= rest.len()) else { break };
        out.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
    out.extend_from_slice(rest);
    out
}

#[test]
fn a_million_guesses_through_an_echo_find_out_no_more_than_one_batch() {
    let house = House::new();
    // A password that people choose, and a dictionary that has it.
    let secret = "horse-731904";
    let (echo, origin) = house.echo(secret);
    let words = ["apple", "horse", "river", "stone", "cloud"];
    let candidates: Vec<String> = (0..1_000_000).map(|n| format!("{}-{}", words[n % 5], 100_000 + n * 9 / 10)).collect();
    let at = candidates.iter().filter(|c| *c == secret).count();
    let mut candidates = candidates;
    if at == 0 {
        candidates[631_904] = secret.to_owned();
    }
    let file = house.dir.path().join("candidates");
    std::fs::write(&file, candidates.join("\n")).unwrap();
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/guess.py");
    let python = Tools::find().python().unwrap();
    let grant = format!("http POST on {origin}/mirror");
    let mut command = house.owner(&["run", "--purpose", "guess the password", "--env", "staging", "--grant", &grant, "--"]);
    command.arg(&python).arg(&client).arg(format!("{origin}/mirror")).arg(&file);
    let exit = Child::run(&mut command, AGENT).unwrap();
    let words: Vec<&str> = exit.stdout.split_whitespace().collect();
    let (left, asked): (usize, usize) = (words[1].parse().unwrap(), words[3].parse().unwrap());
    assert!(left >= 40_000, "{exit:?}");
    assert!(asked < 30, "{exit:?}");
    assert_eq!(echo.log().count_saw(secret), asked, "the upstream echoed; nothing of it was shown after the hit");
}
