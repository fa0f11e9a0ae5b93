//! The answer on its way back: one hop's headers taken off, secrets masked in head, body and trailers, codings undone,
//! and what a profile declares to be a credential swapped for a placeholder.

use crate::body::{AnswerBody, BodyError};
use crate::gate::{Admitted, Ending, Gate, RoutePlan};
use crate::limits::ANSWER_HOLD_BYTES_MAX;
use crate::problem::{MARQUE_HEADER, MARQUE_WITHHELD, Problem, found};
use crate::request::Rules;
use crate::scrub::{AnswerStream, Handling, mask_fields};
use crate::settlement::Use;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request, response};
use http_body::Body;
use hyper::body::Incoming;
use marque_detect::Secret;
use marque_detect::decode::{Coding, Decoder};
use marque_detect::oracle::Verdict;
use marque_detect::scrub::Hits;
use marque_wire::answer::{AnswerField, Fate, needs_body, swap};
use marque_wire::http::{ResponseStrip, body_changed, strip_response};
use marque_wire::profile::Extracted;
use std::sync::Arc;

/// What the request says about its answer.
pub(crate) struct Treatment {
    method: Method,
    /// The profile says that this body cannot be searched and may pass (packs, archives), or nothing is searched here.
    pub(crate) opaque: bool,
    /// Credentials in answers are swapped, and undeclared ones withheld.
    governed: bool,
    /// Where the profile says that the answer carries credentials.
    declared: Vec<AnswerField>,
}

impl Treatment {
    /// Of what stands behind a signed address: nothing in it is declared.
    pub(crate) fn of_followed(method: Method, opaque: bool) -> Self {
        Self { method, opaque, governed: true, declared: Vec::new() }
    }

    pub(crate) fn of(parts: &request::Parts, extracted: &Extracted, rules: Rules) -> Self {
        let actions = extracted.actions();
        let opaque = !actions.is_empty() && actions.iter().all(|a| a.opaque);
        Self {
            method: parts.method.clone(),
            opaque: opaque || rules == Rules::PassThrough,
            governed: rules == Rules::Governed,
            declared: actions.iter().flat_map(|a| a.answers.iter().cloned()).collect(),
        }
    }
}

/// What the permit says about the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// A secret that can be guessed is attached: hold the answer whole.
    pub(crate) guessable: bool,
    /// The target used up its hits.
    pub(crate) withhold: bool,
    pub(crate) request_max: u64,
    /// Bytes of body as received.
    pub(crate) answer_max: u64,
}

impl Limits {
    pub(crate) fn of<P>(admitted: &Admitted<P>) -> Self {
        Self {
            guessable: admitted.guessable,
            withhold: admitted.withhold,
            request_max: admitted.request_bytes_max,
            answer_max: admitted.answer_bytes_max,
        }
    }
}

/// Makes the client's answer of the upstream's.
pub(crate) async fn pass<G: Gate>(
    mut use_: Use<G>,
    response: Response<Incoming>,
    treatment: Treatment,
    limits: Limits,
) -> Result<Response<AnswerBody>, Problem> {
    let (mut parts, body) = response.into_parts();
    clean(&mut parts.headers, !treatment.opaque, false);
    parts.version = http::Version::HTTP_11;
    parts.extensions = http::Extensions::new();
    let has_no_body = treatment.method == Method::HEAD
        || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || body.is_end_stream();
    if limits.withhold {
        use_.settle(Ending::Withheld);
        return Err(found::withheld());
    }
    // Swapped first and searched afterwards: what an upstream says twice is the same placeholder twice, and no echo.
    let mut swap = Swap::new(&use_, treatment.governed, treatment.declared);
    if has_no_body {
        settling(&mut use_, swap.apply(&mut parts, Some(&mut Vec::new())))?;
        mask(&mut use_, &mut parts.headers)?;
        use_.settle(Ending::Completed);
        return Ok(Response::from_parts(parts, AnswerBody::empty()));
    }
    if body.size_hint().exact().is_some_and(|n| n > limits.answer_max) {
        use_.settle(Ending::Limit);
        return Err(found::answer_too_long(limits.answer_max));
    }
    let decoder = if treatment.opaque { None } else { decoder(&mut use_, &mut parts.headers)? };
    let needles = (!treatment.opaque).then(|| Arc::clone(use_.needles()));
    let must_hold = limits.guessable || (swap.needs_body() && parts.status.is_success());
    if !must_hold {
        settling(&mut use_, swap.apply(&mut parts, None))?;
        mask(&mut use_, &mut parts.headers)?;
        let handling = Handling { decoder, needles, max: limits.answer_max };
        let stream = AnswerStream::new(body, handling, Box::new(use_));
        return Ok(Response::from_parts(parts, AnswerBody::stream(stream)));
    }
    let always = Arc::clone(use_.needles());
    let handling = Handling { decoder, needles: None, max: limits.answer_max };
    let stream = AnswerStream::new(body, handling, Box::new(use_));
    let mut held = Box::pin(stream.collect(ANSWER_HOLD_BYTES_MAX)).await.map_err(held_problem)?;
    let swapped = swap.apply(&mut parts, Some(&mut held.bytes));
    let swapped = swapped.and_then(|()| match held.mask(&mut parts.headers, needles.as_deref(), &always) {
        Verdict::Mask => Ok(()),
        Verdict::Withhold => Err(found::withheld()),
    });
    held.end(if swapped.is_ok() { Ending::Completed } else { Ending::Withheld });
    swapped?;
    Ok(Response::from_parts(parts, AnswerBody::with_trailers(held.bytes.into(), held.trailers)))
}

fn settling<G: Gate>(use_: &mut Use<G>, swapped: Result<(), Problem>) -> Result<(), Problem> {
    if swapped.is_err() {
        use_.settle(Ending::Withheld);
    }
    swapped
}

/// Swaps what an answer declares to be a credential.
struct Swap<G: Gate> {
    gate: Arc<G>,
    leaf: Arc<G::Leaf>,
    route: Arc<RoutePlan>,
    source: Arc<G::Source>,
    governed: bool,
    fields: Vec<AnswerField>,
}

impl<G: Gate> Swap<G> {
    fn new(use_: &Use<G>, governed: bool, fields: Vec<AnswerField>) -> Self {
        let (leaf, route, source) = (Arc::clone(use_.leaf()), Arc::clone(use_.route()), Arc::clone(use_.source()));
        Self { gate: use_.gate(), leaf, route, source, governed, fields }
    }

    fn needs_body(&self) -> bool {
        self.governed && needs_body(&self.fields)
    }

    fn apply(&mut self, parts: &mut response::Parts, body: Option<&mut Vec<u8>>) -> Result<(), Problem> {
        if !self.governed {
            return Ok(());
        }
        let mut refused = None;
        let mut mint = |carrier: &str, value: &[u8]| {
            let value = Secret::new(value.to_vec());
            let kept = self.gate.keep_answer(&self.leaf, &self.route, &self.source, carrier, value);
            kept.unwrap_or_else(|problem| {
                refused = Some(problem);
                String::new()
            })
        };
        let swapped = swap(parts, body, &self.fields, &mut mint);
        if let Some(problem) = refused {
            return Err(problem);
        }
        let swapped = swapped.map_err(|e| found::undeclared(&e.to_string()))?;
        if !swapped.found.is_empty() {
            self.gate.answer_carried(&self.leaf, &self.route, &swapped.found);
        }
        for found in swapped.found.iter().filter(|f| f.fate == Fate::Withheld) {
            if let Ok(value) = HeaderValue::from_str(&found.carrier) {
                parts.headers.append(MARQUE_WITHHELD, value);
            }
        }
        Ok(())
    }
}

fn held_problem(error: BodyError) -> Problem {
    match error {
        BodyError::TooLong(limit) => found::answer_too_long(limit),
        BodyError::Withheld => found::withheld(),
        BodyError::Idle => found::upstream_slow(),
        BodyError::Broken(_) => found::upstream_broke(),
    }
}

/// Cleans the head: what is for one hop, and what only Marque says.
fn clean(headers: &mut HeaderMap, scrubbed: bool, websocket: bool) {
    strip_response(headers, ResponseStrip { scrubbed, websocket });
    headers.remove(MARQUE_HEADER);
    headers.remove(MARQUE_WITHHELD);
}

/// Masks the head. Headers are searched on every route, opaque ones too.
fn mask<G: Gate>(use_: &mut Use<G>, headers: &mut HeaderMap) -> Result<(), Problem> {
    let mut hits = Hits::default();
    mask_fields(headers, use_.needles(), &mut hits);
    if use_.tell(&hits) == Verdict::Withhold {
        use_.settle(Ending::Withheld);
        return Err(found::withheld());
    }
    Ok(())
}

/// The head of a 101: no profile declares anything in it, so a cookie is withheld.
pub(crate) fn switching<G: Gate>(use_: &mut Use<G>, parts: &mut response::Parts, governed: bool) -> Result<(), Problem> {
    clean(&mut parts.headers, true, true);
    if !governed {
        return mask(use_, &mut parts.headers);
    }
    let mut none = |_: &str, _: &[u8]| String::new();
    let swapped = swap(parts, Some(&mut Vec::new()), &[], &mut none).map_err(|e| found::undeclared(&e.to_string()));
    settling(use_, swapped.map(|_| ()))?;
    mask(use_, &mut parts.headers)
}

/// The upstream was asked for `identity`; if it compressed anyway, the coding is undone, and what described the coded
/// bytes goes with it.
fn decoder<G: Gate>(use_: &mut Use<G>, headers: &mut HeaderMap) -> Result<Option<Decoder>, Problem> {
    let mut codings = Vec::new();
    for field in headers.get_all(header::CONTENT_ENCODING) {
        let text = String::from_utf8_lossy(field.as_bytes());
        match Coding::parse_list(&text) {
            Ok(more) => codings.extend(more),
            Err(_) => {
                use_.settle(Ending::Withheld);
                return Err(found::coding(&text.chars().take(32).collect::<String>()));
            }
        }
    }
    headers.remove(header::CONTENT_ENCODING);
    if codings.is_empty() {
        return Ok(None);
    }
    let Ok(decoder) = Decoder::stacked(&codings) else {
        use_.settle(Ending::Withheld);
        return Err(found::coding("more than can be undone"));
    };
    body_changed(headers, None);
    Ok(Some(decoder))
}
