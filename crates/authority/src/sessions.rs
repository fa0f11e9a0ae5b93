//! Opening a session: a purpose with at least one grant, a human, an environment, an end; then link 0, then a listener.

use crate::authority::Authority;
use crate::credentials::{parse_origin, parse_pin, pins_of, places};
use crate::leaf::{Candidate, Leaf, Road};
use crate::needles::NeedleBox;
use crate::recorded::Recorded;
use crate::{Error, limits, random, services};
use marque_api::control::{SessionOpen as Asked, SessionOpened};
use marque_api::{Code, Problem};
use marque_chain::grant::Methods;
use marque_chain::{Agent, Claims, Confirmation, Digest, Grant, Limits, PolicyRef, Session as SessionClaim, SigningKey};
use marque_detect::placeholder::Shape;
use marque_model::event::{Draft, SessionOpen, field};
use marque_model::session::HumanProof;
use marque_model::state::Credential;
use marque_model::{Effect, Grade, Mode, SessionId, SubjectId, Target};
use marque_switch::fail_point;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;

/// The name of the risk that a human accepts when he lets an agent near production or destruction uncontained.
pub const RISK_UNCONTAINED: &str = "uncontained";

/// What was asked for, read and bounded.
struct Plan {
    mode: Mode,
    grade: Grade,
    grants: Vec<Grant>,
    roads: HashMap<Target, Arc<Road>>,
    brokered: Vec<String>,
    env: Vec<(String, String)>,
    unset: Vec<String>,
    rewrites: Vec<(String, String)>,
}

fn purpose(detail: impl Into<String>) -> Error {
    let help = "give `--purpose`, at least one `--grant`, `--env` and, if you like, `--ttl`; or a task file";
    Error::Refused(Problem::new(Code::PURPOSE, detail, help))
}

impl Authority {
    /// Opens a session. An act that widens authority.
    ///
    /// # Errors
    /// Where the passphrase is wrong, the request has no purpose, grant, environment or end, or the containment is too
    /// weak for what it asks.
    pub async fn session_open(self: &Arc<Self>, mut asked: Asked, uid: u32) -> Result<SessionOpened, Error> {
        self.check_passphrase(&mut asked.passphrase).await?;
        // Signed, recorded and shown: the same text everywhere.
        let purpose = Recorded::of(&asked.purpose).into_owned();
        asked.purpose = purpose.text().to_owned();
        let plan = self.plan(&asked)?;
        let human = self.subject_of(uid).await?;
        let act = crate::decide::act_facts("session.open", &asked.agent, &asked.environment, human, plan.grade, &asked.accept);
        self.judge_own(&act)?;
        let (policy, policy_names) = (self.policies().digest(), self.book.read().names());
        let task = match &asked.task {
            Some(file) => Some(self.judge_task(file, human).await?),
            None => None,
        };
        let id = SessionId::from_bytes(random::bytes()?);
        let now_ms = self.clock.now_ms();
        let end_s = now_ms / 1000 + asked.ttl_s;
        let jti = marque_chain_jti()?;
        let salt: [u8; 32] = random::bytes()?;
        let key = SigningKey::from_seed(&random::bytes()?).map_err(|e| Error::Signer(e.to_string()))?;
        let claims = Claims {
            iss: format!("marque:{}", self.instance),
            jti: jti.clone(),
            iat: now_ms / 1000,
            exp: end_s,
            cnf: Confirmation { jwk: key.public() },
            del_depth: 0,
            del_max_depth: marque_chain::limits::DEFAULT_MAX_DEPTH,
            par_hash: None,
            authorization_details: plan.grants.clone(),
            limits: Limits::NONE,
            agent: Agent { id: asked.agent.clone(), name: None, software: None },
            policy: Some(PolicyRef { id: policy_names, sha256: Digest(policy) }),
            aud: vec![format!("marque:{}", self.instance)],
            status: None,
            session: Some(SessionClaim {
                id: id.to_string(),
                human: human.to_string(),
                human_proof: marque_chain::HumanProof::Asserted,
                purpose_c: marque_chain::commit(&salt, "purpose", asked.purpose.as_bytes()),
                refs_c: None,
                mode: chain_mode(plan.mode),
                environment: asked.environment.clone(),
            }),
            human_proof: None,
        };
        let signer = self.signer.clone();
        let link = tokio::task::spawn_blocking(move || signer.sign_link(&claims)).await.map_err(|e| Error::Signer(e.to_string()))??;
        let event = SessionOpen {
            human,
            proof: HumanProof::Asserted,
            agent: asked.agent.clone(),
            environment: asked.environment.clone(),
            grade: plan.grade,
            not_after_ms: end_s * 1000,
            jti: jti.clone(),
            task,
            policy: Some(policy),
            accepted: asked.accept.clone(),
            link,
        };
        let digest_key: [u8; 32] = random::bytes()?;
        let mut entry = self.with_salted_opening(Draft::new(event).in_session(id, plan.mode), human, field::PURPOSE, &purpose, salt);
        entry = self.add_opening(entry, human, field::DIGEST_KEY, &Recorded::key(&digest_key));
        if !asked.refs.is_empty() {
            entry = self.add_opening(entry, human, field::REFS, &Recorded::of(&asked.refs.join("\n")));
        }
        fail_point("open.link-signed");
        let ack = self.append(entry).await?;
        fail_point("open.durable");
        self.admit_leaf(id, human, &jti, &asked, plan, end_s * 1000, digest_key, ack).await
    }

    #[allow(clippy::too_many_arguments, reason = "the last step of one function, split for its length")]
    async fn admit_leaf(
        self: &Arc<Self>,
        id: SessionId,
        human: SubjectId,
        jti: &str,
        asked: &Asked,
        plan: Plan,
        not_after_ms: u64,
        digest_key: [u8; 32],
        ack: marque_store::Ack,
    ) -> Result<SessionOpened, Error> {
        let secret = crate::hex(&random::bytes::<16>()?);
        let mut proxy_secret = [0u8; 32];
        proxy_secret.copy_from_slice(&marque_chain::sha256(secret.as_bytes()).0);
        let leaf = Arc::new(Leaf {
            session: id,
            digest_key,
            key: self.next_leaf.fetch_add(1, Ordering::Relaxed),
            jti: jti.into(),
            human,
            agent: asked.agent.as_str().into(),
            mode: plan.mode,
            grade: plan.grade,
            environment: asked.environment.as_str().into(),
            purpose: asked.purpose.as_str().into(),
            accepted: asked.accept.as_slice().into(),
            asking: tokio::sync::Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            bound: crate::bound::BoundBox::default(),
            has_byte_limit: plan.grants.iter().any(|g| g.limits().bytes.is_some()),
            grants: plan.grants.into(),
            not_after_ms,
            depth: 0,
            proxy_secret,
            roads: plan.roads,
            needles: NeedleBox::empty()?,
            references: crate::references::References::default(),
            hits: Mutex::default(),
            kept: Mutex::default(),
            exposed: Mutex::default(),
            uses: Mutex::default(),
            unsent: Mutex::default(),
            carried: Mutex::default(),
            would: Mutex::default(),
            refusals: Mutex::default(),
            ended: watch::Sender::new(false),
        });
        self.leaves.write().insert(id, leaf.clone());
        let gateway = self.listeners.read().clone();
        let listener = match gateway.as_ref().map(|l| l.open(&leaf, asked.inside)) {
            Some(Ok(listener)) => listener,
            other => {
                self.end_session(id, marque_model::EndReason::Lost).await?;
                return Err(other.and_then(Result::err).unwrap_or(Error::Signer("there is no gateway".into())));
            }
        };
        fail_point("open.listening");
        self.remember()?;
        self.end_at(id, not_after_ms);
        Ok(SessionOpened {
            schema: "marque/session.v1".into(),
            session: id.to_string(),
            proxy: listener.address.to_string(),
            ports: listener.ports,
            proxy_secret: secret,
            ca_pem: listener.ca_pem,
            env: plan.env,
            unset: plan.unset,
            git_rewrites: plan.rewrites,
            not_after_ms,
            seq: ack.seq,
            leaf_hash: crate::hex(&ack.leaf_hash),
            brokered: plan.brokered,
        })
    }

    /// Gives the gateway the sockets of a session's sandbox.
    ///
    /// # Errors
    /// Where the session is over or another's, or has no sandbox, or has handed over before.
    pub fn hand_over(&self, asked: &marque_api::control::Handover, sockets: Vec<std::os::fd::OwnedFd>) -> Result<(), Error> {
        let refused = |why: &str| Error::Refused(Problem::new(Code::INPUT, why, "start a new session with `marque run`"));
        let leaf = self.leaf(self.find_session(&asked.session)?).filter(|leaf| !leaf.is_over());
        let leaf = leaf.ok_or_else(|| Error::Refused(Problem::plain(Code::SESSION_OVER, "start a new session")))?;
        let digest = marque_chain::sha256(asked.proxy_secret.as_bytes()).0;
        if !marque_detect::Secret::new(digest.to_vec()).eq_bytes(&leaf.proxy_secret) {
            return Err(refused("the sockets are not brought by the session's launcher"));
        }
        let gateway = self.listeners.read().clone().ok_or_else(|| refused("there is no gateway"))?;
        gateway.bring(&leaf, sockets)
    }

    /// Ends the session when its time is over, whoever is asleep.
    fn end_at(self: &Arc<Self>, id: SessionId, not_after_ms: u64) {
        let this = self.clone();
        tokio::spawn(async move {
            loop {
                let now_ms = this.clock.now_ms();
                if now_ms >= not_after_ms {
                    break;
                }
                // In slices: a machine that was suspended wakes up within one of them.
                let left = (not_after_ms - now_ms).min(1_000);
                tokio::time::sleep(std::time::Duration::from_millis(left)).await;
                match this.leaf(id) {
                    Some(leaf) if !leaf.is_over() => {}
                    _ => return,
                }
            }
            // It may have ended by itself in this very moment; then there is nothing to do.
            let _ = this.end_session(id, marque_model::EndReason::Expired).await;
        });
    }

    fn plan(&self, asked: &Asked) -> Result<Plan, Error> {
        let words = asked.purpose.split_whitespace().count();
        if asked.purpose.len() > limits::PURPOSE_BYTES_MAX {
            return Err(purpose(format!("the purpose is longer than {} bytes", limits::PURPOSE_BYTES_MAX)));
        }
        if words < 2 {
            return Err(purpose("the purpose says nothing: write at least two words"));
        }
        let most_s = marque_model::limits::SESSION_MS_MAX / 1000;
        if asked.environment.is_empty() || asked.ttl_s == 0 || asked.ttl_s > most_s {
            return Err(purpose(format!("a session needs an environment and an end within {most_s} s")));
        }
        if asked.refs.len() > limits::REFS_MAX {
            return Err(purpose(format!("more than {} references", limits::REFS_MAX)));
        }
        let mode: Mode = asked.mode.parse().map_err(|_| purpose(format!("`{}` is no mode", asked.mode)))?;
        if mode == Mode::Adopt {
            return Err(purpose("the mode `adopt` is not built yet"));
        }
        let grade: Grade = asked.grade.parse().map_err(|_| purpose(format!("`{}` is no grade", asked.grade)))?;
        if let Some(risk) = asked.accept.iter().find(|risk| *risk != RISK_UNCONTAINED) {
            return Err(purpose(format!("`{risk}` is no risk that can be accepted; there is `{RISK_UNCONTAINED}`")));
        }
        let grants = read_grants(asked)?;
        grants.iter().try_for_each(|grant| self.judge_words(grant))?;
        self.judge_risk(asked, mode, grade, &grants)?;
        let mut plan = Plan {
            mode,
            grade,
            grants,
            roads: HashMap::new(),
            brokered: Vec::new(),
            env: Vec::new(),
            unset: Vec::new(),
            rewrites: Vec::new(),
        };
        self.roads_to_credentials(asked, &mut plan)?;
        self.open_roads(asked, &mut plan)?;
        for profile in self.services.read().values() {
            plan.unset.extend(profile.credential().env.iter().cloned());
        }
        Ok(plan)
    }

    /// Production, and whatever can destroy, needs a sandbox or a human who accepts the risk by name.
    fn judge_risk(&self, asked: &Asked, mode: Mode, grade: Grade, grants: &[Grant]) -> Result<(), Error> {
        let production = asked.environment == "production";
        let destructive = grants.iter().any(|g| self.can_destroy(g));
        let accepted = asked.accept.iter().any(|risk| risk == RISK_UNCONTAINED);
        if grade < Grade::B && (production || destructive) && !accepted {
            let what = if production { "production" } else { "a grant that can destroy" };
            let why = format!("{what} at containment {grade}: nothing keeps the agent from this user's files and processes");
            return Err(Error::Refused(Problem::new(
                Code::CONTAINMENT,
                why,
                format!("add `--accept-risk {RISK_UNCONTAINED}` if you accept that, or narrow the grants"),
            )));
        }
        if mode == Mode::Observe && production {
            return Err(Error::Refused(Problem::new(
                Code::CONTAINMENT,
                "production is closed in observe mode",
                "use `--mode enforce` with the grants that the work needs",
            )));
        }
        Ok(())
    }

    /// A slip in a service or operation would open a session that can do nothing, or less than somebody believes.
    fn judge_words(&self, grant: &Grant) -> Result<(), Error> {
        let Grant::Service(service) = grant else { return Ok(()) };
        let services = self.services.read();
        let Some(profile) = services.get(service.service()) else {
            let known: Vec<&str> = services.keys().map(String::as_str).collect();
            let help = format!("there are {}; `marque service apply FILE` adds one", known.join(", "));
            return Err(Error::Refused(Problem::new(Code::GRANT, format!("`{}` is no service", service.service()), help)));
        };
        let unknown = service.actions().iter().find(|action| !profile.operations().any(|(name, ..)| action.permits(name)));
        match unknown {
            None => Ok(()),
            Some(action) => Err(Error::Refused(Problem::new(
                Code::GRANT,
                format!("`{action}` is no operation of `{}`", service.service()),
                format!("see `marque service show {}`", service.service()),
            ))),
        }
    }

    fn can_destroy(&self, grant: &Grant) -> bool {
        match grant {
            Grant::Http(http) => match http.methods() {
                Methods::Any => true,
                Methods::These(names) => names.iter().any(|name| name == "DELETE"),
            },
            Grant::Service(service) => self.services.read().get(service.service()).is_some_and(|profile| {
                profile.operations().any(|(name, effect, _)| {
                    let heavy = matches!(effect, Effect::Destructive | Effect::Grant | Effect::Reveal);
                    heavy && service.actions().iter().any(|a| a.permits(name))
                })
            }),
        }
    }

    fn roads_to_credentials(&self, asked: &Asked, plan: &mut Plan) -> Result<(), Error> {
        let state = self.state.read();
        let mut by_target: BTreeMap<Target, Road> = BTreeMap::new();
        // A vault's token is the authority's own: no session has a road to it.
        let for_sessions = |c: &&Credential| c.environment == asked.environment && c.service != crate::vault::SERVICE;
        for credential in state.credentials.values().filter(for_sessions) {
            let granted = plan.mode == Mode::Observe || plan.grants.iter().any(|g| concerns(g, credential));
            if !granted {
                continue;
            }
            let profile = self.services.read().get(&credential.service).cloned();
            if profile.is_none() && credential.service != "http" {
                return Err(Error::Refused(Problem::new(
                    Code::DIGEST,
                    format!("the profile of `{}` is gone, or is not the one that took effect", credential.service),
                    "apply it again with `marque service apply FILE`",
                )));
            }
            for place in places(credential) {
                let candidate = Candidate {
                    id: credential.id,
                    version: credential.version,
                    placement: place.placement,
                    resources: credential.resources.clone(),
                    by_reference: credential.source != "value",
                };
                let road = by_target.entry(place.target.clone()).or_insert_with(|| Road {
                    target: place.target.clone(),
                    service: credential.service.as_str().into(),
                    alias: place.alias.as_str().into(),
                    profile: profile.clone(),
                    candidates: Vec::new(),
                    pins: pins_of(&credential.pins, &place.target),
                    open: false,
                });
                if *road.service != *credential.service {
                    return Err(Error::Refused(Problem::new(
                        Code::CREDENTIAL_AMBIGUOUS,
                        format!("`{}` is claimed by `{}` and `{}`", place.target, road.service, credential.service),
                        "remove one of the two credentials",
                    )));
                }
                road.candidates.push(candidate);
            }
            plan.brokered.push(format!("{} ({})", credential.service, credential.name));
            if let Some(profile) = &profile {
                placeholders(profile, plan)?;
            }
        }
        plan.roads.extend(by_target.into_iter().map(|(target, road)| (target, Arc::new(road))));
        Ok(())
    }

    /// Hosts without a credential: each is an `http` grant of its own, so that link 0 says where the agent may go.
    fn open_roads(&self, asked: &Asked, plan: &mut Plan) -> Result<(), Error> {
        let mut pins: Vec<(String, IpAddr)> = Vec::new();
        for pin in &asked.pins {
            pins.push(parse_pin(pin)?);
        }
        let open = |plan: &mut Plan, target: Target| {
            let name = format!("{}:{}", target.host(), target.port());
            let road = Road {
                service: "http".into(),
                alias: "api".into(),
                profile: None,
                candidates: Vec::new(),
                pins: pins.iter().filter(|(host, _)| *host == name).map(|(_, ip)| *ip).collect(),
                open: true,
                target: target.clone(),
            };
            plan.roads.entry(target).or_insert_with(|| Arc::new(road));
        };
        for name in &asked.egress {
            let (origins, methods): (Vec<String>, &str) = match name.as_str() {
                "@package-registries" => (services::package_registries()?, r#"["GET","HEAD"]"#),
                other => (vec![parse_origin(other)?.origin()], r#"["*"]"#),
            };
            let locations = serde_json::to_string(&origins).map_err(|e| Error::Signer(e.to_string()))?;
            let text = format!(
                r#"{{"type":"http","environment":{:?},"locations":{locations},"actions":{methods},"paths":["/**"]}}"#,
                asked.environment
            );
            plan.grants.push(Grant::parse(&text).map_err(|e| grant_error(&e.to_string()))?);
            for origin in origins {
                open(plan, parse_origin(&origin)?);
            }
        }
        let named: Vec<String> = plan.grants.iter().flat_map(origins_of).collect();
        for origin in named {
            open(plan, parse_origin(&origin)?);
        }
        if plan.roads.len() > limits::HOSTS_MAX {
            return Err(purpose(format!("more than {} hosts", limits::HOSTS_MAX)));
        }
        Ok(())
    }
}

fn origins_of(grant: &Grant) -> Vec<String> {
    match grant {
        Grant::Http(http) => http.locations().iter().map(ToString::to_string).collect(),
        Grant::Service(_) => Vec::new(),
    }
}

fn grant_error(why: &str) -> Error {
    let help = "write `--grant 'github repo.read,pr.* on acme/*'`, or its RFC 9396 form";
    Error::Refused(Problem::new(Code::GRANT, format!("the grant is not valid: {why}"), help))
}

fn read_grants(asked: &Asked) -> Result<Vec<Grant>, Error> {
    let list = asked.grants.as_array().ok_or_else(|| purpose("the grants are not a list"))?;
    if list.is_empty() {
        return Err(purpose("the session has no grant"));
    }
    let mut out = Vec::with_capacity(list.len());
    for value in list {
        let grant = Grant::from_json(value.clone()).map_err(|e| grant_error(&e.to_string()))?;
        if grant.environment() != asked.environment {
            return Err(grant_error(&format!(
                "it is for `{}`, the session is for `{}`",
                grant.environment(),
                asked.environment
            )));
        }
        out.push(grant);
    }
    Ok(out)
}

/// Whether a grant can permit any use of that credential.
fn concerns(grant: &Grant, credential: &Credential) -> bool {
    match grant {
        Grant::Service(service) => service.service() == credential.service,
        Grant::Http(http) => {
            credential.service == "http" && places(credential).iter().any(|p| http.locations().iter().any(|l| l.as_str() == p.target.origin()))
        }
    }
}

/// Placeholders in the shape that the tools check, and rewrites of git addresses.
fn placeholders(profile: &marque_wire::profile::Profile, plan: &mut Plan) -> Result<(), Error> {
    let credential = profile.credential();
    let shape = credential.placeholder.as_deref().and_then(|text| Shape::parse(text).ok());
    let text = match shape {
        Some(shape) => {
            let mut bytes = vec![0u8; shape.random_bytes()];
            random::fill(&mut bytes)?;
            shape.fill(&bytes).map_err(|e| Error::Needles(e.to_string()))?
        }
        None => format!("marque-placeholder-{}", crate::hex(&random::bytes::<8>()?)),
    };
    for name in &credential.env {
        if !plan.env.iter().any(|(known, _)| known == name) {
            plan.env.push((name.clone(), text.clone()));
        }
    }
    for prefix in &credential.rewrite {
        if let Some((_, target)) = profile.aliases().find(|(alias, _)| *alias == "git") {
            let to = format!("{}://{}/", target.scheme().word(), target.authority());
            plan.rewrites.push((prefix.clone(), to));
        }
    }
    Ok(())
}

const fn chain_mode(mode: Mode) -> marque_chain::Mode {
    match mode {
        Mode::Enforce => marque_chain::Mode::Enforce,
        Mode::Observe => marque_chain::Mode::Observe,
        Mode::Adopt => marque_chain::Mode::Adopt,
    }
}

fn marque_chain_jti() -> Result<String, Error> {
    Ok(crate::hex(&random::bytes::<12>()?))
}
