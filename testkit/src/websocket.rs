//! A WebSocket echo over hyper's upgrade (RFC 6455), which first sends the credential it saw.

use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

use crate::serve::{Call, Reply, reply, set_header};

/// Upgrades and echoes; the first text frame is `credential: <what was seen>`.
pub(crate) fn echo(mut call: Call) -> Reply {
    let Some(accept) = call
        .header("sec-websocket-key")
        .map(|key| derive_accept_key(key.as_bytes()))
    else {
        return reply(426, "text/plain", "a WebSocket upgrade is needed\n");
    };
    let upgrade = hyper::upgrade::on(&mut call.request);
    let open = Arc::clone(&call.open);
    let seen = call
        .credentials
        .first()
        .map_or_else(|| "none".to_owned(), |seen| seen.value.clone());
    tokio::spawn(async move {
        let _open = open;
        if let Ok(upgraded) = upgrade.await {
            let socket =
                WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            // Either side may break off at any time.
            let _ = converse(socket, &seen).await;
        }
    });
    let mut answer = reply(101, "text/plain", "");
    answer.headers_mut().remove("content-type");
    set_header(&mut answer, "connection", "Upgrade");
    set_header(&mut answer, "upgrade", "websocket");
    set_header(&mut answer, "sec-websocket-accept", &accept);
    answer
}

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

async fn converse(
    mut socket: Socket,
    seen: &str,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    use futures_util::{SinkExt as _, StreamExt as _};
    socket
        .send(Message::text(format!("credential: {seen}")))
        .await?;
    while let Some(message) = socket.next().await {
        match message? {
            message @ (Message::Text(_) | Message::Binary(_)) => socket.send(message).await?,
            Message::Close(_) => break,
            _ => {}
        }
    }
    Ok(())
}
