//! CPU of a new intercepted connection: CONNECT, a whole TLS handshake, one recorded request, the end.

use crate::Result;
use crate::args::Args;
use crate::cpu;
use crate::load::{Shape, drive};
use crate::marque::Marque;
use crate::peers::nginx;
use crate::report::{Report, Samples, Target};
use crate::world::World;

/// Connections at a time: handshakes are the work, not queues.
const CONNECTIONS: usize = 8;
const TARGET_US: f64 = 450.0;
/// Policies that the one request of a connection is judged by.
const POLICIES: usize = 10;

/// Whole handshakes and resumed ones, beside nginx.
pub(crate) fn main(args: &Args) -> Result<Report> {
    let before = cpu::load_average();
    let world = World::start(&args.dir)?;
    let peer = nginx(&world, true, false)?;
    let marque = Marque::start(&world, &args.marque, "marque", true, POLICIES)?;
    let mut resumed = peer.road.clone();
    resumed.tls = world.reverse(0, true, true)?.tls;
    let subjects = [
        ("nginx", peer.child.pid(), peer.road.clone()),
        ("marque", marque.pid(), marque.road(true, false)?),
        ("nginx, resumed", peer.child.pid(), resumed),
        ("marque, resumed", marque.pid(), marque.road(true, true)?),
    ];
    let shape = Shape { connections: CONNECTIONS, time: args.time, fresh: true };
    let mut samples = Samples::default();
    for _ in 0..args.rounds {
        for (name, pid, road) in subjects.iter().filter(|(name, ..)| args.wants(name)) {
            // As for requests: the search index is a projection beside the way of a connection.
            let clock = || Ok(cpu::of_tree(*pid)?.saturating_sub(cpu::of_threads(*pid, cpu::INDEX)?));
            let sample = cpu::on(cpu::LOAD, || drive(road, shape, clock).map_err(|e| format!("{name}: {e}").into()))?;
            samples.add(name, sample.cpu_us());
        }
    }
    marque.finish()?;
    let mut report = Report::new(args, "CPU µs per connection", samples, before);
    if args.only.is_none() {
        let median = |name: &str| report.subjects.iter().find(|s| s.name == name).map_or(f64::NAN, |s| s.median);
        let (ours, nginx) = (median("marque"), median("nginx"));
        // How fast the machine is counts in the figure, and not in what a change must not make worse.
        if args.slack <= 1.0 {
            report.targets.push(Target::at_most("µs of a new intercepted connection, whole handshake", ours, TARGET_US));
        }
        report.targets.push(Target::at_most("a new intercepted connection, of nginx", ours / nginx, 1.0));
    }
    report.versions.insert("nginx".to_owned(), peer.version);
    report.notes.push("each connection: CONNECT, TLS 1.3 handshake, one admitted and recorded request, close".to_owned());
    Ok(report)
}
