//! A small world to play events in: signed links, sessions, credentials. All of it is deterministic.

use marque_chain::{Agent, Claims, Confirmation, Grant, HumanProof as Proof, Limits, PublicKey, SigningKey};
use marque_model::event::{CredentialAdd, InstanceInit, SessionOpen, UseIntent, UseOutcome};
use marque_model::session::HumanProof;
use marque_model::{
    AskId, CredentialId, Draft, Effect, Grade, InstanceId, Mode, Refusal, SessionId, State, SubjectId,
};
use std::sync::Arc;

pub(crate) const T0_MS: u64 = 1_800_000_000_000;

pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) now_ms: u64,
    pub(crate) root: SigningKey,
    /// Every event that was let in, with its sequence and time: the journal.
    pub(crate) log: Vec<(Draft, u64, u64)>,
}

pub(crate) fn session(n: u8) -> SessionId {
    SessionId::from_bytes([n; 10])
}

pub(crate) fn credential() -> CredentialId {
    CredentialId::from_bytes([9; 10])
}

pub(crate) fn leaf(n: u8) -> Arc<str> {
    format!("leaf-number-{n:08}").into()
}

pub(crate) fn holder(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n.wrapping_add(100); 32]).unwrap()
}

pub(crate) fn grant(limits: &str) -> Grant {
    let text = format!(
        r#"{{"type":"service","service":"github","environment":"staging","actions":["repo.read","pr.*"],"resources":["acme/*"]{limits}}}"#
    );
    Grant::parse(&text).unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        let root = SigningKey::from_seed(&[1; 32]).unwrap();
        let mut this = Self { state: State::new(), now_ms: T0_MS, root, log: Vec::new() };
        let init = InstanceInit {
            instance: InstanceId::from_bytes([5; 16]),
            root_key: *this.root.public().as_bytes(),
            checkpoint_vkey: "marque+00000000+AA".into(),
        };
        this.append(Draft::new(init)).unwrap();
        let add = CredentialAdd {
            id: credential(),
            version: 1,
            name: "github".into(),
            service: "github".into(),
            environment: "staging".into(),
            origins: vec!["https://api.github.com:443".into()],
            placement: "bearer".into(),
            row: [0; 32],
            source: "value".into(),
            pins: vec![],
            resources: vec![],
        };
        this.append(Draft::new(add)).unwrap();
        this
    }

    pub(crate) fn append(&mut self, draft: Draft) -> Result<u64, Refusal> {
        self.state.judge(&draft, self.now_ms)?;
        let seq = self.state.next_seq;
        self.state.apply(&draft, seq, self.now_ms, 500)?;
        self.log.push((draft, seq, self.now_ms));
        Ok(seq)
    }

    pub(crate) fn claims(&self, n: u8, grants: Vec<Grant>, limits: Limits, ttl_s: u64) -> Claims {
        let human = SubjectId::from_bytes([7; 16]);
        Claims {
            iss: "marque".into(),
            jti: leaf(n).to_string(),
            iat: self.now_ms / 1000,
            exp: self.now_ms / 1000 + ttl_s,
            cnf: Confirmation { jwk: holder(n).public() },
            del_depth: 0,
            del_max_depth: 4,
            par_hash: None,
            authorization_details: grants,
            limits,
            agent: Agent { id: "agent".into(), name: None, software: None },
            policy: Some(marque_chain::PolicyRef { id: "none".into(), sha256: marque_chain::sha256(b"") }),
            aud: vec!["gateway".into()],
            status: None,
            session: Some(marque_chain::Session {
                id: session(n).to_string(),
                human: human.to_string(),
                human_proof: Proof::Asserted,
                purpose_c: marque_chain::commit(&[1; 32], "purpose", b"test"),
                refs_c: None,
                mode: marque_chain::Mode::Enforce,
                environment: "staging".into(),
            }),
            human_proof: None,
        }
    }

    pub(crate) fn open(&mut self, n: u8, limits: &str, ttl_s: u64) -> Result<u64, Refusal> {
        let claims = self.claims(n, vec![grant(limits)], Limits::NONE, ttl_s);
        let link = marque_chain::sign_root(&claims, &self.root).unwrap();
        self.open_with(n, link.compact(), ttl_s)
    }

    pub(crate) fn open_named(&mut self, id: SessionId, jti: &str, limits: &str, ttl_s: u64) -> Result<u64, Refusal> {
        let mut claims = self.claims(1, vec![grant(limits)], Limits::NONE, ttl_s);
        claims.jti = jti.into();
        if let Some(session) = &mut claims.session {
            session.id = id.to_string();
        }
        let link = marque_chain::sign_root(&claims, &self.root).unwrap();
        let event = self.opening(jti, link.compact(), ttl_s);
        self.append(Draft::new(event).in_session(id, Mode::Enforce))
    }

    pub(crate) fn open_with(&mut self, n: u8, link: &str, ttl_s: u64) -> Result<u64, Refusal> {
        let event = self.opening(&leaf(n), link, ttl_s);
        self.append(Draft::new(event).in_session(session(n), Mode::Enforce))
    }

    fn opening(&self, jti: &str, link: &str, ttl_s: u64) -> SessionOpen {
        SessionOpen {
            human: SubjectId::from_bytes([7; 16]),
            proof: HumanProof::Asserted,
            agent: "agent".into(),
            environment: "staging".into(),
            grade: Grade::D,
            not_after_ms: (self.now_ms / 1000 + ttl_s) * 1000,
            jti: jti.to_owned(),
            task: None,
            policy: None,
            accepted: vec![],
            link: link.into(),
        }
    }

    pub(crate) fn intent(n: u8, bytes: u64, ask: Option<AskId>) -> Draft {
        let event = UseIntent {
            credential: Some(credential()),
            version: 1,
            digest: [3; 32],
            service: "github".into(),
            operation: "repo.read".into(),
            resource: Some("acme/web".into()),
            effect: Effect::Read,
            grant: Some(0),
            bytes,
            rows: 0,
            ask,
            origin: "https://api.github.com:443".into(),
            would_deny: vec![],
            principal: 1,
        };
        Draft::new(event).in_session(session(n), Mode::Enforce).by_leaf(leaf(n))
    }

    pub(crate) fn outcome(n: u8, cause: u64, bytes: u64) -> Draft {
        let event = UseOutcome { verdict: 1, status: 200, bytes, rows: 0, scrubbed: 0, content: None, opaque: false };
        Draft::new(event).in_session(session(n), Mode::Enforce).caused_by(cause)
    }

    pub(crate) fn other_root() -> PublicKey {
        SigningKey::from_seed(&[2; 32]).unwrap().public()
    }
}
