//! What an agent is told when a use does not happen: RFC 9457 problem documents, gRPC trailers-only answers, and a
//! plain line for git. Each says that it is Marque's answer and not the upstream's (DESIGN section 5).

use crate::body::AnswerBody;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use std::fmt::Write as _;

/// Set on every answer that Marque itself wrote; removed from every answer of an upstream.
pub const MARQUE_HEADER: HeaderName = HeaderName::from_static("x-marque");

/// Names what Marque took out of an answer because no profile declares it (`cookie sid`, `location`).
pub const MARQUE_WITHHELD: HeaderName = HeaderName::from_static("x-marque-withheld");

/// A refusal or failure, as a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// Stable code, `MQ-nnnn`.
    pub code: &'static str,
    /// One sentence, lower case: what happened.
    pub title: String,
    /// What to do or to request next.
    pub help: String,
    /// After how many seconds a retry can succeed.
    pub retry_after_s: Option<u32>,
    /// Where a human answers, if one was asked.
    pub approval_url: Option<String>,
    /// The use was admitted before: this is what became of it, and no refusal.
    pub of_a_use: bool,
}

/// In which form the client understands a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/problem+json`.
    Json,
    /// HTTP 200 with `grpc-status` in the head (gRPC over HTTP/2, "Trailers-Only").
    Grpc,
    /// `text/plain`, which git prints behind `remote:`.
    Git,
    /// HTTP 200 with a message on the error band (git's pack protocol, "side-band-64k"), which git prints behind `remote:`
    /// before the push fails.
    GitPush,
    /// HTTP 200 with an `ERR` packet (git's pack protocol), which git prints as a remote error.
    GitFetch,
}

impl Problem {
    /// A problem with no retry hint.
    #[must_use]
    pub fn new(status: u16, code: &'static str, title: impl Into<String>, help: impl Into<String>) -> Self {
        Self { status, code, title: title.into(), help: help.into(), retry_after_s: None, approval_url: None, of_a_use: false }
    }

    /// The same, of a use that was admitted.
    #[must_use]
    pub(crate) fn of_a_use(self) -> Self {
        Self { of_a_use: true, ..self }
    }

    /// The one sentence that text-only clients see.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!("marque {}: {}", self.code, self.title);
        if !self.help.is_empty() {
            let _ = write!(line, ". {}", self.help);
        }
        if let Some(url) = &self.approval_url {
            let _ = write!(line, " ({url})");
        }
        line.push_str(" (This is Marque, not the upstream.)");
        line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }

    /// The RFC 9457 document.
    #[must_use]
    pub fn json(&self) -> String {
        let mut doc = serde_json::json!({
            "type": format!("urn:marque:error:{}", self.code),
            "status": self.status,
            "code": self.code,
            "title": self.title,
            "detail": self.line(),
            // What gh and most REST clients print, and what npm prints.
            "message": self.line(),
            "error": self.line(),
            "source": "marque",
        });
        if let Some(map) = doc.as_object_mut() {
            if !self.help.is_empty() {
                map.insert("help".into(), self.help.clone().into());
            }
            if let Some(after) = self.retry_after_s {
                map.insert("retry_after_s".into(), after.into());
            }
            if let Some(url) = &self.approval_url {
                map.insert("approval_url".into(), url.clone().into());
            }
        }
        doc.to_string()
    }

    /// The answer that carries this problem.
    #[must_use]
    pub fn response(&self, form: Form) -> Response<AnswerBody> {
        let mut response = match form {
            Form::Json => answer(self.status, "application/problem+json", self.json()),
            // git shows the body of a failed request only if it is text/plain, each line behind `remote:`.
            Form::Git => answer(self.status, "text/plain; charset=utf-8", format!("{}\n", self.line())),
            Form::Grpc => self.grpc(),
            // A failed POST shows git's user a number. These are answers of the protocol itself.
            Form::GitPush => answer_200("application/x-git-receive-pack-result", band(3, &self.line())),
            Form::GitFetch => answer_200("application/x-git-upload-pack-result", packet(&format!("ERR {}", self.line()))),
        };
        let headers = response.headers_mut();
        headers.insert(MARQUE_HEADER, HeaderValue::from_static(self.code));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after));
        }
        if self.status == 407 {
            headers.insert(header::PROXY_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"marque\""));
        }
        response
    }

    fn grpc(&self) -> Response<AnswerBody> {
        // gRPC status codes: 7 PERMISSION_DENIED, 16 UNAUTHENTICATED, 14 UNAVAILABLE, 8 RESOURCE_EXHAUSTED, 3 INVALID_ARGUMENT.
        let status: u16 = match self.status {
            400 | 413 | 415 => 3,
            401 | 407 => 16,
            429 => 8,
            500.. => 14,
            _ => 7,
        };
        let mut response = Response::new(AnswerBody::empty());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(status));
        if let Ok(message) = HeaderValue::from_str(&percent(&self.line())) {
            headers.insert(HeaderName::from_static("grpc-message"), message);
        }
        response
    }
}

/// One pkt-line. A refusal's line is far below the 65,516 bytes that one holds.
fn packet(text: &str) -> String {
    let cut: String = text.chars().take(8_000).collect();
    format!("{:04x}{cut}", cut.len() + 4)
}

fn band(number: u8, text: &str) -> String {
    packet(&format!("{}{text}\n", char::from(number))) + "0000"
}

fn answer_200(kind: &'static str, text: String) -> Response<AnswerBody> {
    answer(200, kind, text)
}

/// Percent-encoding of `grpc-message`: printable ASCII but `%` stays.
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if (0x20..=0x7e).contains(&byte) && byte != b'%' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn answer(status: u16, kind: &'static str, text: String) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::full(Bytes::from(text)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// In which form the sender of such a request understands a refusal.
#[must_use]
pub fn form_of(headers: &http::HeaderMap, path: &str) -> Form {
    let starts = |name: HeaderName, prefix: &[u8]| headers.get(name).is_some_and(|v| v.as_bytes().starts_with(prefix));
    if starts(header::CONTENT_TYPE, b"application/grpc") {
        Form::Grpc
    } else if starts(header::CONTENT_TYPE, b"application/x-git-receive-pack-request") {
        Form::GitPush
    } else if starts(header::CONTENT_TYPE, b"application/x-git-upload-pack-request") {
        Form::GitFetch
    } else if starts(header::USER_AGENT, b"git/")
        || path.ends_with("/info/refs")
        || path.ends_with("/git-upload-pack")
        || path.ends_with("/git-receive-pack")
    {
        Form::Git
    } else {
        Form::Json
    }
}

/// The problems that the gateway itself finds. The codes are those of `marque-api`.
pub(crate) mod found {
    use super::Problem;

    pub(crate) fn framing(why: &str) -> Problem {
        Problem::new(400, "MQ-4105", format!("the request is ambiguous: {why}"), "send one well-formed HTTP/1.1 request")
    }
    pub(crate) fn head(why: &str) -> Problem {
        Problem::new(400, "MQ-4104", why, "correct the request and send it again")
    }
    pub(crate) fn misdirected(why: &str) -> Problem {
        Problem::new(421, "MQ-4103", why, "name the same host in CONNECT, TLS and Host")
    }
    pub(crate) fn method(why: &str) -> Problem {
        Problem::new(405, "MQ-4104", why, "use a tunnel only from outside one")
    }
    pub(crate) fn upgrade() -> Problem {
        Problem::new(403, "MQ-4106", "this upgrade is refused", "only WebSocket upgrades pass")
    }
    pub(crate) fn body_broken() -> Problem {
        Problem::new(400, "MQ-4104", "the request's body ended early or came too slowly", "send it again")
    }
    pub(crate) fn open_host(why: &str) -> Problem {
        Problem::new(403, "MQ-4112", why, "ask for a grant with a service profile for this host")
    }
    pub(crate) fn address(host: &str, why: &str) -> Problem {
        let help = "private, loopback and metadata addresses are reachable only where a human pinned them";
        Problem::new(403, "MQ-4102", format!("`{host}` is at an address that is refused: {why}"), help)
    }
    pub(crate) fn resolve(host: &str) -> Problem {
        Problem::new(502, "MQ-4110", format!("the name `{host}` did not resolve"), "check the name")
    }
    pub(crate) fn dial(host: &str, why: &str) -> Problem {
        Problem::new(502, "MQ-4110", format!("`{host}` could not be reached: {why}"), "try again later")
    }
    pub(crate) fn certificate(host: &str, why: &str) -> Problem {
        let title = format!("TLS with `{host}` failed: {why}");
        Problem::new(502, "MQ-4111", title, "the upstream's certificate must be valid for the very name that was asked for")
    }
    pub(crate) fn interception(why: &str) -> Problem {
        Problem::new(403, "MQ-4101", why, "a host granted later needs a new session, unless the session named it")
    }
    pub(crate) fn upstream_broke() -> Problem {
        Problem::new(502, "MQ-4110", "the upstream broke off before it answered", "see whether the request took effect, then retry")
    }
    pub(crate) fn upstream_slow() -> Problem {
        Problem::new(504, "MQ-4114", "the upstream did not answer in time", "see whether the request took effect, then retry")
    }
    pub(crate) fn coding(coding: &str) -> Problem {
        let title = format!("the answer is in a content coding that cannot be searched (`{coding}`), so it is withheld");
        Problem::new(502, "MQ-4108", title, "ask for another representation")
    }
    pub(crate) fn withheld() -> Problem {
        let title = "the answer held a credential of this session and is withheld";
        Problem::new(502, "MQ-4109", title, "do not send this to an upstream that echoes requests; the human was told")
    }
    pub(crate) fn answer_too_long(limit: u64) -> Problem {
        Problem::new(502, "MQ-4107", format!("the answer is longer than {limit} bytes"), "ask for less")
    }
    pub(crate) fn handshake(why: &str) -> Problem {
        Problem::new(502, "MQ-4110", format!("the upstream's WebSocket handshake is wrong: {why}"), "connect again")
    }
    pub(crate) fn undeclared(why: &str) -> Problem {
        let title = format!("the answer may carry a credential that could not be kept back: {why}");
        Problem::new(502, "MQ-4109", title, "tell the human: the service profile does not describe this answer")
    }
    pub(crate) fn address_gone() -> Problem {
        let help = "ask the upstream again: an address of the gateway is for the session that was given it, and reads only";
        Problem::new(410, "MQ-4116", "this address of the gateway leads nowhere", help)
    }
    pub(crate) fn address_reads() -> Problem {
        let help = "send GET or HEAD, without a body and without a query of your own";
        Problem::new(405, "MQ-4116", "a signed address is only read", help)
    }
    pub(crate) fn placing(why: &str) -> Problem {
        let help = "the credential's record and the service profile disagree: tell the human";
        Problem::new(500, "MQ-4115", format!("the credential could not be written into its place: {why}"), help)
    }
    pub(crate) fn ended() -> Problem {
        Problem::new(403, "MQ-5101", "the session has ended", "open a new session")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_says_that_it_is_marque_and_not_the_upstream() {
        let mut problem = Problem::new(403, "MQ-2104", "no\r\nway", "ask é %");
        problem.retry_after_s = Some(3);
        problem.approval_url = Some("http://x/1".into());
        let doc: serde_json::Value = serde_json::from_str(&problem.json()).unwrap();
        assert_eq!(doc["source"], "marque");
        assert_eq!(doc["status"], 403);
        assert_eq!(doc["approval_url"], "http://x/1");
        assert!(problem.line().contains("not the upstream"));
        assert!(!problem.line().contains('\n'));
        for form in [Form::Json, Form::Grpc, Form::Git] {
            let response = problem.response(form);
            assert_eq!(response.headers()[MARQUE_HEADER], "MQ-2104");
            assert_eq!(response.headers()[header::RETRY_AFTER], "3");
        }
        let grpc = problem.response(Form::Grpc);
        assert_eq!(grpc.status(), 200);
        assert_eq!(grpc.headers()["grpc-status"], "7");
        assert!(grpc.headers()["grpc-message"].to_str().unwrap().contains("%C3%A9 %25"));
    }

    #[test]
    fn a_challenge_is_made_for_407_alone() {
        let with = Problem::new(407, "MQ-4113", "who", "").response(Form::Json);
        assert_eq!(with.headers()[header::PROXY_AUTHENTICATE], "Basic realm=\"marque\"");
        assert!(Problem::new(403, "MQ-4113", "who", "").response(Form::Json).headers().get(header::PROXY_AUTHENTICATE).is_none());
    }
}
