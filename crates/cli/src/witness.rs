//! `marque witness`, and the witnesses that other verbs are given.

use crate::args::WitnessArgs;
use crate::out::{Failure, Outcome, plain, print, say};
use marque_api::control::Status;
use marque_authority::WitnessAt;
use marque_journal::note::VerifierKey;
use marque_store::disk::RealDisk;
use marque_witness::Book;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Runs a witness until it is told to end. Its verifier key is the first line of the output.
pub(crate) fn main(args: &WitnessArgs) -> Outcome {
    crate::serve::harden()?;
    let failed = |e: std::io::Error| Failure::new(format!("`{}`: {e}", args.dir.display()), "give a directory of its own");
    let disk = RealDisk::open(&args.dir).map_err(failed)?;
    let mut logs = Vec::new();
    for file in &args.logs {
        let help = "give the file `journal/log.vkey` of a data directory";
        let text = std::fs::read_to_string(file).map_err(|e| Failure::usage(format!("`{}`: {e}", file.display()), help))?;
        let key = VerifierKey::parse(text.trim()).map_err(|e| Failure::usage(format!("`{}`: {e}", file.display()), help))?;
        logs.push(key);
    }
    let refused = |e: marque_witness::BookError| Failure::new(e.to_string(), "keep its directory as it was, or start another witness");
    let book = Arc::new(Book::open(Arc::new(disk), &logs).map_err(refused)?);
    print(&book.verifier().map_err(refused)?.to_string());
    if book.logs().is_empty() {
        say("finding: this witness knows no log: give one with `--log FILE`");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.map_err(failed)?.block_on(run(book, args))
}

async fn run(book: Arc<Book>, args: &WitnessArgs) -> Outcome {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |e: std::io::Error| Failure::new(format!("`{}`: {e}", args.listen), "give another `--listen`");
    let listener = tokio::net::TcpListener::bind(args.listen).await.map_err(failed)?;
    let (mut term, mut int) =
        (signal(SignalKind::terminate()).map_err(failed)?, signal(SignalKind::interrupt()).map_err(failed)?);
    print(&format!("listening at http://{}", listener.local_addr().map_err(failed)?));
    tokio::select! {
        () = marque_witness::serve(book, listener) => {}
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Witnesses as they are given, `URL=FILE` each; `None` where none was given, an empty list for `none`.
pub(crate) fn given(texts: &[String]) -> Result<Option<Vec<WitnessAt>>, Failure> {
    if texts.is_empty() {
        return Ok(None);
    }
    let help = "write `--witness http://host:port=FILE`; FILE holds the key that the witness prints";
    let one = |text: &String| {
        let (url, file) = text.rsplit_once('=').ok_or_else(|| Failure::usage(format!("`{text}` names no key"), help))?;
        let vkey = std::fs::read_to_string(file).map_err(|e| Failure::usage(format!("`{file}`: {e}"), help))?;
        // What a witness printed is its key and where it listens.
        let line = vkey.lines().next().unwrap_or_default();
        WitnessAt::new(url, line).map_err(|why| Failure::usage(why, help))
    };
    texts.iter().filter(|text| *text != "none").map(one).collect::<Result<Vec<_>, _>>().map(Some)
}

/// How far each witness of the authority is.
pub(crate) fn print_all(status: &Status) {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    for witness in &status.witnesses {
        let seen = match witness.cosigned_s {
            None => "has cosigned nothing yet".to_owned(),
            Some(at) => format!("cosigned {} records {} s ago", witness.records, now_s.saturating_sub(at)),
        };
        let behind = if witness.behind == 0 { String::new() } else { format!(", {} behind", witness.behind) };
        print(&format!("witness {} {seen}{behind}", witness.url));
        if let Some(trouble) = &witness.trouble {
            print(&format!("  it is in trouble: {}", plain(trouble)));
        }
    }
    if status.witnesses.is_empty() && !status.sealed {
        print("witness none: nobody outside sees this journal");
    }
}
