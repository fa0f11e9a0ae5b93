//! Seeds of each target: the conformance vectors, what ships as data, and a few texts of each grammar. A finding that was fixed
//! stays as a file in `fuzz/corpus/<target>`, slashes as dashes.

use serde_json::Value;
use std::path::{Path, PathBuf};

/// Longest seed, in bytes: mutations of a longer one would seldom meet what matters.
const SEED_BYTES_MAX: usize = 32 << 10;
/// Strings that are taken from one vector file.
const STRINGS_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Seeds of that target, in a fixed order.
#[must_use]
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut out: Vec<Vec<u8>> = texts(target).iter().map(|t| t.to_vec()).collect();
    let (family, what) = target.split_once('/').unwrap_or((target, ""));
    match (family, what) {
        ("chain", _) => {
            for file in ["valid", "forged", "live", "proof", "grants", "values"] {
                out.extend(vectors(&format!("conformance/chain/{file}.json"), what));
            }
        }
        ("journal" | "model" | "store", _) => out.extend(journal()),
        ("wire", "profile" | "profile-extract") => out.extend(files("services", "toml")),
        ("effects", "catalogue") => out.extend(files("services/commands", "toml")),
        ("wire", "egress") => out.extend(file("services/package-registries.toml")),
        ("policy", "pack") => out.extend(files("policies", "cedar")),
        ("policy", "assertions") => out.extend(files("policies", "toml")),
        ("api", "control") => out.extend(vectors("conformance/chain/grants.json", "")),
        ("scan", _) => out.extend(files("tasks", "toml")),
        _ => {}
    }
    out.extend(own(target));
    out.retain(|seed| seed.len() <= SEED_BYTES_MAX || family == "policy");
    out.dedup();
    out
}

fn file(path: &str) -> Option<Vec<u8>> {
    std::fs::read(root().join(path)).ok()
}

fn files(dir: &str, extension: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(root().join(dir)).into_iter().flatten().flatten().map(|e| e.path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == extension));
    paths.sort();
    paths.iter().filter_map(|p| std::fs::read(p).ok()).flat_map(pieces).collect()
}

/// A long file by its tables too, each of which is a seed of a size that mutations can work on.
fn pieces(bytes: Vec<u8>) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let head: String = text.split("\n[[").next().unwrap_or("").to_owned();
    let tables = text.split("\n[[").skip(1).take(24).map(|table| format!("{head}\n[[{table}").into_bytes());
    let mut out: Vec<Vec<u8>> = tables.collect();
    out.insert(0, bytes);
    out
}

/// Findings of before.
fn own(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.replace('/', "-"));
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    paths.sort();
    paths.iter().filter_map(|p| std::fs::read(p).ok()).collect()
}

/// What a vector file holds: its objects as JSON text, and its strings as they are.
fn vectors(path: &str, what: &str) -> Vec<Vec<u8>> {
    let value: Value = file(path).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null);
    let mut out = Vec::new();
    collect(&value, what, &mut out);
    out.sort();
    out.dedup();
    // Spread over the file rather than its beginning.
    let step = out.len().div_ceil(STRINGS_MAX).max(1);
    out.into_iter().step_by(step).collect()
}

fn collect(value: &Value, what: &str, out: &mut Vec<Vec<u8>>) {
    match value {
        Value::Object(members) => {
            if matches!(what, "grant" | "claims" | "strict-json" | "") && members.len() < 12 {
                out.push(value.to_string().into_bytes());
            }
            if what == "chain"
                && let Some(links) = members.get("links").and_then(Value::as_array)
            {
                let links: Vec<&str> = links.iter().filter_map(Value::as_str).collect();
                let root = members.get("roots").and_then(Value::as_array).and_then(|r| r.first()).unwrap_or(&Value::Null);
                out.push(format!("{root}\n{}", links.join("\n")).into_bytes());
            }
            members.values().for_each(|v| collect(v, what, out));
        }
        Value::Array(items) => items.iter().for_each(|v| collect(v, what, out)),
        Value::String(text) if what != "chain" => {
            let compact = text.starts_with("eyJ");
            if compact == matches!(what, "link" | "proof") || what.is_empty() {
                out.push(text.clone().into_bytes());
            }
        }
        _ => {}
    }
}

fn journal() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for name in ["record-every-field.hex", "record-smallest.hex", "segment.hex"] {
        let text = file(&format!("conformance/journal/{name}")).unwrap_or_default();
        out.push(unhex(&text));
    }
    for name in ["checkpoint", "log.vkey", "witness.vkey", "receipt.tlog-proof"] {
        out.extend(file(&format!("conformance/journal/{name}")));
    }
    out
}

fn unhex(text: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = text.iter().filter_map(|b| char::from(*b).to_digit(16)).filter_map(|d| u8::try_from(d).ok()).collect();
    digits.chunks(2).map(|pair| pair.iter().fold(0u8, |byte, digit| byte << 4 | digit)).collect()
}

/// Texts of the grammars that no file of the project shows.
fn texts(target: &str) -> &'static [&'static [u8]] {
    match target {
        "api/code" => &[b"MQ-2104", b"mq-3107", b"2104"],
        "api/control" => &[
            br#"{"passphrase":"x","purpose":"a b","refs":[],"agent":"a","environment":"staging","mode":"enforce","grants":[],"ttl_s":60,"grade":"D","accept":[],"egress":[],"task":null,"pins":[]}"#,
            br#"{"passphrase":"x","name":"n","service":"http","environment":"staging","value":"v","reference":null,"hosts":[],"placement":"bearer","pins":[],"resources":[]}"#,
            br#"{"reason":"exited"}"#,
        ],
        "api/problem" => &[br#"{"type":"urn:marque:error:MQ-2104","title":"t","status":403,"detail":"d","code":"MQ-2104","help":"h","from":"marque, not the upstream","retry":"never"}"#],
        "chain/action-pattern" => &[b"repo.read", b"pr.*", b"*"],
        "chain/origin" => &[b"https://api.example.test:443", b"http://[::1]:8080", b"https://127.0.0.1:1"],
        "chain/path-pattern" => &[b"/v1/**", b"/a/*/b", b"/%2Fx", b"/"],
        "chain/resource-pattern" => &[b"acme/*", b"acme/web@agent/**", b"**"],
        "chain/digest" => &[b"JKn401cCUMebjbL7wAq9ZZayBn-GKkkbPgBVXwO7iCQ"],
        "detect/coding-list" => &[b"gzip, br", b"x-gzip", b"identity,zstd , deflate"],
        "detect/decode-gzip" => &[
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00\x00\x00",
            b"\x1f\x8b\x08\x1e\x00\x00\x00\x00\x00\x03\x02\x00ABname\0comment\0\x00\x00\x01\x00\x00\xff\xff",
        ],
        "detect/decode-deflate" => &[b"\x78\x9c\xcb\x48\xcd\xc9\xc9\x07\x00\x06\x2c\x02\x15", b"\xcb\x48\xcd\xc9\xc9\x07\x00", b"\x01\x05\x00\xfa\xffhello"],
        "detect/decode-brotli" => &[b"\x0b\x02\x80hello\x03", b"\x8b\x02\x80hello\x03", b"\x06"],
        "detect/decode-zstd" => &[b"\x28\xb5\x2f\xfd\x04\x00\x29\x00\x00hello\x23\x4a\x5e\x1c", b"\x28\xb5\x2f\xfd\x24\x05\x29\x00\x00hello\x23\x4a\x5e\x1c", b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"],
        "detect/decode-stacked" => &[b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00\x00\x00"],
        "detect/placeholder-shape" => &[b"ghp_[A-Za-z0-9]{36}", b"xoxb-[0-9]{12}-[0-9]{12}-[0-9A-Za-z]{24}", b"sk-\\.[a-f]{1,4}"],
        "detect/rule" => &[b"gh[pousr]_[A-Za-z0-9]{36}", b"(?i)token[:=]\\s{0,4}([a-z]{8,64})", b"\\bxox[abposr]-[0-9A-Za-z-]{20,200}"],
        "detect/rules-find" | "detect/scrub" => &[
            b"token = ghp_0123456789abcdefghijABCDEFGHIJ012345",
            b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
            b"postgres://u:p4ssw0rd@h/d eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2ln aws secret_access_key wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            b"correct-horse-battery-staple Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ== 636f72726563742d686f727365",
        ],
        "effects/classify" => &[
            b"a=x; for i in a b; do aws s3 rm \"s3://$i/${a:-y}\" --recursive | tee >(cat) <<E > out\n$(id)\nE\ndone",
            b"case $x in a) (( 1 + 2 ));; *) [[ -n $y && ( a == b ) ]];; esac; f() { ssh h 'kubectl delete pod x'; }",
            b"env -S 'sh -c id' ; find . -exec rm {} \\; ; a[1]=$'\\x41' b=(c d) eval \"$(( 1 ))\"",
            b"psql -c 'drop table t' && git -c alias.x='!id' x || python3 -c 'import os' `echo x`",
        ],
        "effects/statements" => &[
            b"select count(*) from t where a = 'x' -- c\n; with d as (delete from t returning *) select * from d",
            b"\\dt\n\\! id\n/*! drop table t */ update \"t\" set a = $$b$$",
        ],
        "effects/command" => &[
            b"\x01\0\0\0\x02\0\0\0\x02sh\0\0\0\x02-c\0\0\0\x01\0\0\0\x01A\x01\0\0\0\x01b\0\0\0\x01/\x01\x02\0\0\0\x02id\x01\0\0\0\x07/bin/sh\0\0",
        ],
        "effects/reading" => &[
            b"\x01\0\0\0\x01\0\0\0\x02rm\0\0\0\x05local\0\0\0\x06remove\x03\x03\x01\0\0\0\x01f\0\0\0\0\0\0\x01\0\0\0\x01x\0\0\0\0\0\0\0\0",
        ],
        "effects/catalogue" => &[
            b"[[tool]]\nnames = [\"aws\"]\nverbs = 2\nvalues = [\"--profile\"]\nhints = [\"args\"]\n[[rule]]\ntool = \"aws\"\nname = \"rm\"\nmatch = [\"s3 rm|r* ** --recursive !-x -y=a|b*\"]\nkind = \"destructive\"\nyes = [\"aws s3 rm x\"]\n",
            b"[[path]]\nname = \"k\"\nsort = \"credential\"\nmatch = [\".ssh/**\", \"/etc/*\"]\nyes = [\"~/.ssh/x\"]\n[[variable]]\nnames = [\"*_TOKEN\"]\nwhat = \"credential\"\nyes = [\"A_TOKEN=x\"]\n",
        ],
        "gateway/strict-framing" | "wire/http-request" => &[
            b"GET /a?b=c HTTP/1.1\r\nhost: api.test\r\n\r\n",
            b"POST /x HTTP/1.1\r\nhost: api.test\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
            b"POST /x HTTP/1.1\r\nhost: api.test\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n",
            b"CONNECT api.test:443 HTTP/1.1\r\nhost: api.test:443\r\nproxy-authorization: Basic eDp5\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: api.test\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        ],
        "journal/tile-path" => &[b"tile/0/000", b"tile/1/x001/234.p/5", b"tile/entries/000.p/255"],
        "journal/add-checkpoint" => &[b"old 3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nlog\n4\nAAAA\n\n\xe2\x80\x94 log AAAA\n"],
        "journal/witness-answer" => &[b"\x00\xe2\x80\x94 w AAAAAAAAAAA=\n", b"\x0112\n"],
        "journal/cbor" | "model/event" => &[b"\xa1\x01\x02", b"\x82\x01\x82\x02\xf6", b"session.end\n\xa1\x01\x01", b"link.revoke\n\xa1\x01\x63abc", b"host.passed\n\xa2\x01\x63a:1\x02\x05"],
        "model/id" => &[b"s-00000000000000000000000000", b"00112233445566778899aabbccddeeff"],
        "model/registry" => &[b"resource\ngithub\nacme/payments-*", b"host\n\n*.acme.example", b"host\n\n10.0.0.0/8", b"account\ngithub\nacme"],
        "model/target" | "wire/connect-authority" => &[b"api.test:443", b"[::1]:8080", b"127.0.0.1", b"xn--bcher-kva.example:1"],
        "sandbox/dns" => &[
            b"\x07\x09\x01\0\0\x01\0\0\0\0\0\0\x01a\x01b\0\0\x01\0\x01",
            b"\x07\x09\x01\0\0\x01\0\0\0\0\0\x01\x03api\x07example\x04test\0\0\x1c\0\x01\0\0\x29\x10\0\0\0\0\0\0\0",
        ],
        "scan/file" => &[
            b".netrc\nmachine a.test login b password c-d-e-f-g\n",
            b".npmrc\n//r.test/:_authToken=npm_012345678901234567890123456789012345\n",
            b".aws/credentials\n[prod]\naws_access_key_id = AKIASP2TPHJSQH3FJRUX\naws_secret_access_key = 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\n",
            b".kube/config\nusers:\n- name: a\n  user:\n    token: x9Kq2LmZ7vTn4RbW8sYc\n",
            b".docker/config.json\n{\"auths\":{\"r.test\":{\"auth\":\"dTpwYXNzd29yZA==\"}}}",
            b".pgpass\nh\\:x:1:d:u:p\\\\w\n",
            b".env\nexport A_TOKEN=\"x9Kq2LmZ7vTn4RbW8sYc\" # c\nURL=postgres://u:p%40w@h/d?x=y\n",
            b".codex/config.toml\n[a.env]\nX_TOKEN = \"x9Kq2LmZ7vTn4RbW8sYc\"\n",
            b"id_rsa\n-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
            b".git/config\n[remote \"o\"]\n\turl = https://u:x9Kq2LmZ7vTn@h/r.git\n[http]\n\textraheader = AUTHORIZATION: basic eDp5eHh4\n",
            b"docker-compose.yml\nservices:\n  db:\n    environment:\n      - POSTGRES_PASSWORD=x9Kq2LmZ7\n",
        ],
        "wire/answer-field" => &[b"json /token", b"pass json /auths/*/auth", b"url /download_url", b"form access_token", b"cookie *", b"location"],
        "wire/answer-swap" => &[
            b"{\"token\":\"abc\",\"auths\":[{\"auth\":\"x\\u0041\"}],\"url\":\"https://h/x?sig=1\"}",
            b"access_token=abc&token_type=bearer",
        ],
        "wire/form" | "wire/query" => &[b"a=b&c=%20d&e", b"a=1&a=2", b"=&&"],
        "wire/path" => &[b"/a/b", b"/a/%2e%2e/b", b"/%C3%A4;x=1/", b"//a/./b/"],
        "wire/json-pointer" => &[b"/token", b"/auths/*/auth", b"/a~1b/~0"],
        "wire/return-slot" => &[b"cookie sid", b"header X-Subject-Token", b"bearer", b"query token", b"body /a/b"],
        "wire/git-pkt" | "wire/git-commands" => &[
            b"0000",
            b"006a0000000000000000000000000000000000000000 1111111111111111111111111111111111111111 refs/heads/a\0report-status\n0000PACK",
            b"00681111111111111111111111111111111111111111 0000000000000000000000000000000000000000 refs/heads/a\0 delete-refs0000",
        ],
        "wire/git-smart" => &[b"GET /acme/web.git/info/refs service=git-receive-pack", b"POST /acme/web.git/git-upload-pack "],
        "wire/graphql" => &[
            br#"{"query":"query A($o:String!){repository(owner:$o,name:\"web\"){id ...F}} fragment F on Repository{name}","variables":{"o":"acme"},"operationName":"A"}"#,
            br#"{"query":"mutation{createIssue(input:{repositoryId:\"R\",title:\"t\"}){issue{id}}}"}"#,
        ],
        "wire/placement" => &[b"bearer", b"basic x-access-token", b"header X-Api-Key", b"query key", b"cookie sid", b"body /a/b", b"form token", b"path 3", b"path /services/{}"],
        "wire/profile-extract" => &[
            b"github\napi\nGET\n/repos/acme/web/pulls\nstate=open\n\n",
            b"github\ngit\nPOST\n/acme/web.git/git-receive-pack\n\ncontent-type: application/x-git-receive-pack-request\n0000",
            b"github\napi\nPOST\n/graphql\n\ncontent-type: application/json\n{\"query\":\"query{repository(owner:\\\"acme\\\",name:\\\"web\\\"){id}}\"}",
            b"slack\napi\nPOST\n/api/chat.postMessage\n\ncontent-type: application/x-www-form-urlencoded\nchannel=%23ci&text=hi",
            b"openai\napi\nPOST\n/v1/chat/completions\n\ncontent-type: application/json\n{\"model\":\"m\",\"messages\":[]}",
        ],
        "wire/websocket-client" => &[b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", b"\x01\x82\0\0\0\0ab\x80\x81\0\0\0\0c", b"\x89\x80\0\0\0\0", b"\x88\x82\0\0\0\0\x03\xe8"],
        "wire/websocket-server" => &[b"\x81\x05hello", b"\x01\x02ab\x80\x01c", b"\x89\x00", b"\x88\x02\x03\xe8", b"\x82\x7e\x01\x00", b"\x82\x7f\0\0\0\0\0\0\x01\0"],
        _ => &[],
    }
}
