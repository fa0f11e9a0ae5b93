use super::*;
use crate::tighten::Judged;
use crate::tighten::write::task;
use marque_chain::contain;

fn used(service: &str, operation: &str, resource: Option<&str>, path: Option<&str>, grant: u32) -> UsedOnce {
    UsedOnce {
        seq: 1,
        service: service.into(),
        operation: operation.into(),
        resource: resource.map(str::to_owned),
        origin: "https://api.test:443".into(),
        path: path.map(str::to_owned),
        effect: "read".into(),
        grant: Some(grant),
        would_deny: Vec::new(),
    }
}

fn git(operation: &str, resource: &str) -> UsedOnce {
    used("github", operation, Some(resource), None, 0)
}

fn web(method: &str, path: &str) -> UsedOnce {
    used("http", method, None, Some(path), 0)
}

fn record(grants: Value, uses: Vec<UsedOnce>) -> Record {
    let opened = OpenedWith {
        agent: "sh".into(),
        purpose: Some("fix \"it\"\nnow".into()),
        environment: "staging".into(),
        mode: "observe".into(),
        ttl_s: 7200,
        grants,
    };
    let page = Uses { schema: String::new(), session: "s-1".into(), opened: Some(opened), uses, passed: Vec::new(), refused: Vec::new(), next: None };
    Record::of(vec![page]).unwrap_or_else(|e| panic!("{}", e.text()))
}

fn github(actions: &[&str], resources: &[&str]) -> Value {
    json!([{"type": "service", "service": "github", "environment": "staging", "actions": actions, "resources": resources}])
}

fn http(paths: &[&str]) -> Value {
    json!([{"type": "http", "environment": "staging", "locations": ["https://api.test:443"], "actions": ["*"], "paths": paths}])
}

/// The draft, its text, and how many uses the text replays. In no case is it wider than what was granted.
fn tightened(record: &Record) -> (Draft, String, usize) {
    let draft = Draft::of(record).unwrap_or_else(|e| panic!("{}", e.text()));
    let text = task(record, &draft);
    let judged = Judged::of(record, &text).unwrap_or_else(|e| panic!("{}\n{text}", e.text()));
    let grants: Vec<Grant> = draft.parts.iter().map(|p| p.grant.clone()).collect();
    contain(&record.grants, &grants).unwrap_or_else(|e| panic!("{e}\n{text}"));
    (draft, text, judged.replayed)
}

#[test]
fn one_repository_is_one_grant_with_the_operations_that_were_used() {
    let uses = vec![git("repo.read", "acme/web"), git("ci.read", "acme/web"), git("repo.read", "acme/web")];
    let (draft, text, replayed) = tightened(&record(github(&["*"], &["**"]), uses));
    assert_eq!((draft.parts.len(), replayed), (1, 3), "{text}");
    assert!(text.contains("allow   = [\"ci.read\", \"repo.read\"]") && text.contains("on      = [\"acme/web\"]"), "{text}");
    assert!(text.contains("# used: 3 read"), "{text}");
}

#[test]
fn repositories_with_the_same_operations_share_a_grant_and_others_do_not() {
    let uses = vec![git("repo.read", "acme/a"), git("repo.read", "acme/b"), git("pr.create", "acme/c"), git("repo.read", "acme/c")];
    let (draft, text, replayed) = tightened(&record(github(&["*"], &["acme/*"]), uses));
    assert_eq!((draft.parts.len(), replayed), (2, 4), "{text}");
    assert!(text.contains("[\"acme/a\", \"acme/b\"]"), "{text}");
}

#[test]
fn branches_below_one_prefix_become_a_pattern_where_the_grant_has_room_for_it() {
    let uses = || vec![git("git.push", "acme/web@agent/a"), git("git.push", "acme/web@agent/b"), git("git.push", "acme/web@main")];
    let (_, text, replayed) = tightened(&record(github(&["git.push"], &["acme/web@**"]), uses()));
    assert!(replayed == 3 && text.contains("[\"acme/web@agent/**\", \"acme/web@main\"]"), "{text}");
    let exact = github(&["git.push"], &["acme/web@agent/a", "acme/web@agent/b", "acme/web@main"]);
    let (_, text, replayed) = tightened(&record(exact, uses()));
    assert!(replayed == 3 && !text.contains("**"), "{text}");
}

#[test]
fn paths_that_differ_in_a_number_become_a_pattern() {
    let uses = vec![web("GET", "/v1/items/1"), web("GET", "/v1/items/2"), web("GET", "/v1/me"), web("POST", "/v1/items")];
    let (draft, text, replayed) = tightened(&record(http(&["/**"]), uses));
    assert_eq!((draft.parts.len(), replayed), (2, 4), "{text}");
    assert!(text.contains("\"/v1/items/*\"") && text.contains("\"/v1/me\""), "{text}");
    let (_, text, replayed) = tightened(&record(http(&["/v1/items/1", "/v1/items/2"]), vec![web("GET", "/v1/items/1"), web("GET", "/v1/items/2")]));
    assert!(replayed == 2 && !text.contains('*'), "{text}");
}

#[test]
fn what_would_have_been_refused_stays_out_and_says_why() {
    let mut push = git("git.push", "acme/web@main");
    push.would_deny = vec!["MQ-2104".into()];
    push.grant = None;
    let record = record(github(&["repo.read"], &["acme/*"]), vec![git("repo.read", "acme/web"), push]);
    let (_, text, replayed) = tightened(&record);
    assert!(replayed == 1 && !text.contains("git.push"), "{text}");
    let judged = Judged::of(&record, &text).unwrap_or_else(|e| panic!("{}", e.text()));
    assert_eq!(judged.left_out.keys().collect::<Vec<_>>(), [&("github git.push".to_owned(), "MQ-2104".to_owned())]);
}

#[test]
fn a_refusal_by_policy_stays_out_even_where_a_grant_permits_it() {
    let mut push = git("git.push", "acme/web@main");
    push.would_deny = vec!["MQ-3107".into()];
    let uses = vec![git("git.push", "acme/web@main"), push];
    assert_eq!(tightened(&record(github(&["*"], &["acme/web@**"]), uses)).2, 1);
}

#[test]
fn limits_stay_and_are_not_multiplied() {
    let mut grants = github(&["*"], &["acme/*"]);
    grants[0]["limits"] = json!({"uses": 10, "rate": {"uses": 5, "per_s": 60}});
    let uses = vec![git("repo.read", "acme/a"), git("pr.create", "acme/b")];
    let (draft, text, replayed) = tightened(&record(grants, uses));
    assert_eq!((draft.parts.len(), replayed), (1, 2), "{text}");
    assert!(text.contains("limit   = { rate = { per_s = 60, uses = 5 }, uses = 10 }"), "{text}");
}

#[test]
fn more_things_than_a_grant_lists_are_said_by_a_pattern_or_by_the_grant_itself() {
    let many = |count: usize| (0..count).map(|n| git("repo.read", &format!("acme/r{n}"))).collect::<Vec<_>>();
    let (draft, text, replayed) = tightened(&record(github(&["*"], &["acme/*"]), many(MAX_ENTRIES)));
    assert!(draft.parts.len() == 1 && replayed == MAX_ENTRIES && text.contains("acme/r31"), "{text}");
    let (draft, text, replayed) = tightened(&record(github(&["*"], &["acme/*"]), many(MAX_ENTRIES + 1)));
    assert!(draft.parts.len() == 1 && replayed == MAX_ENTRIES + 1 && text.contains("\"acme/*\""), "{text}");
    // Each with an operation of its own: more grants than a link holds.
    let uses: Vec<UsedOnce> = (0..MAX_GRANTS + 1).map(|n| git(&format!("op.o{n}"), &format!("acme/r{n}"))).collect();
    let (draft, text, replayed) = tightened(&record(github(&["op.*"], &["acme/*"]), uses));
    assert!(draft.parts.len() == 1 && replayed == MAX_GRANTS + 1 && text.contains("op.*"), "{text}");
    let paths: Vec<UsedOnce> = (0..PATHS_MAX + 1).map(|n| web("GET", &format!("/v1/p{n}x"))).collect();
    let (_, text, replayed) = tightened(&record(http(&["/**"]), paths.get(1..).unwrap_or_default().to_vec()));
    assert!(replayed == PATHS_MAX && !text.contains("**"), "{text}");
    let (_, text, replayed) = tightened(&record(http(&["/**"]), paths));
    assert!(replayed == PATHS_MAX + 1 && text.contains("\"/v1/**\""), "{text}");
}

#[test]
fn a_name_that_would_be_read_as_a_pattern_stays_out() {
    let record = record(github(&["*"], &["**"]), vec![git("repo.read", "acme/web"), git("repo.read", "acme/a*b")]);
    let (_, text, replayed) = tightened(&record);
    assert_eq!(replayed, 1, "{text}");
    let judged = Judged::of(&record, &text).unwrap_or_else(|e| panic!("{}", e.text()));
    assert!(judged.left_out.keys().any(|(_, why)| why.contains("cannot be written")));
}

#[test]
fn hosts_that_observe_mode_let_pass_are_listed_and_registries_by_their_name() {
    let mut record = record(github(&["*"], &["**"]), vec![git("repo.read", "acme/web")]);
    for (host, count) in [("registry.npmjs.org:443", 5), ("pypi.org:443", 2), ("docs.test:443", 3), ("plain.test:80", 1)] {
        record.hosts.insert(host.into(), count);
    }
    let (_, text, _) = tightened(&record);
    assert!(text.contains("  # \"@package-registries\",  # ×7"), "{text}");
    assert!(text.contains("  # \"https://docs.test:443\",  # ×3") && text.contains("  # \"http://plain.test:80\""), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("  \"")), "no grant named them: {text}");
    for n in 0..=HOSTS_MAX {
        record.hosts.insert(format!("h{n}.test:443"), 1);
    }
    let (_, text, _) = tightened(&record);
    assert_eq!(text.lines().filter(|l| l.starts_with("  # \"")).count(), HOSTS_MAX, "{text}");
    assert!(text.contains("  # and 4 more hosts"), "{text}");
}

#[test]
fn a_session_that_used_nothing_gives_no_task() {
    let empty = record(github(&["*"], &["**"]), Vec::new());
    assert!(Draft::of(&empty).is_err_and(|e| e.text().contains("used nothing")));
}
