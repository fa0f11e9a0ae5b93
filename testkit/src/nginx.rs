//! Real nginx as an upstream: Debian's package with a generated configuration. Its access log, one JSON object a line
//! with the Authorization header it saw, is an oracle made by somebody else's code.

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    canary,
    error::{Doing, Result},
    http::{self, Route},
    pki::ServerCert,
    proc::{Child, free_port, program},
};

const HELP: &str = "install Debian's `nginx-light`";
const START: Duration = Duration::from_secs(20);
/// Another process may take a free port before nginx does.
const TRIES: usize = 5;

/// A running nginx; dropping it stops it.
pub struct Nginx {
    child: Child,
    folder: TempDir,
    port: u16,
    nonce: String,
    scheme: &'static str,
}

impl Nginx {
    /// Starts nginx, with TLS (and HTTP/2) if given a certificate. `/static/…` serves [`Nginx::static_folder`]; every other
    /// target answers JSON with the Authorization header it saw.
    ///
    /// # Errors
    /// When nginx is missing or does not start.
    pub fn start(cert: Option<&ServerCert>) -> Result<Self> {
        let nginx = program("nginx", HELP)?;
        let mut last = None;
        for _ in 0..TRIES {
            match Self::try_start(&nginx, cert) {
                Ok(server) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| crate::error::unexpected("nginx was not tried")))
    }

    fn try_start(nginx: &Path, cert: Option<&ServerCert>) -> Result<Self> {
        let folder = TempDir::new().doing("make a folder for nginx")?;
        let (port, nonce) = (free_port()?, canary("nonce"));
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).doing(format!("write `{name}`"))
        };
        fs::create_dir(folder.path().join("static")).doing("make a folder")?;
        if let Some(cert) = cert {
            write("cert.pem", &cert.cert_pem)?;
            write("key.pem", &cert.key_pem)?;
        }
        write(
            "nginx.conf",
            &configuration(folder.path(), port, &nonce, cert.is_some()),
        )?;
        let mut command = Command::new(nginx);
        command
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(folder.path().join("nginx.conf"));
        command.args(["-e", "/dev/stderr"]);
        let child = Child::spawn(&mut command)?;
        // The last notice of the start; the sockets were bound before it, or nginx would have ended.
        child.wait_for_line(START, |line| line.contains("getrlimit(RLIMIT_NOFILE)"))?;
        let scheme = if cert.is_some() { "https" } else { "http" };
        Ok(Self {
            child,
            folder,
            port,
            nonce,
            scheme,
        })
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What `/__testkit` and the header `x-marque-testkit` tell.
    #[must_use]
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// The URL of `path` by a host name that leads here.
    #[must_use]
    pub fn url_for(&self, host: &str, path: &str) -> String {
        format!("{}://{host}:{}{path}", self.scheme, self.port)
    }

    /// The folder behind `/static/`.
    #[must_use]
    pub fn static_folder(&self) -> std::path::PathBuf {
        self.folder.path().join("static")
    }

    /// The access log so far, one object per finished request: `time`, `request_id`, `method`, `uri`, `status`, `host`,
    /// `sni`, `protocol`, `authorization`, `x_api_key`, `bytes`.
    #[must_use]
    pub fn access_log(&self) -> Vec<Value> {
        self.child
            .stdout()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Waits for an access log line with this text.
    ///
    /// # Errors
    /// When none comes within `within`.
    pub fn wait_for_log(&self, within: Duration, text: &str) -> Result<Value> {
        let line = self
            .child
            .wait_for_line(within, |line| line.starts_with('{') && line.contains(text))?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Checks that what listens on the port is this nginx.
    ///
    /// # Errors
    /// When somebody else answers, or nobody.
    pub fn check_is_own(&self, route: &Route) -> Result<()> {
        let answer = http::get(route, &self.url_for("localhost", "/__testkit"), &[])?;
        let own = answer.text().contains(&self.nonce);
        if own {
            Ok(())
        } else {
            Err(crate::error::unexpected("another server has nginx's port"))
        }
    }
}

fn configuration(folder: &Path, port: u16, nonce: &str, tls: bool) -> String {
    let folder = folder.display();
    let temps: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("  {name}_temp_path {folder}/{name};\n"))
        .collect();
    let listen = if tls {
        format!(
            "listen 127.0.0.1:{port} ssl http2;\n    ssl_certificate {folder}/cert.pem;\n    ssl_certificate_key {folder}/key.pem;"
        )
    } else {
        format!("listen 127.0.0.1:{port};")
    };
    let fields = [
        ("time", "$time_iso8601"),
        ("request_id", "$http_x_request_id"),
        ("method", "$request_method"),
        ("uri", "$request_uri"),
        ("status", "$status"),
        ("host", "$host"),
        ("sni", "$ssl_server_name"),
        ("protocol", "$server_protocol"),
        ("authorization", "$http_authorization"),
        ("x_api_key", "$http_x_api_key"),
        ("bytes", "$body_bytes_sent"),
    ];
    let format = fields
        .map(|(name, variable)| format!("\"{name}\":\"{variable}\""))
        .join(",");
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log /dev/stderr notice;\n\
         events {{ worker_connections 256; }}\n\
         http {{\n{temps}  log_format seen escape=json '{{{format}}}';\n  access_log /dev/stdout seen;\n  default_type application/json;\n\
         \x20 server {{\n    {listen}\n    server_name _;\n    add_header x-marque-testkit {nonce} always;\n\
         \x20   location = /__testkit {{ return 200 '{{\"nonce\":\"{nonce}\"}}'; }}\n\
         \x20   location /static/ {{ root {folder}; }}\n\
         \x20   location / {{ return 200 '{{\"authorization\":\"$http_authorization\",\"x_api_key\":\"$http_x_api_key\",\"uri\":\"$request_uri\"}}\\n'; }}\n\
         \x20 }}\n}}\n"
    )
}
