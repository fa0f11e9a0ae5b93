//! Programs that people run, against the session's certificates: each accepts a host of the session.

use crate::house::*;
use http::Response;
use marque_model::Scheme;
use std::path::PathBuf;
use std::process::Output;
use tokio::process::Command;

struct Ready {
    house: House,
    url: String,
    ca: PathBuf,
    _upstream: Upstream,
}

impl Drop for Ready {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.ca);
    }
}

async fn ready(name: &str, alpn: &[&str]) -> Ready {
    let house = House::start();
    let upstream = Upstream::start(Some(house.upstream_ca.server("api.test", alpn)), |seen| async move {
        if seen.uri.contains("info/refs") {
            // The dumb protocol: a list of refs.
            return Response::builder().header("content-type", "text/plain").body(full(format!("{}\trefs/heads/main\n", "a".repeat(40)))).unwrap();
        }
        Response::new(full(format!("hello {} {:?}\n", seen.method, seen.version)))
    })
    .await;
    let target = house.route(Scheme::Https, "api.test", upstream.port);
    let ca = std::env::temp_dir().join(format!("marque-gateway-{}-{name}.pem", std::process::id()));
    std::fs::write(&ca, house.gate.ca.root_pem()).unwrap();
    Ready { url: format!("https://{}", target.authority()), house, ca, _upstream: upstream }
}

async fn run(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } = within(command.kill_on_drop(true).output()).await.expect("the program is installed");
    (status.success(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

#[tokio::test]
async fn curl_accepts_the_certificate_and_speaks_what_the_upstream_speaks() {
    for (alpn, version) in [(&["h2", "http/1.1"][..], "HTTP/2.0"), (&["http/1.1"], "HTTP/1.1")] {
        let r = ready("curl", alpn).await;
        let proxy = format!("http://{}", r.house.proxy);
        let (ok, out) = run(Command::new("curl").args(["-sS", "--proxy", &proxy, "--cacert"]).arg(&r.ca).arg(&r.url)).await;
        assert!(ok && out == format!("hello GET {version}\n"), "{out}");
        let (ok, out) = run(Command::new("curl").args(["-sS", "--proxy", &proxy, &r.url])).await;
        assert!(!ok, "without the session's root it is refused: {out}");
        let (ok, out) = run(Command::new("curl").args(["-sS", "-i", "--proxy", &proxy, "http://other.test/"])).await;
        assert!(ok && out.contains("MQ-2002") && out.contains("not the upstream"), "{out}");
    }
}

#[tokio::test]
async fn python_accepts_the_certificate() {
    let r = ready("python", &["http/1.1"]).await;
    let code = "import sys,ssl,urllib.request as u\n\
        c=ssl.create_default_context(cafile=sys.argv[2]); c.verify_flags|=getattr(ssl,'VERIFY_X509_STRICT',0)\n\
        o=u.build_opener(u.ProxyHandler({'https':sys.argv[1]}),u.HTTPSHandler(context=c))\n\
        print(o.open(sys.argv[3]).read().decode())";
    let proxy = format!("http://{}", r.house.proxy);
    let (ok, out) = run(Command::new("python3").args(["-c", code, &proxy]).arg(&r.ca).arg(&r.url)).await;
    assert!(ok && out.starts_with("hello GET"), "{out}");
}

#[tokio::test]
async fn node_accepts_the_certificate() {
    let r = ready("node", &["http/1.1"]).await;
    let code = "const http=require('http'),tls=require('tls'),fs=require('fs');\
        const [p,ca,url]=process.argv.slice(1),u=new URL(url),[h,port]=p.split(':');\
        http.request({host:h,port,method:'CONNECT',path:u.host,headers:{host:u.host}}).on('connect',(r,s)=>{\
        if(r.statusCode!==200)throw new Error(r.statusCode);\
        const t=tls.connect({socket:s,servername:u.hostname,ca:fs.readFileSync(ca)},()=>{\
        t.write('GET / HTTP/1.1\\r\\nHost: '+u.host+'\\r\\nConnection: close\\r\\n\\r\\n');t.pipe(process.stdout)})}).end();";
    let (ok, out) = run(Command::new("node").args(["-e", code, &r.house.proxy.to_string()]).arg(&r.ca).arg(&r.url)).await;
    assert!(ok && out.contains("hello GET"), "{out}");
}

#[tokio::test]
async fn git_accepts_the_certificate_and_shows_a_refusal() {
    let r = ready("git", &["http/1.1"]).await;
    let git = |url: String| {
        let mut command = Command::new("git");
        command.args(["-c", &format!("http.proxy=http://{}", r.house.proxy), "ls-remote", &url]);
        command.env("GIT_SSL_CAINFO", &r.ca).env("GIT_TERMINAL_PROMPT", "0");
        command
    };
    let (ok, out) = run(&mut git(format!("{}/a/b.git", r.url))).await;
    assert!(ok && out.contains("refs/heads/main"), "{out}");
    *r.house.gate.deny.lock().unwrap() = Some(marque_gateway::Problem::new(403, "MQ-3107", "main is protected here", "push to agent/*"));
    let (ok, out) = run(&mut git(format!("{}/a/b.git", r.url))).await;
    assert!(!ok && out.contains("marque MQ-3107: main is protected here"), "{out}");
}
