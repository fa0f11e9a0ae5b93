//! The token server: Basic in, a JWT out that the registry accepts by its certificate chain.

use std::sync::{Arc, PoisonError};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use super::{ISSUER, Issued, SERVICE, TOKEN_S};
use crate::{
    canary,
    error::{Result, unexpected},
    log::now_ms,
    pki::Ca,
    serve::{Call, Options, Reply, Server, handler, reply_json, set_header},
};

struct Signer {
    key: EcdsaKeyPair,
    x5c: String,
    user: String,
    password: String,
    issued: Issued,
}

pub(super) fn token_server(options: Options, ca: &Ca, user: &str, password: &str, issued: &Issued) -> Result<Server> {
    let cert = ca.issue(&["token.testkit.test"])?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, cert.key_der());
    let signer = Arc::new(Signer {
        key: key.map_err(|error| unexpected(format!("cannot use the signing key: {error}")))?,
        x5c: STANDARD.encode(cert.der()),
        user: user.to_owned(),
        password: password.to_owned(),
        issued: Arc::clone(issued),
    });
    Server::start(
        options,
        handler(move |call| token(call, Arc::clone(&signer))),
    )
}

async fn token(call: Call, signer: Arc<Signer>) -> Reply {
    let expected = format!(
        "Basic {}",
        STANDARD.encode(format!("{}:{}", signer.user, signer.password))
    );
    if call.header("authorization") != Some(&expected) {
        let mut answer = reply_json(
            401,
            &json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "authentication required" }] }),
        );
        set_header(&mut answer, "www-authenticate", "Basic realm=\"testkit\"");
        return answer;
    }
    let access: Vec<Value> = call
        .query("scope")
        .as_deref()
        .unwrap_or_default()
        .split(' ')
        .filter_map(access)
        .collect();
    match signer.sign(
        call.query("service").as_deref().unwrap_or(SERVICE),
        &json!(access),
    ) {
        Some(token) => {
            signer
                .issued
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(token.clone());
            reply_json(
                200,
                &json!({ "token": token, "access_token": token, "expires_in": TOKEN_S }),
            )
        }
        None => reply_json(
            500,
            &json!({ "errors": [{ "code": "UNKNOWN", "message": "cannot sign" }] }),
        ),
    }
}

/// `repository:name:pull,push` as the access entry of a token.
fn access(scope: &str) -> Option<Value> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    Some(json!({ "type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>() }))
}

impl Signer {
    fn sign(&self, service: &str, access: &Value) -> Option<String> {
        let now_s = now_ms() / 1000;
        let header = json!({ "typ": "JWT", "alg": "ES256", "x5c": [self.x5c] });
        let claims = json!({ "iss": ISSUER, "sub": self.user, "aud": service, "iat": now_s, "nbf": now_s.saturating_sub(10),
            "exp": now_s + TOKEN_S, "jti": canary("jti"), "access": access });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self
            .key
            .sign(&SystemRandom::new(), signed.as_bytes())
            .ok()?;
        Some(format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(signature.as_ref())
        ))
    }
}
