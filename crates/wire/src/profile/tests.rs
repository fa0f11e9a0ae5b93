//! Promises of profiles, on a small one of their own.

use super::limits::*;
use super::*;

const SMALL: &str = r#"
service = "small"
hosts = { api = "api.small.test", git = "git.small.test" }
[credential]
place = { api = "bearer" }
[vars]
owner = { fold = "lower", is = "alnum -" }
name = { fold = "lower", strip = ".git" }
token = { secret = true }
[resource]
repo = "{owner}/{name}"
ref = "{owner}/{name}@{branch}"
channel = "{channel}"
hook = "hook"
node = { ask = "query($id:ID!){node(id:$id){id}}", is = "repo" }
[graphql]
at = "api:/graphql"
fields = ["id"]
[[op]]
name = "repo.read"
effect = "read"
match = ["GET api:/repos/{owner}/{name}", "git upload-pack {owner}/{name}", "graphql query repository(owner, name)"]
yes = ["GET https://api.small.test/repos/Acme/web.git -> acme/web"]
[[op]]
name = "push"
effect = "write"
match = ["git receive-pack {owner}/{name} create|update refs/heads/{branch}"]
yes = ["git push acme/web update refs/heads/a@b -> acme/web@a%40b"]
[[op]]
name = "cut"
effect = "destructive"
match = ["git receive-pack {owner}/{name} delete refs/heads/{branch}"]
yes = ["git push acme/web delete refs/heads/x"]
[[op]]
name = "post"
effect = "write"
hold = 100
match = ["POST api:/post body /channel == {channel}", "graphql mutation post(input.id: node)"]
attributes = { thread = "body /thread" }
yes = ['POST https://api.small.test/post {"channel":"C1"} -> C1', 'graphql mutation { post(input: {id: "N_1"}) { id } } -> node/N_1']
[[op]]
name = "hook"
effect = "write"
on = "hook"
match = ["POST api:/hook/{token}"]
answers = ["json /secret"]
yes = ["POST https://api.small.test/hook/s3cret"]
[[op]]
name = "upload"
effect = "write"
on = "hook"
multipart = true
match = ["PUT api:/upload"]
yes = ["PUT https://api.small.test/upload"]
"#;

fn small() -> Profile {
    Profile::parse(SMALL).unwrap()
}
fn broken(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    Profile::parse(&SMALL.replacen(from, to, 1)).unwrap_err().to_string()
}
fn problems(extra: &str) -> Vec<CheckProblem> {
    Profile::parse(&format!("{SMALL}{extra}")).unwrap().check().unwrap_err()
}
fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}
/// What a request means, in words.
fn means(method: &str, path: &str, query: &[(&str, &str)], headers: &[(&str, &str)], body: Option<&[u8]>) -> String {
    let (query, headers) = (pairs(query), pairs(headers));
    let view = RequestView { alias: "api", method, path, query: &query, headers: &headers, body };
    match small().extract(&view) {
        Extracted::Known(actions) => actions.iter().map(|a| format!("{} {}", a.operation, a.resource)).collect::<Vec<_>>().join(", "),
        Extracted::Unknown { why } => format!("unknown: {why}"),
    }
}
const JSON: (&str, &str) = ("content-type", "application/json");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[test]
fn the_small_profile_holds() {
    assert_eq!(small().check(), Ok(Checked { operations: 6, yes: 7, no: 0 }));
    assert_eq!(small().digest(), marque_chain::sha256(SMALL.as_bytes()).0);
    let aliases: Vec<_> = small().aliases().map(|(alias, host)| format!("{alias}={}", host.host())).collect();
    assert_eq!(aliases, ["api=api.small.test", "git=git.small.test"]);
    assert!(small().allows_place("api", &"bearer".parse().unwrap()));
    assert!(!small().allows_place("api", &"query token".parse().unwrap()) && !small().allows_place("git", &"bearer".parse().unwrap()));
}

#[test]
fn a_mistake_is_told_with_its_line_and_what_was_meant() {
    assert_eq!(broken("service =", "servce ="), "line 2: unknown key `servce`, did you mean `service`?");
    assert_eq!(broken("hold = 100", "holdd = 100"), "line 37: unknown key `holdd`, did you mean `hold`?");
    assert_eq!(broken("effect = \"write\"\nhold", "effect = \"wriet\"\nhold"), "line 36: `wriet` is no effect");
    assert_eq!(broken("secret = true", "secrt = true"), "line 9: unknown key `secrt`, did you mean `secret`?");
    assert!(broken("service = \"small\"\n", "").contains("`service` is missing"));
    assert!(broken("effect = \"read\"", "effect = \"unparsed\"").contains("no effect"));
    assert!(broken("POST api:/post", "POST apo:/post").contains("did you mean `api`"));
    assert!(broken("[\"json /secret\"]", "[\"jsn /secret\"]").starts_with("line 46:"));
    assert!(broken("\"bearer\"", "\"bearr\"").starts_with("line 5:"));
    assert!(broken("[credential]", "[credential]\nlooks = \"(\"").contains("regular expression"));
    assert!(broken("git = \"git.small.test\"", "git = \"api.small.test\"").contains("two aliases"));
    assert!(broken("hook = \"hook\"", "hook = \"hook/{token}\"").contains("secret variable"));
    assert!(broken("name = \"cut\"", "name = \"push\"").contains("another effect"));
    assert!(broken("on = \"hook\"\nmatch", "on = \"repo\"\nmatch").contains("does not capture"));
    assert!(broken("delete refs", "force refs").contains("cannot be seen"));
    assert!(broken("service = \"small\"", "service = ").starts_with("line 2:"));
    assert!(broken("hold = 100", "over = [\"psh\"]").contains("did you mean `push`"));
}

#[test]
fn two_operations_that_claim_one_request_are_found() {
    let planted = "[[op]]\nname = \"any\"\neffect = \"read\"\non = \"hook\"\nmatch = [\"GET api:/repos/**\"]\nyes = [\"GET https://api.small.test/repos/x\"]\n";
    let found = problems(planted);
    assert!(matches!(found.as_slice(), [CheckProblem::Overlap { one, other, .. }, ..] if one == "repo.read" && other == "any"), "{found:?}");
    // Declared, the narrower one is meant, and both readings are defined.
    let declared = planted.replacen("[[op]]\n", "[[op]]\nover = [\"repo.read\"]\n", 1);
    let profile = Profile::parse(&format!("{SMALL}{declared}")).unwrap();
    let view = RequestView { alias: "api", method: "GET", path: "/repos/a/b", query: &[], headers: &[], body: None };
    assert_eq!(profile.extract(&view).actions()[0].operation, "any");
    // Undeclared, it is unknown in use too.
    let profile = Profile::parse(&format!("{SMALL}{planted}")).unwrap();
    assert_eq!(profile.extract(&view), Extracted::unknown("two operations of the profile match"));
    // Two tables of one operation are no exception: which answer is declared would be open.
    let same = "[[op]]\nname = \"repo.read\"\neffect = \"read\"\nopaque = true\nmatch = [\"git upload-pack {owner}/{name}\"]\nyes = [\"git fetch a/b\"]\n";
    assert!(problems(same).iter().any(|p| matches!(p, CheckProblem::Overlap { .. })));
    for overlapping in [
        "match = [\"git receive-pack {owner}/{name} refs/**\"]\non = \"repo\"",
        "match = [\"graphql query repository\"]\non = \"hook\"",
        "match = [\"POST api:/post ?x\"]\non = \"hook\"",
    ] {
        let planted = format!("[[op]]\nname = \"any\"\neffect = \"read\"\n{overlapping}\nyes = []\n");
        assert!(problems(&planted).iter().any(|p| matches!(p, CheckProblem::Overlap { .. })), "{overlapping}");
    }
}

#[test]
fn examples_are_required_and_run() {
    let op = |yes: &str, no: &str| format!("[[op]]\nname = \"x\"\neffect = \"read\"\non = \"hook\"\nmatch = [\"GET api:/x\"]\nyes = [{yes}]\nno = [{no}]\n");
    assert!(matches!(problems(&op("", "")).as_slice(), [CheckProblem::NoExample { .. }]));
    for (yes, no) in [
        ("'GET https://api.small.test/y'", ""),
        ("'GET https://api.small.test/x -> other'", ""),
        ("'GET https://api.small.test/x'", "'GET https://api.small.test/x'"),
    ] {
        assert!(matches!(problems(&op(yes, no)).as_slice(), [CheckProblem::Example { .. }]), "{yes} {no}");
    }
    for unreadable in ["'GET https://other.test/x'", "'GET /x'", "'GET'", "'git pull a/b'", "'GET https://API.small.test/x'"] {
        assert!(matches!(problems(&op(unreadable, "")).as_slice(), [CheckProblem::Unreadable { .. }]), "{unreadable}");
    }
}

#[test]
fn a_request_with_two_readings_is_unknown() {
    assert_eq!(means("GET", "/repos/ACME/Web.git", &[], &[], None), "repo.read acme/web");
    assert_eq!(means("HEAD", "/repos/acme/web", &[], &[], None), "repo.read acme/web");
    for (method, path) in [
        ("get", "/repos/acme/web"),
        ("OPTIONS", "/repos/acme/web"),
        ("PROPFIND", "/repos/acme/web"),
        ("GET", "/Repos/acme/web"),
        ("GET", "/repos/acme/web/"),
        ("GET", "/repos//acme/web"),
        ("GET", "/repos/acme/.."),
        ("GET", "/repos/acme/..;x"),
        ("GET", "/repos/acme/%2e%2e"),
        ("GET", "/repos/acme/a\\b"),
        ("GET", "/repos/acme/a\nb"),
        ("GET", "repos/acme/web"),
        ("GET", "/repos/ac_me/web"),
        ("GET", "/repos/acme/web.git.git"),
        ("GET", "/repos/acme/wéb"),
    ] {
        assert!(means(method, path, &[], &[], None).starts_with("unknown"), "{method} {path}");
    }
}

#[test]
fn overrides_of_the_method_are_unknown_wherever_they_stand() {
    let ok = means("POST", "/hook/t", &[], &[FORM], Some(b"a=1"));
    assert_eq!(ok, "hook hook");
    for header in ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url", "x_http_method_override"] {
        assert!(means("GET", "/repos/acme/web", &[], &[(header, "DELETE")], None).starts_with("unknown"), "{header}");
    }
    assert!(means("GET", "/repos/acme/web", &[("_method", "DELETE")], &[], None).starts_with("unknown"));
    assert!(means("GET", "/repos/acme/web", &[("_METHOD", "DELETE")], &[], None).starts_with("unknown"));
    assert!(means("POST", "/hook/t", &[], &[FORM], Some(b"a=1&_method=DELETE")).starts_with("unknown"));
    assert!(means("POST", "/hook/t", &[], &[], Some(b"%5Fmethod=DELETE")).starts_with("unknown"));
    assert!(means("POST", "/hook/t", &[], &[FORM], None).starts_with("unknown"));
    assert!(means("GET", "/repos/acme/web", &[], &[("content-length", "3")], None).starts_with("unknown"));
}

#[test]
fn bodies_that_carry_meaning_have_one_reading() {
    assert_eq!(means("POST", "/post", &[], &[JSON], Some(br#"{"channel":"C1","thread":"7"}"#)), "post C1");
    assert_eq!(means("POST", "/post", &[], &[FORM], Some(b"channel=C1")), "post C1");
    for (query, headers, body) in [
        (&[][..], &[JSON][..], &br#"{"channel":"C1","channel":"C2"}"#[..]),
        (&[], &[JSON], br#"{"channel":"C1"}x"#),
        (&[], &[JSON], br#"{"channel":["C1"]}"#),
        (&[], &[JSON], br#"{"channel":7}"#),
        (&[], &[JSON], b"{}"),
        (&[], &[JSON], b"\xff"),
        (&[("channel", "C2")], &[JSON], br#"{"channel":"C1"}"#),
        (&[("Channel[]", "C2")], &[JSON], br#"{"channel":"C1"}"#),
        (&[], &[JSON, ("content-encoding", "gzip")], br#"{"channel":"C1"}"#),
        (&[], &[("content-type", "multipart/form-data; boundary=b")], b"--b"),
        (&[], &[("content-type", "text/json")], br#"{"channel":"C1"}"#),
    ] {
        assert!(means("POST", "/post", query, headers, Some(body)).starts_with("unknown"), "{query:?} {headers:?}");
    }
    assert!(means("POST", "/post", &[], &[JSON], None).contains("not held"));
    let part = [("content-type", "multipart/form-data; boundary=b")];
    assert_eq!(means("PUT", "/upload", &[], &part, None), "upload hook");
    assert!(means("POST", "/hook/t", &[], &part, None).starts_with("unknown"));
}

#[test]
fn a_secret_variable_is_in_no_attribute_and_no_resource() {
    let view = RequestView { alias: "api", method: "POST", path: "/hook/s3cret", query: &[], headers: &pairs(&[JSON]), body: None };
    let found = small().extract(&view);
    assert!(!format!("{found:?}").contains("s3cret"), "{found:?}");
    assert_eq!(found.actions()[0].answers, ["json /secret".parse().unwrap()]);
}

#[test]
fn a_profile_asks_for_as_much_body_as_the_meaning_depends_on() {
    let need = |alias: &str, method: &str, path: &str, headers: &[(&str, &str)]| {
        let headers = pairs(headers);
        small().need(&RequestView { alias, method, path, query: &[], headers: &headers, body: None })
    };
    assert_eq!(need("api", "GET", "/repos/a/b", &[]), BodyNeed::None);
    assert_eq!(need("api", "POST", "/post", &[JSON]), BodyNeed::Hold(100));
    assert_eq!(need("api", "POST", "/hook/t", &[JSON]), BodyNeed::None);
    assert_eq!(need("api", "POST", "/hook/t", &[FORM]), BodyNeed::Hold(HOLD_BYTES_DEFAULT));
    assert_eq!(need("api", "POST", "/hook/t", &[]), BodyNeed::Hold(HOLD_BYTES_DEFAULT));
    assert_eq!(need("api", "POST", "/graphql", &[JSON]), BodyNeed::Hold(GRAPHQL_BYTES_MAX));
    let git = |name: &str| {
        let media = format!("application/x-{name}-request");
        need("git", "POST", &format!("/a/b/{name}"), &[("content-type", &media)])
    };
    assert_eq!((git("git-upload-pack"), git("git-receive-pack")), (BodyNeed::None, BodyNeed::GitCommands));
}

#[test]
fn a_push_of_several_refs_is_several_actions_and_the_worst_decides() {
    let profile = small();
    let example = check::Example::parse(&profile, "git push acme/web update refs/heads/a delete refs/heads/b").unwrap();
    let found = profile.extract(&example.view());
    let seen: Vec<_> = found.actions().iter().map(|a| (a.operation.as_str(), a.resource.as_str(), a.attributes["git.change"].as_str())).collect();
    assert_eq!(seen, [("push", "acme/web@a", "update"), ("cut", "acme/web@b", "delete")]);
    assert_eq!(found.effect(), Effect::Destructive);
    // One ref that no line knows makes all of it unknown.
    let example = check::Example::parse(&profile, "git push acme/web update refs/heads/a create refs/notes/n").unwrap();
    assert_eq!(profile.extract(&example.view()).effect(), Effect::Unparsed);
    // The listing before a push, and git's probe, are reads.
    let query = pairs(&[("service", "git-receive-pack")]);
    let list = RequestView { alias: "git", method: "GET", path: "/acme/web.git/info/refs", query: &query, headers: &[], body: None };
    assert_eq!(profile.extract(&list).actions()[0].operation, "repo.read");
    let headers = pairs(&[("content-type", "application/x-git-receive-pack-request")]);
    let mut probe = RequestView { alias: "git", method: "POST", path: "/acme/web.git/git-receive-pack", query: &[], headers: &headers, body: Some(b"0000") };
    assert_eq!(profile.extract(&probe).effect(), Effect::Read);
    probe.body = None;
    assert_eq!(profile.extract(&probe).effect(), Effect::Unparsed);
}

#[test]
fn graphql_is_judged_by_root_fields_and_by_what_it_selects() {
    let ask = |query: &[(&str, &str)], headers: &[(&str, &str)], body: &str| means("POST", "/graphql", query, headers, Some(body.as_bytes()));
    let body = |document: &str| serde_json::json!({ "query": document }).to_string();
    let two = body("{ a: repository(owner: \"acme\", name: \"web\") { id } b: repository(owner: \"acme\", name: \"api\") { id } }");
    assert_eq!(ask(&[], &[JSON], &two), "repo.read acme/web, repo.read acme/api");
    let mixed = body("{ repository(owner: \"a\", name: \"b\") { id } secrets { id } }");
    assert!(ask(&[], &[JSON], &mixed).starts_with("unknown: secrets:"));
    assert!(ask(&[], &[JSON], &body("{ repository(owner: \"a\", name: \"b\") { forks } }")).contains("`forks`"));
    assert!(ask(&[("query", "{x}")], &[JSON], &two).starts_with("unknown"));
    assert!(ask(&[], &[JSON, ("content-encoding", "br")], &two).starts_with("unknown"));
    assert!(ask(&[], &[FORM], "query={x}").starts_with("unknown"));
    assert!(ask(&[], &[JSON], &body("{ __typename }")).starts_with("unknown"));
    assert!(ask(&[], &[JSON], &format!("[{two}]")).starts_with("unknown"));
    let text = body("mutation { post(input: {id: \"N/1@x\"}) { id } }");
    let headers = pairs(&[JSON]);
    let view = RequestView { alias: "api", method: "POST", path: "/graphql", query: &[], headers: &headers, body: Some(text.as_bytes()) };
    let action = small().extract(&view).actions()[0].clone();
    assert_eq!(action.resource, "node/N%2F1%40x");
    assert_eq!(action.resolve.map(|r| (r.id, r.is)), Some(("N/1@x".into(), "repo".into())));
}

#[test]
fn without_a_profile_the_method_and_the_path_are_all_that_is_known() {
    let host = Target::new(marque_model::Scheme::Https, "api.other.test", 443).unwrap();
    let profile = Profile::generic("other", host);
    let query = [];
    let means = |method: &str, path: &str, headers: &[(&str, &str)]| {
        let headers = pairs(headers);
        let found = profile.extract(&RequestView { alias: "api", method, path, query: &query, headers: &headers, body: None });
        let action = found.actions().first().map(|a| format!("{} {}", a.operation, a.resource)).unwrap_or_default();
        (found.effect(), action)
    };
    assert_eq!(means("GET", "/a/b c/", &[]), (Effect::Read, "GET /a/b%20c/".into()));
    assert_eq!(means("HEAD", "/a", &[]).0, Effect::Read);
    assert_eq!(means("OPTIONS", "/a", &[]).0, Effect::Read);
    for method in ["POST", "PUT", "PATCH"] {
        assert_eq!(means(method, "/a", &[JSON]).0, Effect::Write);
    }
    assert_eq!(means("DELETE", "/a", &[]).0, Effect::Destructive);
    assert_eq!(means("BREW", "/a", &[]).0, Effect::Unparsed);
    assert_eq!(means("GET", "/a/../b", &[]).0, Effect::Unparsed);
    assert_eq!(means("GET", "/a", &[("x-http-method-override", "DELETE")]).0, Effect::Unparsed);
    assert!(profile.is_generic() && profile.allows_place("api", &"path 3".parse().unwrap()));
}

#[test]
fn profiles_and_requests_are_bounded_at_n() {
    let padded = |n: usize| format!("{SMALL}#{}", "x".repeat(n - SMALL.len() - 1));
    assert!(Profile::parse(&padded(PROFILE_BYTES_MAX)).is_ok());
    assert_eq!(Profile::parse(&padded(PROFILE_BYTES_MAX + 1)).unwrap_err(), ProfileError::TooLong { max: PROFILE_BYTES_MAX });
    let ops = |n: usize| {
        let op = |n| format!("[[op]]\nname=\"o{n}\"\neffect=\"read\"\non=\"hook\"\nmatch=\"GET api:/o{n}\"\n");
        format!("{SMALL}{}", (6..n).map(op).collect::<String>())
    };
    assert!(Profile::parse(&ops(OPS_MAX)).is_ok() && Profile::parse(&ops(OPS_MAX + 1)).is_err());
    let matches = |n: usize| {
        let list: Vec<_> = (0..n).map(|n| format!("\"GET api:/m{n}\"")).collect();
        format!("{SMALL}[[op]]\nname=\"m\"\neffect=\"read\"\non=\"hook\"\nmatch=[{}]\n", list.join(","))
    };
    assert!(Profile::parse(&matches(MATCHES_MAX)).is_ok() && Profile::parse(&matches(MATCHES_MAX + 1)).is_err());
    let hold = |n: usize| Profile::parse(&SMALL.replace("hold = 100", &format!("hold = {n}")));
    assert!(hold(HOLD_BYTES_MAX).is_ok() && hold(HOLD_BYTES_MAX + 1).is_err());

    let profile = Profile::generic("other", Target::new(marque_model::Scheme::Https, "x.test", 443).unwrap());
    let knows = |path: &str, query: &[(String, String)]| {
        profile.extract(&RequestView { alias: "api", method: "GET", path, query, headers: &[], body: None }).effect() == Effect::Read
    };
    assert!(knows(&"/a".repeat(PATH_SEGMENTS_MAX), &[]) && !knows(&"/a".repeat(PATH_SEGMENTS_MAX + 1), &[]));
    let long = |n: usize| format!("/{}", "a".repeat(n - 1));
    assert!(knows(&long(PATH_BYTES_MAX), &[]) && !knows(&long(PATH_BYTES_MAX + 1), &[]));
    let many = |n: usize| vec![("k".to_owned(), "v".to_owned()); n];
    assert!(knows("/a", &many(PARAMETERS_MAX)) && !knows("/a", &many(PARAMETERS_MAX + 1)));
}
