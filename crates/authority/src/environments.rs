//! The environment registry (I8): what belongs where, changed by an act that widens authority, asked for every use.

use crate::Error;
use crate::authority::Authority;
use crate::credentials::Place;
use crate::decide::{Judged, Moment, Question, Refusing};
use crate::intended::{Meaning, Request};
use crate::leaf::{Leaf, Road};
use marque_api::control::{EnvironmentAsked, EnvironmentChange, EnvironmentFound, EnvironmentView};
use marque_api::{Code, Problem};
use marque_model::event::{Draft, EnvironmentAdd, EnvironmentRemove};
use marque_model::registry::{Entry, Found, Index, Kind, RegistryError, Selector, is_environment};
use marque_model::{Effect, Target};
use std::net::IpAddr;
use std::sync::Arc;

/// What asks, where nobody said to which environment a resource belongs.
pub(crate) const UNKNOWN_RULE: &str = "environment-unknown";
/// Who answers that.
const UNKNOWN_GROUP: &str = "owners";
/// Uses that an answer is good for, and for how long.
const UNKNOWN_USES: u32 = 1;
const UNKNOWN_TTL_S: u64 = 600;

/// Where one meaning of a use belongs, seen from its session.
pub(crate) enum Belongs<'a> {
    /// Here: by an entry, or by the record of its credential.
    Here,
    /// To another environment, by that entry.
    Elsewhere(&'a Arc<Entry>),
    /// Nobody said.
    Unknown,
}

/// Looks the meaning up: the resource first, because an entry of it is narrower than one of its host.
pub(crate) fn belongs<'a>(index: &'a Index, leaf: &Leaf, road: &Road, request: &Request, meaning: &Meaning) -> Belongs<'a> {
    let known = match (&road.profile, &request.brings.address) {
        (Some(_), _) => index.resource(&road.service, &meaning.resource),
        (None, _) => Found::Silent,
    };
    let elsewhere = |entry: &&Arc<Entry>| *entry.environment != *leaf.environment;
    let at_address = request.brings.address.as_ref().and_then(|address| index.host(address.host()));
    if let Some(entry) = at_address.filter(elsewhere) {
        return Belongs::Elsewhere(entry);
    }
    match known {
        Found::Registered(entry) if elsewhere(&entry) => Belongs::Elsewhere(entry),
        // What cannot be read may be about another resource than it names.
        Found::Registered(_) if meaning.effect == Effect::Unparsed => Belongs::Unknown,
        Found::Registered(_) => Belongs::Here,
        Found::Unknown | Found::Silent => match of_host(index, &road.target, &road.pins, &leaf.environment) {
            (Some(entry), _) => Belongs::Elsewhere(entry),
            (None, true) => Belongs::Here,
            (None, false) if known == Found::Unknown => Belongs::Unknown,
            (None, false) => Belongs::Here,
        },
    }
}

/// The entry by which a host, or an address that it is pinned to, belongs elsewhere; and whether any names it.
fn of_host<'a>(index: &'a Index, target: &Target, pins: &[IpAddr], environment: &str) -> (Option<&'a Arc<Entry>>, bool) {
    let mut all = index.host(target.host()).into_iter().chain(pins.iter().filter_map(|ip| index.address(*ip))).peekable();
    let named = all.peek().is_some();
    (all.find(|entry| entry.environment != environment), named)
}

/// The refusal of what belongs elsewhere. Which entry says so is for humans.
pub(crate) fn refusal(leaf: &Leaf, what: &str, entry: &Entry) -> Refusing {
    let detail = format!("{what} belongs to `{}`, and this session is for `{}`", entry.environment, leaf.environment);
    let help = format!("a human opens a session with `--env {}`, if the work belongs there", entry.environment);
    Refusing { problem: Problem::new(Code::ENVIRONMENT, detail, help), rule: Some(format!("registry: {entry}")), basis: None }
}

/// What a meaning is called in a refusal.
pub(crate) fn name_of(road: &Road, meaning: &Meaning) -> String {
    match road.profile {
        Some(_) if !meaning.resource.is_empty() => format!("`{}` of `{}`", meaning.resource, road.service),
        _ => format!("`{}`", road.target.host()),
    }
}

/// What policy said of a meaning that nobody registered: what passes is asked about, and what is asked about is asked once, for
/// both reasons.
pub(crate) fn unknown(judged: Judged, name: &str, index: usize, digest: [u8; 32], ask_able: bool) -> Judged {
    let because = format!("nobody registered which environment {name} belongs to");
    match judged {
        Judged::Refuse(refusing) => Judged::Refuse(refusing),
        _ if !ask_able => {
            let help = "send a shorter body, or ask a human to run `marque environment add`";
            let problem = Problem::new(Code::NOT_ASKABLE, because, help);
            Judged::Refuse(Box::new(Refusing { problem, rule: Some(UNKNOWN_RULE.into()), basis: None }))
        }
        Judged::Pass => Judged::Ask(Question {
            index,
            digest,
            group: UNKNOWN_GROUP.into(),
            rule: UNKNOWN_RULE.into(),
            because: because.into(),
            uses: UNKNOWN_USES,
            ttl_s: UNKNOWN_TTL_S,
        }),
        Judged::Ask(mut question) => {
            question.rule = format!("{}, {UNKNOWN_RULE}", question.rule);
            question.because = format!("{}; {because}", question.because).into();
            question.uses = question.uses.min(UNKNOWN_USES);
            question.ttl_s = question.ttl_s.min(UNKNOWN_TTL_S);
            Judged::Ask(question)
        }
    }
}

impl Moment {
    /// The entry by which a host without a credential belongs to another environment: there is no way across either.
    pub(crate) fn host_elsewhere(&self, leaf: &Leaf, target: &Target) -> Option<Refusing> {
        let index = self.registry.as_ref()?;
        let entry = index.host(target.host()).filter(|entry| *entry.environment != *leaf.environment)?;
        Some(refusal(leaf, &format!("`{}`", target.host()), entry))
    }
}

fn refused(error: &RegistryError) -> Error {
    let (code, help) = match error {
        RegistryError::Taken(..) => (Code::ENVIRONMENT, "remove that entry first, or register something narrower"),
        RegistryError::Full => (Code::QUOTA, "remove entries, or register wider ones"),
        _ => (Code::INPUT, "write it like `production resource github 'acme/payments-*'` or `production host '*.prod.acme.example'`"),
    };
    let detail = match error {
        RegistryError::Taken(..) => format!("{error}, and nothing belongs to two environments"),
        other => other.to_string(),
    };
    Error::Refused(Problem::new(code, detail, help))
}

fn selector(kind: &str, service: &str, name: &str) -> Result<Selector, Error> {
    Selector::parse(kind, service, name).map_err(|e| refused(&e))
}

fn view(entry: &Entry, credentials: Vec<String>) -> EnvironmentView {
    EnvironmentView {
        environment: entry.environment.clone(),
        kind: entry.selector.kind.to_string(),
        service: entry.selector.service.clone(),
        name: entry.selector.name.clone(),
        refuses: credentials,
    }
}

impl Authority {
    /// Registers something to an environment. An act that widens authority: what belongs nowhere is asked about.
    ///
    /// # Errors
    /// Where the passphrase is wrong, it names nothing, or it belongs elsewhere already.
    pub async fn environment_add(self: &Arc<Self>, mut asked: EnvironmentChange, uid: u32) -> Result<EnvironmentView, Error> {
        self.check_passphrase(&mut asked.passphrase).await?;
        let selector = selector(&asked.kind, &asked.service, &asked.name)?;
        let environment = asked.environment;
        if !is_environment(&environment) {
            return Err(refused(&RegistryError::Name(environment.chars().take(64).collect())));
        }
        self.judge_act("environment.apply", &selector.to_string(), &environment, self.subject_of(uid).await?)?;
        let speaks = matches!(selector.kind, Kind::Host | Kind::Database) || self.services.read().contains_key(&selector.service);
        if !speaks {
            let why = format!("`{}` is no service with resources", selector.service);
            let help = "see `marque service list`; what has no profile is registered by its host";
            return Err(Error::Refused(Problem::new(Code::NOT_FOUND, why, help)));
        }
        let _one_at_a_time = self.changing_credentials.lock().await;
        let entry = Entry { selector, environment };
        let known = {
            let state = self.state.read();
            state.registry.judge(&entry.selector, &entry.environment).map_err(|e| refused(&e))?;
            state.registry.get(&entry.selector).is_some()
        };
        if !known {
            let event = EnvironmentAdd {
                kind: entry.selector.kind.to_string(),
                service: entry.selector.service.clone(),
                name: entry.selector.name.clone(),
                environment: entry.environment.clone(),
            };
            self.append(Draft::new(event).into()).await?;
            self.remember()?;
        }
        Ok(view(&entry, self.contradicting()))
    }

    /// Takes an entry out. An act that widens authority too: what it kept apart is asked about at most.
    ///
    /// # Errors
    /// Where the passphrase is wrong, or there is no such entry.
    pub async fn environment_remove(self: &Arc<Self>, mut asked: EnvironmentChange, uid: u32) -> Result<(), Error> {
        self.check_passphrase(&mut asked.passphrase).await?;
        let selector = selector(&asked.kind, &asked.service, &asked.name)?;
        let _one_at_a_time = self.changing_credentials.lock().await;
        let found = self.state.read().registry.get(&selector).cloned();
        let entry = found.ok_or_else(|| {
            Error::Refused(Problem::new(Code::NOT_FOUND, format!("`{selector}` is not registered"), "see `marque environment list`"))
        })?;
        self.judge_act("environment.apply", &selector.to_string(), &entry.environment, self.subject_of(uid).await?)?;
        let event = EnvironmentRemove { kind: selector.kind.to_string(), service: selector.service, name: selector.name };
        self.append(Draft::new(event).into()).await?;
        self.remember()
    }

    /// Every entry.
    #[must_use]
    pub fn environment_list(&self) -> Vec<EnvironmentView> {
        self.state.read().registry.entries().map(|entry| view(entry, Vec::new())).collect()
    }

    /// Where a host or resource belongs.
    ///
    /// # Errors
    /// Where the question names nothing.
    pub fn environment_check(&self, asked: &EnvironmentAsked) -> Result<EnvironmentFound, Error> {
        let kind = asked.kind.parse::<Kind>().map_err(|_| refused(&RegistryError::Kind(asked.kind.chars().take(64).collect())))?;
        let state = self.state.read();
        let registry = &state.registry;
        let found = match (kind, registry.index()) {
            (_, None) => Found::Silent,
            (Kind::Host, Some(index)) => index.host(&asked.name.to_ascii_lowercase()).map_or(Found::Silent, Found::Registered),
            (Kind::Resource | Kind::Account, Some(index)) => index.resource(&asked.service, &asked.name),
            (Kind::Database, Some(_)) => {
                let selector = selector(&asked.kind, &asked.service, &asked.name)?;
                registry.get(&selector).map_or(Found::Silent, Found::Registered)
            }
        };
        let (state, entry) = match found {
            Found::Registered(entry) => ("registered", Some(entry)),
            Found::Unknown => ("unknown", None),
            Found::Silent => ("not registered", None),
        };
        Ok(EnvironmentFound {
            state: state.into(),
            environment: entry.map(|e| e.environment.clone()),
            entry: entry.map(|e| e.selector.to_string()),
        })
    }

    /// Credentials whose hosts are registered elsewhere than they are for: their uses are refused.
    fn contradicting(&self) -> Vec<String> {
        let state = self.state.read();
        let Some(index) = state.registry.index() else { return Vec::new() };
        let contradicts = |credential: &&marque_model::state::Credential| {
            let hosts = crate::credentials::places(credential);
            hosts.iter().any(|place| {
                let pins = crate::credentials::pins_of(&credential.pins, &place.target);
                of_host(index, &place.target, &pins, &credential.environment).0.is_some()
            })
        };
        state.credentials.values().filter(contradicts).map(|c| c.name.clone()).collect()
    }

    /// Refuses a credential for one environment whose hosts are registered to another.
    ///
    /// # Errors
    /// The refusal, naming the entry.
    pub(crate) fn check_hosts(&self, places: &[Place], pins: &[String], environment: &str) -> Result<(), Error> {
        let state = self.state.read();
        let Some(index) = state.registry.index() else { return Ok(()) };
        for place in places {
            let pins = crate::credentials::pins_of(pins, &place.target);
            if let (Some(entry), _) = of_host(index, &place.target, &pins, environment) {
                let why = format!("`{}` belongs to `{}` by the entry `{}`", place.target.host(), entry.environment, entry.selector);
                let help = format!("add it with `--env {}`, or register the host's resources instead of the host", entry.environment);
                return Err(Error::Refused(Problem::new(Code::ENVIRONMENT, why, help)));
            }
        }
        Ok(())
    }
}
