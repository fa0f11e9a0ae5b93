//! CPU per admitted request beside nginx, Envoy's `credential_injector` and mitmproxy: plain, and intercepted.

use crate::Result;
use crate::args::Args;
use crate::cedar::Bare;
use crate::cpu;
use crate::load::{ACTIONS, CONNECTIONS, Road, Shape, drive};
use crate::marque::Marque;
use crate::peers::{Peer, envoy, mitmproxy, nginx};
use crate::report::{Report, Samples, Target};
use crate::world::World;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

/// Policies that every action meets; the target is set on the middle row.
const POLICIES: [usize; 3] = [10, 40, 100];
/// Of (nginx + one bare decision), with 40 policies.
const TARGET: f64 = 1.5;
/// How much less than mitmproxy, with 10 policies.
const BELOW_MITMPROXY: f64 = 25.0;

/// Plain HTTP.
pub(crate) fn plain(args: &Args) -> Result<Report> {
    run(args, false)
}

/// TLS on both sides.
pub(crate) fn tls(args: &Args) -> Result<Report> {
    run(args, true)
}

struct Subject {
    name: String,
    pid: i32,
    road: Road,
}

fn run(args: &Args, tls: bool) -> Result<Report> {
    let before = cpu::load_average();
    let world = World::start(&args.dir)?;
    let mut versions = BTreeMap::new();
    let mut subjects = Vec::new();
    let mut peers = Vec::new();
    let starts: [(&str, &dyn Fn() -> Result<Peer>); 3] = [
        ("nginx", &|| nginx(&world, tls, true)),
        ("envoy", &|| envoy(&world, tls)),
        ("mitmproxy", &|| mitmproxy(&world, tls)),
    ];
    for (name, start) in starts {
        if args.wants(name) {
            let peer = start()?;
            versions.insert(name.to_owned(), peer.version.clone());
            subjects.push(Subject { name: name.to_owned(), pid: peer.child.pid(), road: peer.road.clone() });
            peers.push(peer);
        }
    }
    let mut authorities = Vec::new();
    for count in POLICIES {
        let name = format!("marque-{count}");
        if args.wants(&name) {
            let marque = Marque::start(&world, &args.marque, &name, tls, count)?;
            versions.insert("marque".to_owned(), marque.version()?);
            subjects.push(Subject { name, pid: marque.pid(), road: marque.road(tls, true)? });
            authorities.push(marque);
        }
    }
    let mut samples = Samples::default();
    let shape = Shape { connections: CONNECTIONS, time: args.time, fresh: false };
    let cedar = POLICIES.map(|count| Bare::new(count).map(|bare| (format!("cedar-{count}"), bare)));
    let cedar = cedar.into_iter().collect::<Result<Vec<_>>>()?;
    let mut counted = 0;
    for _ in 0..args.rounds {
        for subject in &subjects {
            let ours = subject.name.starts_with("marque");
            let index = || if ours { cpu::of_threads(subject.pid, cpu::INDEX) } else { Ok(Duration::ZERO) };
            let indexed = Cell::new((None, Duration::ZERO));
            // The search index is a projection beside the decision path: it has a row of its own.
            let clock = || {
                let at = index()?;
                indexed.set((indexed.get().0.or(Some(at)), at));
                Ok(cpu::of_tree(subject.pid)?.saturating_sub(at))
            };
            let sample = cpu::on(cpu::LOAD, || {
                drive(&subject.road, shape, clock).map_err(|e| format!("{}: {e}", subject.name).into())
            })?;
            if ours {
                counted += sample.requests;
                let (from, to) = indexed.get();
                let spent = to.saturating_sub(from.unwrap_or_default());
                samples.add(&format!("{} index", subject.name), spent.as_secs_f64() * 1e6 / sample.requests.max(1) as f64);
            }
            samples.add(&subject.name, sample.cpu_us());
            samples.add(&format!("{} core", subject.name), 100.0 * sample.cpu.as_secs_f64() / sample.elapsed.as_secs_f64());
        }
        for (name, bare) in cedar.iter().filter(|(name, _)| args.wants(name)) {
            samples.add(name, bare.sample()?);
        }
    }
    let mut recorded = 0;
    for marque in authorities {
        recorded += marque.finish()?;
    }
    if recorded < 2 * counted {
        return Err(format!("{counted} requests were counted and only {recorded} records are in the journals").into());
    }
    let targets = if args.only.is_none() { targets(&samples)? } else { Vec::new() };
    let mut report = Report::new(args, "CPU µs per request", samples, before);
    report.targets = targets;
    report.versions = versions;
    report.notes.push(format!("{CONNECTIONS} connections, {ACTIONS} distinct actions, scrubbing on, {recorded} records for {counted} requests"));
    report.notes.push("decision cache: none, so no hits".to_owned());
    Ok(report)
}

fn targets(samples: &Samples) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for count in POLICIES {
        let names = [format!("marque-{count}"), "nginx".to_owned(), format!("cedar-{count}")];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let value = samples.paired(&names, |v| v.first().unwrap_or(&f64::NAN) / v.iter().skip(1).sum::<f64>())?;
        if count == 40 {
            targets.push(Target::at_most(format!("with {count} policies, of nginx and one bare decision"), value, TARGET));
        }
    }
    let ratio = |v: &[f64]| v.first().unwrap_or(&f64::NAN) / v.get(1).unwrap_or(&f64::NAN);
    targets.push(Target::at_most("with 10 policies, of Envoy's credential_injector", samples.paired(&["marque-10", "envoy"], ratio)?, 1.0));
    let times = samples.paired(&["mitmproxy", "marque-10"], ratio)?;
    targets.push(Target::at_least("with 10 policies, times below mitmproxy", times, BELOW_MITMPROXY));
    Ok(targets)
}
