//! The phases of one use, in order (DESIGN section 5): check → extract → admit → place → forward → scrub → settle.

use crate::answer::{self, Limits, Treatment};
use crate::body::AnswerBody;
use crate::entry::Scene;
use crate::extract::{Reading, rejected, telling_headers};
use crate::follow;
use crate::forward;
use crate::gate::{Admitted, Attachment, Ending, Gate, Intended, Kind, Route, RoutePlan};
use crate::limits::OPEN_BODY_BYTES_MAX;
use crate::place::{Back, carries_credential, place, restore, returned, returned_in_body};
use crate::problem::{Problem, found};
use crate::settlement::Use;
use crate::taken::Taken;
use crate::tls::Protocol;
use crate::upgrade;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use marque_model::Target;
use marque_wire::http::ws::{self, Handshake};
use marque_wire::http::{RequestStrip, check_request, is_bound, is_unbound, strip_request};
use std::sync::Arc;

/// How a route treats its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    Governed,
    Open,
    PassThrough,
}

/// The plan for a target, unless it is refused.
pub(crate) fn route<G: Gate>(gate: &G, leaf: &Arc<G::Leaf>, target: &Target) -> Result<(Arc<RoutePlan>, Rules), Problem> {
    let (plan, rules) = match gate.route(leaf, target) {
        Route::Governed(plan) => (plan, Rules::Governed),
        Route::Open(plan) => (plan, Rules::Open),
        Route::PassThrough(plan) => (plan, Rules::PassThrough),
        Route::Refused(problem) => return Err(problem),
    };
    // One immutable target: a plan for another one is our own mistake, and must not become a credential's.
    if plan.target != *target {
        return Err(found::misdirected("the route is for another target"));
    }
    Ok((plan, rules))
}

/// All phases of one request.
pub(crate) async fn exchange<G: Gate>(
    scene: &Scene<'_, G>,
    mut request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Problem> {
    let protocol = if request.version() == Version::HTTP_2 { Protocol::H2 } else { Protocol::H1 };
    let client = request.headers().contains_key(header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    let gate = &*scene.house.gate;

    // check
    let checked = check_request(&parts, scene.target).map_err(|reject| rejected(&reject))?;
    let handshake = match checked.websocket {
        true => Some(ws::check_request(&parts).map_err(|e| found::head(&e.to_string()))?),
        false => None,
    };
    let (plan, rules) = route(gate, scene.leaf, scene.target)?;
    let followed = follow::look_up(scene, &parts, &plan, rules)?;
    match followed {
        Some(followed) if followed.is_elsewhere(scene.target) => return Box::pin(followed.read(scene, parts, body, &plan)).await,
        Some(ref followed) => followed.put(&mut parts)?,
        None => {}
    }
    let told = telling_headers(&parts.headers);
    let mut back = strip(scene, &mut parts, &plan, rules, checked.websocket)?;

    // extract
    let reading = Reading::new(&parts, told);
    if rules == Rules::Open && body.size_hint().lower() > OPEN_BODY_BYTES_MAX {
        return Err(found::open_host("an open host takes short request bodies only"));
    }
    let taken = Taken::take(body, reading.need(&plan)).await?;
    let extracted = reading.extract(&plan, taken.readable());
    let treatment = Treatment::of(&parts, &extracted, rules);
    if rules == Rules::Governed {
        let find = |slot: &str, text: &str| gate.restore_answer(scene.leaf, &plan, slot, text);
        back.told.extend(returned_in_body(&parts, taken.readable(), &plan, find));
    }
    let (content, held) = taken.content(&parts);
    let uri = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    let intended = Intended {
        kind: if handshake.is_some() { Kind::WebSocket } else { Kind::Http },
        extracted,
        returned: back.told,
        followed: followed.as_ref().map(|f| f.name().to_owned()),
        method: parts.method.as_str().to_owned(),
        path: reading.path(),
        // The record shows the gateway's address, not the signed one.
        uri: followed.as_ref().map_or(uri, |f| f.uri.as_str()).to_owned(),
        content,
        body: held,
        headers: bound(&parts.headers),
        unbound: parts.headers.keys().filter(|name| is_unbound(name)).cloned().collect(),
    };

    // admit
    let admitted = gate.admit(scene.leaf, &plan, intended).await?;

    let upgrade = client.zip(handshake);
    let ready = Ready { parts, taken, attachments: back.attachments, plan, rules, treatment, upgrade, protocol };
    ready.carry(scene, admitted).await.map_err(Problem::of_a_use)
}

/// A request that was admitted and not yet sent.
struct Ready {
    parts: Parts,
    taken: Taken,
    /// What goes back behind placeholders.
    attachments: Vec<Attachment>,
    plan: Arc<RoutePlan>,
    rules: Rules,
    treatment: Treatment,
    upgrade: Option<(OnUpgrade, Handshake)>,
    protocol: Protocol,
}

impl Ready {
    /// The phases after admission. The use is settled on every way out.
    async fn carry<G: Gate>(self, scene: &Scene<'_, G>, admitted: Admitted<G::Permit>) -> Result<Response<AnswerBody>, Problem> {
        let Self { mut parts, mut taken, mut attachments, plan, rules, treatment, upgrade, protocol } = self;
        let limits = Limits::of(&admitted);
        let Admitted { permit, attachments: given, credential, needles, mut request_bytes_max, .. } = admitted;
        let mut use_ = Use::new(scene, &plan, permit, needles, credential);
        use_.outcome.opaque = treatment.opaque;
        if rules == Rules::Open {
            request_bytes_max = request_bytes_max.min(OPEN_BODY_BYTES_MAX);
        }

        // place; what the gate attaches comes last, and so wins
        attachments.extend(given);
        for attachment in &attachments {
            place(&mut parts, &mut taken, attachment)?;
        }
        let mut has_credential = !attachments.is_empty();
        drop(attachments);
        if rules == Rules::Governed {
            let find = |slot: &str, text: &str| scene.house.gate.restore_answer(scene.leaf, &plan, slot, text);
            has_credential |= restore(&mut parts, &mut taken, &plan, find)?;
        }

        // forward
        let body = taken.into_body(&parts, request_bytes_max);
        use_.outcome.credential_sent = has_credential;
        let response = forward::send(&scene.house.dialer, &mut use_, parts, body, protocol).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            // scrub; the use is settled when the answer's body ends
            return answer::pass(use_, response, treatment, limits).await;
        }
        let Some((client, handshake)) = upgrade else {
            use_.settle(Ending::UpstreamFailed);
            return Err(found::handshake("no upgrade was asked for"));
        };
        let response = upgrade::switch(scene.house, use_, response, client, &handshake, limits, rules == Rules::Governed)?;
        if let Some(signals) = scene.signals {
            signals.go_raw();
        }
        Ok(response)
    }
}

/// Takes off the head whatever is for one hop, what a credential's slot holds, and what would hide the answer from the
/// scrubber. Returns what goes back behind the placeholders of earlier answers.
fn strip<G: Gate>(
    scene: &Scene<'_, G>,
    parts: &mut Parts,
    plan: &RoutePlan,
    rules: Rules,
    websocket: bool,
) -> Result<Back, Problem> {
    if rules == Rules::Open && carries_credential(parts) {
        return Err(found::open_host("an open host takes no credentials from the agent"));
    }
    let governed = rules == Rules::Governed;
    let restored = match governed {
        true => returned(parts, plan, |slot, text| scene.house.gate.restore_answer(scene.leaf, plan, slot, text)),
        false => Back { told: Vec::new(), attachments: Vec::new() },
    };
    let slots = if governed { plan.slots.as_slice() } else { &[] };
    strip_request(parts, &RequestStrip { slots, scrubbed: rules != Rules::PassThrough, websocket });
    Ok(restored)
}

/// What a yes is for besides address and body. Requests of most clients have none of it, and cost nothing here.
fn bound(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let says = |name: &HeaderName, value: &HeaderValue| *name != header::ACCEPT || value.as_bytes() != b"*/*";
    let shown = headers.iter().filter(|(name, value)| is_bound(name) && says(name, value));
    shown.map(|(name, value)| (name.clone(), value.clone())).collect()
}
