//! Credentials that upstreams put into answers: registry tokens, cookies, signed addresses. The agent gets a placeholder that
//! works through the gateway, in its session, where it belongs, and nowhere else.

use crate::house::{House, LONG};
use marque_testkit::docker_registry::{DockerRegistry, Named};
use marque_testkit::http::{self, Route};
use marque_testkit::proc::{Child, Exit};
use marque_testkit::search::grep_tree;
use marque_testkit::tools::Tools;
use marque_testkit::upstream::Echo;
use marque_testkit::{Options, Server, canary};
use std::path::PathBuf;
use std::process::Command;

impl House {
    /// A folder for the agent.
    pub(crate) fn work(&self) -> PathBuf {
        let work = self.dir.path().join("work");
        std::fs::create_dir_all(&work).unwrap();
        work
    }

    /// Lets a profile take effect.
    pub(crate) fn apply(&self, text: &str) -> Exit {
        let file = self.dir.path().join("profile.toml");
        std::fs::write(&file, text).unwrap();
        let exit = self.run_owner(&["service", "apply", file.to_str().unwrap()]);
        assert!(exit.status.success(), "{exit:?}");
        exit
    }

    /// A session that runs a script, with these grants.
    pub(crate) fn session(&self, grants: &[&str], script: &str) -> Exit {
        let mut args = vec!["run", "--purpose", "look after the answers", "--env", "staging", "--accept-risk", "uncontained"];
        for grant in grants {
            args.extend(["--grant", grant]);
        }
        args.extend(["--", "/bin/sh", "-c", script]);
        self.run_owner(&args)
    }

    fn direct(&self) -> Route {
        Route { tls: Some(self.ca.client_config(&["http/1.1"]).unwrap()), ..Route::default() }
    }

    /// The lineage of the one session that a run opened.
    fn lineage(&self, exit: &Exit) -> serde_json::Value {
        let id = exit.stderr.lines().find_map(|l| l.strip_prefix("Session     ")).and_then(|l| l.split(' ').next()).unwrap();
        serde_json::from_str(&self.ok(&["--json", "audit", "lineage", id]).stdout).unwrap()
    }
}

/// A pull as Docker does it, written down byte by byte as the client received it.
const PULL: &str = r#"
import json, re, sys, requests
base, name, tag, seen = sys.argv[1:5]
out = open(seen, "wb")
def get(url, headers={}):
    answer = requests.get(url, headers=headers)
    out.write(repr(answer.headers).encode() + answer.content)
    return answer
manifest = f"{base}/v2/{name}/manifests/{tag}"
kind = {"accept": "application/vnd.docker.distribution.manifest.v2+json"}
asked = get(manifest, kind)
assert asked.status_code == 401, asked.text
challenge = dict(re.findall(r'(\w+)="([^"]*)"', asked.headers["www-authenticate"]))
token = get(f"{challenge['realm']}?service={challenge['service']}&scope={challenge['scope']}").json()["token"]
bearer = {"authorization": f"Bearer {token}", **kind}
found = get(manifest, bearer)
blobs = [get(f"{base}/v2/{name}/blobs/{part['digest']}", bearer) for part in found.json()["layers"]]
other = get(f"{base}/v2/acme/other/manifests/1", bearer)
print(json.dumps({"token": token, "manifest": found.status_code, "blobs": [b.status_code for b in blobs], "other": other.json()["code"]}))
"#;

struct Pulls {
    registry: DockerRegistry,
    password: String,
    base: String,
}

fn registry(house: &House) -> Pulls {
    let password = canary("registry");
    let named = Named { ca: &house.ca, registry: "registry.test", tokens: "auth.test" };
    let registry = DockerRegistry::start_named("puller", &password, &named).unwrap();
    registry.push_image("acme/app", "1").unwrap();
    registry.push_image("acme/other", "1").unwrap();
    let (at, tokens) = (registry.port(), registry.token_server().port());
    let hosts = [format!("registry=https://registry.test:{at}"), format!("auth=https://auth.test:{tokens}")];
    let pins = [format!("registry.test:{at}=127.0.0.1"), format!("auth.test:{tokens}=127.0.0.1")];
    let mut args = vec!["--service", "docker-registry"];
    for (host, pin) in hosts.iter().zip(&pins) {
        args.extend(["--host", host, "--pin", pin]);
    }
    house.add_credential("registry", &format!("puller:{password}"), &args);
    Pulls { base: format!("https://registry.test:{at}"), registry, password }
}

const PULL_GRANTS: [&str; 2] =
    ["docker-registry token.issue,registry.ping on registry", "docker-registry image.pull,blob.pull on acme/app,acme/app@*"];

#[test]
fn an_image_is_pulled_with_a_token_that_works_nowhere_else() {
    let house = House::new();
    let Pulls { registry, password, base } = registry(&house);
    let work = house.work();
    let (script, seen) = (work.join("pull.py"), work.join("seen"));
    std::fs::write(&script, PULL).unwrap();
    let python = Tools::find().python().unwrap();
    let before = registry.issued().len();
    let pull = format!("{} {} {base} acme/app 1 {}", python.display(), script.display(), seen.display());
    let exit = house.session(&PULL_GRANTS, &pull);
    let told: serde_json::Value = serde_json::from_str(exit.stdout.trim()).unwrap_or_else(|e| panic!("{e}: {exit:?}"));
    assert_eq!(told["manifest"], 200, "{exit:?}");
    assert_eq!(told["blobs"], serde_json::json!([200]), "{exit:?}");
    assert_eq!(told["other"], "MQ-2104", "the token opens what the session is granted and no more");
    let issued = registry.issued();
    assert!(issued.len() > before, "the token server was asked");
    // What the client received holds neither the password nor a token.
    let mut secrets: Vec<&str> = issued.iter().map(String::as_str).collect();
    secrets.push(&password);
    let found = grep_tree(&work, &secrets).unwrap();
    assert!(found.searched_bytes > 500 && found.hits.is_empty(), "{found:?}");
    // Outside the gateway the token is none; the control is the real one.
    let manifest = format!("{}/v2/acme/app/manifests/1", registry.url());
    let status = |token: &str| {
        let bearer = format!("Bearer {token}");
        let kind = ("accept", "application/vnd.docker.distribution.manifest.v2+json");
        http::get(registry.route(), &manifest, &[("authorization", &bearer), kind]).unwrap().status
    };
    let placeholder = told["token"].as_str().unwrap();
    assert_eq!(status(placeholder), 401);
    assert_eq!(status(issued.last().unwrap()), 200);
    // Nor in another session.
    let later = format!("curl -sS -o /dev/null -w %{{http_code}} -H 'Authorization: Bearer {placeholder}' {base}/v2/acme/app/manifests/1");
    assert_eq!(house.session(&PULL_GRANTS, &later).stdout, "401");
    // The record says whose account the pull used, and whence the token came.
    let lineage = house.lineage(&exit);
    let uses = lineage["uses"].as_array().unwrap();
    let issue = uses.iter().find(|u| u["operation"] == "token.issue").unwrap();
    let pulls: Vec<_> = uses.iter().filter(|u| u["operation"] == "image.pull" && u["what"] == "allowed").collect();
    assert_eq!(pulls.len(), 2, "{lineage}");
    assert_eq!((&pulls[0]["credential"], pulls[0].get("from")), (&serde_json::Value::Null, None), "asked without a credential");
    assert_eq!((&pulls[1]["credential"], &pulls[1]["from"]), (&"registry".into(), &issue["seq"]), "{lineage}");
}

#[test]
fn skopeo_pulls_an_image_without_a_login() {
    let house = House::new();
    let Pulls { registry, password, base } = registry(&house);
    let work = house.work();
    let skopeo = marque_testkit::proc::program("skopeo", "install Debian's `skopeo`").unwrap();
    let image = base.replace("https://", "docker://") + "/acme/app:1";
    let script = |image: &str| {
        format!("{} --insecure-policy copy {image} dir:{}/image 2>&1", skopeo.display(), work.display())
    };
    let exit = house.session(&PULL_GRANTS, &script(&image));
    assert!(exit.status.success(), "{exit:?}");
    let mut secrets = registry.issued();
    assert!(!secrets.is_empty());
    secrets.push(password);
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    let found = grep_tree(&work, &secrets).unwrap();
    assert!(found.searched_bytes > 100 && found.hits.is_empty(), "{found:?}");
    assert!(work.join("image/manifest.json").exists());
    let refused = house.session(&PULL_GRANTS, &script(&image.replace("acme/app", "acme/other")));
    assert!(!refused.status.success() && refused.stdout.contains("403"), "{refused:?}");
}

/// A shop with a login, and a place where its files are, both the echo upstream under names of their own.
struct Shop {
    server: Server,
    secret: String,
    base: String,
    files: String,
}

fn profile(port: u16, signed: &str) -> String {
    format!(
        r#"
service = "shop"
hosts = {{ api = "shop.test:{port}", other = "other.test:{port}" }}
signed = [{signed}]
[credential]
kinds = ["password"]
place = {{ api = "basic clerk", other = "basic clerk" }}
[resource]
shop = "shop"
[[op]]
name = "login"
effect = "write"
on = "shop"
answers = ["cookie session"]
match = ["POST api:/login", "POST other:/login"]
yes = ["POST https://shop.test:{port}/login"]
[[op]]
name = "account.read"
effect = "read"
on = "shop"
match = ["GET api:/me", "GET other:/me", "GET api:/signed", "GET api:/reflect"]
yes = ["GET https://shop.test:{port}/me"]
[[op]]
name = "file.read"
effect = "read"
on = "shop"
answers = ["location", "url /download_url"]
match = ["GET api:/redirect-signed", "GET api:/link-signed"]
yes = ["GET https://shop.test:{port}/redirect-signed?to=x"]
[[op]]
name = "file.peek"
effect = "read"
on = "shop"
match = ["GET other:/redirect-signed"]
yes = ["GET https://other.test:{port}/redirect-signed?to=x"]
"#
    )
}

fn shop(house: &House, pinned: bool) -> Shop {
    let secret = canary("clerk");
    let cert = house.ca.issue(&["shop.test", "other.test", "files.test", "localhost", "127.0.0.1"]).unwrap();
    let server = Echo::start(Options::tls(cert.server_config().unwrap())).unwrap();
    let port = server.port();
    house.apply(&profile(port, &format!("\"files.test:{port}\", \"localhost:{port}\"")));
    let pins: Vec<String> = ["shop.test", "other.test", "files.test"].iter().map(|h| format!("{h}:{port}=127.0.0.1")).collect();
    let mut args = vec!["--service", "shop"];
    for pin in pins.iter().take(if pinned { 3 } else { 2 }) {
        args.extend(["--pin", pin]);
    }
    house.add_credential("shop", &secret, &args);
    Shop { server, secret, base: format!("https://shop.test:{port}"), files: format!("https://files.test:{port}") }
}

const SHOP: [&str; 1] = ["shop login,account.read,file.* on shop"];

fn cookies_seen(server: &Server, path: &str) -> Vec<String> {
    let records = server.log().records();
    let asked = records.iter().filter(|r| r.target == path);
    asked.flat_map(|r| r.credentials.iter().filter(|c| c.slot == "cookie").map(|c| c.value.clone())).collect()
}

#[test]
fn a_login_gives_curl_a_cookie_that_works_through_the_gateway_alone() {
    let house = House::new();
    let shop = shop(&house, true);
    let work = house.work();
    let (base, port) = (&shop.base, shop.server.port());
    let script = format!(
        "cd {w}; curl -sS -D head -c jar -X POST {base}/login; curl -sS -b jar -o me -w '%{{http_code}} ' {base}/me; \
         curl -sS -o /dev/null -w '%{{http_code}} ' {base}/me; \
         c=$(awk '/session/ {{print $7}}' jar); \
         curl -sS -o /dev/null -w '%{{http_code}} ' -H \"Cookie: session=$c\" https://other.test:{port}/me; \
         curl -sS -o /dev/null -w '%{{http_code}}' -H \"Cookie: other=$c\" {base}/me; echo; echo $c",
        w = work.display()
    );
    let exit = house.session(&SHOP, &script);
    let mut lines = exit.stdout.lines();
    assert_eq!(lines.next(), Some(r#"{"logged_in":true}200 401 401 401"#), "{exit:?}");
    let placeholder = lines.next().unwrap();
    let head = std::fs::read_to_string(work.join("head")).unwrap().to_ascii_lowercase();
    assert!(head.contains(&format!("set-cookie: session={placeholder}; path=/; httponly; samesite=lax")), "{head}");
    assert!(std::fs::read_to_string(work.join("jar")).unwrap().contains("#HttpOnly_shop.test"), "bound to its host");
    // The upstream saw the real cookie once: with its own name, at its own host.
    let seen = cookies_seen(&shop.server, "/me");
    let real: Vec<_> = seen.iter().filter(|c| *c != placeholder).collect();
    assert_eq!((seen.len(), real.len()), (3, 1), "{seen:?}");
    let found = grep_tree(&work, &[real[0], &shop.secret]).unwrap();
    assert!(found.searched_bytes > 200 && found.hits.is_empty(), "{found:?}");
    // Outside it is nobody's; the control is the real one.
    let status = |cookie: &str| {
        http::get(&house.direct(), &shop.server.url("/me"), &[("cookie", &format!("session={cookie}"))]).unwrap().status
    };
    assert_eq!((status(placeholder), status(real[0])), (401, 200));
    let later = format!("curl -sS -o /dev/null -w %{{http_code}} -H 'Cookie: session={placeholder}' {base}/me");
    assert_eq!(house.session(&SHOP, &later).stdout, "401", "nor in another session");
    // The record of the use with the cookie names the login.
    let lineage = house.lineage(&exit);
    let uses = lineage["uses"].as_array().unwrap();
    let from: Vec<_> = uses.iter().filter_map(|u| u.get("from")).collect();
    assert_eq!(from, [&uses[0]["seq"]], "{lineage}");
    assert_eq!(uses[0]["operation"], "login");
}

#[test]
fn a_login_gives_requests_a_session() {
    let house = House::new();
    let shop = shop(&house, true);
    let code = "import requests,sys; s=requests.Session(); b=sys.argv[1]; s.post(b+'/login'); r=s.get(b+'/me'); \
                print(r.status_code, r.json()['me'], dict(s.cookies))";
    let python = Tools::find().python().unwrap();
    let exit = house.session(&SHOP, &format!("{} -c \"{code}\" {}", python.display(), shop.base));
    assert!(exit.stdout.starts_with("200 someone who logged in {'session': 'marque-kept-"), "{exit:?}");
}

#[test]
fn an_undeclared_cookie_is_withheld_and_said_so() {
    let house = House::new();
    let shop = shop(&house, true);
    // `read` declares nothing.
    let script = format!("curl -sS -D - -o /dev/null {}/reflect?in=cookie", shop.base);
    let exit = house.session(&SHOP, &script);
    assert!(exit.stdout.contains("x-marque-withheld: cookie reflected"), "{exit:?}");
    assert!(!exit.stdout.to_ascii_lowercase().contains("set-cookie"), "{exit:?}");
}

fn follows(shop: &Shop, house: &House, to: &str, more: &str) -> Exit {
    let script = format!(
        "cd {w}; curl -sS -L -D heads -o got -w '%{{http_code}} %{{url_effective}}' '{b}/redirect-signed?to={to}'; {more}",
        w = house.work().display(),
        b = shop.base,
    );
    house.session(&SHOP, &script)
}

fn object(house: &House) -> String {
    std::fs::read_to_string(house.work().join("got")).unwrap_or_default()
}

#[test]
fn a_signed_redirect_is_followed_and_its_address_works_for_this_session_alone() {
    let house = House::new();
    let shop = shop(&house, true);
    let more = "u=$(awk 'tolower($1)==\"location:\" {print $2}' heads | tr -d '\\r'); echo; \
                curl -sS -o /dev/null -w '%{http_code} ' -X POST $u; curl -sS -o /dev/null -w '%{http_code} ' \"$u?x=1\"; \
                curl -sS -o /dev/null -w '%{http_code}\\n' -I $u; echo $u";
    let exit = follows(&shop, &house, &shop.files, more);
    let mut lines = exit.stdout.lines();
    let first = lines.next().unwrap();
    assert!(first.starts_with("200 ") && object(&house) == "the signed object\n", "{exit:?}");
    assert_eq!(lines.next(), Some("405 405 200"), "only read: {exit:?}");
    let address = lines.next().unwrap();
    assert!(address.starts_with(&format!("{}/.marque/kept/marque-kept-", shop.base)), "{address}");
    assert_eq!(first.strip_prefix("200 "), Some(address));
    // The signed host got the signature, and nothing of the credential.
    let records = shop.server.log().records();
    let signed: Vec<_> = records.iter().filter(|r| r.target.starts_with("/signed")).collect();
    assert_eq!(signed.len(), 2, "GET and HEAD");
    for record in &signed {
        assert_eq!(record.credentials.iter().map(|c| c.slot.as_str()).collect::<Vec<_>>(), ["signature"], "{record:?}");
        assert!(record.authority.as_deref().unwrap().starts_with("files.test"), "{record:?}");
    }
    let signature = &signed[0].credentials[0].value;
    let found = grep_tree(&house.work(), &[signature, &shop.secret]).unwrap();
    assert!(found.searched_bytes > 200 && found.hits.is_empty(), "{found:?}");
    // Useless outside and later; the control is the real one.
    let outside = |path: &str| http::get(&house.direct(), &shop.server.url(path), &[]).unwrap().text();
    assert_ne!(outside(address.split_once(&shop.base).unwrap().1), "the signed object\n");
    assert_eq!(outside(&format!("/signed?sig={signature}")), "the signed object\n");
    let later = house.session(&SHOP, &format!("curl -sS {address}"));
    assert!(later.stdout.contains("MQ-4116"), "{later:?}");
    let lineage = house.lineage(&exit);
    let uses = lineage["uses"].as_array().unwrap();
    assert_eq!(uses[1]["from"], uses[0]["seq"], "{lineage}");
    assert_eq!((&uses[1]["operation"], &uses[1]["credential"]), (&"file.read".into(), &"shop".into()), "{lineage}");
}

#[test]
fn a_signed_address_of_the_same_host_is_read_as_any_request_to_it() {
    let house = House::new();
    let shop = shop(&house, true);
    let exit = follows(&shop, &house, &shop.base, "");
    assert!(exit.stdout.starts_with("200 ") && object(&house) == "the signed object\n", "{exit:?}");
    let lineage = house.lineage(&exit);
    assert_eq!(lineage["uses"][1]["operation"], "account.read", "the profile read it: {lineage}");
}

#[test]
fn a_signed_address_in_json_becomes_one_of_the_gateway() {
    let house = House::new();
    let shop = shop(&house, true);
    let code = "import requests,sys; b,to=sys.argv[1:3]; u=requests.get(b+'/link-signed',params={'to':to}).json()['download_url']; \
                print(u); print(requests.get(u).text)";
    let python = Tools::find().python().unwrap();
    let exit = house.session(&SHOP, &format!("{} -c \"{code}\" {} {}", python.display(), shop.base, shop.files));
    assert!(exit.stdout.contains("/.marque/kept/") && exit.stdout.contains("the signed object"), "{exit:?}");
    let records = shop.server.log().records();
    let signature = &records.iter().find(|r| r.target.starts_with("/signed")).unwrap().credentials[0].value;
    assert!(!exit.stdout.contains(signature));
}

#[test]
fn a_signed_address_leads_only_where_the_profile_says_and_the_floor_allows() {
    let house = House::new();
    let shop = shop(&house, false);
    let port = shop.server.port();
    for (to, code) in [
        // Not named by the profile.
        (format!("https://127.0.0.1:{port}"), "MQ-4109"),
        ("http://169.254.169.254".to_owned(), "MQ-4109"),
        (format!("http://files.test:{port}"), "MQ-4109"),
        (format!("https://clerk@files.test:{port}"), "MQ-4109"),
        (format!("https://files.test:{port}.evil.test"), "MQ-4109"),
        // Named, and on the loopback without a pin.
        (format!("https://localhost:{port}"), "MQ-4102"),
        // Named, and nobody knows the name.
        (format!("https://files.test:{port}"), "MQ-4110"),
    ] {
        let exit = follows(&shop, &house, &to, "cat got heads");
        assert!(exit.stdout.contains(code), "{to}: {exit:?}");
        assert!(!exit.stdout.contains("sig="), "{to}: {exit:?}");
    }
    assert!(shop.server.log().records().iter().all(|r| !r.target.starts_with("/signed")));
    // Where no profile declares it, it is withheld as before.
    let script = format!("curl -sS -D - https://other.test:{port}/redirect-signed?to={}", shop.base);
    let exit = house.session(&SHOP, &script);
    assert!(exit.stdout.contains("x-marque-withheld: header location") && !exit.stdout.contains("sig="), "{exit:?}");
}

#[test]
fn a_profile_takes_effect_by_digest_and_a_changed_file_is_no_service() {
    let mut house = House::new();
    let text = profile(443, "");
    let applied = house.apply(&text);
    assert!(applied.stdout.contains("shop with 4 operations"), "{applied:?}");
    for bad in ["service = \"x\"", &text.replace("yes = [\"POST", "no = [\"POST"), &text.replace("\"shop\"", "\"http\"")] {
        let file = house.dir.path().join("bad.toml");
        std::fs::write(&file, bad).unwrap();
        let exit = house.run_owner(&["service", "apply", file.to_str().unwrap()]);
        assert!(exit.stderr.contains("MQ-1101"), "{exit:?}");
    }
    let session = || house.session(&["shop account.read on shop"], "true").status.success();
    house.add_credential("shop", &canary("clerk"), &["--service", "shop"]);
    assert!(session());
    let folder = house.data().join("services");
    let file = folder.read_dir().unwrap().flatten().next().unwrap().path();
    std::fs::write(&file, text.replace("basic clerk", "bearer")).unwrap();
    house.stop();
    house.start(&[]);
    let exit = house.session(&["shop account.read on shop"], "true");
    assert!(!exit.status.success(), "{exit:?}");
    house.apply(&text);
    assert!(house.session(&["shop account.read on shop"], "true").status.success());
}

/// An agent's own processes are what the tests above run; this is the same without Marque, for comparison.
#[test]
fn without_marque_the_same_login_hands_over_a_cookie() {
    let house = House::new();
    let shop = shop(&house, true);
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-k", "-D", "-", "-o", "/dev/null", "-X", "POST", "-u", &format!("clerk:{}", shop.secret)]);
    curl.arg(shop.server.url("/login"));
    let exit = Child::run(&mut curl, LONG).unwrap();
    let cookie = exit.stdout.lines().find_map(|l| l.to_ascii_lowercase().find("session=").map(|at| l[at + 8..].to_owned()));
    let cookie = cookie.unwrap();
    let value = cookie.split(';').next().unwrap();
    let got = http::get(&house.direct(), &shop.server.url("/me"), &[("cookie", &format!("session={value}"))]).unwrap();
    assert_eq!(got.status, 200);
}
