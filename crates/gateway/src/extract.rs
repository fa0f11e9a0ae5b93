//! From a request to what it means: the head is judged by `marque-wire`, the meaning read by the route's profile.

use crate::gate::RoutePlan;
use crate::problem::{Problem, found};
use crate::taken::Need;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, header};
use marque_wire::answer::ReturnSlot;
use marque_wire::http::{CanonicalPath, Reject, query};
use marque_wire::limits::BODY_HOLD_BYTES_MAX;
use marque_wire::place::Slot;
use marque_wire::profile::{BodyNeed, Extracted, RequestView, decoded_path};

/// The answer to a request that is not taken.
pub(crate) fn rejected(reject: &Reject) -> Problem {
    match reject {
        Reject::HostMismatch(_) | Reject::SchemeMismatch => found::misdirected(&reject.to_string()),
        Reject::Upgrade => found::upgrade(),
        Reject::Expect => Problem { status: 417, ..found::head(&reject.to_string()) },
        Reject::Method | Reject::ConnectInTunnel => found::method(&reject.to_string()),
        _ => found::head(&reject.to_string()),
    }
}

/// What a profile is shown of a head.
pub(crate) struct Reading {
    method: String,
    path: Result<CanonicalPath, String>,
    decoded: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    is_grpc: bool,
}

/// The header fields that a profile may look at. Taken before the head is stripped.
pub(crate) fn telling_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let told = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING];
    headers
        .iter()
        .filter(|(name, _)| told.contains(name) || name.as_str().starts_with("x-"))
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

impl Reading {
    /// Reads a stripped head, with the fields that it had before.
    pub(crate) fn new(parts: &Parts, headers: Vec<(String, String)>) -> Self {
        let path = CanonicalPath::parse(parts.uri.path());
        let query = query::parse(parts.uri.query().unwrap_or_default());
        let (path, query) = match (path, query) {
            (Ok(path), Ok(query)) => (Ok(path), query),
            (Err(e), _) | (_, Err(e)) => (Err(e.to_string()), Vec::new()),
        };
        Self {
            method: parts.method.as_str().to_owned(),
            decoded: path.as_ref().map(decoded_path).unwrap_or_default(),
            path,
            query,
            headers,
            is_grpc: parts.headers.get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"application/grpc")),
        }
    }

    fn view<'a>(&'a self, plan: &'a RoutePlan, body: Option<&'a [u8]>) -> RequestView<'a> {
        RequestView {
            alias: &plan.alias,
            method: &self.method,
            path: &self.decoded,
            query: &self.query,
            headers: &self.headers,
            body,
        }
    }

    /// How much of the body must be there before the decision.
    pub(crate) fn need(&self, plan: &RoutePlan) -> Need {
        let has_body_slot = plan.slots.iter().any(|slot| matches!(slot, Slot::Body(_) | Slot::Form(_)))
            || plan.returns.iter().any(|slot| matches!(slot, ReturnSlot::At(placement) if placement.needs_body()));
        let need = if self.path.is_ok() { plan.profile.need(&self.view(plan, None)) } else { BodyNeed::None };
        match need {
            BodyNeed::Hold(bytes) => Need::Hold(bytes.min(BODY_HOLD_BYTES_MAX)),
            _ if has_body_slot => Need::Hold(BODY_HOLD_BYTES_MAX),
            BodyNeed::GitCommands => Need::GitCommands,
            BodyNeed::None if self.is_grpc => Need::Stream,
            BodyNeed::None => Need::Nothing,
        }
    }

    /// What the request means. A path or query with several readings is never known.
    pub(crate) fn extract(&self, plan: &RoutePlan, body: Option<&[u8]>) -> Extracted {
        match &self.path {
            Ok(_) => plan.profile.extract(&self.view(plan, body)),
            Err(why) => Extracted::Unknown { why: why.clone() },
        }
    }

    /// The canonical path, if there is one reading.
    pub(crate) fn path(&self) -> Option<String> {
        self.path.as_ref().ok().map(|p| p.as_str().to_owned())
    }
}
