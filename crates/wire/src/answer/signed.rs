//! URLs that work for whoever has them.

/// Names of parameters whose value lets its bearer in: SigV4 and its relatives, Azure SAS, CloudFront, OAuth, SAML,
/// Akamai. Lower case.
const TELLING: [&str; 36] = [
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "assertion",
    "auth",
    "auth_token",
    "authtoken",
    "authorization",
    "awsaccesskeyid",
    "client_secret",
    "credential",
    "hdnea",
    "hdnts",
    "hmac",
    "id_token",
    "jwt",
    "key-pair-id",
    "oauth_token",
    "oauth_verifier",
    "password",
    "private_token",
    "refresh_token",
    "samlresponse",
    "secret",
    "session",
    "session_token",
    "sessionid",
    "sid",
    "sig",
    "sign",
    "ticket",
    "token",
    "x-amz-credential",
    "x-amz-security-token",
    "x-goog-credential",
];

/// Whether a URL, or a header that holds URLs, carries a credential in its query, fragment or user information.
///
/// Reads parameter names only, after unescaping, in any case, whatever separates them. A token in the path is not
/// seen; a profile declares such answers.
#[must_use]
pub fn looks_signed(text: &str) -> bool {
    let (mut has_code, mut has_state) = (false, false);
    for piece in text.split(['?', '&', '#', ';', '<', '>', '"', '\'', ' ', ',']) {
        let Some((name, value)) = piece.split_once('=') else { continue };
        let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase();
        if value.is_empty() {
            continue;
        }
        if TELLING.contains(&name.as_str()) || name.ends_with("signature") {
            return true;
        }
        // An authorization code comes with the state of the one who asked (RFC 6749 section 4.1.2).
        has_code |= name == "code";
        has_state |= name == "state";
    }
    (has_code && has_state) || has_userinfo(text)
}

/// `scheme://user@host` anywhere in the text.
pub(super) fn has_userinfo(text: &str) -> bool {
    text.match_indices("//").any(|(at, slashes)| {
        let authority = text.get(at + slashes.len()..).unwrap_or_default();
        // The next double slash begins an authority of its own: each byte is looked at once.
        let end = authority.find(['/', '?', '#', '>', ' ', '\\']).unwrap_or(authority.len());
        authority.get(..end).unwrap_or_default().contains('@')
    })
}
