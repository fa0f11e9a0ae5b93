//! Clients that people use, unmodified, each with a call that completes and one that is refused. `docs/clients.md` lists them.

use crate::house::House;
use marque_testkit::proc::{Exit, program};
use marque_testkit::tools::Tools;
use marque_testkit::upstream::{GithubShape, Packages};
use marque_testkit::{Options, Server, canary};

/// Appended to a script: what the agent learns when its client says too little.
fn why(house: &House) -> String {
    format!("; {} --data-dir {} why --last", env!("CARGO_BIN_EXE_marque"), house.data().display())
}

/// The refusal, in the client's own words or by `why`.
fn says_why(exit: &Exit) {
    let said = format!("{}{}", exit.stdout, exit.stderr);
    assert!(said.contains("MQ-2104") && said.contains("look after the answers"), "{exit:?}");
}

#[test]
fn python_requests_and_httpx_complete_a_call_and_understand_a_refusal() {
    let house = House::new();
    let secret = canary("api");
    let (echo, origin) = house.echo(&secret);
    let python = Tools::find().python().unwrap();
    let grant = format!("http GET on {origin}/v1/**");
    for (n, module) in ["requests", "httpx"].iter().enumerate() {
        let code = format!(
            "import sys,{module} as c; u=sys.argv[1]; a=c.get(u+'/v1/items'); b=c.delete(u+'/v1/items'); \
             print(a.status_code, a.json()['ok'], b.status_code, b.json()['detail'])"
        );
        let exit = house.session(&[&grant], &format!("{} -c \"{code}\" {origin}", python.display()));
        assert!(exit.stdout.starts_with("200 True 403 marque MQ-2104"), "{module}: {exit:?}");
        says_why(&exit);
        assert_eq!(echo.log().count_saw(&secret), n + 1, "{module}");
    }
}

#[test]
fn node_fetch_completes_a_call_and_understands_a_refusal() {
    let house = House::new();
    let secret = canary("api");
    let (echo, origin) = house.echo(&secret);
    let code = "(async () => { const u = process.argv[1]; const a = await fetch(u + '/v1/items'); \
                const b = await fetch(u + '/v1/items', { method: 'DELETE' }); \
                console.log(a.status, (await a.json()).ok, b.status, (await b.json()).detail); })()";
    let node = Tools::find().node().unwrap();
    let exit = house.session(&[&format!("http GET on {origin}/v1/**")], &format!("{} -e \"{code}\" {origin}", node.display()));
    assert!(exit.stdout.starts_with("200 true 403 marque MQ-2104"), "{exit:?}");
    says_why(&exit);
    assert_eq!(echo.log().count_saw(&secret), 1);
}

fn packages(house: &House, place: &str) -> (Server, String, String) {
    let secret = canary("packages");
    let cert = house.ca.issue(&["index.test"]).unwrap();
    let server = Packages::start(Options::tls(cert.server_config().unwrap()), &secret).unwrap();
    let origin = format!("https://index.test:{}", server.port());
    let pin = format!("index.test:{}=127.0.0.1", server.port());
    house.add_credential("index", &secret, &["--service", "http", "--host", &origin, "--place", place, "--pin", &pin]);
    (server, origin, secret)
}

#[test]
fn pip_installs_from_a_private_index() {
    let house = House::new();
    let (server, origin, secret) = packages(&house, "basic reader");
    let python = Tools::find().python().unwrap();
    let pip = |name: &str| {
        format!(
            "{} -m pip install --quiet --no-cache-dir --no-deps --disable-pip-version-check --index-url {origin}/simple/ --target {} {name} 2>&1",
            python.display(),
            house.work().display()
        )
    };
    let grants = [format!("http GET on {origin}/simple/demo/**"), format!("http GET on {origin}/files/**")];
    let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
    let exit = house.session(&grants, &pip("demo"));
    assert!(exit.status.success(), "{exit:?}");
    assert_eq!(std::fs::read_to_string(house.work().join("demo.py")).unwrap(), "NAME = \"demo\"\n");
    assert_eq!(server.log().count_saw(&secret), server.log().records().len(), "every request had the credential");
    let exit = house.session(&grants, &(pip("other") + &why(&house)));
    assert!(exit.stdout.contains("No matching distribution found for other"), "pip says no more: {exit:?}");
    says_why(&exit);
}

#[test]
fn npm_installs_from_a_private_registry() {
    let house = House::new();
    let (server, origin, secret) = packages(&house, "bearer");
    let npm = program("npm", "install Debian's `npm`").unwrap();
    let install = |name: &str| {
        format!(
            "cd {} && {} install --no-audit --no-fund --no-update-notifier --fetch-retries=0 --registry {origin}/ {name} 2>&1",
            house.work().display(),
            npm.display()
        )
    };
    let grants = [format!("http GET on {origin}/demo"), format!("http GET on {origin}/demo/**")];
    let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
    let exit = house.session(&grants, &install("demo"));
    assert!(exit.status.success(), "{exit:?}");
    let module = std::fs::read_to_string(house.work().join("node_modules/demo/index.js")).unwrap();
    assert_eq!(module, "module.exports = 'demo';\n");
    assert_eq!(server.log().count_saw(&secret), server.log().records().len(), "every request had the credential");
    let exit = house.session(&grants, &install("other"));
    assert!(exit.stdout.contains("403"), "{exit:?}");
    says_why(&exit);
}

/// `gh` speaks to port 443 of `api.github.com` alone, or to a host of its own: this is that host, with a profile for it.
fn enterprise(port: u16) -> String {
    format!(
        r#"
service = "ghe"
hosts = {{ api = "ghe.test:{port}" }}
[credential]
kinds = ["token"]
env = ["GH_ENTERPRISE_TOKEN"]
placeholder = "ghp_[A-Za-z0-9]{{36}}"
place = {{ api = "bearer" }}
[vars]
owner = {{ fold = "lower", is = "alnum -_" }}
name = {{ fold = "lower", is = "alnum -_." }}
[resource]
repo = "{{owner}}/{{name}}"
account = "account"
[[op]]
name = "user.read"
effect = "read"
on = "account"
match = ["GET api:/api/v3/user"]
yes = ["GET https://ghe.test:{port}/api/v3/user"]
[[op]]
name = "issue.read"
effect = "read"
match = ["GET api:/api/v3/repos/{{owner}}/{{name}}/issues"]
yes = ["GET https://ghe.test:{port}/api/v3/repos/acme/web/issues -> acme/web"]
[[op]]
name = "issue.create"
effect = "write"
match = ["POST api:/api/v3/repos/{{owner}}/{{name}}/issues"]
yes = ["POST https://ghe.test:{port}/api/v3/repos/acme/web/issues {{\"title\":\"x\"}} -> acme/web"]
"#
    )
}

#[test]
fn gh_completes_a_call_and_prints_a_refusal() {
    let house = House::new();
    let token = GithubShape::fresh_token();
    let cert = house.ca.issue(&["ghe.test"]).unwrap();
    let api = GithubShape::start(Options::tls(cert.server_config().unwrap()), &token).unwrap();
    let port = api.port();
    house.apply(&enterprise(port));
    house.add_credential("ghe", &token, &["--service", "ghe", "--pin", &format!("ghe.test:{port}=127.0.0.1")]);
    let gh = program("gh", "install Debian's `gh`").unwrap();
    let call = |args: &str| format!("GH_HOST=ghe.test:{port} GH_PROMPT_DISABLED=1 {} {args} 2>&1", gh.display());
    let grants = ["ghe user.read on account", "ghe issue.read on acme/web"];
    let exit = house.session(&grants, &call("api user --jq .login"));
    assert_eq!(exit.stdout.trim(), "octocat", "{exit:?}");
    let exit = house.session(&grants, &call("api repos/acme/web/issues --jq '.[0].title'"));
    assert!(exit.status.success() && api.log().count_saw(&token) == 2, "{exit:?}");
    let exit = house.session(&grants, &call("api repos/acme/web/issues -f title=broken"));
    assert!(!exit.status.success(), "{exit:?}");
    says_why(&exit);
    assert!(api.acts().is_empty());
}
