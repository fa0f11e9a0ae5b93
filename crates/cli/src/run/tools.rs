//! What tools need to hear so that they go through the gateway and trust its certificate. One table: a tool that is not
//! in it is untested.

use std::path::Path;

/// Variables that point the common tools to the proxy and to the certificate bundle.
pub(crate) fn variables(proxy: &str, secret: &str, bundle: &Path, root_only: &Path) -> Vec<(String, String)> {
    let url = format!("http://marque:{secret}@{proxy}");
    let bundle = bundle.display().to_string();
    let root = root_only.display().to_string();
    let mut out: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: &str| out.push((name.to_owned(), value.to_owned()));
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"] {
        set(name, &url);
    }
    // An agent's own servers on loopback are its own business; the gateway refuses loopback anyway.
    for name in ["NO_PROXY", "no_proxy"] {
        set(name, "localhost,127.0.0.1,::1");
    }
    // OpenSSL and whatever is built on it (Python's ssl, Ruby, PHP), curl, git, pip, requests, cargo, AWS, Deno.
    for name in ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "AWS_CA_BUNDLE"] {
        set(name, &bundle);
    }
    // Node adds these to its own roots; Deno likewise.
    set("NODE_EXTRA_CA_CERTS", &root);
    set("DENO_CERT", &root);
    // Node's own fetch honours the proxy variables only when told to (Node 22.21, 24.5 and later).
    set("NODE_USE_ENV_PROXY", "1");
    set("npm_config_cafile", &bundle);
    set("npm_config_proxy", &url);
    set("npm_config_https_proxy", &url);
    // A credential prompt would hang an agent, and there is nothing to type.
    set("GIT_TERMINAL_PROMPT", "0");
    out
}

/// `GIT_CONFIG_COUNT` form of git settings: no file of the user's is touched.
pub(crate) fn git_config(rewrites: &[(String, String)]) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = vec![
        // The user's helpers hold the user's credentials; the gateway answers instead.
        ("credential.helper".into(), String::new()),
        // Basic authentication in the first request: what git would send is replaced at the gateway anyway.
        ("http.proactiveAuth".into(), "none".into()),
    ];
    pairs.extend(rewrites.iter().map(|(from, to)| (format!("url.{to}.insteadOf"), from.clone())));
    let mut out = vec![("GIT_CONFIG_COUNT".to_owned(), pairs.len().to_string())];
    for (index, (key, value)) in pairs.into_iter().enumerate() {
        out.push((format!("GIT_CONFIG_KEY_{index}"), key));
        out.push((format!("GIT_CONFIG_VALUE_{index}"), value));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_settings_are_counted() {
        let out = git_config(&[("git@github.com:".into(), "https://github.com/".into())]);
        assert!(out.contains(&("GIT_CONFIG_COUNT".into(), "3".into())));
        assert!(out.contains(&("GIT_CONFIG_KEY_2".into(), "url.https://github.com/.insteadOf".into())));
        assert!(out.contains(&("GIT_CONFIG_VALUE_2".into(), "git@github.com:".into())));
    }
}
