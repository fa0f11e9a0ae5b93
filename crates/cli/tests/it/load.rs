//! Many writers over the real gateway, and the two logs that stand outside the product: what the clients were answered, and
//! which credentials the upstream saw.

use crate::house::PASSPHRASE;
use crate::local::Local;
use marque_testkit::serve::{handler, reply};
use marque_testkit::{Options, Server, canary};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Clients that ask for one and the same thing.
const ASKERS: usize = 4;
/// Uses that the limited session's grant allows.
pub(crate) const USES: u64 = 40;

/// What clients were told. Everything here must be found in the journal, whatever happens.
#[derive(Default)]
pub(crate) struct Acks {
    /// Session and request of each use that was answered by the upstream.
    pub(crate) uses: Vec<(String, String)>,
    /// Sequence and leaf hash of records that a client was shown.
    pub(crate) records: Vec<(u64, String)>,
    /// Sessions whose end was confirmed, with the sequence of the end, and when, in ms since 1970.
    pub(crate) ends: Vec<(String, u64, u64)>,
    /// Signed checkpoints that a client holds.
    pub(crate) checkpoints: Vec<String>,
    /// Credentials that were added: name and version.
    pub(crate) credentials: Vec<(String, u64)>,
    /// Questions that were answered with yes, each good for one use.
    pub(crate) approved: Vec<String>,
}

/// The upstream: answers, and logs the credential that it saw with the request's name.
pub(crate) struct Upstream {
    pub(crate) server: Server,
    pub(crate) origin: String,
    pub(crate) secret: String,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let server = Server::start(Options::plain(), handler(|_| async { reply(200, "application/json", "{\"id\":1}") })).unwrap();
        let origin = format!("http://api.test:{}", server.port());
        Self { server, origin, secret: canary("load") }
    }
}

/// Grants of the session that has to ask: to delete cannot be undone, and the default pack asks for each one.
pub(crate) fn grants_to_delete() -> Value {
    json!([{ "type": "service", "service": "github", "environment": "staging", "actions": ["repo.delete"], "resources": ["acme/*"] }])
}

pub(crate) fn grants(limit: Option<u64>) -> Value {
    let mut grant = json!({ "type": "service", "service": "github", "environment": "staging", "actions": ["repo.read"], "resources": ["acme/*"] });
    if let Some(uses) = limit {
        grant["limits"] = json!({ "uses": uses });
    }
    json!([grant])
}

/// One open session, as its agent has it.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) session: String,
    proxy: String,
    auth: String,
}

impl Seat {
    pub(crate) fn of(opened: &Value) -> Self {
        use base64::Engine as _;
        let pair = format!("marque:{}", opened["proxy_secret"].as_str().unwrap());
        Self {
            session: opened["session"].as_str().unwrap().to_owned(),
            proxy: opened["proxy"].as_str().unwrap().to_owned(),
            auth: base64::engine::general_purpose::STANDARD.encode(pair),
        }
    }

    /// One request; status and text, if an answer came.
    pub(crate) fn ask(&self, stream: &mut Option<TcpStream>, method: &str, url: &str) -> std::io::Result<(u16, String)> {
        if stream.is_none() {
            let fresh = TcpStream::connect(&self.proxy)?;
            fresh.set_nodelay(true)?;
            fresh.set_read_timeout(Some(Duration::from_secs(60)))?;
            *stream = Some(fresh);
        }
        let Some(connection) = stream else { return Err(std::io::ErrorKind::NotConnected.into()) };
        let result = exchange(connection, method, url, &self.auth);
        if !matches!(result, Ok((_, _, true))) {
            *stream = None;
        }
        result.map(|(status, text, _)| (status, text))
    }
}

/// Status, head and body, and whether the connection may be used again.
fn exchange(stream: &mut TcpStream, method: &str, url: &str, auth: &str) -> std::io::Result<(u16, String, bool)> {
    let host = url.split('/').nth(2).unwrap_or_default();
    let head = format!("{method} {url} HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: Basic {auth}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    let broken = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let end = loop {
        if let Some(at) = answer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&buffer[..n]);
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(broken)?;
    let field = |name: &str| head.lines().find_map(|l| l.strip_prefix(name)).map(|v| v.trim().to_owned());
    let chunked = field("transfer-encoding:").is_some_and(|v| v.contains("chunked"));
    let wanted = field("content-length:").and_then(|v| v.parse::<usize>().ok());
    let whole = |answer: &[u8]| match (chunked, wanted) {
        (true, _) => answer.ends_with(b"0\r\n\r\n"),
        (_, Some(n)) => answer.len() >= end + n,
        _ => true,
    };
    while !whole(&answer) {
        // The head was the answer; a body that was cut changes nothing about it.
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => answer.extend_from_slice(&buffer[..n]),
            _ => return Ok((status, String::from_utf8_lossy(&answer).into_owned(), false)),
        }
    }
    Ok((status, String::from_utf8_lossy(&answer).into_owned(), !head.contains("connection: close")))
}

/// A running load: stopped and joined by [`Load::stop`].
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

/// Sessions of a load.
pub(crate) const SESSIONS: usize = 5;
/// The session whose every use has to be approved.
const ASKING: usize = 4;

/// Opens the sessions of a load; the second is limited, the third will be closed by its owner.
pub(crate) fn open_sessions(local: &Local, acks: &Mutex<Acks>) -> Option<Vec<Seat>> {
    (0..SESSIONS)
        .map(|n| {
            let grants = if n == ASKING { grants_to_delete() } else { grants((n == 1).then_some(USES)) };
            let opened = local.open_session(&grants).ok()?;
            note_open(acks, &opened);
            Some(Seat::of(&opened))
        })
        .collect()
}

pub(crate) fn note_open(acks: &Mutex<Acks>, opened: &Value) {
    let record = (opened["seq"].as_u64().unwrap(), opened["leaf_hash"].as_str().unwrap().to_owned());
    acks.lock().unwrap().records.push(record);
}

pub(crate) fn note_end(acks: &Mutex<Acks>, session: &str, statement: &Value) {
    let mut acks = acks.lock().unwrap();
    acks.ends.push((session.to_owned(), statement["end_seq"].as_u64().unwrap(), marque_testkit::log::now_ms()));
    acks.checkpoints.extend(statement["checkpoint"].as_str().map(str::to_owned));
}

impl Load {
    /// `writers` writers over the sessions, and two owners who add, rotate and remove credentials, ask for checkpoints, open
    /// and end sessions; one of them closes a session that is in use.
    pub(crate) fn start(local: &Local, upstream: &Upstream, acks: &Arc<Mutex<Acks>>, seats: Vec<Seat>, writers: usize, name: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::with_capacity(writers + 1);
        for writer in 0..writers {
            let (stop, acks) = (stop.clone(), acks.clone());
            let (seat, origin) = (seats[writer % ASKING].clone(), upstream.origin.clone());
            let name = format!("{name}-w{writer}");
            threads.push(std::thread::spawn(move || write_on(&seat, &origin, &name, &stop, &acks)));
        }
        for _ in 0..ASKERS {
            let (stop, seat, url) = (stop.clone(), seats[ASKING].clone(), format!("{}/repos/acme/{name}-asks", upstream.origin));
            threads.push(std::thread::spawn(move || ask_on(&seat, &url, &stop)));
        }
        let (local_too, stop_too, acks_too) = (local.clone(), stop.clone(), acks.clone());
        threads.push(std::thread::spawn(move || approve(&local_too, &stop_too, &acks_too)));
        for closes in [true, false] {
            let owner = (local.clone(), stop.clone(), acks.clone(), upstream.origin.clone(), seats[2].session.clone());
            threads.push(std::thread::spawn(move || {
                let (local, stop, acks, origin, closing) = owner;
                own(&local, &origin, closes.then_some(&*closing), &stop, &acks);
            }));
        }
        Self { stop, threads }
    }

    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

fn write_on(seat: &Seat, origin: &str, name: &str, stop: &AtomicBool, acks: &Mutex<Acks>) {
    let mut stream = None;
    let mut failures = 0;
    let mut mine = Vec::new();
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) || failures > 3 {
            break;
        }
        let id = format!("{name}-{turn}");
        // Every eighth is outside the grant, and must not go anywhere.
        let method = if turn % 8 == 7 { "DELETE" } else { "GET" };
        match seat.ask(&mut stream, method, &format!("{origin}/repos/acme/{id}")) {
            Ok((200, _)) => {
                assert_eq!(method, "GET", "a use outside the grant was answered by the upstream");
                mine.push((seat.session.clone(), id));
                failures = 0;
            }
            // A refusal: over its limit, or its session over. Leave the others room.
            Ok(_) => std::thread::park_timeout(Duration::from_millis(2)),
            Err(_) => failures += 1,
        }
    }
    acks.lock().unwrap().uses.append(&mut mine);
}

/// Requests that are all the same: whichever is first after a yes has spent it.
fn ask_on(seat: &Seat, url: &str, stop: &AtomicBool) {
    let mut stream = None;
    while !stop.load(Ordering::Relaxed) && seat.ask(&mut stream, "DELETE", url).is_ok() {
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// A human who says yes to everything, once.
fn approve(local: &Local, stop: &AtomicBool, acks: &Mutex<Acks>) {
    while !stop.load(Ordering::Relaxed) {
        let open = local.get("/v1/approvals").ok().and_then(|all| all.as_array().cloned()).unwrap_or_default();
        for ask in open.iter().filter(|ask| ask["state"] == "open") {
            let yes = json!({ "passphrase": PASSPHRASE, "approve": true, "uses": 1, "ttl_s": 0 });
            let id = ask["id"].as_str().unwrap();
            if local.call("POST", &format!("/v1/approvals/{id}"), &yes).is_ok() {
                acks.lock().unwrap().approved.push(id.to_owned());
            }
        }
        std::thread::park_timeout(Duration::from_millis(3));
    }
}

fn own(local: &Local, origin: &str, closing: Option<&str>, stop: &AtomicBool, acks: &Mutex<Acks>) {
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let spare = origin.replace("api.test", "spare.test");
        match turn % 5 {
            0 | 1 => {
                if let Ok(view) = local.add_credential("spare", "http", &spare, &canary("spare")) {
                    let added = ("spare".to_owned(), view["version"].as_u64().unwrap());
                    acks.lock().unwrap().credentials.push(added);
                }
            }
            2 => {
                if let Ok(opened) = local.open_session(&grants(None)) {
                    note_open(acks, &opened);
                    let session = opened["session"].as_str().unwrap();
                    if let Ok(statement) = local.end_session(session) {
                        note_end(acks, session, &statement);
                    }
                }
            }
            3 => {
                if let Ok(answer) = local.call("POST", "/v1/checkpoint", &Value::Null) {
                    acks.lock().unwrap().checkpoints.extend(answer["checkpoint"].as_str().map(str::to_owned));
                }
            }
            _ => {
                // Gone or broken: either is fine, and neither is an acknowledgement.
                let _ = local.call("DELETE", "/v1/credentials/spare", &Value::Null);
            }
        }
        if turn == 3
            && let Some(closing) = closing
            && let Ok(statement) = local.end_session(closing)
        {
            note_end(acks, closing, &statement);
        }
    }
}
