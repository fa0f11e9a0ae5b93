//! How fast many writers append, beside the primitive itself: a bare preallocated file with one `fdatasync` per natural
//! batch. The two take turns.

use crate::Result;
use crate::args::Args;
use crate::cpu;
use crate::report::{Report, Samples, Target};
use marque_journal::cbor::Writer;
use marque_journal::note::Ed25519Signer;
use marque_journal::record::{Record, RecordHead};
use marque_store::disk::{Disk, RealDisk};
use marque_store::{FileJournal, FrameSink, KeySigner, Machine, Opening, Options, ReplayError, Urgency};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};

const WRITERS: usize = 64;
/// Of the bare file's rate.
const TARGET: f64 = 0.65;
const EVENT_BYTES: usize = 700;
/// What a record has beside the padding of its body.
const RECORD_OVERHEAD_BYTES: usize = 40;
const FILE_BYTES: u64 = 64 * 1024 * 1024;

struct Padding;

impl Machine for Padding {
    type Draft = ();
    type Refusal = ();

    fn commit(&mut self, seq: u64, now_ms: u64, _: &mut (), out: &mut FrameSink<'_>) -> std::result::Result<(), ()> {
        let mut body = Vec::with_capacity(EVENT_BYTES);
        Writer::new(&mut body).map(1).uint(1).bytes(&[7; EVENT_BYTES - RECORD_OVERHEAD_BYTES]);
        let head = RecordHead { seq, time_ms: now_ms, kind: "bench.event", ..RecordHead::default() };
        out.append(&head, &body, &[]).map(|_| ()).map_err(|_| ())
    }

    fn urgency((): &()) -> Urgency {
        Urgency::Ordinary
    }

    fn replay(&mut self, _: &Record<'_>) -> std::result::Result<(), ReplayError> {
        Ok(())
    }

    fn durable(&mut self, _: u64) {}
}

/// Events a second that `append` takes from 64 threads in a closed loop.
fn rate(time: Duration, append: impl Fn() -> bool + Sync) -> f64 {
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) && append() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while start.elapsed() < time {
            std::thread::park_timeout(time.saturating_sub(start.elapsed()));
        }
        stop.store(true, Ordering::Relaxed);
    });
    count.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

fn journal(dir: &Path, time: Duration) -> Result<f64> {
    let key = Ed25519Signer::from_seed("bench.example/log", &[1; 32])?;
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(0));
    let opening = Opening {
        options: Options { floor_bytes: 0, ..Options::default() },
        clock: Box::new(clock),
        instance: [1; 16],
        acknowledged: None,
        signer: Box::new(KeySigner::new(key, None, Box::new(|_| Ok(())))),
        machine: Padding,
    };
    let (journal, _) = FileJournal::open(dir, opening)?;
    let rate = rate(time, || journal.append_blocking(()).is_ok());
    journal.close();
    Ok(rate)
}

/// The same channels and the same batches, but nothing between the event and the file.
fn bare(dir: &Path, time: Duration) -> Result<f64> {
    let disk = RealDisk::open(dir)?;
    let file = disk.create_new("bare")?;
    file.allocate(FILE_BYTES)?;
    file.sync()?;
    let (sender, mut receiver) = mpsc::channel::<([u8; EVENT_BYTES], oneshot::Sender<()>)>(4096);
    let committer = std::thread::spawn(move || {
        let (mut waiting, mut batch, mut at) = (Vec::new(), Vec::new(), 0);
        while receiver.blocking_recv_many(&mut waiting, 1024) > 0 {
            batch.clear();
            for (event, _) in &waiting {
                batch.extend_from_slice(event);
            }
            if at + batch.len() as u64 > FILE_BYTES {
                at = 0;
            }
            file.write_all_at(&batch, at)?;
            file.sync()?;
            at += batch.len() as u64;
            for (_, reply) in waiting.drain(..) {
                let _ = reply.send(());
            }
        }
        Ok::<(), std::io::Error>(())
    });
    let rate = rate(time, || {
        let (reply, answer) = oneshot::channel();
        sender.blocking_send(([7; EVENT_BYTES], reply)).is_ok() && answer.blocking_recv().is_ok()
    });
    drop(sender);
    committer.join().map_err(|_| "the committer panicked")??;
    Ok(rate)
}

/// Interleaved rounds of both.
pub(crate) fn main(args: &Args) -> Result<Report> {
    let before = cpu::load_average();
    let folder = tempfile::Builder::new().prefix("marque-bench-").tempdir_in(&args.dir)?;
    let mut samples = Samples::default();
    for round in 0..args.rounds {
        // Who goes first changes, so that neither always meets a warm disk.
        for side in 0..2 {
            let place = folder.path().join(format!("{round}-{side}"));
            let is_journal = (round + side) % 2 == 0;
            // What the sample before left to be written must not be charged to this one.
            rustix::fs::sync();
            let sample = if is_journal { journal(&place, args.time)? } else { bare(&place, args.time)? };
            std::fs::remove_dir_all(&place)?;
            samples.add(if is_journal { "journal" } else { "bare file" }, sample);
        }
    }
    let ratio = samples.paired(&["journal", "bare file"], |v| v.first().unwrap_or(&f64::NAN) / v.get(1).unwrap_or(&f64::NAN))?;
    let mut report = Report::new(args, "events/s", samples, before);
    report.targets.push(Target::at_least("events a second, of the bare file's", ratio, TARGET));
    report.notes.push(format!("{WRITERS} writers, events of {EVENT_BYTES} bytes; the journal also hashes, links and makes tiles and checkpoints"));
    Ok(report)
}
