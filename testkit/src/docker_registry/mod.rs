//! The real registry (Debian `docker-registry`) with token authentication, and a client shaped like Docker's.
//!
//! The registry is Docker Distribution 2.8. The token server is ours, a SHAPE SERVER written from the specification:
//! <https://distribution.github.io/distribution/spec/auth/token/> and `…/spec/auth/jwt/`; the registry itself judges its
//! tokens. The pull follows <https://distribution.github.io/distribution/spec/api/>.

mod token;

use std::{
    fs,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    canary,
    encode::sha256_hex,
    error::{Doing, Result, unexpected},
    http::{self, Answer, Route, bearer_challenge},
    pki::Ca,
    proc::{Child, program},
    serve::{Options, Server},
};

const HELP: &str = "install Debian's `docker-registry`";
const START: Duration = Duration::from_secs(20);
const SERVICE: &str = "testkit-registry";
const ISSUER: &str = "testkit-token-server";
/// Tokens live as long as Docker's default, 60 s.
const TOKEN_S: u64 = 60;
const MANIFEST_TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// A running registry with its token server; dropping it stops both.
pub struct DockerRegistry {
    child: Child,
    tokens: Server,
    issued: Issued,
    port: u16,
    user: String,
    password: String,
    route: Route,
    _folder: TempDir,
}

/// Names for a registry over TLS.
pub struct Named<'a> {
    /// Whose certificates both show.
    pub ca: &'a Ca,
    /// Name of the registry.
    pub registry: &'a str,
    /// Name of the token server.
    pub tokens: &'a str,
}

/// What a pull got.
#[derive(Debug)]
pub struct Pulled {
    /// The bearer token that the client was given.
    pub token: String,
    /// The manifest.
    pub manifest: Value,
    /// Config and layers, checked against their digests.
    pub blobs: Vec<Vec<u8>>,
}

type Issued = Arc<Mutex<Vec<String>>>;

impl DockerRegistry {
    /// Starts a token server that knows one user, and a registry that trusts it.
    ///
    /// # Errors
    /// When the registry is missing or does not start.
    pub fn start(user: &str, password: &str) -> Result<Self> {
        Self::start_with(user, password, None)
    }

    /// The same over TLS, each with a certificate of `ca` for its name and for the loopback address.
    ///
    /// # Errors
    /// As [`DockerRegistry::start`].
    pub fn start_named(user: &str, password: &str, named: &Named<'_>) -> Result<Self> {
        Self::start_with(user, password, Some(named))
    }

    fn start_with(user: &str, password: &str, named: Option<&Named<'_>>) -> Result<Self> {
        let registry = program("docker-registry", HELP)?;
        let folder = TempDir::new().doing("make a folder for the registry")?;
        let ca = Ca::new()?;
        ca.write_pem(&folder.path().join("roots.pem"))?;
        let issued = Issued::default();
        let options = match named {
            Some(named) => Options::tls(named.ca.issue(&[named.tokens, "127.0.0.1"])?.server_config()?),
            None => Options::plain(),
        };
        let server = token::token_server(options, &ca, user, password, &issued)?;
        let mut tls = String::new();
        if let Some(named) = named {
            let cert = named.ca.issue(&[named.registry, "127.0.0.1"])?;
            for (name, text) in [("cert.pem", &cert.cert_pem), ("key.pem", &cert.key_pem)] {
                fs::write(folder.path().join(name), text).doing(format!("write `{name}`"))?;
            }
            let path = folder.path().display();
            tls = format!("  tls:\n    certificate: {path}/cert.pem\n    key: {path}/key.pem\n");
        }
        let path = folder.path().display();
        let configuration = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {path}/data\n  delete:\n    enabled: true\n\
             http:\n  addr: 127.0.0.1:0\n  secret: {}\n{tls}\
             auth:\n  token:\n    realm: {}\n    service: {SERVICE}\n    issuer: {ISSUER}\n    rootcertbundle: {path}/roots.pem\n",
            canary("http"),
            named.map_or_else(|| server.url("/token"), |named| server.url_for(named.tokens, "/token")),
        );
        fs::write(folder.path().join("config.yml"), configuration).doing("write `config.yml`")?;
        let mut command = Command::new(registry);
        command
            .arg("serve")
            .arg(folder.path().join("config.yml"))
            .env("OTEL_TRACES_EXPORTER", "none");
        let child = Child::spawn(&mut command)?;
        let line = child.wait_for_line(START, |line| line.contains("listening on 127.0.0.1:"))?;
        let port = line.split("listening on 127.0.0.1:").nth(1).map(|rest| {
            rest.chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
        });
        let port = port
            .and_then(|port| port.parse().ok())
            .ok_or_else(|| unexpected("the registry told no port"))?;
        let (user, password) = (user.to_owned(), password.to_owned());
        Ok(Self {
            child,
            tokens: server,
            issued,
            port,
            user,
            password,
            route: match named {
                Some(named) => Route { tls: Some(named.ca.client_config(&[])?), ..Route::default() },
                None => Route::default(),
            },
            _folder: folder,
        })
    }

    /// The registry's base URL.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.route.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The way there from outside any proxy.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// The registry's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The token server, with its log.
    #[must_use]
    pub fn token_server(&self) -> &Server {
        &self.tokens
    }

    /// Every token that was given out.
    #[must_use]
    pub fn issued(&self) -> Vec<String> {
        self.issued
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What the registry has logged.
    #[must_use]
    pub fn output(&self) -> String {
        self.child.stdout() + &self.child.stderr()
    }

    /// Puts an image with one small layer there and returns its manifest's digest.
    ///
    /// # Errors
    /// When a step of the push is refused.
    pub fn push_image(&self, name: &str, tag: &str) -> Result<String> {
        let route = self.route.clone();
        let token = self.token_for(&route, &format!("repository:{name}:pull,push"))?;
        let bearer = format!("Bearer {token}");
        let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] } }).to_string();
        let layer = format!("layer of {name}:{tag} {}", canary("layer"));
        let mut parts = Vec::new();
        for (blob, kind) in [
            (
                config.into_bytes(),
                "application/vnd.docker.container.image.v1+json",
            ),
            (
                layer.into_bytes(),
                "application/vnd.docker.image.rootfs.diff.tar",
            ),
        ] {
            let digest = self.push_blob(&route, name, &bearer, &blob)?;
            parts.push(json!({ "mediaType": kind, "size": blob.len(), "digest": digest }));
        }
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": parts.first(), "layers": parts.get(1..) });
        let manifest = manifest.to_string();
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", MANIFEST_TYPE),
        ];
        let url = format!("{}/v2/{name}/manifests/{tag}", self.url());
        wanted(
            http::send(&route, "PUT", &url, &headers, manifest.as_bytes())?,
            201,
            "the manifest's upload",
        )?;
        Ok(format!("sha256:{}", sha256_hex(manifest.as_bytes())))
    }

    fn push_blob(&self, route: &Route, name: &str, bearer: &str, blob: &[u8]) -> Result<String> {
        let digest = format!("sha256:{}", sha256_hex(blob));
        let start = format!("{}/v2/{name}/blobs/uploads/", self.url());
        let begun = wanted(
            http::send(route, "POST", &start, &[("authorization", bearer)], b"")?,
            202,
            "an upload",
        )?;
        let location = begun
            .header("location")
            .ok_or_else(|| unexpected("the registry gave no upload location"))?;
        let url = format!("{location}&digest={digest}");
        let headers = [
            ("authorization", bearer),
            ("content-type", "application/octet-stream"),
        ];
        wanted(
            http::send(route, "PUT", &url, &headers, blob)?,
            201,
            "a blob's upload",
        )?;
        Ok(digest)
    }

    fn token_for(&self, route: &Route, scope: &str) -> Result<String> {
        let url = format!(
            "{}?service={SERVICE}&scope={scope}",
            self.tokens.url("/token")
        );
        let basic = format!(
            "Basic {}",
            STANDARD.encode(format!("{}:{}", self.user, self.password))
        );
        token_in(&wanted(
            http::get(route, &url, &[("authorization", &basic)])?,
            200,
            "the token",
        )?)
    }
}

/// Pulls the way Docker does: asks the registry, reads the challenge, gets a token from its realm with Basic, pulls the
/// manifest and every blob, and checks every digest. `authorization` is the whole Basic value, or a placeholder.
///
/// # Errors
/// When a step is refused or a digest is wrong.
pub fn docker_pull(
    route: &Route,
    base: &str,
    name: &str,
    reference: &str,
    authorization: &str,
) -> Result<Pulled> {
    let manifest_url = format!("{base}/v2/{name}/manifests/{reference}");
    let asked = wanted(
        http::get(route, &manifest_url, &[("accept", MANIFEST_TYPE)])?,
        401,
        "a challenge",
    )?;
    let challenge = bearer_challenge(asked.header("www-authenticate").unwrap_or_default());
    let part = |wanted: &str| {
        let found = challenge
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.clone());
        found.ok_or_else(|| unexpected(format!("the challenge has no `{wanted}`")))
    };
    let url = format!(
        "{}?service={}&scope={}",
        part("realm")?,
        part("service")?,
        part("scope")?
    );
    let token = token_in(&wanted(
        http::get(route, &url, &[("authorization", authorization)])?,
        200,
        "the token",
    )?)?;
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept", MANIFEST_TYPE),
    ];
    let manifest = wanted(
        http::get(route, &manifest_url, &headers)?,
        200,
        "the manifest",
    )?;
    check(
        &manifest.body,
        manifest.header("docker-content-digest").unwrap_or_default(),
    )?;
    let manifest = manifest.json()?;
    let layers = manifest
        .get("layers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut blobs = Vec::new();
    for part in manifest.get("config").into_iter().chain(layers) {
        let digest = part
            .get("digest")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let answer = http::get(route, &format!("{base}/v2/{name}/blobs/{digest}"), &headers)?;
        let blob = wanted(answer, 200, "a blob")?.body.to_vec();
        check(&blob, digest)?;
        blobs.push(blob);
    }
    Ok(Pulled {
        token,
        manifest,
        blobs,
    })
}

fn check(bytes: &[u8], digest: &str) -> Result<()> {
    let own = format!("sha256:{}", sha256_hex(bytes));
    if own == digest {
        Ok(())
    } else {
        Err(unexpected(format!("digest `{own}` is not `{digest}`")))
    }
}

fn wanted(answer: Answer, status: u16, what: &str) -> Result<Answer> {
    if answer.status == status {
        return Ok(answer);
    }
    Err(unexpected(format!(
        "{what} was answered {}, not {status}: {}",
        answer.status,
        answer.text()
    )))
}

fn token_in(answer: &Answer) -> Result<String> {
    let json = answer.json()?;
    let token = json.get("token").and_then(Value::as_str);
    token
        .map(ToOwned::to_owned)
        .ok_or_else(|| unexpected("the token server gave no token"))
}
