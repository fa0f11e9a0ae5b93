//! The authority, as the gateway asks it. This is where the two meet: neither knows the other's types.

use marque_authority::admit::{Brings, Meaning, Permit, Request, Settled, Shown};
use marque_authority::kept::Source;
use marque_authority::{Authority, Error, Fetch, Fetched, Fetching, Leaf, Listener, Listeners};
use marque_detect::Secret;
use marque_detect::oracle::Verdict;
use marque_detect::scrub::{Hits, Needles};
use marque_gateway::{
    Address, Admitted, Attachment, DialPlan, Ending, Gate, Handle, Intended, KEPT_PATH, Kind, LeafKey, ListenerId, Mode,
    Names, Outcome, Peer, Problem, Route, RoutePlan, Service, SessionCa, Socket,
};
use marque_model::{Effect, Target};
use marque_sandbox::dns;
use marque_switch::guard_off;
use marque_wire::answer::{Fate, Found};
use marque_wire::place::Placement;
use marque_wire::profile::{Extracted, Profile};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// Bytes of an unknown answer that one use may carry where no limit says less.
const BYTES_MAX: u64 = 16 << 30;

/// What is made once per leaf.
pub(crate) struct Seat {
    leaf: Arc<Leaf>,
    ca: Arc<SessionCa>,
    routes: HashMap<Target, (bool, Arc<RoutePlan>)>,
    /// The names of its sandbox's network: none yet, where they are awaited.
    inside: Option<OnceLock<Arc<Inside>>>,
}

/// What addresses of a sandbox's network mean.
struct Inside(dns::Server);

impl std::fmt::Debug for Inside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inside")
    }
}

impl Names for Inside {
    fn name_of(&self, address: IpAddr) -> Option<String> {
        self.0.names().name_of(address).map(str::to_owned)
    }
    fn is_reserved(&self, address: IpAddr) -> bool {
        dns::Names::is_reserved(address)
    }
}

/// Where the proxy listens in a sandbox's network: below 1024, so that no server of the agent's is in its way, and it in none's.
const PROXY_PORT: u16 = 880;

/// The authority behind the gateway's seam.
pub(crate) struct AuthorityGate {
    authority: Arc<Authority>,
    roots: Arc<RootCertStore>,
    seats: RwLock<HashMap<u64, Arc<Seat>>>,
    /// Who may connect: this process's own user.
    uid: u32,
}

struct Gateway {
    gate: Arc<AuthorityGate>,
    handle: Handle<AuthorityGate>,
}

/// Starts a gateway for the authority and tells the authority of it.
pub(crate) fn start(authority: &Arc<Authority>) -> Result<(), Error> {
    let gate = Arc::new(AuthorityGate {
        roots: Arc::new(roots(authority.extra_roots_pem())?),
        authority: authority.clone(),
        seats: RwLock::default(),
        uid: rustix::process::getuid().as_raw(),
    });
    let whole = marque_gateway::Options::default();
    let connections_max = whole.connections_max.min(room_for_connections());
    let connections_per_listener_max = whole.connections_per_listener_max.min(connections_max / 2);
    let options = marque_gateway::Options { connections_max, connections_per_listener_max, ..whole };
    let (service, handle) = Service::new(options, gate.clone());
    // It ends with the process: sessions are ended, and their streams cut, one by one before that.
    tokio::spawn(service.run(std::future::pending()));
    authority.set_listeners(Arc::new(Gateway { gate, handle }));
    Ok(())
}

/// Descriptors that are left for journal, index and local API whatever agents do.
const DESCRIPTORS_KEPT: u64 = 256;

/// Client connections that descriptors suffice for: each may have an upstream's beside it, and a pool of idle ones.
fn room_for_connections() -> usize {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(most.saturating_sub(DESCRIPTORS_KEPT) / 3).unwrap_or(usize::MAX).max(16)
}

fn roots(extra: Option<&str>) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    let bad = |e: String| Error::Journal(format!("the certificates for upstreams cannot be read: {e}"));
    // A system without roots can still reach upstreams whose certificates were named.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(pem) = extra {
        for cert in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let cert = cert.map_err(|e| bad(e.to_string()))?;
            store.add(cert).map_err(|e| bad(e.to_string()))?;
        }
    }
    Ok(store)
}

impl Listeners for Gateway {
    fn open(&self, leaf: &Arc<Leaf>, inside: bool) -> Result<Listener, Error> {
        let failed = |what: String| Error::Journal(format!("the session's proxy cannot be opened: {what}"));
        let named = leaf.roads.keys().filter(|t| t.ip().is_none());
        let mut hosts: Vec<String> = named.map(|t| t.host().to_owned()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let now_s = self.gate.authority.now_ms() / 1000;
        let ca = SessionCa::new(&hosts, now_s, leaf.not_after_ms / 1000).map_err(|e| failed(e.to_string()))?;
        let ca_pem = ca.root_pem().to_owned();
        let routes = leaf.roads.values().map(|road| {
            let profile = match &road.profile {
                Some(profile) => profile.clone(),
                None => Arc::new(Profile::generic("http", road.target.clone())),
            };
            let placements = road.candidates.iter().map(|c| c.placement.clone()).collect();
            let dial = if road.pins.is_empty() { DialPlan::Public } else { DialPlan::Pinned(road.pins.clone()) };
            let plan =
                RoutePlan::new(road.target.clone(), &*road.alias, profile, placements, dial, self.gate.roots.clone());
            (road.target.clone(), (!road.candidates.is_empty(), Arc::new(plan)))
        });
        let seat = Seat { leaf: leaf.clone(), ca: Arc::new(ca), routes: routes.collect(), inside: inside.then(OnceLock::new) };
        self.gate.seats.write().unwrap_or_else(PoisonError::into_inner).insert(leaf.key, Arc::new(seat));
        if inside {
            return Ok(Listener { address: (Ipv4Addr::LOCALHOST, PROXY_PORT).into(), ports: ports(leaf), ca_pem });
        }
        let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| failed(e.to_string()))?;
        let address = socket.local_addr().map_err(|e| failed(e.to_string()))?;
        self.handle
            .listen(ListenerId(leaf.key), Socket::Tcp(socket), Mode::Proxy)
            .map_err(|e| failed(e.to_string()))?;
        Ok(Listener { address, ports: Vec::new(), ca_pem })
    }

    fn bring(&self, leaf: &Arc<Leaf>, sockets: Vec<OwnedFd>) -> Result<(), Error> {
        let wrong = |what: String| {
            let help = "start a new session with `marque run`";
            Error::Refused(marque_api::Problem::new(marque_api::Code::INPUT, format!("the sandbox's sockets are not taken: {what}"), help))
        };
        let seat = self.gate.seat(leaf.key).ok_or_else(|| wrong("the session is over".into()))?;
        let place = seat.inside.as_ref().ok_or_else(|| wrong("the session has no sandbox".into()))?;
        let sockets = marque_sandbox::Inside::of(sockets).map_err(|e| wrong(e.to_string()))?;
        let server = dns::Server::start(sockets.dns_udp, sockets.dns_tcp, sockets.ipv6).map_err(|e| wrong(e.to_string()))?;
        let names = Arc::new(Inside(server));
        place.set(Arc::clone(&names)).map_err(|_| wrong("they were brought already".into()))?;
        let id = ListenerId(leaf.key);
        for (index, (port, listener)) in sockets.tcp.into_iter().enumerate() {
            let mode = if port == PROXY_PORT { Mode::Proxy } else { Mode::Dialled(names.clone()) };
            let socket = Socket::Inside(listener);
            let taken = if index == 0 { self.handle.listen(id, socket, mode) } else { self.handle.join(id, socket, mode) };
            taken.map_err(|e| wrong(e.to_string()))?;
        }
        Ok(())
    }

    fn close(&self, leaf: &Arc<Leaf>) {
        self.handle.close(ListenerId(leaf.key));
        self.gate.seats.write().unwrap_or_else(PoisonError::into_inner).remove(&leaf.key);
    }

    fn fetch(&self, what: Fetch) -> Fetching {
        let (handle, roots) = (self.handle.clone(), self.gate.roots.clone());
        Box::pin(async move {
            let dial = if what.pins.is_empty() { DialPlan::Public } else { DialPlan::Pinned(what.pins) };
            let profile = Arc::new(Profile::generic("http", what.target.clone()));
            let plan = RoutePlan::new(what.target, "own", profile, Vec::new(), dial, roots);
            match handle.fetch(&plan, &what.path, what.headers).await {
                Ok(fetched) => Ok(Fetched { status: fetched.status, body: fetched.body }),
                Err(problem) => {
                    let code = marque_api::Code::from_text(problem.code).unwrap_or(marque_api::Code::UPSTREAM);
                    Err(marque_api::Problem::new(code, problem.title, problem.help))
                }
            }
        })
    }
}

/// Ports of a sandbox's network that lead to the gateway: the proxy's, those of the web, and those of the leaf's own hosts.
fn ports(leaf: &Leaf) -> Vec<u16> {
    let mut out: Vec<u16> = leaf.roads.keys().map(Target::port).filter(|port| *port != DNS_PORT).collect();
    out.sort_unstable();
    out.truncate(marque_sandbox::limits::PORTS - 3);
    out.extend([80, 443, PROXY_PORT]);
    out.sort_unstable();
    out.dedup();
    out
}

/// Taken by the names.
const DNS_PORT: u16 = 53;

fn problem(of: &marque_api::Problem) -> Problem {
    Problem {
        status: of.status(),
        code: of.code.text(),
        title: of.detail.clone(),
        help: of.help.clone(),
        retry_after_s: of.retry_after_s,
        approval_url: of.approval.clone(),
        of_a_use: false,
    }
}

fn stranger(why: &str) -> Problem {
    let code = marque_api::Code::PROXY_AUTH;
    Problem::new(code.status(), code.text(), why, "use the proxy variables that `marque run` set")
}

impl AuthorityGate {
    fn seat(&self, key: u64) -> Option<Arc<Seat>> {
        self.seats.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    fn meanings(&self, extracted: Extracted, path: Option<&str>) -> Vec<Meaning> {
        let unknown = |why: String| {
            vec![Meaning {
                operation: "unknown".into(),
                resource: path.unwrap_or_default().to_owned(),
                effect: Effect::Unparsed,
                attributes: BTreeMap::from([("why".to_owned(), why)]),
            }]
        };
        let meaning = |m: marque_wire::profile::Meaning| Meaning {
            operation: m.operation,
            resource: m.resource,
            effect: m.effect,
            attributes: m.attributes,
        };
        match extracted {
            Extracted::Unknown { why } => unknown(why),
            Extracted::Known(actions) if actions.is_empty() => unknown(String::new()),
            Extracted::Known(actions) => actions.into_iter().map(meaning).collect(),
        }
    }

    /// The request as the authority decides on it. What it brings back is looked up once more: it says under which account
    /// the use is recorded, and which use it follows from.
    fn request(&self, seat: &Seat, route: &RoutePlan, use_: Intended) -> Request {
        let mut kept = seat.leaf.kept.lock();
        let mut brings = Brings::default();
        let mut meanings = self.meanings(use_.extracted, use_.path.as_deref());
        let mut path = use_.path.unwrap_or_default();
        for returned in &use_.returned {
            brings.slots.extend(returned.placement.iter().flat_map(Placement::slots));
            brings.source = kept.get(&returned.placeholder).map(|kept| kept.source.clone()).or(brings.source);
        }
        if let Some(followed) = use_.followed.as_deref().and_then(|name| kept.get(name)) {
            brings.source.get_or_insert_with(|| followed.source.clone());
            if let Some(there) = followed.leads_to.clone().filter(|there| *there != route.target) {
                meanings.clone_from(&followed.source.meanings);
                path.clone_from(&followed.source.path);
                brings.address = Some(there);
            }
        }
        let shown = Shown { headers: use_.headers, unbound: use_.unbound, body: use_.body };
        Request { meanings, method: use_.method, path, uri: use_.uri, content: use_.content, shown, brings }
    }
}

/// Leave for one use, and what is remembered of it while its answer is read.
pub(crate) struct Pass {
    permit: Permit,
    source: Arc<Source>,
}

impl Pass {
    /// Of a use that nothing is kept from.
    fn bare(permit: Permit) -> Self {
        let source = Source { seq: permit.seq(), credential: None, meanings: Vec::new(), path: String::new(), opaque: false };
        Self { permit, source: Arc::new(source) }
    }
}

fn is_opaque(extracted: &Extracted) -> bool {
    !extracted.actions().is_empty() && extracted.actions().iter().all(|a| a.opaque)
}

impl Gate for AuthorityGate {
    type Leaf = Seat;
    type Permit = Pass;
    type Source = Source;

    fn identify(&self, listener: ListenerId, proxy_auth: Option<&str>, peer: &Peer) -> Result<Arc<Seat>, Problem> {
        let seat = self.seat(listener.0).ok_or_else(|| stranger("the session is over"))?;
        if matches!(peer, Peer::Inside { .. }) {
            return Ok(seat);
        }
        let shown = proxy_auth.and_then(basic_password).ok_or_else(|| stranger("the connection shows no proxy secret"))?;
        let digest = marque_chain::sha256(&shown).0;
        if !marque_detect::Secret::new(digest.to_vec()).eq_bytes(&seat.leaf.proxy_secret) {
            return Err(stranger("the proxy secret is not this session's"));
        }
        match peer {
            Peer::Tcp { remote, local } if crate::peer::uid_of(*remote, *local) != Some(self.uid) => {
                Err(stranger("the connection comes from another user"))
            }
            _ => Ok(seat),
        }
    }

    fn leaf_key(&self, seat: &Seat) -> LeafKey {
        LeafKey(seat.leaf.key)
    }

    fn ca(&self, seat: &Seat) -> Arc<SessionCa> {
        seat.ca.clone()
    }

    fn route(&self, seat: &Arc<Seat>, target: &Target) -> Route {
        let leaf = &seat.leaf;
        match seat.routes.get(target) {
            Some((true, plan)) => Route::Governed(plan.clone()),
            Some((false, plan)) => Route::Open(plan.clone()),
            None if leaf.mode == marque_model::Mode::Observe => {
                let profile = Arc::new(Profile::generic("http", target.clone()));
                let plan = RoutePlan::new(target.clone(), "api", profile, Vec::new(), DialPlan::Public, self.roots.clone());
                Route::PassThrough(Arc::new(plan))
            }
            None => {
                let refused = marque_api::Problem::new(
                    marque_api::Code::HOST,
                    format!("this session, whose purpose is `{}`, has no way to `{}`", leaf.purpose, target.host()),
                    "use a host of the session, or ask its human for `--egress` or a grant",
                );
                Route::Refused(problem(&refused))
            }
        }
    }

    fn source(&self, pass: &Pass) -> Arc<Source> {
        pass.source.clone()
    }

    fn follow(&self, seat: &Arc<Seat>, route: &RoutePlan, name: &str) -> Option<Address> {
        let kept = seat.leaf.kept.lock().get(name).filter(|kept| kept.target == route.target)?;
        let there = kept.leads_to.clone()?;
        let path_and_query = Secret::new(kept.value.expose().to_vec());
        let opaque = kept.source.opaque;
        if there == route.target {
            let plan = seat.routes.get(&there)?.1.clone();
            return Some(Address { plan, path_and_query, opaque });
        }
        let road = seat.leaf.roads.get(&route.target)?;
        let pins = self.authority.pins(&there, road.candidates.iter().map(|c| c.id));
        let dial = if pins.is_empty() { DialPlan::Public } else { DialPlan::Pinned(pins) };
        let profile = Arc::new(Profile::generic("http", there.clone()));
        let plan = RoutePlan::new(there, "signed", profile, Vec::new(), dial, self.roots.clone());
        Some(Address { plan: Arc::new(plan), path_and_query, opaque })
    }

    async fn admit(&self, seat: &Arc<Seat>, route: &Arc<RoutePlan>, use_: Intended) -> Result<Admitted<Pass>, Problem> {
        let leaf = &seat.leaf;
        let (needles, guessable) = leaf.needles.current();
        if use_.kind == Kind::Tunnel {
            let permit = Box::pin(self.authority.pass_host(leaf, &route.target)).await.map_err(|p| problem(&p))?;
            return Ok(admitted(Pass::bare(permit), needles, guessable));
        }
        let road = leaf.roads.get(&route.target).cloned();
        let Some(road) = road else {
            // Observe mode, plain HTTP to an unlisted host.
            let permit = Box::pin(self.authority.pass_host(leaf, &route.target)).await.map_err(|p| problem(&p))?;
            return Ok(admitted(Pass::bare(permit), needles, guessable));
        };
        let marked = is_opaque(&use_.extracted);
        let request = self.request(seat, route, use_);
        let opaque = request.brings.address.is_none() && marked;
        let granted = self.authority.admit(leaf, &road, &request).await.map_err(|p| problem(&p))?;
        let withhold = {
            let hits = leaf.hits.lock();
            hits.get(&route.target).is_some_and(|ledger| ledger.verdict() == Verdict::Withhold)
        };
        let Request { meanings, path, .. } = request;
        let source = Source { seq: granted.permit.seq(), credential: granted.credential, meanings, path, opaque };
        let attachment = |(placement, secret)| Attachment { placement, placeholder: None, secret };
        Ok(Admitted {
            permit: Pass { permit: granted.permit, source: Arc::new(source) },
            attachments: granted.attachment.map(attachment).into_iter().collect(),
            credential: granted.credential,
            needles: if guard_off("I2") { nothing_to_mask() } else { granted.needles },
            guessable: granted.guessable,
            withhold,
            request_bytes_max: granted.bytes_max.unwrap_or(BYTES_MAX),
            answer_bytes_max: granted.bytes_max.unwrap_or(BYTES_MAX),
        })
    }

    fn settle(&self, pass: Pass, outcome: Outcome) {
        let verdict = match outcome.ending {
            Ending::Completed | Ending::Withheld => 1,
            Ending::Aborted | Ending::Cut | Ending::Limit | Ending::NotSent => 2,
            Ending::UpstreamFailed => 4,
        };
        let settled = Settled {
            verdict,
            status: outcome.status.unwrap_or(0),
            bytes: outcome.request_bytes.saturating_add(outcome.answer_bytes),
            scrubbed: outcome.hits,
            content: outcome.request_sha256,
            opaque: outcome.opaque,
            // Whatever is not known to have stayed counts as sent.
            sent: outcome.ending != Ending::NotSent,
        };
        self.authority.settle(pass.permit, settled);
    }

    fn refused(&self, listener: ListenerId, seat: Option<&Arc<Seat>>, target: Option<&Target>, refused: &Problem) {
        let Some(seat) = seat.cloned().or_else(|| self.seat(listener.0)) else { return };
        let leaf = &seat.leaf;
        let code = marque_api::Code::from_text(refused.code).unwrap_or(marque_api::Code::MALFORMED);
        // What the authority refused, it has recorded with the request's meaning.
        if matches!(code.number(), 2000..4000 | 5000..6000) {
            return;
        }
        let host = target.map_or_else(|| "?".to_owned(), |t| t.host().to_owned());
        let known = marque_api::Problem::new(code, refused.title.clone(), refused.help.clone());
        self.authority.refused_by_gateway(leaf, host, &known, refused.of_a_use);
    }

    async fn ended(&self, seat: &Arc<Seat>) {
        seat.leaf.over().await;
    }

    fn scrub_hit(&self, seat: &Arc<Seat>, route: &RoutePlan, needles: &Needles, hits: &Hits, new: u32) -> Verdict {
        let low = hits.iter().any(|(id, _)| needles.is_low_entropy(id));
        seat.leaf.hits.lock().entry(route.target.clone()).or_default().record(new, low)
    }

    fn keep_answer(
        &self,
        seat: &Arc<Seat>,
        route: &RoutePlan,
        source: &Arc<Source>,
        field: &str,
        value: Secret,
    ) -> Result<String, Problem> {
        let kept = self.authority.keep_answer(&seat.leaf, &route.target, source, field, value);
        let name = kept.map_err(|p| problem(&p))?;
        Ok(match field == "location" || field.starts_with("url ") {
            true => format!("{}://{}{KEPT_PATH}{name}", route.target.scheme().word(), route.target.authority()),
            false => name,
        })
    }

    fn answer_carried(&self, seat: &Arc<Seat>, route: &RoutePlan, found: &[Found]) {
        for one in found.iter().filter(|f| f.fate == Fate::Passed) {
            self.authority.exposed(&seat.leaf, format!("{} from `{}`", one.carrier, route.target.host()));
        }
    }

    fn restore_answer(&self, seat: &Arc<Seat>, route: &RoutePlan, slot: &str, placeholder: &str) -> Option<Secret> {
        self.authority.restore_answer(&seat.leaf, &route.target, slot, placeholder)
    }
}

/// Second build only: the violation of I2.
fn nothing_to_mask() -> Arc<Needles> {
    Needles::builder().build().map_or_else(|_| std::process::abort(), Arc::new)
}

fn admitted(permit: Pass, needles: Arc<Needles>, guessable: bool) -> Admitted<Pass> {
    Admitted {
        permit,
        attachments: Vec::new(),
        credential: None,
        needles,
        guessable,
        withhold: false,
        request_bytes_max: BYTES_MAX,
        answer_bytes_max: BYTES_MAX,
    }
}

/// The password of `Basic …`.
fn basic_password(value: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let encoded = value.strip_prefix("Basic ")?;
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    let at = decoded.iter().position(|b| *b == b':')?;
    decoded.get(at + 1..).map(<[u8]>::to_vec)
}
