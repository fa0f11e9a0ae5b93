//! Addresses of the gateway that stand for signed ones (threats C10): the client follows a redirect to its own upstream, and
//! the gateway goes where the upstream said.
//!
//! Where that is the same target, the request is what it would have been with the real address: read by the profile,
//! decided on, and given its credential. Where it is another one, which the profile has to name, it is a read without a
//! credential, admitted under the operation whose answer gave the address.

use crate::answer::{self, Limits, Treatment};
use crate::body::{AnswerBody, OutBody};
use crate::entry::Scene;
use crate::forward;
use crate::gate::{Address, Admitted, Ending, Gate, Intended, KEPT_PATH, Kind, RoutePlan};
use crate::place::CREDENTIAL_FIELDS;
use crate::problem::{Problem, found};
use crate::request::Rules;
use crate::settlement::Use;
use crate::tls::Protocol;
use bytes::Bytes;
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderName, Method, Response, header};
use http_body::Body;
use hyper::body::Incoming;
use marque_detect::Secret;
use marque_wire::http::{RequestStrip, content_hash, strip_request};
use marque_wire::place::Slot;
use marque_wire::profile::Extracted;
use std::sync::Arc;

/// An address of the gateway, looked up.
pub(crate) struct Followed {
    name: String,
    /// What the client wrote, for the record.
    pub(crate) uri: String,
    address: Address,
}

/// The address behind the request's path, where that is one of the gateway's. Nothing below [`KEPT_PATH`] is forwarded.
pub(crate) fn look_up<G: Gate>(
    scene: &Scene<'_, G>,
    parts: &Parts,
    plan: &RoutePlan,
    rules: Rules,
) -> Result<Option<Followed>, Problem> {
    let Some(name) = parts.uri.path().strip_prefix(KEPT_PATH) else { return Ok(None) };
    if rules != Rules::Governed {
        return Ok(None);
    }
    let address = scene.house.gate.follow(scene.leaf, plan, name).ok_or_else(found::address_gone)?;
    let uri = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
    Ok(Some(Followed { name: name.to_owned(), uri, address }))
}

impl Followed {
    /// What the gate is told.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it leads away from the target that it was asked of.
    pub(crate) fn is_elsewhere(&self, scene_target: &marque_model::Target) -> bool {
        self.address.plan.target != *scene_target
    }

    /// Puts the real address into a request to the same target. What the client added to the query is added to it.
    pub(crate) fn put(&self, parts: &mut Parts) -> Result<(), Problem> {
        parts.uri = uri(&self.address.path_and_query, parts.uri.query())?;
        Ok(())
    }

    /// Reads from another target.
    pub(crate) async fn read<G: Gate>(
        self,
        scene: &Scene<'_, G>,
        mut parts: Parts,
        body: Incoming,
        plan: &Arc<RoutePlan>,
    ) -> Result<Response<AnswerBody>, Problem> {
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        if !reads || !body.is_end_stream() || parts.uri.query().is_some() || parts.headers.contains_key(header::UPGRADE) {
            return Err(found::address_reads());
        }
        // The client may show the other host what is for this one.
        let slots: Vec<Slot> = CREDENTIAL_FIELDS.iter().map(|name| Slot::Header(HeaderName::from_static(name))).collect();
        strip_request(&mut parts, &RequestStrip { slots: &slots, scrubbed: true, websocket: false });
        parts.headers.remove(header::REFERER);
        let intended = Intended {
            kind: Kind::Http,
            extracted: Extracted::Unknown { why: "it is the address that an answer gave".to_owned() },
            returned: Vec::new(),
            followed: Some(self.name),
            method: parts.method.as_str().to_owned(),
            path: Some(parts.uri.path().to_owned()),
            uri: self.uri,
            content: content_hash(&parts, &[]),
            body: Bytes::new(),
            headers: Vec::new(),
            unbound: Vec::new(),
        };
        let admitted = scene.house.gate.admit(scene.leaf, plan, intended).await?;
        let limits = Limits::of(&admitted);
        let Admitted { permit, needles, credential, .. } = admitted;
        let Address { plan: there, path_and_query, opaque } = self.address;
        let mut use_ = Use::new(scene, &there, permit, needles, credential);
        use_.outcome.opaque = opaque;
        parts.uri = uri(&path_and_query, None).map_err(Problem::of_a_use)?;
        drop(path_and_query);
        use_.outcome.credential_sent = true;
        let treatment = Treatment::of_followed(parts.method.clone(), opaque);
        // There is no body to frame, so that HTTP/1.1 serves whatever the client speaks.
        let response = forward::send(&scene.house.dialer, &mut use_, parts, OutBody::empty(), Protocol::H1).await.map_err(Problem::of_a_use)?;
        if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
            use_.settle(Ending::UpstreamFailed);
            return Err(found::handshake("no upgrade was asked for").of_a_use());
        }
        answer::pass(use_, response, treatment, limits).await.map_err(Problem::of_a_use)
    }
}

fn uri(path_and_query: &Secret, more: Option<&str>) -> Result<Uri, Problem> {
    let mut text = path_and_query.expose().to_vec();
    if let Some(more) = more.filter(|more| !more.is_empty()) {
        text.push(if text.contains(&b'?') { b'&' } else { b'?' });
        text.extend_from_slice(more.as_bytes());
    }
    PathAndQuery::from_maybe_shared(Bytes::from(text)).map(Uri::from).map_err(|_| found::address_gone())
}
