//! One function per call.

use super::{Answer, Control, Peer, json, read};
use crate::Error;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Method, Request, Response};
use marque_api::control::{
    ApprovalAnswer, CredentialAdd, EnvironmentAsked, EnvironmentChange, HumanErase, Init, InitDone, PolicyApply, PolicyRemove, Seal, SealAdd, SealCopy, SealRemove, Search, ServiceApply, SessionEnd, SessionOpen, Status, TaskApply, TaskFile, Unseal,
};
use marque_api::{Code, Problem};
use marque_detect::Secret;
use marque_model::EndReason;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Whole bodies and streams of lines.
pub(crate) type Body = BoxBody<Bytes, Infallible>;

pub(crate) fn full(text: String) -> Body {
    Full::new(Bytes::from(text)).boxed()
}

fn not_found(path: &str) -> Error {
    Error::Refused(Problem::new(Code::NOT_FOUND, format!("`{path}` is no call"), "see `marque --help`"))
}

fn inside(session: &str) -> Error {
    let detail = format!("a process of session `{session}` cannot do this");
    Error::Refused(Problem::new(Code::INSIDE, detail, "ask the human who answers for the session"))
}

pub(super) async fn route(control: &Arc<Control>, peer: Peer, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let steps: Vec<&str> = path.trim_matches('/').split('/').collect();
    let within = peer.session();
    match (&parts.method, steps.as_slice()) {
        (&Method::GET, ["v1", "status"]) => status(control, within.is_some()).await,
        // A process of a session may ask about its own session and nothing else.
        (&Method::GET, ["v1", "sessions", id, "why"]) => {
            let authority = control.open_authority().await?;
            let own = within.as_deref();
            let id = authority.find_session(if *id == "self" { own.unwrap_or("") } else { id })?;
            if own.is_some_and(|own| own != id.to_string()) {
                return Err(inside(own.unwrap_or("")));
            }
            json(&authority.why(id, own.is_some()).await?)
        }
        _ if within.is_some() => Err(inside(within.as_deref().unwrap_or(""))),
        (&Method::POST, ["v1", "init"]) => init(control, body).await,
        (&Method::POST, ["v1", "unseal"]) => unseal(control, body).await,
        (&Method::POST, ["v1", "seal"]) => seal_add(control, body).await,
        (&Method::POST, ["v1", "seal", id, "remove"]) => {
            let id = id.parse().map_err(|_| not_found(&path))?;
            seal_remove(control, id, body).await
        }
        (&Method::POST, ["v1", "stop"]) => {
            control.stop();
            json(&serde_json::json!({}))
        }
        (&Method::POST, ["v1", "sessions"]) => {
            let asked: SessionOpen = read(body).await?;
            json(&control.open_authority().await?.session_open(asked, peer.uid).await?)
        }
        (&Method::GET, ["v1", "sessions"]) => json(&control.open_authority().await?.session_list()),
        (&Method::POST, ["v1", "sessions", id, "end"]) => {
            let asked: SessionEnd = read(body).await?;
            let authority = control.open_authority().await?;
            let reason = match asked.reason.as_str() {
                "exited" => EndReason::Exited,
                _ => EndReason::Stopped,
            };
            json(&authority.end_session(authority.find_session(id)?, reason).await?)
        }
        (&Method::POST, ["v1", "sessions", id, "hold"]) => hold(control, id).await,
        (&Method::GET, ["v1", "sessions", id, "lineage"]) => {
            let authority = control.open_authority().await?;
            let after = number(parts.uri.query().unwrap_or(""), "after")?;
            json(&authority.lineage(authority.find_session(id)?, after.unwrap_or(0)).await?)
        }
        (&Method::GET, ["v1", "sessions", id, "uses"]) => {
            let authority = control.open_authority().await?;
            let query = parts.uri.query().unwrap_or("");
            let (after, max) = (number(query, "after")?, number(query, "max")?);
            json(&authority.uses(authority.find_session(id)?, after.unwrap_or(0), max).await?)
        }
        (&Method::POST, ["v1", "credentials"]) => {
            let asked: CredentialAdd = read(body).await?;
            json(&control.open_authority().await?.credential_add(asked, peer.uid).await?)
        }
        (&Method::GET, ["v1", "credentials"]) => json(&control.open_authority().await?.credential_list()),
        (&Method::DELETE, ["v1", "credentials", name]) => {
            control.open_authority().await?.credential_remove(name).await?;
            json(&serde_json::json!({}))
        }
        (&Method::GET, ["v1", "approvals"]) => json(&control.open_authority().await?.approval_list()),
        (&Method::POST, ["v1", "approvals", "watch"]) => watch_approvals(control).await,
        (&Method::GET, ["v1", "approvals", id]) => json(&control.open_authority().await?.approval_show(id)?),
        (&Method::POST, ["v1", "approvals", id]) => {
            let asked: ApprovalAnswer = read(body).await?;
            json(&control.open_authority().await?.approval_answer(id, asked, peer.uid).await?)
        }
        (&Method::GET, ["v1", "policies"]) => json(&control.open_authority().await?.policy_list()),
        (&Method::GET, ["v1", "policies", name]) => json(&control.open_authority().await?.policy_texts(name)?),
        (&Method::POST, ["v1", "policies"]) => {
            let asked: PolicyApply = read(body).await?;
            json(&control.open_authority().await?.policy_apply(asked, peer.uid).await?)
        }
        (&Method::POST, ["v1", "policies", name, "remove"]) => {
            let asked: PolicyRemove = read(body).await?;
            control.open_authority().await?.policy_remove(name, asked, peer.uid).await?;
            json(&serde_json::json!({}))
        }
        (&Method::GET, ["v1", "environments"]) => json(&control.open_authority().await?.environment_list()),
        (&Method::POST, ["v1", "environments"]) => {
            let asked: EnvironmentChange = read(body).await?;
            json(&control.open_authority().await?.environment_add(asked, peer.uid).await?)
        }
        (&Method::POST, ["v1", "environments", "remove"]) => {
            let asked: EnvironmentChange = read(body).await?;
            control.open_authority().await?.environment_remove(asked, peer.uid).await?;
            json(&serde_json::json!({}))
        }
        (&Method::POST, ["v1", "environments", "check"]) => {
            let asked: EnvironmentAsked = read(body).await?;
            json(&control.open_authority().await?.environment_check(&asked)?)
        }
        (&Method::GET, ["v1", "services"]) => json(&control.open_authority().await?.service_list()),
        (&Method::GET, ["v1", "humans"]) => json(&control.open_authority().await?.human_list().await?),
        (&Method::POST, ["v1", "humans", human, "erase"]) => {
            let asked: HumanErase = read(body).await?;
            json(&control.open_authority().await?.human_erase(human, asked, peer.uid).await?)
        }
        (&Method::POST, ["v1", "services"]) => {
            let asked: ServiceApply = read(body).await?;
            json(&control.open_authority().await?.service_apply(asked, peer.uid).await?)
        }
        (&Method::POST, ["v1", "tasks"]) => {
            let asked: TaskApply = read(body).await?;
            json(&control.open_authority().await?.task_apply(asked, peer.uid).await?)
        }
        (&Method::POST, ["v1", "tasks", "show"]) => {
            let asked: TaskFile = read(body).await?;
            json(&control.open_authority().await?.task_show(asked, peer.uid).await?)
        }
        (&Method::POST, ["v1", "search"]) => {
            let asked: Search = read(body).await?;
            json(&control.open_authority().await?.search(asked).await?)
        }
        (&Method::POST, ["v1", "records", after, "tail"]) => {
            let after = after.parse().map_err(|_| not_found(&path))?;
            tail(control, after).await
        }
        (&Method::POST, ["v1", "checkpoint"]) => {
            let note = control.open_authority().await?.checkpoint_now().await?;
            json(&serde_json::json!({ "checkpoint": note }))
        }
        (&Method::GET, ["v1", "receipts", seq]) => {
            let seq = seq.parse().map_err(|_| not_found(&path))?;
            json(&serde_json::json!({ "receipt": control.open_authority().await?.receipt(seq).await? }))
        }
        _ => Err(not_found(&path)),
    }
}

/// A number of a query, where it stands there.
fn number(query: &str, name: &str) -> Result<Option<u64>, Error> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let wrong = || Error::Refused(Problem::new(Code::INPUT, format!("`{name}` is no number"), "see the API's shapes"));
    value.map(|text| text.parse().map_err(|_| wrong())).transpose()
}

async fn status(control: &Arc<Control>, inside: bool) -> Answer {
    let asking = control.signer.clone();
    // The signer may be stretching a passphrase.
    let signer = tokio::task::spawn_blocking(move || asking.status()).await.map_err(|e| Error::Signer(e.to_string()))??;
    let seal = if inside { Vec::new() } else { copies(signer.copies) };
    if let Ok(authority) = control.open_authority().await {
        return json(&Status { seal, ..authority.status() });
    }
    json(&Status {
        schema: "marque/status.v1".into(),
        instance: None,
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        sealed: true,
        initialised: signer.initialised,
        records: 0,
        sessions: 0,
        checkpoint: None,
        indexed: 0,
        seal,
        witnesses: Vec::new(),
        start: None,
    })
}

fn copies(of: Vec<crate::signer::Copy>) -> Vec<SealCopy> {
    of.into_iter().map(|copy| SealCopy { id: copy.id, way: copy.way, protects: copy.protects }).collect()
}

async fn seal_change(
    control: &Arc<Control>,
    change: impl FnOnce(&crate::signer::SignerClient) -> Result<Vec<crate::signer::Copy>, Error> + Send + 'static,
) -> Answer {
    let signer = control.signer.clone();
    let done = tokio::task::spawn_blocking(move || change(&signer)).await;
    json(&Seal { schema: "marque/seal.v1".into(), ways: copies(done.map_err(|e| Error::Signer(e.to_string()))??) })
}

async fn seal_add(control: &Arc<Control>, body: Incoming) -> Answer {
    let asked: SealAdd = read(body).await?;
    if asked.way != "keyring" {
        return Err(Error::Refused(Problem::new(Code::INPUT, format!("`{}` is no way that is added", asked.way), "there is `keyring`")));
    }
    let passphrase = Secret::new(asked.passphrase.into_bytes());
    seal_change(control, move |signer| signer.add_keyring(&passphrase)).await
}

async fn seal_remove(control: &Arc<Control>, id: u64, body: Incoming) -> Answer {
    let asked: SealRemove = read(body).await?;
    let passphrase = Secret::new(asked.passphrase.into_bytes());
    seal_change(control, move |signer| signer.remove_copy(&passphrase, id)).await
}

async fn init(control: &Arc<Control>, body: Incoming) -> Answer {
    let asked: Init = read(body).await?;
    let passphrase = Secret::new(asked.passphrase.into_bytes());
    let signer = control.signer.clone();
    let done = tokio::task::spawn_blocking(move || signer.init(&passphrase)).await;
    let (recovery, keys) = done.map_err(|e| Error::Signer(e.to_string()))??;
    control.start_authority(keys).await?;
    let recovery_key = String::from_utf8_lossy(recovery.expose()).into_owned();
    json(&InitDone { recovery_key })
}

async fn unseal(control: &Arc<Control>, body: Incoming) -> Answer {
    let asked: Unseal = read(body).await?;
    let passphrase = Secret::new(asked.passphrase.into_bytes());
    let signer = control.signer.clone();
    let done = tokio::task::spawn_blocking(move || signer.unseal(&passphrase)).await;
    let keys = done.map_err(|e| Error::Signer(e.to_string()))??;
    json(&control.start_authority(keys).await?.status())
}

/// The launcher's lifeline: it holds this answer open; when it goes away, the session ends.
async fn hold(control: &Arc<Control>, id: &str) -> Answer {
    let authority = control.open_authority().await?;
    let id = authority.find_session(id)?;
    let leaf = authority
        .leaf(id)
        .ok_or_else(|| Error::Refused(Problem::plain(Code::SESSION_OVER, "start a new session")))?;
    let (lines, receiver) = mpsc::channel::<Bytes>(16);
    tokio::spawn(async move {
        let hello = Bytes::from_static(b"{\"event\":\"held\"}\n");
        if lines.send(hello).await.is_ok() {
            tokio::select! {
                () = leaf.over() => {
                    // Nobody listening is an answer too: the launcher is gone.
                    let _ = lines.send(Bytes::from_static(b"{\"event\":\"ended\"}\n")).await;
                    return;
                }
                () = lines.closed() => {}
            }
        }
        // The launcher went away without ending the session.
        let _ = authority.end_session(id, EndReason::Lost).await;
    });
    Ok(Response::new(BodyExt::boxed(StreamBody::new(Lines(receiver)))))
}

/// Every question that is opened from now on, and those that are open, one JSON line each.
async fn watch_approvals(control: &Arc<Control>) -> Answer {
    let authority = control.open_authority().await?;
    let (lines, receiver) = mpsc::channel::<Bytes>(16);
    let mut changed = authority.approvals_changed();
    tokio::spawn(async move {
        let mut told = std::collections::BTreeSet::new();
        loop {
            changed.borrow_and_update();
            let list = authority.approval_list();
            told.retain(|id| list.iter().any(|view| view.id == *id));
            for view in list.iter().filter(|view| view.state == "open") {
                if !told.insert(view.id.clone()) {
                    continue;
                }
                let Ok(mut line) = serde_json::to_string(view) else { return };
                line.push('\n');
                if lines.send(Bytes::from(line)).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                moved = changed.changed() => if moved.is_err() { return },
                () = lines.closed() => return,
            }
        }
    });
    Ok(Response::new(BodyExt::boxed(StreamBody::new(Lines(receiver)))))
}

/// Every record from that one on, one JSON line each, as it becomes durable.
async fn tail(control: &Arc<Control>, mut next: u64) -> Answer {
    let authority = control.open_authority().await?;
    let (lines, receiver) = mpsc::channel::<Bytes>(16);
    let mut durable = authority.tail();
    tokio::spawn(async move {
        loop {
            let reading = authority.clone();
            let told = tokio::task::spawn_blocking(move || reading.told(next, TOLD_AT_ONCE)).await;
            let Ok(Ok(told)) = told else { return };
            for found in &told {
                next = found.seq + 1;
                let Ok(mut line) = serde_json::to_string(found) else { return };
                line.push('\n');
                if lines.send(Bytes::from(line)).await.is_err() {
                    return;
                }
            }
            if !told.is_empty() {
                continue;
            }
            tokio::select! {
                grown = durable.wait_for(|size| *size > next) => if grown.is_err() { return },
                () = lines.closed() => return,
            }
        }
    });
    Ok(Response::new(BodyExt::boxed(StreamBody::new(Lines(receiver)))))
}

/// Records that a follower is told of at once.
const TOLD_AT_ONCE: usize = 256;

/// Lines as body frames.
pub(crate) struct Lines(mpsc::Receiver<Bytes>);

impl futures_core::Stream for Lines {
    type Item = Result<Frame<Bytes>, Infallible>;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|line| line.map(|bytes| Ok(Frame::data(bytes))))
    }
}
