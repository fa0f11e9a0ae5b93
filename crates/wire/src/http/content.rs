//! The hash that an approval binds: the exact request that will be forwarded, before the credential is placed
//! (threats C14).
//!
//! Taken after the request has been stripped. Target and credential are bound by the action's digest, not here.
//! Trailers are not hashed: request trailers are not forwarded.

use aws_lc_rs::digest::{Context, SHA256};
use http::HeaderName;
use http::request::Parts;
use marque_model::Content;

const TAG: &[u8] = b"marque/content/v3";

/// The connection's own, and what is bound elsewhere: the gateway writes or removes them itself.
const OWN: [&str; 7] =
    ["accept-encoding", "authorization", "connection", "content-length", "host", "sec-websocket-key", "upgrade"];

/// Headers that change with every try of one and the same request and ask for nothing: the time, names of traces and tries,
/// versions of the client. By their exact names: whatever else begins like one of them may choose a tenant, a destination or a dry
/// run, and is bound. They go upstream as the agent wrote them, so that whoever says yes is told of them.
const NOISE: [&str; 26] = [
    "b3",
    "date",
    "sentry-trace",
    "traceparent",
    "tracestate",
    "uber-trace-id",
    "user-agent",
    "x-amzn-trace-id",
    "x-b3-flags",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-client-request-id",
    "x-cloud-trace-context",
    "x-correlation-id",
    "x-datadog-origin",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-tags",
    "x-datadog-trace-id",
    "x-goog-api-client",
    "x-request-id",
    "x-stainless-read-timeout",
    "x-stainless-retry-count",
    "x-stainless-timeout",
];

/// Whether a header is part of what an approval is for.
#[must_use]
pub fn is_bound(name: &HeaderName) -> bool {
    OWN.binary_search(&name.as_str()).is_err() && !is_unbound(name)
}

/// Whether a header goes upstream as the agent wrote it and is no part of what an approval is for.
#[must_use]
pub fn is_unbound(name: &HeaderName) -> bool {
    NOISE.binary_search(&name.as_str()).is_ok()
}

/// Hashes a request whose body comes in pieces. The head is length-prefixed and the body's length follows it, so that
/// no two different requests have the same input.
pub struct ContentHasher {
    context: Context,
    body_bytes: u64,
}

impl ContentHasher {
    /// Begins with method, raw target and every header that [`is_bound`], in every line's order.
    #[must_use]
    pub fn new(parts: &Parts) -> Self {
        let mut this = Self { context: Context::new(&SHA256), body_bytes: 0 };
        this.field(TAG);
        this.field(parts.method.as_str().as_bytes());
        this.field(parts.uri.path_and_query().map_or("", |p| p.as_str()).as_bytes());
        let mut names: Vec<&HeaderName> = parts.headers.keys().filter(|name| is_bound(name)).collect();
        names.sort_unstable_by_key(|name| name.as_str());
        this.number(names.len() as u64);
        for name in names {
            let values = parts.headers.get_all(name);
            this.field(name.as_str().as_bytes());
            this.number(values.iter().count() as u64);
            for value in values {
                this.field(value.as_bytes());
            }
        }
        this
    }

    /// Takes the next bytes of the body; how it is cut does not matter.
    pub fn update(&mut self, chunk: &[u8]) {
        self.context.update(chunk);
        self.body_bytes = self.body_bytes.saturating_add(chunk.len() as u64);
    }

    /// The hash, after the last byte.
    #[must_use]
    pub fn finish(mut self) -> [u8; 32] {
        self.number(self.body_bytes);
        let mut out = [0; 32];
        out.copy_from_slice(self.context.finish().as_ref());
        out
    }

    fn number(&mut self, number: u64) {
        self.context.update(&number.to_be_bytes());
    }
    fn field(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.context.update(bytes);
    }
}

/// The content of a request that is held whole.
#[must_use]
pub fn content_hash(parts: &Parts, body: &[u8]) -> Content {
    let mut hasher = ContentHasher::new(parts);
    hasher.update(body);
    Content::Exact(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use proptest::prelude::*;

    fn post(target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut builder = Request::builder().method("POST").uri(target);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn any_byte_that_changes_meaning_changes_the_hash() {
        let base = content_hash(&post("/a?b=1", &[("content-type", "a/b")]), b"body");
        for (target, headers, body) in [
            ("/a?b=2", &[("content-type", "a/b")][..], &b"body"[..]),
            ("/a?b=1&", &[("content-type", "a/b")], b"body"),
            ("/%61?b=1", &[("content-type", "a/b")], b"body"),
            ("/a?b=1", &[("content-type", "a/c")], b"body"),
            ("/a?b=1", &[("content-type", "a/b"), ("content-type", "a/b")], b"body"),
            ("/a?b=1", &[("content-type", "a/b"), ("content-encoding", "gzip")], b"body"),
            ("/a?b=1", &[("content-type", "a/b"), ("cookie", "as=other")], b"body"),
            ("/a?b=1", &[("content-type", "a/b"), ("x-amz-copy-source", "x")], b"body"),
            ("/a?b=1", &[("content-type", "a/b"), ("stripe-account", "acct_live")], b"body"),
            ("/a?b=1", &[("content-type", "a/b"), ("destination", "/elsewhere")], b"body"),
            ("/a?b=1", &[("content-type", "a/b"), ("idempotency-key", "42")], b"body"),
            ("/a?b=1", &[("content-type", "a/b"), ("baggage", "tenant=all")], b"body"),
            ("/a?b=1", &[("content-type", "a/b"), ("signature", "x")], b"body"),
            ("/a?b=1", &[("content-type", "a/b"), ("signature-input", "x")], b"body"),
            ("/a?b=1", &[("content-type", "a/b"), ("x-amz-date", "20260101T000000Z")], b"body"),
            ("/a?b=1", &[("content-type", "a/b"), ("x-datadog-scope", "all")], b"body"),
            ("/a?b=1", &[("content-type", "a/b"), ("x-b3-tenant", "all")], b"body"),
            ("/a?b=1", &[("content-type", "a/b"), ("x-forwarded-user", "root")], b"body"),
            ("/a?b=1", &[("content-type", "a/b"), ("x-real-ip", "10.0.0.1")], b"body"),
            ("/a?b=1", &[], b"body"),
            ("/a?b=1", &[("content-type", "a/b")], b"bodz"),
            ("/a?b=1", &[("content-type", "a/b")], b"body\0"),
            ("/a?b=1", &[("content-type", "a/bbody")], b""),
        ] {
            assert_ne!(content_hash(&post(target, headers), body), base, "{target} {headers:?}");
        }
        let mut put = post("/a?b=1", &[("content-type", "a/b")]);
        put.method = http::Method::PUT;
        assert_ne!(content_hash(&put, b"body"), base);
    }

    #[test]
    fn what_means_nothing_does_not_change_the_hash() {
        let base = content_hash(&post("/a", &[("accept", "a/b"), ("x-tenant", "1")]), b"");
        let noise = [("date", "now"), ("traceparent", "00-1"), ("authorization", "PH"), ("x-b3-spanid", "1"), ("user-agent", "u")];
        let noisy: Vec<_> = noise.into_iter().chain([("x-tenant", "1"), ("accept", "a/b")]).collect();
        assert_eq!(content_hash(&post("https://api.test/a", &noisy), b""), base);
        assert!(NOISE.is_sorted() && OWN.is_sorted());
    }

    proptest! {
        #[test]
        fn a_body_hashes_the_same_however_it_is_cut(body in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(0usize..200, 0..5)) {
            let parts = post("/", &[]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(body.len())).chain([0, body.len()]).collect();
            cuts.sort_unstable();
            let mut hasher = ContentHasher::new(&parts);
            for pair in cuts.windows(2) {
                hasher.update(&body[pair[0]..pair[1]]);
            }
            prop_assert_eq!(Content::Exact(hasher.finish()), content_hash(&parts, &body));
        }
    }
}
