//! Answers.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, channel::Channel, combinators::BoxBody};
use hyper::{
    Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};

/// An answer's body.
pub type ReplyBody = BoxBody<Bytes, io::Error>;
/// An answer.
pub type Reply = Response<ReplyBody>;

/// An answer with this status, content type and body.
#[must_use]
pub fn reply(status: u16, content_type: &str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(
        Full::new(body.into())
            .map_err(|never| match never {})
            .boxed(),
    );
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    set_header(&mut reply, header::CONTENT_TYPE.as_str(), content_type);
    reply
}

/// A JSON answer.
#[must_use]
pub fn reply_json(status: u16, value: &serde_json::Value) -> Reply {
    reply(status, "application/json; charset=utf-8", value.to_string())
}

/// An answer whose body comes through the returned sender, frame by frame.
#[must_use]
pub fn reply_stream(
    status: u16,
    content_type: &str,
) -> (http_body_util::channel::Sender<Bytes, io::Error>, Reply) {
    let (sender, body) = Channel::new(1);
    let mut answer = reply(status, content_type, Bytes::new());
    *answer.body_mut() = body.boxed();
    (sender, answer)
}

/// Sets a header; a value that HTTP does not allow is dropped.
pub fn set_header(reply: &mut Reply, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (
        HeaderName::try_from(name),
        HeaderValue::from_bytes(value.as_bytes()),
    ) {
        reply.headers_mut().append(name.clone(), value.clone());
        if name == header::CONTENT_TYPE {
            reply.headers_mut().insert(name, value);
        }
    }
}
