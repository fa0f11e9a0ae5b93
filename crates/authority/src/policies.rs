//! The policies in force: the pack that ships with the program, and packs that a human applied by digest (I14). A pack
//! whose stored text is not the one that the journal names permits nothing until somebody applies one again.

use crate::authority::Authority;
use crate::services::Services;
use crate::{Error, limits};
use marque_api::control::{PolicyApply, PolicyRemove, PolicyTexts, PolicyView};
use marque_api::{Code, Problem};
use marque_model::event::{Apply, Draft};
use marque_model::{Effect, Grade, State, SubjectId};
use marque_policy::{Operation, Pack, PackError, Policies, Verdict, Vocabulary};
use marque_model::event::APPLIED_POLICY as KIND;
use marque_store::disk::{RealDisk, replace_file};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Name of the shipped pack.
pub const SHIPPED: &str = "default";
/// Digest that says that a pack was taken away.
const REMOVED: [u8; 32] = [0; 32];

const SHIPPED_TEXT: (&str, &str) = ("default.cedar", include_str!("../../../policies/default.cedar"));
const SHIPPED_TESTS: (&str, &str) = ("default.test.toml", include_str!("../../../policies/default.test.toml"));

/// What Marque itself does for a human: policy actions too (DESIGN I14). Their effect is *write*, so that a pack which
/// forbids standing access upstream does not forbid opening sessions.
const ACTS: [&str; 8] = [
    "session.open",
    "approval.answer",
    "credential.add",
    "policy.apply",
    "service.apply",
    "environment.apply",
    "task.apply",
    "human.erase",
];
/// The service of those acts.
pub(crate) const SELF: &str = "marque";

/// Methods of hosts that no profile knows, as the generic reading names them.
const METHODS: [(&str, Effect); 8] = [
    ("GET", Effect::Read),
    ("HEAD", Effect::Read),
    ("OPTIONS", Effect::Read),
    ("POST", Effect::Write),
    ("PUT", Effect::Write),
    ("PATCH", Effect::Write),
    ("DELETE", Effect::Destructive),
    ("CONNECT", Effect::Unparsed),
];

/// The effect of an operation that no profile knows: a method of an unknown host, or one of Marque's own acts.
#[must_use]
pub fn effect_of_own(service: &str, operation: &str) -> Option<Effect> {
    match service {
        "http" => METHODS.iter().find(|(method, _)| *method == operation).map(|(_, effect)| *effect),
        SELF => ACTS.contains(&operation).then_some(Effect::Write),
        _ => None,
    }
}

/// A pack as it is kept in the data directory.
#[derive(Serialize, Deserialize)]
struct Kept {
    files: Vec<(String, String)>,
    tests: Option<(String, String)>,
}

impl Kept {
    fn load(&self, vocabulary: &Vocabulary) -> Result<Pack, PackError> {
        let files: Vec<(&str, &str)> = self.files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let tests = self.tests.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
        Pack::load(&files, tests, vocabulary)
    }
}

/// All packs, compiled.
pub(crate) struct Book {
    vocabulary: Vocabulary,
    packs: BTreeMap<String, Pack>,
    current: Arc<Policies>,
    /// The record after which they are in force.
    seq: u64,
    /// Why nothing is permitted, where that is so.
    fault: Option<String>,
}

/// The names that policies may use: every operation of the profiles, of unknown hosts, and Marque's own acts.
///
/// # Errors
/// Where two profiles give one name to two things.
pub fn vocabulary(services: &Services) -> Result<Vocabulary, Error> {
    let of_profiles = services.iter().flat_map(|(service, profile)| {
        profile.operations().map(|(operation, effect, _)| (service.as_str(), operation.to_owned(), effect))
    });
    let of_hosts = METHODS.iter().map(|(method, effect)| ("http", (*method).to_owned(), *effect));
    let own = ACTS.iter().map(|act| (SELF, (*act).to_owned(), Effect::Write));
    let named = |(service, operation, effect): (&str, String, Effect)| Operation { service: service.to_owned(), operation, effect };
    let all: Vec<Operation> = of_profiles.chain(of_hosts).chain(own).map(named).collect();
    Vocabulary::new(&all).map_err(|e| Error::Profile("vocabulary".into(), e.to_string()))
}

/// The shipped pack.
///
/// # Errors
/// Where it does not load, which a test excludes.
pub fn shipped(vocabulary: &Vocabulary) -> Result<Pack, Error> {
    Pack::load(&[SHIPPED_TEXT], Some(SHIPPED_TESTS), vocabulary).map_err(|e| Error::Profile(SHIPPED.into(), e.to_string()))
}

impl Book {
    /// The shipped pack alone.
    pub(crate) fn new(services: &Services) -> Result<Self, Error> {
        let vocabulary = vocabulary(services)?;
        let pack = shipped(&vocabulary)?;
        let packs = BTreeMap::from([(SHIPPED.to_owned(), pack)]);
        let current = Arc::new(Policies::new(&vocabulary, packs.values().cloned().collect()));
        Ok(Self { vocabulary, packs, current, seq: 0, fault: None })
    }

    /// Adds what the journal says was applied, from the data directory.
    pub(crate) fn restore(&mut self, dir: &Path, state: &State) {
        self.seq = state.policy_seq;
        for ((what, name), digest) in &state.applied {
            if what != KIND || *digest == REMOVED {
                continue;
            }
            match self.read(dir, name, digest) {
                Ok(pack) => {
                    self.packs.insert(name.clone(), pack);
                }
                Err(why) => self.fault = Some(format!("the policy pack `{name}` is not the one that was applied: {why}")),
            }
        }
        self.compile();
    }

    fn read(&self, dir: &Path, name: &str, digest: &[u8; 32]) -> Result<Pack, String> {
        let text = std::fs::read(dir.join(file_of(name))).map_err(|e| e.to_string())?;
        let kept: Kept = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
        let pack = kept.load(&self.vocabulary).map_err(|e| e.to_string())?;
        if pack.digest() == *digest { Ok(pack) } else { Err("its text was changed".to_owned()) }
    }

    /// Without every pack that should hold there is no knowing what is forbidden: then nothing is permitted (I7).
    fn compile(&mut self) {
        let packs = if self.fault.is_some() { Vec::new() } else { self.packs.values().cloned().collect() };
        self.current = Arc::new(Policies::new(&self.vocabulary, packs));
    }

    pub(crate) fn current(&self) -> Arc<Policies> {
        self.current.clone()
    }

    /// The packs in force, and the record after which they are.
    pub(crate) fn current_since(&self) -> (Arc<Policies>, u64) {
        (self.current.clone(), self.seq)
    }

    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Names of the packs, for link 0.
    pub(crate) fn names(&self) -> String {
        self.packs.keys().map(String::as_str).collect::<Vec<_>>().join("+")
    }
}

fn file_of(name: &str) -> String {
    format!("policy-{name}.json")
}

fn check_name(name: &str) -> Result<(), Error> {
    let fits = !name.is_empty()
        && name.len() <= limits::PACK_NAME_BYTES_MAX
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && name != SHIPPED;
    if fits {
        return Ok(());
    }
    let detail = format!("`{name}` cannot be the name of a pack");
    Err(Error::Refused(Problem::new(Code::PACK, detail, "use lower-case letters, digits and `-`, and not `default`")))
}

impl Authority {
    /// The policies in force.
    #[must_use]
    pub fn policies(&self) -> Arc<Policies> {
        self.book.read().current()
    }

    /// Puts a pack in force. An act that widens authority, since a pack may replace a stricter one.
    ///
    /// # Errors
    /// Where the passphrase is wrong, the pack does not load, one of its assertions fails, or policy forbids it.
    pub async fn policy_apply(self: &Arc<Self>, mut asked: PolicyApply, uid: u32) -> Result<PolicyView, Error> {
        self.check_passphrase(&mut asked.passphrase).await?;
        check_name(&asked.name)?;
        self.judge_act("policy.apply", &asked.name, "", self.subject_of(uid).await?)?;
        let kept = Kept { files: asked.files, tests: asked.tests };
        let vocabulary = self.book.read().vocabulary.clone();
        let pack = kept.load(&vocabulary).map_err(|e| {
            Error::Refused(Problem::new(Code::PACK, e.to_string(), "correct it and try `marque policy check` first"))
        })?;
        self.stays_open(&asked.name, &pack)?;
        let text = serde_json::to_vec(&kept).map_err(|e| Error::Journal(e.to_string()))?;
        self.replace_in_data_dir(&file_of(&asked.name), &text)?;
        let digest = pack.digest();
        // Between the file and the record the old digest no longer fits: a crash there permits nothing, and never the wrong.
        let event = Apply { what: KIND.into(), name: asked.name.clone(), digest };
        let _one_at_a_time = self.changing_policies.lock().await;
        let seq = self.append(Draft::new(event).into()).await?.seq;
        let view = view(&asked.name, &pack);
        self.change_packs(seq, |packs| {
            packs.insert(asked.name, pack);
        });
        self.remember()?;
        Ok(view)
    }

    /// Takes a pack out of force. An act that widens authority.
    ///
    /// # Errors
    /// Where the passphrase is wrong, there is no such pack, or policy forbids it.
    pub async fn policy_remove(self: &Arc<Self>, name: &str, mut asked: PolicyRemove, uid: u32) -> Result<(), Error> {
        self.check_passphrase(&mut asked.passphrase).await?;
        self.judge_act("policy.apply", name, "", self.subject_of(uid).await?)?;
        let known = self.state.read().applied.get(&(KIND.to_owned(), name.to_owned())).is_some_and(|d| *d != REMOVED);
        if !known {
            let problem = Problem::new(Code::NOT_FOUND, format!("`{name}` is no applied pack"), "see `marque policy list`");
            return Err(Error::Refused(problem));
        }
        let event = Apply { what: KIND.into(), name: name.to_owned(), digest: REMOVED };
        let _one_at_a_time = self.changing_policies.lock().await;
        let seq = self.append(Draft::new(event).into()).await?.seq;
        self.change_packs(seq, |packs| {
            packs.remove(name);
        });
        self.remember()?;
        Ok(())
    }

    /// The texts of an applied pack.
    ///
    /// # Errors
    /// Where there is no such pack, or its text is not the one that was applied.
    pub fn policy_texts(&self, name: &str) -> Result<PolicyTexts, Error> {
        let digest = self.state.read().applied.get(&(KIND.to_owned(), name.to_owned())).copied().filter(|digest| *digest != REMOVED);
        let unknown = || Error::Refused(Problem::new(Code::NOT_FOUND, format!("`{name}` is no applied pack"), "see `marque policy list`"));
        let digest = digest.ok_or_else(unknown)?;
        let changed = |why: String| Error::Refused(Problem::new(Code::DIGEST, why, "apply it again with `marque policy apply FILE`"));
        self.book.read().read(&self.options.data_dir, name, &digest).map_err(changed)?;
        let text = std::fs::read(self.options.data_dir.join(file_of(name))).map_err(|e| changed(e.to_string()))?;
        let kept: Kept = serde_json::from_slice(&text).map_err(|e| changed(e.to_string()))?;
        Ok(PolicyTexts { files: kept.files, tests: kept.tests })
    }

    /// A pack under which no pack could be applied or taken away would be in force for ever.
    fn stays_open(&self, name: &str, pack: &Pack) -> Result<(), Error> {
        let policies = {
            let book = self.book.read();
            let others = book.packs.iter().filter(|(known, _)| *known != name).map(|(_, pack)| pack.clone());
            Policies::new(&book.vocabulary, others.chain([pack.clone()]).collect())
        };
        let facts = crate::decide::act_facts("policy.apply", name, "", SubjectId::from_bytes([0; 16]), Grade::A, &[]);
        match policies.decide(&facts) {
            Verdict::Deny { rules, .. } => {
                let rules = rules.iter().map(|rule| &**rule).collect::<Vec<_>>().join(", ");
                let detail = format!("with `{rules}` in force no pack could be applied or taken away any more");
                let help = "leave the act out: `unless { action == Action::\"marque/policy.apply\" }`";
                Err(Error::Refused(Problem::new(Code::PACK, detail, help)))
            }
            _ => Ok(()),
        }
    }

    /// Uses that were decided before `seq` are decided again: the committer compares.
    fn change_packs(&self, seq: u64, change: impl FnOnce(&mut BTreeMap<String, Pack>)) {
        let mut book = self.book.write();
        change(&mut book.packs);
        book.seq = seq;
        // What could not be read may be what was replaced just now: read all again.
        if book.fault.take().is_some() {
            let state = self.state.read();
            book.restore(&self.options.data_dir, &state);
        } else {
            book.compile();
        }
    }

    fn replace_in_data_dir(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let dir = &self.options.data_dir;
        let disk = RealDisk::open(dir).map_err(|source| Error::Io { path: dir.display().to_string(), source })?;
        replace_file(&disk, name, bytes).map_err(|source| Error::Io { path: name.to_owned(), source })
    }

    /// The packs in force.
    #[must_use]
    pub fn policy_list(&self) -> Vec<PolicyView> {
        self.book.read().packs.iter().map(|(name, pack)| view(name, pack)).collect()
    }
}

fn view(name: &str, pack: &Pack) -> PolicyView {
    PolicyView {
        name: name.to_owned(),
        digest: crate::hex(&pack.digest()),
        rules: pack.rule_ids().map(str::to_owned).collect(),
        shipped: name == SHIPPED,
    }
}
