//! An upstream that tells what it saw and misbehaves on request.
//!
//! | route | does |
//! |---|---|
//! | `/echo` | JSON of request line, header fields and body as seen |
//! | `/reflect?in=body\|header\|trailer\|redirect\|error\|cookie&coding=…&form=…&split=N&pad=N` | gives the credential back |
//! | `/path/<credential>/reflect?…` | the same, credential in the path |
//! | `/ws`, `/sse?events=N&interval_ms=M`, `/slow?ms=N` | WebSocket echo, events (0 = endless), late answer |
//! | `/upload`, `/trailers`, `/continue?refuse=1` | counts bytes, sends trailers, answers `Expect` |
//! | `POST /login`, `/me` | sets a session cookie, needs it |
//! | `POST /oauth/token`, `/oauth/me` | rotates a refresh token, needs the access token |
//! | `/redirect-signed?to=BASE`, `/signed?sig=…` | redirect to a signed URL, which works without credential |
//! | `/link-signed?to=BASE` | the same URL in JSON, as `download_url` |
//! | `/items`, `/items/N` | a small shop: reads and deletes for whoever has the credential, which it does not repeat |
//! | `/mirror` | the body back, and nothing of the head |
//! | `/v1/…` and the rest | 200 |

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{HeaderMap, header::HeaderValue};
use serde_json::{Value, json};

use super::reflect::reflect;
use crate::{
    canary,
    credential::{self, Seen},
    encode::sha256_hex,
    error::Result,
    serve::{Call, Options, Reply, Server, handler, reply, reply_json, reply_stream, set_header},
    websocket,
};

/// Starts echo upstreams.
pub struct Echo;

/// Values this server gave out: cookies, access and refresh tokens, signatures.
type Issued = Arc<Mutex<HashSet<String>>>;

impl Echo {
    /// Starts one.
    ///
    /// # Errors
    /// When the port or the log file cannot be had.
    pub fn start(options: Options) -> Result<Server> {
        let issued = Issued::default();
        Server::start(
            options,
            handler(move |call| route(call, Arc::clone(&issued))),
        )
    }
}

async fn route(mut call: Call, issued: Issued) -> Reply {
    let path = match credential::path_credential(call.path()) {
        Some((_, rest)) => rest.to_owned(),
        None => call.path().to_owned(),
    };
    match path.as_str() {
        "/reflect" => {
            let body = call.body().await;
            note_body_credentials(&mut call, &body);
            match call.credentials.first().cloned() {
                Some(seen) => reflect(&call, &seen.value),
                None => unauthorized(),
            }
        }
        "/ws" => websocket::echo(call),
        "/sse" => events(&call),
        "/slow" => {
            // The lateness is this route's purpose, not synchronisation.
            tokio::time::sleep(Duration::from_millis(call.number("ms").unwrap_or(1_000))).await;
            reply(200, "text/plain", "late\n")
        }
        "/upload" => upload(&mut call).await,
        "/trailers" => trailers(),
        "/continue" => expect(&mut call).await,
        "/login" => login(&mut call, &issued).await,
        "/me" => needs(&call, &issued, &["cookie"]),
        "/oauth/token" => oauth_token(&mut call, &issued).await,
        "/oauth/me" => needs(&call, &issued, &["bearer"]),
        "/redirect-signed" => redirect_signed(&call, &issued),
        "/link-signed" => link_signed(&call, &issued),
        "/signed" => signed(&call, &issued),
        "/mirror" => {
            let body = call.body().await;
            reply(200, "text/plain", body)
        }
        "/items" => shop(&call, json!([{ "id": 7, "name": "anchor" }, { "id": 8, "name": "pennant" }])),
        "/items/7" if call.request.method() == hyper::Method::DELETE => shop(&call, json!({ "deleted": 7 })),
        "/landing" => reply(200, "text/plain", "landed\n"),
        _ => echo(&mut call).await,
    }
}

fn shop(call: &Call, answer: Value) -> Reply {
    if call.credentials.is_empty() { unauthorized() } else { reply_json(200, &answer) }
}

async fn echo(call: &mut Call) -> Reply {
    let body = call.body().await;
    note_body_credentials(call, &body);
    let request = &call.request;
    let headers: Vec<Value> = request
        .headers()
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    reply_json(
        200,
        &json!({
            "ok": true,
            "method": request.method().as_str(),
            "target": request.uri().path_and_query().map(ToString::to_string),
            "version": format!("{:?}", request.version()),
            "authorization": call.header("authorization"),
            "headers": headers,
            "body": String::from_utf8_lossy(&body),
            "body_sha256": sha256_hex(&body),
        }),
    )
}

fn note_body_credentials(call: &mut Call, body: &[u8]) {
    let found = credential::in_body(body);
    call.log.update(call.seq, |record| {
        record.credentials.extend(found.iter().cloned())
    });
    call.credentials.extend(found);
}

fn unauthorized() -> Reply {
    let mut answer = reply_json(401, &json!({ "error": "no credential in any slot" }));
    set_header(&mut answer, "www-authenticate", "Bearer realm=\"echo\"");
    answer
}

fn events(call: &Call) -> Reply {
    let count = call.number("events").unwrap_or(3);
    let every = Duration::from_millis(call.number("interval_ms").unwrap_or(10));
    let seen = call
        .credentials
        .first()
        .map_or_else(String::new, |seen| seen.value.clone());
    let reflect = call.query("reflect").is_some();
    let (mut sender, mut answer) = reply_stream(200, "text/event-stream");
    set_header(&mut answer, "cache-control", "no-cache");
    tokio::spawn(async move {
        let mut at = 0_u64;
        while count == 0 || at < count {
            let data = if reflect { seen.as_str() } else { "tick" };
            let event = format!("id: {at}\nevent: tick\ndata: {data} {at}\n\n");
            if sender.send_data(Bytes::from(event)).await.is_err() {
                return;
            }
            tokio::time::sleep(every).await;
            at += 1;
        }
    });
    answer
}

async fn upload(call: &mut Call) -> Reply {
    let mut count = 0_usize;
    while let Some(Ok(frame)) = call.request.body_mut().frame().await {
        count += frame.data_ref().map_or(0, Bytes::len);
    }
    reply_json(200, &json!({ "bytes": count }))
}

fn trailers() -> Reply {
    let (mut sender, mut answer) = reply_stream(200, "text/plain");
    set_header(&mut answer, "trailer", "x-checksum");
    tokio::spawn(async move {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", HeaderValue::from_static("done"));
        if sender
            .send_data(Bytes::from_static(b"before the trailer\n"))
            .await
            .is_ok()
        {
            let _ = sender.send_trailers(trailers).await;
        }
    });
    answer
}

/// hyper answers `100 Continue` when the body is first read, and not before.
async fn expect(call: &mut Call) -> Reply {
    let expects = call.header("expect").is_some();
    if expects && call.query("refuse").is_some() {
        return reply(417, "text/plain", "not wanted\n");
    }
    let body = call.body().await;
    reply_json(200, &json!({ "expected": expects, "bytes": body.len() }))
}

async fn login(call: &mut Call, issued: &Issued) -> Reply {
    let body = call.body().await;
    note_body_credentials(call, &body);
    if call.credentials.is_empty() {
        return unauthorized();
    }
    let session = issue(issued, "session");
    let mut answer = reply_json(200, &json!({ "logged_in": true }));
    set_header(
        &mut answer,
        "set-cookie",
        &format!("session={session}; Path=/; HttpOnly; SameSite=Lax"),
    );
    answer
}

/// RFC 6749 section 6, with rotation: an old refresh token is spent. `grant_type=client_credentials` starts.
async fn oauth_token(call: &mut Call, issued: &Issued) -> Reply {
    let body = call.body().await;
    note_body_credentials(call, &body);
    let pairs = credential::query_pairs(std::str::from_utf8(&body).unwrap_or_default());
    let field = |name: &str| {
        pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    if field("grant_type").as_deref() == Some("refresh_token") {
        let old = field("refresh_token").unwrap_or_default();
        let seen = Seen {
            slot: "body".to_owned(),
            value: old.clone(),
        };
        call.log
            .update(call.seq, |record| record.credentials.push(seen));
        if !lock(issued).remove(&old) {
            return reply_json(400, &json!({ "error": "invalid_grant" }));
        }
    } else if call.credentials.is_empty() {
        return reply_json(401, &json!({ "error": "invalid_client" }));
    }
    reply_json(
        200,
        &json!({
            "access_token": issue(issued, "access"),
            "refresh_token": issue(issued, "refresh"),
            "token_type": "Bearer",
            "expires_in": 3600,
        }),
    )
}

fn needs(call: &Call, issued: &Issued, slots: &[&str]) -> Reply {
    let issued = lock(issued);
    let known = |seen: &&Seen| slots.contains(&seen.slot.as_str()) && issued.contains(&seen.value);
    match call.credentials.iter().find(known) {
        Some(_) => reply_json(200, &json!({ "me": "someone who logged in" })),
        None => unauthorized(),
    }
}

/// The way Hugging Face's `/resolve/` answers: a redirect to a signed URL on the download host.
fn redirect_signed(call: &Call, issued: &Issued) -> Reply {
    if call.credentials.is_empty() {
        return unauthorized();
    }
    let mut answer = reply(302, "text/plain", "moved\n");
    set_header(&mut answer, "location", &signed_url(call, issued));
    answer
}

fn link_signed(call: &Call, issued: &Issued) -> Reply {
    if call.credentials.is_empty() {
        return unauthorized();
    }
    reply_json(200, &json!({ "name": "object", "download_url": signed_url(call, issued) }))
}

fn signed_url(call: &Call, issued: &Issued) -> String {
    let base = call.query("to").unwrap_or_else(|| call.base.clone());
    format!("{base}/signed?sig={}&expires=4102444800", issue(issued, "signature"))
}

fn signed(call: &Call, issued: &Issued) -> Reply {
    let signature = call.query("sig").unwrap_or_default();
    let seen = Seen {
        slot: "signature".to_owned(),
        value: signature.clone(),
    };
    call.log
        .update(call.seq, |record| record.credentials.push(seen));
    if lock(issued).contains(&signature) {
        reply(200, "application/octet-stream", "the signed object\n")
    } else {
        reply(403, "text/plain", "bad signature\n")
    }
}

fn issue(issued: &Issued, kind: &str) -> String {
    let value = canary(kind);
    lock(issued).insert(value.clone());
    value
}

fn lock(issued: &Issued) -> MutexGuard<'_, HashSet<String>> {
    issued.lock().unwrap_or_else(PoisonError::into_inner)
}
