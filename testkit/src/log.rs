//! What a server saw: the oracle that stands outside the product.
//!
//! A record is in the log as soon as the request's head has arrived; the body's hash and the end are filled in as they
//! come. A line of the optional JSONL file is written once per request, when its body has ended or was given up.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use crate::{
    credential::Seen,
    error::{Doing, Result},
};

/// One request as a server saw it.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Position in this server's log, from 0.
    pub seq: usize,
    /// The client's `x-request-id`, else `<nonce>-<seq>`.
    pub request_id: String,
    /// Wall clock, ms since the Unix epoch, when the head had arrived.
    pub at_ms: u64,
    /// The client's address.
    pub peer: String,
    /// Server name from the TLS handshake, if any.
    pub sni: Option<String>,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// Request method.
    pub method: String,
    /// Request target as received.
    pub target: String,
    /// `Host` or `:authority`.
    pub authority: Option<String>,
    /// Header fields in order, lossy UTF-8.
    pub headers: Vec<(String, String)>,
    /// Credentials found in the head (and in the body, where a route looked there).
    pub credentials: Vec<Seen>,
    /// SHA-256 of the body, hexadecimal, when it has ended.
    pub body_sha256: Option<String>,
    /// Body bytes received so far.
    pub body_bytes: u64,
    /// Status answered.
    pub status: Option<u16>,
    /// Bytes of the answer's body (or of the upgraded connection) handed to the transport.
    pub sent_bytes: u64,
    /// Wall clock, ms since the Unix epoch, when the exchange (stream, WebSocket) was over.
    pub ended_at_ms: Option<u64>,
}

impl Record {
    /// The first value of header `name` (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The target without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Whether the server saw this credential in any slot.
    #[must_use]
    pub fn saw(&self, secret: &str) -> bool {
        self.credentials.iter().any(|seen| seen.value == secret)
    }
}

/// The log of one server; clones share it.
#[derive(Clone, Default)]
pub struct RequestLog {
    inner: Arc<(Mutex<Inner>, Condvar)>,
}

#[derive(Default)]
struct Inner {
    records: Vec<Record>,
    file: Option<File>,
}

impl RequestLog {
    /// An empty log that also appends lines to `jsonl`, if given.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn new(jsonl: Option<&Path>) -> Result<Self> {
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.doing(format!("open `{}`", path.display()))
        };
        let file = jsonl.map(open).transpose()?;
        let log = Self::default();
        log.lock().file = file;
        Ok(log)
    }

    /// Everything seen so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.lock().records.clone()
    }

    /// How many requests carried `secret` in a slot that servers read.
    #[must_use]
    pub fn count_saw(&self, secret: &str) -> usize {
        self.lock()
            .records
            .iter()
            .filter(|record| record.saw(secret))
            .count()
    }

    /// How many exchanges have not ended.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.lock()
            .records
            .iter()
            .filter(|record| record.ended_at_ms.is_none())
            .count()
    }

    /// Waits until `found` holds for the records, at most `within`; `None` if it never did.
    pub fn wait_for<T>(
        &self,
        within: Duration,
        mut found: impl FnMut(&[Record]) -> Option<T>,
    ) -> Option<T> {
        let until = Instant::now() + within;
        let mut inner = self.lock();
        loop {
            if let Some(value) = found(&inner.records) {
                return Some(value);
            }
            let left = until.checked_duration_since(Instant::now())?;
            inner = self
                .inner
                .1
                .wait_timeout(inner, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    pub(crate) fn push(&self, mut record: Record, nonce: &str) -> usize {
        let mut inner = self.lock();
        let seq = inner.records.len();
        record.seq = seq;
        if record.request_id.is_empty() {
            record.request_id = format!("{nonce}-{seq}");
        }
        inner.records.push(record);
        self.inner.1.notify_all();
        seq
    }

    pub(crate) fn update(&self, seq: usize, change: impl FnOnce(&mut Record)) {
        let mut inner = self.lock();
        if let Some(record) = inner.records.get_mut(seq) {
            change(record);
        }
        self.inner.1.notify_all();
    }

    pub(crate) fn write_line(&self, seq: usize) {
        let mut inner = self.lock();
        let Inner { records, file } = &mut *inner;
        if let (Some(file), Some(record)) = (file, records.get(seq))
            && let Ok(mut line) = serde_json::to_vec(record)
        {
            line.push(b'\n');
            // A lost line would make the oracle lie; there is nobody to tell but the test's own log check.
            let _ = file.write_all(&line);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wall clock, ms since the Unix epoch.
#[must_use]
pub fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}
