//! What somebody remembers of the journal, in the three forms that it comes in: a checkpoint, a receipt, a mark.

use crate::out::Failure;
use crate::paths::Paths;
use marque_journal::checkpoint::SignedCheckpoint;
use marque_journal::merkle::Hash;
use marque_journal::note::VerifierKey;
use marque_journal::proof::Receipt;
use marque_journal::verify::{Anchor, Source};
use marque_store::Mark;
use std::path::{Path, PathBuf};

/// A memory, read and its signature checked.
#[derive(Default)]
pub(crate) struct Memory {
    /// The checkpoints in it.
    pub(crate) anchors: Vec<Anchor>,
    /// Records in it: sequence, leaf hash, and who says so.
    pub(crate) records: Vec<(u64, Hash, String)>,
    /// What cannot be believed.
    pub(crate) findings: Vec<String>,
}

impl Memory {
    /// Takes what is in the file, from wherever it was kept.
    pub(crate) fn take(&mut self, path: &Path, key: &VerifierKey, source: Source) {
        if let Err(why) = self.read(path, key, source) {
            self.findings.push(format!("`{}`: {why}", path.display()));
        }
    }

    /// The key that the journal publishes is the one of its first record.
    pub(crate) fn same_key(&mut self, path: &Path, key: &VerifierKey) {
        let why = match std::fs::read_to_string(path) {
            Ok(text) if text.trim() == key.to_string() => return,
            Ok(_) => "it is not the key of the first record".to_owned(),
            Err(error) => error.to_string(),
        };
        self.findings.push(format!("`{}`: {why}", path.display()));
    }

    fn read(&mut self, path: &Path, key: &VerifierKey, source: Source) -> Result<(), String> {
        // A witness keeps a file for each log.
        let file = if path.is_dir() { path.join(marque_witness::file_of(key.name())) } else { path.to_owned() };
        let bytes = std::fs::read(file).map_err(|e| e.to_string())?;
        if bytes.starts_with(b"c2sp.org/tlog-proof") {
            let receipt = Receipt::parse(&bytes).map_err(|e| e.to_string())?;
            let (record, _) = receipt.verify_carried(key, &[]).map_err(|e| e.to_string())?;
            let leaf_hash = marque_journal::merkle::leaf_hash(record);
            self.records.push((receipt.index, leaf_hash, format!("the receipt `{}`", path.display())));
            return self.note(receipt.checkpoint.to_string().as_bytes(), key, source);
        }
        let Some(mark) = Mark::parse(&bytes) else { return self.note(&bytes, key, source) };
        self.records.push((mark.seq, mark.leaf_hash, format!("the mark `{}`", path.display())));
        match mark.checkpoint {
            Some(note) => self.note(note.as_bytes(), key, source),
            None => Ok(()),
        }
    }

    /// Asks a witness for the checkpoint that it remembers, which both it and the log signed.
    pub(crate) fn ask(&mut self, witness: &marque_authority::WitnessAt, key: &VerifierKey) -> Result<(), Failure> {
        let latest = crate::connect::block_on(async { Ok(witness.latest(key).await) })?;
        match latest {
            Ok(Some(signed)) => self.anchors.push(Anchor::new(&signed.checkpoint, Source::Remembered)),
            Ok(None) => self.findings.push(format!("the witness {} has no checkpoint of this log", witness.endpoint)),
            Err(why) => self.findings.push(format!("the witness {}: {why}", witness.endpoint)),
        }
        Ok(())
    }

    fn note(&mut self, bytes: &[u8], key: &VerifierKey, source: Source) -> Result<(), String> {
        let signed = SignedCheckpoint::open(bytes, key).map_err(|e| e.to_string())?;
        self.anchors.push(Anchor::new(&signed.checkpoint, source));
        Ok(())
    }

    /// The leaf of a record was read: is it the one that somebody remembers?
    pub(crate) fn meet(&mut self, seq: u64, leaf_hash: &Hash) {
        let findings = &mut self.findings;
        self.records.retain(|(remembered, hash, who)| {
            if *remembered == seq && hash != leaf_hash {
                findings.push(format!("record {seq} is not the one that {who} remembers"));
            }
            *remembered != seq
        });
    }

    /// The journal ended: whatever is still remembered is missing.
    pub(crate) fn end(&mut self) {
        let missing = self.records.drain(..).map(|(seq, _, who)| format!("{who} remembers record {seq}, which is missing"));
        self.findings.extend(missing);
    }
}

/// Files in the state directory, outside the data directory: the launcher's last checkpoint and the authority's mark.
pub(crate) fn remembered(paths: &Paths) -> Result<Vec<PathBuf>, Failure> {
    let entries = match std::fs::read_dir(&paths.state) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| Failure::new(format!("`{}`: {e}", paths.state.display()), "make it readable"))?,
    };
    let all = entries.filter_map(Result::ok).map(|entry| entry.path());
    let known = |path: &PathBuf| path.file_name().is_some_and(|n| n == "last-checkpoint") || path.extension().is_some_and(|e| e == "mark");
    let mut found: Vec<PathBuf> = all.filter(known).collect();
    found.sort();
    Ok(found)
}
