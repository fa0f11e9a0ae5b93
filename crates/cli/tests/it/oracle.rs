//! What must be true of a journal's files, seen from outside: from the clients' log and the upstream's.

use crate::house::{House, LONG};
use crate::load::{Acks, USES, Upstream};
use marque_journal::merkle::leaf_hash;
use marque_journal::record::decode;
use marque_journal::segment::{Expect, scan};
use marque_model::{Effect, Event, SessionId};
use marque_testkit::proc::{Child, Exit};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The journal's records as the oracle needs them.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) hashes: Vec<String>,
    /// Intents by request: session and sequence of each.
    pub(crate) intents: HashMap<String, Vec<(String, u64)>>,
    /// Intents of a session.
    pub(crate) by_session: BTreeMap<String, u64>,
    pub(crate) ends: HashMap<String, u64>,
    pub(crate) added: Vec<(String, u64)>,
    /// Questions answered with yes: uses allowed, and intents that spent them.
    pub(crate) approved: HashMap<String, (u32, u32)>,
    /// Every violation that the records themselves show.
    pub(crate) violations: Vec<String>,
}

pub(crate) fn segments(data: &Path) -> Vec<PathBuf> {
    let entries = data.join("journal").read_dir().unwrap().flatten().map(|entry| entry.path());
    let mut all: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "seg")).collect();
    all.sort();
    all
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Every record of the files, in order; whatever cannot be read ends the walk, and the verifiers will say why.
pub(crate) fn each_record(data: &Path, mut each: impl FnMut(&[u8])) {
    let mut expect = Expect::default();
    for path in segments(data) {
        let bytes = std::fs::read(&path).unwrap();
        let Ok(scan) = scan(&bytes, &expect) else { break };
        scan.records().for_each(&mut each);
        expect = Expect {
            number: scan.header.number.checked_add(1),
            first_seq: Some(scan.next_seq),
            instance: Some(scan.header.instance),
            root: None,
            previous: Some(scan.tip),
        };
    }
}

/// What the records say.
pub(crate) fn told(data: &Path) -> Told {
    let mut told = Told::default();
    each_record(data, |raw| {
        let seq = told.hashes.len() as u64;
        told.hashes.push(hex(&leaf_hash(raw)));
        let Ok(record) = decode(raw) else { return };
        let session = record.head().session.map(|id| SessionId::from_bytes(id).to_string()).unwrap_or_default();
        match Event::decode(record.kind(), record.body()) {
            Ok(Event::UseIntent(intent)) => {
                if told.ends.contains_key(&session) {
                    told.violations.push(format!("intent {seq} comes after the end of `{session}`"));
                }
                match intent.ask.map(|id| id.to_string()) {
                    Some(id) => match told.approved.get_mut(&id) {
                        Some((uses, spent)) if *spent < *uses => *spent += 1,
                        _ => told.violations.push(format!("intent {seq} spends the approval `{id}`, which is not there or spent")),
                    },
                    None if intent.effect == Effect::Destructive => {
                        told.violations.push(format!("intent {seq} cannot be undone, and nobody approved it"));
                    }
                    None => {}
                }
                let resource = intent.resource.unwrap_or_default();
                let request = resource.strip_prefix("acme/").unwrap_or(&resource).to_owned();
                told.intents.entry(request).or_default().push((session.clone(), seq));
                *told.by_session.entry(session).or_default() += 1;
            }
            Ok(Event::AskAnswer(answer)) if answer.approved => {
                told.approved.insert(answer.id.to_string(), (answer.uses, 0));
            }
            Ok(Event::SessionEnd(_)) => {
                told.ends.insert(session, seq);
            }
            Ok(Event::CredentialAdd(add)) => told.added.push((add.name, u64::from(add.version))),
            _ => {}
        }
    });
    told
}

/// What a round showed.
#[derive(Default, Debug)]
pub(crate) struct Shown {
    pub(crate) acknowledged: usize,
    pub(crate) seen_upstream: usize,
    pub(crate) records: usize,
    pub(crate) at_the_limit: usize,
    pub(crate) approved: usize,
    pub(crate) approvals_spent: usize,
}

/// The oracle. `limited` are the sessions whose grant allows [`USES`] uses.
pub(crate) fn judge(house: &House, upstream: &Upstream, acks: &Acks, limited: &[String]) -> Shown {
    let told = told(&house.data());
    let mut wrong = told.violations.clone();
    // (a) nothing acknowledged is lost
    for (session, request) in &acks.uses {
        let there = told.intents.get(request).is_some_and(|all| all.iter().any(|(of, _)| of == session));
        if !there {
            wrong.push(format!("`{request}` was answered, and has no intent in `{session}`"));
        }
    }
    for (seq, hash) in &acks.records {
        if usize::try_from(*seq).ok().and_then(|at| told.hashes.get(at)) != Some(hash) {
            wrong.push(format!("record {seq} was shown to a client, and is gone or another"));
        }
    }
    for (session, seq, _) in &acks.ends {
        if told.ends.get(session) != Some(seq) {
            wrong.push(format!("the end of `{session}` was confirmed as record {seq}: {:?}", told.ends.get(session)));
        }
    }
    for added in &acks.credentials {
        if !told.added.contains(added) {
            wrong.push(format!("the credential {added:?} was confirmed, and is not recorded"));
        }
    }
    // (b) no credential without a durable intent, use by use
    let records = upstream.server.log().records();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for record in records.iter().filter(|record| !record.credentials.is_empty()) {
        let request = record.path().rsplit('/').next().unwrap_or_default().to_owned();
        let asked = request.ends_with("-asks");
        *seen.entry(request).or_default() += 1;
        if (record.method == "DELETE") != asked || !record.saw(&upstream.secret) {
            wrong.push(format!("the upstream saw {} {} with {:?}", record.method, record.target, record.credentials));
        }
    }
    for (request, times) in &seen {
        let intents = told.intents.get(request).map_or(0, Vec::len);
        if *times > intents {
            wrong.push(format!("the upstream saw the credential {times} times for `{request}`, which has {intents} intents"));
        }
    }
    // (d) nothing after the end: in the journal's order (above), and upstream once somebody was told of it
    for record in &records {
        let request = record.path().rsplit('/').next().unwrap_or_default();
        let sessions = told.intents.get(request).into_iter().flatten().map(|(session, _)| session);
        for (session, _, at_ms) in sessions.flat_map(|session| acks.ends.iter().filter(move |(ended, ..)| ended == session)) {
            if record.at_ms > at_ms + 100 {
                wrong.push(format!("the upstream saw `{request}` {} ms after the end of `{session}`", record.at_ms - at_ms));
            }
        }
    }
    // (c) no limit is passed
    let mut at_the_limit = 0;
    for session in limited {
        let intents = told.by_session.get(session).copied().unwrap_or(0);
        let names: usize = told.intents.iter().filter(|(_, all)| all.iter().any(|(of, _)| of == session)).map(|(name, _)| seen.get(name).copied().unwrap_or(0)).sum();
        at_the_limit += usize::from(intents == USES);
        if intents > USES || names as u64 > USES {
            wrong.push(format!("`{session}` may be used {USES} times: {intents} intents, {names} seen upstream"));
        }
    }
    // A one-use approval admits one: the spending is in the records (above), each yes is there, and no use has none.
    for id in &acks.approved {
        if told.approved.get(id).is_none_or(|(uses, _)| *uses != 1) {
            wrong.push(format!("the approval `{id}` was confirmed for one use, and is recorded as {:?}", told.approved.get(id)));
        }
    }
    assert!(wrong.is_empty(), "{} violations, first: {:#?}", wrong.len(), wrong.iter().take(12).collect::<Vec<_>>());
    Shown { acknowledged: acks.uses.len() + acks.records.len() + acks.ends.len(), seen_upstream: seen.values().sum(), records: told.hashes.len(), at_the_limit, approved: told.approved.len(), approvals_spent: told.approved.values().filter(|(_, spent)| *spent > 0).count() }
}

/// The Python verifier, against checkpoints that somebody holds.
pub(crate) fn python(data: &Path, against: &[PathBuf]) -> Exit {
    let verifier = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/verify.py");
    let tools = marque_testkit::tools::Tools::find();
    let mut command = Command::new(tools.python().unwrap());
    command.arg(verifier).arg(data);
    for file in against {
        command.arg("--against").arg(file);
    }
    Child::run(&mut command, LONG).unwrap()
}

/// `marque audit verify`, against checkpoints that somebody holds.
pub(crate) fn rust(house: &House, against: &[PathBuf]) -> Exit {
    let mut command = house.command(&["audit", "verify"]);
    for file in against {
        command.arg("--against").arg(file);
    }
    Child::run(&mut command, LONG).unwrap()
}

/// Both verifiers accept the journal, and the checkpoints that clients hold.
pub(crate) fn verifies(house: &House, checkpoints: &[String]) {
    let first = checkpoints.first();
    let held: Vec<PathBuf> = first.into_iter().chain(checkpoints.iter().rev().take(3)).enumerate().map(|(n, note)| {
        let path = house.dir.path().join(format!("held-{n}"));
        std::fs::write(&path, note).unwrap();
        path
    }).collect();
    // The last outcome may be younger than the last checkpoint: then it is said to be, and nothing else is said.
    let exit = rust(house, &held);
    assert!(matches!(exit.status.code(), Some(0 | 8)) && !exit.stderr.contains("finding"), "marque audit verify: {exit:?}");
    let exit = python(&house.data(), &held);
    assert!(matches!(exit.status.code(), Some(0 | 8)) && !exit.stdout.contains("FINDING"), "verify.py: {exit:?}");
}
