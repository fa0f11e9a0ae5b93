//! A private package index: what pip and npm ask for, for whoever shows the credential.
//!
//! A SHAPE SERVER, written from <https://packaging.python.org/en/latest/specifications/simple-repository-api/> (HTML form),
//! <https://packaging.python.org/en/latest/specifications/binary-distribution-format/> and
//! <https://github.com/npm/registry/blob/main/docs/REGISTRY-API.md>. Every package has one version, made when it is asked for.

use std::io::Write as _;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, Crc, write::GzEncoder};
use serde_json::json;

use crate::{
    encode::sha256_hex,
    error::Result,
    serve::{Call, Options, Reply, Server, handler, reply, reply_json, set_header},
};

/// Starts package indexes.
pub struct Packages;

impl Packages {
    /// Starts one that wants `secret`, as bearer token or as the password of any user.
    ///
    /// # Errors
    /// When the port or the log file cannot be had.
    pub fn start(options: Options, secret: &str) -> Result<Server> {
        let secret = secret.to_owned();
        Server::start(
            options,
            handler(move |call| {
                let secret = secret.clone();
                async move { route(&call, &secret) }
            }),
        )
    }
}

fn route(call: &Call, secret: &str) -> Reply {
    let known = |slot: &str| ["bearer", "basic"].contains(&slot);
    if !call
        .credentials
        .iter()
        .any(|seen| known(&seen.slot) && seen.value == secret)
    {
        let mut answer = reply_json(401, &json!({ "error": "authentication required" }));
        set_header(
            &mut answer,
            "www-authenticate",
            "Basic realm=\"packages\"",
        );
        return answer;
    }
    let pieces: Vec<&str> = call.path().trim_matches('/').split('/').collect();
    match (call.request.method().as_str(), pieces.as_slice()) {
        ("GET", ["simple", name]) => simple(name),
        ("GET", ["files", file]) => match file.strip_suffix("-1.0-py3-none-any.whl") {
            Some(name) => reply(200, "application/octet-stream", wheel(name)),
            None => missing(),
        },
        ("GET", [name]) if !name.is_empty() => packument(call, name),
        ("GET", [name, "-", _]) => reply(200, "application/octet-stream", tarball(name)),
        ("PUT", [_]) => reply_json(201, &json!({ "ok": true })),
        _ => missing(),
    }
}

fn missing() -> Reply {
    reply_json(404, &json!({ "error": "not found" }))
}

fn simple(name: &str) -> Reply {
    let file = format!("{name}-1.0-py3-none-any.whl");
    let hash = sha256_hex(&wheel(name));
    let page = format!(
        "<!DOCTYPE html><html><body><a href=\"/files/{file}#sha256={hash}\">{file}</a></body></html>\n"
    );
    reply(200, "text/html; charset=utf-8", page)
}

fn packument(call: &Call, name: &str) -> Reply {
    let host = call
        .request
        .uri()
        .authority()
        .map(ToString::to_string)
        .or_else(|| call.header("host").map(ToOwned::to_owned));
    let tarball_url = format!(
        "https://{}/{name}/-/{name}-1.0.0.tgz",
        host.unwrap_or_default()
    );
    let hash = digest::digest(&digest::SHA512, &tarball(name));
    let dist = json!({ "tarball": tarball_url, "integrity": format!("sha512-{}", STANDARD.encode(hash.as_ref())) });
    reply_json(
        200,
        &json!({
            "name": name,
            "dist-tags": { "latest": "1.0.0" },
            "versions": { "1.0.0": { "name": name, "version": "1.0.0", "dist": dist } },
        }),
    )
}

/// A package of one module, `NAME.py`, that says who it is.
fn wheel(name: &str) -> Vec<u8> {
    let info = format!("{name}-1.0.dist-info");
    let module = format!("{name}.py");
    let record = format!("{module},,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n");
    zip(&[
        (module, format!("NAME = \"{name}\"\n")),
        (
            format!("{info}/METADATA"),
            format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"),
        ),
        (
            format!("{info}/WHEEL"),
            "Wheel-Version: 1.0\nGenerator: testkit\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
                .to_owned(),
        ),
        (format!("{info}/RECORD"), record),
    ])
}

/// A ZIP archive of stored files (APPNOTE sections 4.3.7, 4.3.12, 4.3.16).
fn zip(files: &[(String, String)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let mut crc = Crc::new();
        crc.update(text.as_bytes());
        let size = u32::try_from(text.len()).unwrap_or(0);
        let offset = u32::try_from(out.len()).unwrap_or(0);
        let mut common = Vec::new();
        // Version 2.0, no flags, stored, 1980-01-01.
        for field in [20_u16, 0, 0, 0, 0x21] {
            common.extend_from_slice(&field.to_le_bytes());
        }
        for field in [crc.sum(), size, size] {
            common.extend_from_slice(&field.to_le_bytes());
        }
        common.extend_from_slice(&u16::try_from(name.len()).unwrap_or(0).to_le_bytes());
        common.extend_from_slice(&0_u16.to_le_bytes());
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&common);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(text.as_bytes());
        directory.extend_from_slice(b"PK\x01\x02");
        directory.extend_from_slice(&20_u16.to_le_bytes());
        directory.extend_from_slice(&common);
        // No comment, disk 0, no attributes.
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
    }
    let count = u16::try_from(files.len()).unwrap_or(0).to_le_bytes();
    let (size, offset) = (directory.len(), out.len());
    out.extend_from_slice(&directory);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    out.extend_from_slice(&count);
    out.extend_from_slice(&count);
    for field in [size, offset] {
        out.extend_from_slice(&u32::try_from(field).unwrap_or(0).to_le_bytes());
    }
    out.extend_from_slice(&[0, 0]);
    out
}

/// A package of one file that says who it is.
fn tarball(name: &str) -> Vec<u8> {
    let manifest = json!({ "name": name, "version": "1.0.0", "main": "index.js" }).to_string();
    let files = [
        ("package/package.json", manifest),
        ("package/index.js", format!("module.exports = '{name}';\n")),
    ];
    let mut tar = Vec::new();
    for (path, text) in &files {
        tar.extend_from_slice(&tar_header(path, text.len()));
        tar.extend_from_slice(text.as_bytes());
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let _ = encoder.write_all(&tar);
    encoder.finish().unwrap_or_default()
}

/// One header of POSIX ustar (IEEE 1003.1, pax).
fn tar_header(path: &str, size: usize) -> [u8; 512] {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &str| {
        if let Some(place) = header.get_mut(at..at + text.len()) {
            place.copy_from_slice(text.as_bytes());
        }
    };
    put(0, path);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    if let Some(place) = header.get_mut(148..156) {
        place.copy_from_slice(sum.as_bytes());
    }
    header
}
