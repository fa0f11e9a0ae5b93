//! `policy`: check and try packs, put them in force, explain.

use crate::args::{Global, PolicyCommand, PolicyExplainArgs};
use crate::files::TEXT_BYTES_MAX;
use crate::connect::{block_on, client, open};
use crate::out::{Failure, Outcome, exit, plain, print, print_as, print_json, say, text};
use crate::paths::Paths;
use hyper::Method;
use marque_api::Code;
use marque_api::control::{PolicyApply, PolicyRemove, PolicyTexts, PolicyView};
use marque_authority::policies;
use marque_authority::services;
use marque_model::{Effect, Grade, Mode};
use marque_policy::{Act, Circumstances, Facts, Pack, PackError, Policies, Principal, Resource, SessionFacts, Verdict, Vocabulary};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(crate) fn main(global: &Global, command: &PolicyCommand) -> Outcome {
    match command {
        PolicyCommand::List => list(global),
        PolicyCommand::Check { files } => check(global, files, false),
        PolicyCommand::Test { files } => check(global, files, true),
        PolicyCommand::Schema => {
            text(global, "marque/policy-schema.v1", "cedar", vocabulary()?.schema_text())
        }
        PolicyCommand::Apply { file } => apply(global, file),
        PolicyCommand::Remove { name } => remove(global, name),
        PolicyCommand::Explain(args) => explain(global, args),
    }
}

fn vocabulary() -> Result<Vocabulary, Failure> {
    Ok(policies::vocabulary(&services::shipped()?)?)
}

/// A policy file and the assertions beside it.
struct Texts {
    name: String,
    file: (String, String),
    tests: Option<(String, String)>,
}

impl Texts {
    fn read(path: &Path) -> Result<Self, Failure> {
        let unreadable = |path: &Path, e: std::io::Error| Failure::usage(format!("`{}`: {e}", path.display()), "give a readable `.cedar` file");
        let text = crate::files::read_text(path, TEXT_BYTES_MAX).map_err(|e| unreadable(path, e))?;
        let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let beside = path.with_extension("test.toml");
        let tests = match crate::files::read_text(&beside, TEXT_BYTES_MAX) {
            Ok(text) => Some((file_name(&beside), text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(unreadable(&beside, e)),
        };
        Ok(Self { name, file: (file_name(path), text), tests })
    }

    fn load(&self, vocabulary: &Vocabulary) -> Result<Pack, PackError> {
        let tests = self.tests.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
        Pack::load(&[(&self.file.0, &self.file.1)], tests, vocabulary)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

fn check(global: &Global, files: &[PathBuf], need_tests: bool) -> Outcome {
    let vocabulary = vocabulary()?;
    let mut bad = 0;
    let mut checked = Vec::new();
    for path in files {
        let texts = Texts::read(path)?;
        if need_tests && texts.tests.is_none() {
            let beside = path.with_extension("test.toml");
            return Err(Failure::usage(format!("there is no `{}`", beside.display()), "write what the pack promises beside it"));
        }
        match texts.load(&vocabulary) {
            Ok(pack) => {
                let tested = if texts.tests.is_some() { "its assertions hold" } else { "it has no assertions" };
                let warnings: Vec<String> = pack.warnings().iter().map(ToString::to_string).collect();
                checked.push(serde_json::json!({
                    "file": path.display().to_string(), "rules": pack.rule_ids().count(), "tested": texts.tests.is_some(), "warnings": warnings, "error": null,
                }));
                if global.json {
                    continue;
                }
                print(&format!("{}: {} rules, {tested}", path.display(), pack.rule_ids().count()));
                for warning in pack.warnings() {
                    say(&format!("warning: {warning}"));
                }
            }
            Err(error) => {
                bad += 1;
                checked.push(serde_json::json!({ "file": path.display().to_string(), "error": error.to_string() }));
                if !global.json {
                    say(&error.to_string());
                }
            }
        }
    }
    if global.json {
        print_as("marque/policy-check.v1", &checked)?;
    }
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::from(exit::FINDINGS) })
}

fn list(global: &Global) -> Outcome {
    let client = client(global)?;
    let list: Vec<PolicyView> = block_on(async { Ok(client.call(Method::GET, "/v1/policies", None::<&()>).await?) })?;
    if global.json {
        return print_as("marque/policies.v1", &list);
    }
    print("PACK             FROM      RULES  DIGEST");
    for pack in &list {
        let from = if pack.shipped { "shipped" } else { "applied" };
        print(&format!("{:<16} {from:<9} {:<6} {}", pack.name, pack.rules.len(), pack.digest));
    }
    Ok(ExitCode::SUCCESS)
}

fn apply(global: &Global, file: &Path) -> Outcome {
    let texts = Texts::read(file)?;
    // What does not load here loads nowhere: no passphrase is asked for it.
    if let Err(error) = texts.load(&vocabulary()?) {
        say(&error.to_string());
        return Ok(ExitCode::from(exit::FINDINGS));
    }
    let paths = Paths::of(global)?;
    let view: PolicyView = block_on(async {
        let (client, passphrase) = open(global, &paths).await?;
        let body = PolicyApply { passphrase, name: texts.name, files: vec![texts.file], tests: texts.tests };
        Ok(client.call(Method::POST, "/v1/policies", Some(&body)).await?)
    })?;
    if global.json {
        return print_as("marque/policy.v1", &view);
    }
    print(&format!("{} is in force: {} rules, digest {}", view.name, view.rules.len(), view.digest));
    Ok(ExitCode::SUCCESS)
}

fn remove(global: &Global, name: &str) -> Outcome {
    let paths = Paths::of(global)?;
    let path = format!("/v1/policies/{name}/remove");
    let _: serde_json::Value = block_on(async {
        let (client, passphrase) = open(global, &paths).await?;
        Ok(client.call(Method::POST, &path, Some(&PolicyRemove { passphrase })).await?)
    })?;
    if global.json {
        return print_as("marque/removed.v1", &serde_json::json!({ "removed": name }));
    }
    Ok(ExitCode::SUCCESS)
}

fn facts(args: &PolicyExplainArgs) -> Result<Facts, Failure> {
    let usage = |what: String| Failure::usage(what, "see `marque policy explain --help`");
    let (service, operation) = args
        .action
        .rsplit_once('/')
        .ok_or_else(|| usage(format!("`{}` is no action: write it like `github/git.push`", args.action)))?;
    let known = services::shipped()?;
    let of_profile = known.get(service).and_then(|p| p.operations().find(|(name, ..)| *name == operation).map(|(_, effect, _)| effect));
    let effect = match (&args.effect, of_profile) {
        (Some(word), _) => {
            Effect::ALL.into_iter().find(|e| e.to_string() == *word).ok_or_else(|| usage(format!("`{word}` is no effect")))?
        }
        (None, Some(effect)) => effect,
        (None, None) => policies::effect_of_own(service, operation).ok_or_else(|| {
            usage(format!("`{}` is no operation of a shipped service; give `--effect` for one of your own", args.action))
        })?,
    };
    let grade: Grade = args.grade.parse().map_err(|_| usage(format!("`{}` is no grade", args.grade)))?;
    let mut attributes = std::collections::BTreeMap::new();
    for pair in &args.attributes {
        let (name, value) = pair.split_once('=').ok_or_else(|| usage(format!("`{pair}` is not `NAME=VALUE`")))?;
        attributes.insert(name.to_owned(), value.to_owned());
    }
    Ok(Facts {
        principal: Principal { human: "you".into(), agent: "agent".into(), depth: args.depth, session: "s".into() },
        action: Act { service: service.into(), operation: operation.into(), effect },
        resource: Resource { name: args.resource.clone(), environment: args.env.clone(), attributes: Default::default() },
        context: Circumstances {
            grade,
            mode: Mode::Enforce,
            session: SessionFacts {
                uses: args.uses,
                destructive: args.destructive,
                grants: 0,
                read_untrusted: args.read_untrusted,
            },
            purpose: None,
            accepted: args.accept.clone(),
            attributes,
            streamed: false,
            ask_able: true,
        },
    })
}

/// Adds the packs that a running authority has in force; whether there was one to be asked.
fn applied(global: &Global, vocabulary: &Vocabulary, packs: &mut Vec<Pack>, names: &mut Vec<String>) -> Result<bool, Failure> {
    let client = client(global)?;
    let asked: Result<Vec<(String, PolicyTexts)>, Failure> = block_on(async {
        let list: Vec<PolicyView> = client.call(Method::GET, "/v1/policies", None::<&()>).await?;
        let mut out = Vec::new();
        for view in list.into_iter().filter(|view| !view.shipped) {
            let texts = client.call(Method::GET, &format!("/v1/policies/{}", view.name), None::<&()>).await?;
            out.push((view.name, texts));
        }
        Ok(out)
    });
    let texts = match asked {
        Err(Failure::Problem(problem)) if matches!(problem.code, Code::SEALED | Code::UNREACHABLE) => return Ok(false),
        asked => asked?,
    };
    for (name, texts) in texts {
        // A file that is given by the same name is tried in place of what is in force.
        if names.iter().any(|known| Path::new(known).file_stem().is_some_and(|stem| stem == name.as_str())) {
            continue;
        }
        let files: Vec<(&str, &str)> = texts.files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        match Pack::load(&files, None, vocabulary) {
            Ok(pack) => packs.push(pack),
            // It may speak of a profile of one's own, which is not known here.
            Err(error) => {
                say(&format!("warning: the pack `{}` was not asked: {}", plain(&name), plain(&error.to_string())));
                continue;
            }
        }
        names.push(name);
    }
    Ok(true)
}

/// What the shipped pack, with the given files and what is in force, says to a request that nobody made.
fn explain(global: &Global, args: &PolicyExplainArgs) -> Outcome {
    let vocabulary = vocabulary()?;
    let mut packs = vec![policies::shipped(&vocabulary)?];
    let mut names = vec![policies::SHIPPED.to_owned()];
    names.extend(args.packs.iter().map(|path| plain(&path.display().to_string())));
    for path in &args.packs {
        let pack = Texts::read(path)?.load(&vocabulary);
        packs.push(pack.map_err(|e| Failure::new(e.to_string(), "correct it: `marque policy check` says more"))?);
    }
    let asked = applied(global, &vocabulary, &mut packs, &mut names)?;
    let told = Policies::new(&vocabulary, packs).explain(&facts(args)?);
    let word = told.verdict.answer().word();
    let rules: Vec<String> = told.rules.iter().map(|r| format!("{} ({}:{}): {}", r.id, r.file, r.line, r.because)).collect();
    let flip = told.counterfactual.as_ref().map(ToString::to_string);
    if global.json {
        return print_json(&serde_json::json!({
            "schema": "marque/explanation.v1", "packs": names, "verdict": word, "rules": rules, "counterfactual": flip,
        }));
    }
    let rest = if asked { "" } else { "; no authority was asked what else is in force" };
    print(&format!("packs    {}{rest}", names.join(", ")));
    print(&format!("verdict  {word}"));
    match &told.verdict {
        Verdict::Deny { next_step, .. } => print(&format!("next     {}", plain(next_step))),
        Verdict::Ask { group, uses, ttl_s, .. } => print(&format!("asks     {group}; a yes is good for {uses} use(s) within {ttl_s} s")),
        Verdict::Allow | Verdict::Error { .. } => {}
    }
    for rule in &rules {
        print(&format!("rule     {}", plain(rule)));
    }
    if let Some(flip) = flip {
        print(&format!("other    it would be otherwise if {}", plain(&flip)));
    }
    Ok(ExitCode::SUCCESS)
}
