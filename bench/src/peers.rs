//! The peers, as they are published: Debian's nginx, PyPI's Envoy and mitmproxy. Each puts the same credential in; the
//! upstream proves it.

use crate::Result;
use crate::cpu;
use crate::load::Road;
use crate::world::{HOST, World, local, wait_for_port};
use marque_testkit::proc::{Child, free_port, program};
use marque_testkit::tools::Tools;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How long a peer may take to start.
pub(crate) const START: Duration = Duration::from_secs(60);

/// A running peer and the way to it.
pub(crate) struct Peer {
    pub(crate) child: Child,
    pub(crate) road: Road,
    /// As it says itself.
    pub(crate) version: String,
}

/// A running nginx with one `server` block.
pub(crate) fn nginx_server(folder: &Path, name: &str, server: &str) -> Result<Child> {
    let nginx = program("nginx", "install Debian's `nginx-light`")?;
    let at = folder.join(name);
    std::fs::create_dir_all(&at)?;
    let temps: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {}/{kind};\n", at.display()))
        .collect();
    let text = format!(
        "worker_processes 1;\ndaemon off;\npid {0}/pid;\nerror_log /dev/stderr notice;\nevents {{ worker_connections 4096; }}\n\
         http {{\n{temps}  access_log off;\n  keepalive_requests 100000000;\n  keepalive_timeout 300s;\n  tcp_nodelay on;\n{server}}}\n",
        at.display()
    );
    std::fs::write(at.join("nginx.conf"), text)?;
    let mut command = Command::new(nginx);
    command.arg("-p").arg(&at).arg("-c").arg(at.join("nginx.conf")).args(["-e", "/dev/stderr"]);
    let child = Child::spawn(&mut command)?;
    child.wait_for_line(START, |line| line.contains("start worker process "))?;
    Ok(child)
}

fn version_of(mut command: Command) -> Result<String> {
    let exit = Child::run(&mut command, START)?;
    let text = format!("{}{}", exit.stdout, exit.stderr);
    // Some say where they are; results go elsewhere.
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = text.replace(&program.display().to_string(), &name);
    Ok(text.lines().find(|line| line.bytes().any(|b| b.is_ascii_digit())).unwrap_or_default().trim().to_owned())
}

/// nginx as a reverse proxy; with TLS, on both sides.
pub(crate) fn nginx(world: &World, tls: bool, resume: bool) -> Result<Peer> {
    let (port, at) = (free_port()?, world.path());
    let (scheme, upstream) = if tls { ("https", world.https) } else { ("http", world.http) };
    let listen = if tls {
        format!(
            "listen 127.0.0.1:{port} ssl backlog=4096;\n    ssl_certificate {0}/cert.pem;\n    ssl_certificate_key {0}/key.pem;\n    \
             ssl_protocols TLSv1.3;",
            at.display()
        )
    } else {
        format!("listen 127.0.0.1:{port} backlog=4096;")
    };
    let server = format!(
        "  upstream up {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; }}\n  server {{\n    {listen}\n    \
         proxy_http_version 1.1;\n    proxy_set_header Connection \"\";\n    proxy_set_header Host {host};\n    \
         proxy_set_header Authorization \"Bearer {credential}\";\n    proxy_buffers 16 16k;\n    proxy_max_temp_file_size 0;\n    \
         proxy_ssl_trusted_certificate {at}/ca.pem;\n    proxy_ssl_verify on;\n    proxy_ssl_name {HOST};\n    \
         proxy_ssl_server_name on;\n    proxy_ssl_session_reuse on;\n    proxy_ssl_protocols TLSv1.3;\n    \
         location / {{ proxy_pass {scheme}://up; }}\n  }}\n",
        host = world.authority(tls),
        credential = world.credential,
        at = at.display(),
    );
    let child = cpu::on(cpu::TESTED, || nginx_server(&at, "nginx", &server))?;
    let mut version = Command::new(program("nginx", "install Debian's `nginx-light`")?);
    version.arg("-v");
    Ok(Peer { child, road: world.reverse(port, tls, resume)?, version: version_of(version)? })
}

/// Envoy with its `credential_injector`; with TLS, on both sides.
pub(crate) fn envoy(world: &World, tls: bool) -> Result<Peer> {
    let envoy = envoy_program()?;
    let (port, at) = (free_port()?, world.path());
    let upstream = if tls { world.https } else { world.http };
    let path = |name: &str| at.join(name).display().to_string();
    let ext = "type.googleapis.com/envoy.extensions";
    let server_tls = serde_json::json!({ "name": "tls", "typed_config": {
        "@type": format!("{ext}.transport_sockets.tls.v3.DownstreamTlsContext"),
        "common_tls_context": {
            "alpn_protocols": ["http/1.1"],
            "tls_certificates": [{ "certificate_chain": { "filename": path("cert.pem") }, "private_key": { "filename": path("key.pem") } }],
        } } });
    let client_tls = serde_json::json!({ "name": "tls", "typed_config": {
        "@type": format!("{ext}.transport_sockets.tls.v3.UpstreamTlsContext"), "sni": HOST,
        "common_tls_context": { "alpn_protocols": ["http/1.1"], "tls_params": { "tls_maximum_protocol_version": "TLSv1_3" }, "validation_context": {
            "trusted_ca": { "filename": path("ca.pem") },
            "match_typed_subject_alt_names": [{ "san_type": "DNS", "matcher": { "exact": HOST } }] } } } });
    let manager = serde_json::json!({ "name": "hcm", "typed_config": {
        "@type": format!("{ext}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "bench", "generate_request_id": false,
        "http_filters": [
            { "name": "credential", "typed_config": {
                "@type": format!("{ext}.filters.http.credential_injector.v3.CredentialInjector"), "overwrite": true,
                "credential": { "name": "generic", "typed_config": {
                    "@type": format!("{ext}.http.injected_credentials.generic.v3.Generic"), "credential": { "name": "credential" } } } } },
            { "name": "router", "typed_config": { "@type": format!("{ext}.filters.http.router.v3.Router"), "suppress_envoy_headers": true } },
        ],
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "up", "timeout": "0s" } }] }] } } });
    let mut chain = serde_json::json!({ "filters": [manager] });
    let mut cluster = serde_json::json!({ "name": "up", "type": "STATIC",
        "circuit_breakers": { "thresholds": [{ "max_connections": 4096, "max_pending_requests": 4096, "max_requests": 4096 }] },
        "load_assignment": { "cluster_name": "up", "endpoints": [{ "lb_endpoints": [{ "endpoint": {
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": upstream } } } }] }] } });
    if tls {
        chain["transport_socket"] = server_tls;
        cluster["transport_socket"] = client_tls;
    }
    let config = serde_json::json!({
        "node": { "id": "bench", "cluster": "bench" },
        "static_resources": {
            "secrets": [{ "name": "credential", "generic_secret": { "secret": { "inline_string": format!("Bearer {}", world.credential) } } }],
            "listeners": [{ "name": "in", "address": { "socket_address": { "address": "127.0.0.1", "port_value": port } }, "filter_chains": [chain] }],
            "clusters": [cluster],
        } });
    let file = at.join("envoy.json");
    std::fs::write(&file, config.to_string())?;
    let mut command = Command::new(&envoy);
    command.arg("-c").arg(&file).args(["--concurrency", "1", "-l", "error", "--disable-hot-restart"]);
    let child = cpu::on(cpu::TESTED, || Ok(Child::spawn(&mut command)?))?;
    wait_for_port(&child, port)?;
    let mut version = Command::new(&envoy);
    version.arg("--version");
    Ok(Peer { child, road: world.reverse(port, tls, true)?, version: version_of(version)? })
}

/// The program itself, not the wheel's launcher in Python.
fn envoy_program() -> Result<std::path::PathBuf> {
    let launcher = Tools::find().bench("envoy")?;
    let lib = launcher.parent().and_then(Path::parent).map(|at| at.join("lib")).unwrap_or_default();
    let found = std::fs::read_dir(lib)?.flatten().map(|d| d.path().join("site-packages/envoy/_bin/envoy")).find(|p| p.is_file());
    Ok(found.ok_or("Envoy's program is not in its package: run `testkit/tools/install bench`")?)
}

/// mitmproxy as a forward proxy with an add-on that sets the header; with TLS, intercepting.
pub(crate) fn mitmproxy(world: &World, tls: bool) -> Result<Peer> {
    let program = Tools::find().bench("mitmdump")?;
    let (port, at) = (free_port()?, world.path().join("mitmproxy"));
    std::fs::create_dir_all(&at)?;
    let addon = format!(
        "class Credential:\n    def request(self, flow):\n        flow.request.headers[\"authorization\"] = \"Bearer {}\"\n\naddons = [Credential()]\n",
        world.credential
    );
    std::fs::write(at.join("addon.py"), addon)?;
    // It wants the authority that it signs with as one file: key and certificate.
    std::fs::write(at.join("mitmproxy-ca.pem"), format!("{}{}", world.ca.key_pem(), world.ca.pem()))?;
    let mut command = Command::new(&program);
    command.args(["-q", "--listen-host", "127.0.0.1", "--listen-port", &port.to_string()]);
    let settings = [
        format!("confdir={}", at.display()),
        format!("ssl_verify_upstream_trusted_ca={}", world.path().join("ca.pem").display()),
        "connection_strategy=lazy".to_owned(),
        "flow_detail=0".to_owned(),
        "http2=false".to_owned(),
    ];
    for setting in &settings {
        command.args(["--set", setting]);
    }
    command.arg("-s").arg(at.join("addon.py"));
    let child = cpu::on(cpu::TESTED, || Ok(Child::spawn(&mut command)?))?;
    wait_for_port(&child, port)?;
    let mut version = Command::new(&program);
    version.arg("--version");
    let mut road = world.reverse(port, tls, true)?;
    road.address = local(port);
    // It resolves names itself, and a hook that did so would keep it from using a connection twice.
    road.host = format!("localhost:{}", if tls { world.https } else { world.http });
    (road.absolute, road.tunnel) = (!tls, tls);
    Ok(Peer { child, road, version: version_of(version)? })
}
