//! Which git service a request means.

/// What the client wants of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Clone and fetch.
    UploadPack,
    /// Push.
    ReceivePack,
}

/// Which of the two requests of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// `GET …/info/refs?service=…`: the refs are listed.
    Advertise,
    /// `POST …/git-upload-pack` or `…/git-receive-pack`.
    Call,
}

/// A request of git's smart HTTP protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recognised<'a> {
    /// Path of the repository, without leading slash, as written (`acme/web.git`).
    pub repo: &'a str,
    /// The service.
    pub service: Service,
    /// The request.
    pub phase: Phase,
    /// `Content-Encoding: gzip`, as git sends for larger fetches: the caller decodes, within a ratio, before it looks.
    pub gzip: bool,
}

/// Recognises smart HTTP. `path` is decoded, `headers` are lower case names. `None`: not smart HTTP (the dumb protocol,
/// a web page, an ambiguous query), which means nothing here.
#[must_use]
pub fn recognise<'a>(
    method: &str,
    path: &'a str,
    query: &[(String, String)],
    headers: &[(String, String)],
) -> Option<Recognised<'a>> {
    let below = path.strip_prefix('/')?;
    let named = |text: &str| match text {
        "git-upload-pack" => Some(Service::UploadPack),
        "git-receive-pack" => Some(Service::ReceivePack),
        _ => None,
    };
    if matches!(method, "GET" | "HEAD") {
        let repo = below.strip_suffix("/info/refs")?;
        // Another parameter, or `service` twice, is not what a git client sends.
        let [(key, value)] = query else { return None };
        let service = (key == "service").then(|| named(value)).flatten()?;
        return Some(Recognised { repo, service, phase: Phase::Advertise, gzip: false });
    }
    if method != "POST" || !query.is_empty() {
        return None;
    }
    let (repo, last) = below.rsplit_once('/')?;
    let service = named(last)?;
    let one = |name: &str| {
        let mut values = headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() { Err(()) } else { Ok(first) }
    };
    let wanted = format!("application/x-{last}-request");
    if one("content-type").ok()? != Some(wanted.as_str()) {
        return None;
    }
    let gzip = match one("content-encoding").ok()? {
        None | Some("identity") => false,
        Some("gzip" | "x-gzip") => true,
        Some(_) => return None,
    };
    Some(Recognised { repo, service, phase: Phase::Call, gzip })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn smart_http_is_recognised_and_the_dumb_protocol_is_not() {
        let refs = |q: &[(&str, &str)]| recognise("GET", "/acme/web.git/info/refs", &pairs(q), &[]);
        let found = refs(&[("service", "git-receive-pack")]).unwrap();
        assert_eq!((found.repo, found.service, found.phase), ("acme/web.git", Service::ReceivePack, Phase::Advertise));
        for dumb in [
            &[][..],
            &[("service", "git-upload-archive")],
            &[("service", "git-upload-pack"), ("service", "git-receive-pack")],
            &[("Service", "git-upload-pack")],
        ] {
            assert!(refs(dumb).is_none(), "{dumb:?}");
        }
        assert!(recognise("GET", "/acme/web.git/objects/info/packs", &[], &[]).is_none());
        assert!(recognise("GET", "/acme/web.git/HEAD", &[], &[]).is_none());
    }

    #[test]
    fn gzip_is_reported_and_other_codings_are_refused() {
        let call = |coding: Option<&str>| {
            let mut headers = pairs(&[("content-type", "application/x-git-upload-pack-request")]);
            headers.extend(coding.map(|c| ("content-encoding".to_owned(), c.to_owned())));
            recognise("POST", "/acme/web/git-upload-pack", &[], &headers).map(|r| r.gzip)
        };
        assert_eq!((call(None), call(Some("gzip")), call(Some("br"))), (Some(false), Some(true), None));
        let wrong = pairs(&[("content-type", "application/json")]);
        assert!(recognise("POST", "/acme/web/git-upload-pack", &[], &wrong).is_none());
        assert!(recognise("post", "/acme/web/git-upload-pack", &[], &wrong).is_none());
    }
}
