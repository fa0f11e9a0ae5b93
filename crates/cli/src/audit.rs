//! `audit`: what happened, and whether the journal is whole. `verify` reads files and needs no authority.

mod record;

use crate::anchor::Memory;
use crate::args::{AuditCommand, Global};
use crate::connect::{block_on, client};
use crate::out::{Failure, Outcome, exit, plain, print, print_json, say, text};
use crate::paths::Paths;
use hyper::Method;
use marque_api::control::Lineage;
use marque_journal::note::VerifierKey;
use marque_journal::record as journal_record;
use marque_journal::segment::{Expect, Tail, scan};
use marque_journal::verify::{Source, Verifier};
use marque_model::Event;
use std::path::Path;
use std::process::ExitCode;

/// Largest segment file that is read, in bytes.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;

pub(crate) fn main(global: &Global, command: &AuditCommand) -> Outcome {
    match command {
        AuditCommand::Lineage { session } => lineage(global, session),
        AuditCommand::Verify { against, witnesses } => verify(global, against, witnesses),
        AuditCommand::Search(args) => crate::search::main(global, args),
        AuditCommand::Tail { limit, follow } => crate::search::tail(global, *limit, *follow),
        AuditCommand::Show { seq } => record::show(global, *seq),
        AuditCommand::Receipt { seq } => {
            let client = client(global)?;
            let path = format!("/v1/receipts/{seq}");
            let value: serde_json::Value = block_on(async { Ok(client.call(Method::GET, &path, None::<&()>).await?) })?;
            text(global, "marque/receipt.v1", "receipt", value.get("receipt").and_then(|v| v.as_str()).unwrap_or(""))
        }
        AuditCommand::Checkpoint => {
            let client = client(global)?;
            let value: serde_json::Value =
                block_on(async { Ok(client.call(Method::POST, "/v1/checkpoint", None::<&()>).await?) })?;
            text(global, "marque/checkpoint.v1", "checkpoint", value.get("checkpoint").and_then(|v| v.as_str()).unwrap_or(""))
        }
    }
}

fn lineage(global: &Global, session: &str) -> Outcome {
    let client = client(global)?;
    let page = |after: u64| {
        let path = format!("/v1/sessions/{session}/lineage?after={after}");
        block_on(async { Ok(client.call(Method::GET, &path, None::<&()>).await?) })
    };
    let mut lineage: Lineage = page(0)?;
    while let Some(next) = lineage.next {
        let more = page(next)?;
        lineage.hops.extend(more.hops);
        for view in more.uses {
            // The outcome of a use on a page before.
            let use_ = lineage.uses.iter_mut().find(|known| view.what == "outcome" && Some(known.seq) == view.from);
            match use_ {
                Some(known) => known.result = view.result,
                None => lineage.uses.push(view),
            }
        }
        lineage.next = more.next;
    }
    if global.json {
        return print_json(&lineage);
    }
    print_lineage(&lineage);
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn print_lineage(lineage: &Lineage) {
    let purpose = plain(lineage.purpose.as_deref().unwrap_or("(erased)"));
    print(&format!("{} ({}) authorised session {} for `{purpose}`", lineage.human, lineage.proof, lineage.session));
    for (depth, hop) in lineage.hops.iter().enumerate() {
        let policy = hop.policy.as_deref().unwrap_or("none");
        print(&format!("{:indent$}→ {} under policy {policy}", "", plain(&hop.agent), indent = depth * 2));
        for grant in &hop.grants {
            print(&format!("{:indent$}  {}", "", plain(grant), indent = depth * 2));
        }
    }
    for view in &lineage.uses {
        if view.what == "ended" {
            print(&format!("{:>7}  ended    {}", view.seq, view.result));
            continue;
        }
        let credential = view.credential.as_deref().map(|c| format!(" with {c}")).unwrap_or_default();
        let credential = match view.from {
            Some(seq) if view.what == "own" => format!("{credential}, for {seq}"),
            Some(seq) => format!("{credential}, by what {seq} was answered"),
            None => credential,
        };
        let resource = view.resource.as_deref().map(|r| format!(" {}", plain(r))).unwrap_or_default();
        let rule = view.rule.as_deref().map(|rule| format!(", {}", plain(rule))).unwrap_or_default();
        let rule = match view.would_deny.is_empty() {
            true => rule,
            false => format!("{rule}, in enforce mode {}", view.would_deny.join(" and ")),
        };
        print(&format!(
            "{:>7}  {:<8} {} {}{resource} ({}){credential}: {}{rule}",
            view.seq,
            view.what,
            plain(&view.service),
            plain(&view.operation),
            view.effect,
            view.result
        ));
    }
}

/// Every record of the journal's files, in order, handed to `each`; says what is wrong with the files themselves.
fn read_segments(dir: &Path, mut each: impl FnMut(&[u8])) -> Result<Vec<String>, Failure> {
    let journal = dir.join("journal");
    let unreadable = |e: std::io::Error| Failure::new(format!("`{}`: {e}", journal.display()), "give the data directory");
    let mut names: Vec<_> = std::fs::read_dir(&journal)
        .map_err(unreadable)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "seg"))
        .collect();
    names.sort();
    let mut findings = Vec::new();
    let mut expect = Expect::default();
    let last = names.len().saturating_sub(1);
    for (index, path) in names.iter().enumerate() {
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > SEGMENT_BYTES_MAX {
            findings.push(format!("`{}` is longer than a segment can be", path.display()));
            break;
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        match scan(&bytes, &expect) {
            Err(fault) => {
                findings.push(format!("`{}`: {fault}", path.display()));
                break;
            }
            Ok(scan) => {
                for record in scan.records() {
                    each(record);
                }
                match &scan.tail {
                    Tail::Clean => {}
                    Tail::Torn { .. } if index == last => {
                        findings.push(format!("`{}` ends in a batch that was not finished", path.display()));
                    }
                    other => {
                        findings.push(format!("`{}` is damaged: {other:?}", path.display()));
                        break;
                    }
                }
                expect = Expect {
                    number: scan.header.number.checked_add(1),
                    first_seq: Some(scan.next_seq),
                    instance: Some(scan.header.instance),
                    root: None,
                    previous: Some(scan.tip),
                };
            }
        }
    }
    Ok(findings)
}

/// The verifier key of the log, from the first record; without one, what is wrong.
fn log_key(dir: &Path) -> Result<Result<VerifierKey, Vec<String>>, Failure> {
    let mut key = None;
    let mut findings = read_segments(dir, |bytes| {
        if key.is_none()
            && let Ok(record) = journal_record::decode(bytes)
            && let Ok(Event::InstanceInit(init)) = Event::decode(record.kind(), record.body())
        {
            key = VerifierKey::parse(&init.checkpoint_vkey).ok();
        }
    })?;
    Ok(key.ok_or_else(|| {
        findings.push("the journal has no first record, or it names no key".to_owned());
        findings
    }))
}

fn verify(global: &Global, against: &[std::path::PathBuf], witnesses: &[String]) -> Outcome {
    let witnesses = crate::witness::given(witnesses)?.unwrap_or_default();
    let paths = Paths::of(global)?;
    let key = match log_key(&paths.data)? {
        Ok(key) => key,
        Err(findings) => {
            findings.iter().for_each(|finding| say(&format!("finding: {}", plain(finding))));
            return Ok(ExitCode::from(exit::VERIFICATION));
        }
    };
    let mut memory = Memory::default();
    // Missing is a finding too: whoever takes them away takes what others would check against.
    memory.take(&paths.data.join("journal/checkpoint"), &key, Source::Own);
    memory.same_key(&paths.data.join("journal/log.vkey"), &key);
    let own_marks = crate::anchor::remembered(&paths)?;
    let known = [
        ("a checkpoint given with `--against`", !against.is_empty()),
        ("this machine's state directory", !own_marks.is_empty()),
        ("a witness", !witnesses.is_empty()),
    ];
    let known: Vec<&str> = known.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    for path in against.iter().cloned().chain(own_marks) {
        memory.take(&path, &key, Source::Remembered);
    }
    for witness in &witnesses {
        memory.ask(witness, &key)?;
    }
    let mut verifier = Verifier::new(std::mem::take(&mut memory.anchors));
    let mut seq = 0;
    let mut findings = read_segments(&paths.data, |bytes| {
        verifier.push(bytes);
        memory.meet(seq, &marque_journal::merkle::leaf_hash(bytes));
        seq += 1;
    })?;
    memory.end();
    findings.append(&mut memory.findings);
    let report = verifier.finish();
    findings.extend(report.findings.iter().map(ToString::to_string));
    let window = report.unwitnessed();
    if global.json {
        print_json(&serde_json::json!({
            "schema": "marque/verify.v1",
            "records": report.records,
            "witnessed_to": report.witnessed_to,
            "remembered_by": known,
            "unwitnessed": window.map(|w| [w.from, w.to]),
            "findings": findings,
        }))?;
    }
    for finding in findings.iter().filter(|_| !global.json) {
        say(&format!("finding: {}", plain(finding)));
    }
    match (findings.is_empty(), window) {
        (false, _) => Ok(ExitCode::from(exit::VERIFICATION)),
        (true, None) => {
            if !global.json {
                print(&format!("{} records intact, by what {} remembers", report.records, known.join(" and ")));
            }
            Ok(ExitCode::SUCCESS)
        }
        // Never just "intact": whoever owns the directory could have written these himself.
        (true, Some(window)) => {
            if !global.json {
                let last = window.to.saturating_sub(1);
                print(&format!("unwitnessed: records {} to {last} are younger than every remembered checkpoint", window.from));
                say("help: give a later checkpoint with `--against`: `marque audit checkpoint`, a receipt, or the state directory's mark");
            }
            Ok(ExitCode::from(exit::FINDINGS))
        }
    }
}
