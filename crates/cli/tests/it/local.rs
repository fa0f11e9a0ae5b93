//! The authority's local API, call by call on a connection of its own, as any client could speak it.

use crate::house::{House, LONG, PASSPHRASE};
use marque_testkit::proc::Child;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Why a call has no answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Nobody listens, or the connection broke: it may have happened, or not.
    Broken,
    /// A refusal, as the authority said it.
    Refused(Value),
}

/// Where an authority listens.
#[derive(Clone)]
pub(crate) struct Local {
    socket: PathBuf,
}

impl Local {
    pub(crate) fn of(house: &House) -> Self {
        Self { socket: house.data().join("authority.sock") }
    }

    pub(crate) fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, Failed> {
        let answer = self.exchange(method, path, body).map_err(|_| Failed::Broken)?;
        let (head, body) = split(&answer).ok_or(Failed::Broken)?;
        let value: Value = serde_json::from_slice(body).map_err(|_| Failed::Broken)?;
        if head.starts_with("HTTP/1.1 200") { Ok(value) } else { Err(Failed::Refused(value)) }
    }

    fn exchange(&self, method: &str, path: &str, body: &Value) -> std::io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(LONG))?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        // In one piece: an answer that does not need the body may come, and the connection close, before a second piece is
        // written, and then the kernel throws the answer away.
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: marque\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }

    /// Brings sockets for a session, as a launcher does, and returns what is answered.
    pub(crate) fn hand_over(&self, session: &str, secret: &str, sockets: &[impl AsFd]) -> std::io::Result<String> {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(LONG))?;
        let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        assert!(sockets.is_empty() || beside.push(SendAncillaryMessage::ScmRights(&sockets)));
        let message = format!("\0{}\n", json!({"session": session, "proxy_secret": secret}));
        sendmsg(&stream, &[std::io::IoSlice::new(message.as_bytes())], &mut beside, SendFlags::empty())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Failed> {
        self.call("GET", path, &Value::Null)
    }

    /// The authority's process, if it answers.
    pub(crate) fn pid(&self) -> Option<i32> {
        i32::try_from(self.get("/v1/status").ok()?["pid"].as_i64()?).ok()
    }

    /// One attempt to have it open: initialised, unsealed, answering.
    pub(crate) fn try_open(&self) -> Result<Value, Failed> {
        let status = self.get("/v1/status")?;
        match (status["sealed"].as_bool(), status["initialised"].as_bool()) {
            (Some(false), _) => Ok(status),
            (_, Some(false)) => {
                self.call("POST", "/v1/init", &json!({ "passphrase": PASSPHRASE }))?;
                self.get("/v1/status")
            }
            _ => self.call("POST", "/v1/unseal", &json!({ "passphrase": PASSPHRASE })),
        }
    }

    pub(crate) fn add_credential(&self, name: &str, service: &str, origin: &str, value: &str) -> Result<Value, Failed> {
        let host = origin.rsplit_once("://").map_or(origin, |(_, host)| host);
        let place = (service == "http").then_some("bearer");
        let body = json!({
            "passphrase": PASSPHRASE, "name": name, "service": service, "environment": "staging", "value": value,
            "reference": null, "hosts": [format!("api={origin}")], "placement": place,
            "pins": [format!("{host}=127.0.0.1")], "resources": [],
        });
        self.call("POST", "/v1/credentials", &body)
    }

    pub(crate) fn open_session(&self, grants: &Value) -> Result<Value, Failed> {
        self.open_session_with(PASSPHRASE, grants)
    }

    pub(crate) fn open_session_with(&self, passphrase: &str, grants: &Value) -> Result<Value, Failed> {
        let body = json!({
            "passphrase": passphrase, "purpose": "read the repositories", "refs": [], "agent": "load", "environment": "staging",
            "mode": "enforce", "grants": grants, "ttl_s": 600, "grade": "D", "accept": ["uncontained"], "egress": [], "task": null, "pins": [],
        });
        self.call("POST", "/v1/sessions", &body)
    }

    pub(crate) fn end_session(&self, session: &str) -> Result<Value, Failed> {
        self.call("POST", &format!("/v1/sessions/{session}/end"), &json!({ "reason": "exited" }))
    }
}

fn split(answer: &[u8]) -> Option<(&str, &[u8])> {
    let at = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    Some((std::str::from_utf8(answer.get(..at)?).ok()?, answer.get(at + 4..)?))
}

/// Asks again until it is so. What is waited for is another process, which has no bell to ring.
pub(crate) fn until<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        std::thread::park_timeout(Duration::from_millis(4));
    }
}

/// An authority that answers; one that gave up is a failure, and its last words are shown.
pub(crate) fn opened(local: &Local, serve: &Child) -> Value {
    until("the authority opens", LONG, || match local.try_open() {
        Ok(status) => Some(status),
        Err(failed) => {
            assert!(!serve.has_ended(), "serve ended ({failed:?}): {}", serve.stderr());
            None
        }
    })
}
