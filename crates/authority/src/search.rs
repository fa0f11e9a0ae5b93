//! Searching the journal. The index says where to look; every record of an answer is read from the journal, and that none was
//! left out is checked: with a key, by the chain of backlinks from what lies before the page to what lies behind it; without
//! one, by the number of rows.

use crate::authority::Authority;
use crate::machine::{Key, link_key};
use crate::{Error, found};
use marque_api::control::{Found, Search, SearchPage};
use marque_api::{Code, Problem};
use marque_journal::record::{self, KeyKind, Record};
use marque_model::event::{Event, field};
use marque_model::{CredentialId, Effect, SessionId, SubjectId};
use marque_store::index::{Candidates, IndexError, KeyOf};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Records on a page where nobody says, and at most.
const PAGE: (u64, u64) = (100, 1_000);
/// Records that one page looks at, at most: one with few hits ends there and says where to go on.
const LOOKED_AT_MAX: usize = 20_000;
/// How long a search waits for the index to know what is durable.
const CATCH_UP: Duration = Duration::from_secs(5);

/// A search whose names were looked up.
#[derive(Debug, Clone, Default)]
struct Wanted {
    /// All must be touched. The first leads: it is the rarest kind.
    keys: Vec<KeyOf>,
    columns: Candidates,
    operation: Option<String>,
    resource: Option<String>,
    /// Only these sessions, where references were asked for.
    sessions: Option<BTreeSet<[u8; 10]>>,
    since_ms: Option<u64>,
    until_ms: Option<u64>,
    after: u64,
    limit: usize,
}

enum Failed {
    Index(IndexError),
    /// The index does not say what the journal says.
    Missing(String),
    Journal(String),
}

impl From<IndexError> for Failed {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

impl From<marque_store::ReadError> for Failed {
    fn from(error: marque_store::ReadError) -> Self {
        Self::Journal(error.to_string())
    }
}

fn input(why: String) -> Error {
    Error::Refused(Problem::new(Code::INPUT, why, "see `marque audit search --help`"))
}

fn key(kind: KeyKind, id: &[u8]) -> KeyOf {
    KeyOf { kind: kind as u8, id: id.to_vec() }
}

impl Authority {
    /// One page of the records that a search finds, in the order of the journal.
    ///
    /// # Errors
    /// Where a name is not known, the index is behind, or it turned out to be damaged: it is then built again.
    pub async fn search(self: &Arc<Self>, asked: Search) -> Result<SearchPage, Error> {
        let size = self.journal.size();
        let progress = self.index.caught_up(size, CATCH_UP).await;
        if progress.applied < size {
            let why = progress.trouble.unwrap_or_else(|| format!("it has {} of {size} records", progress.applied));
            return Err(Error::Refused(Problem::new(Code::INDEX, why, "try again in a moment")));
        }
        let mut wanted = self.wanted(&asked)?;
        if let Some(reference) = &asked.reference {
            self.only_sessions_of(&mut wanted, reference, progress.applied).await?;
        }
        self.blocking(move |this| this.page(&wanted, progress.applied)).await
    }

    /// Records from `after` on as they become durable, at most so many that are there already.
    ///
    /// # Errors
    /// Where a record cannot be read.
    pub fn told(&self, after: u64, most: usize) -> Result<Vec<Found>, Error> {
        let mut out = Vec::new();
        for item in self.journal.records(after).take(most) {
            let (_, bytes) = item.map_err(|e| Error::Journal(e.to_string()))?;
            let record = record::decode(&bytes).map_err(|e| Error::Journal(e.to_string()))?;
            out.push(found::found(&record, &self.state.read()).map_err(|e| Error::Journal(e.to_string()))?);
        }
        Ok(out)
    }

    /// Follows the number of durable records.
    #[must_use]
    pub fn tail(&self) -> tokio::sync::watch::Receiver<u64> {
        self.journal.tail()
    }

    /// Reads index and journal off the tasks' threads. What is found to be wrong with the index is repaired, and said.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, Error> {
        let this = self.clone();
        let done = tokio::task::spawn_blocking(move || match work(&this) {
            Ok(done) => Ok(done),
            Err(Failed::Journal(why)) => Err(Error::Journal(why)),
            Err(Failed::Missing(why) | Failed::Index(IndexError::Damaged(why))) => {
                this.index.report(&why);
                let help = "search again: it is being built again from the journal, which has everything";
                Err(Error::Refused(Problem::new(Code::INDEX, format!("the search index does not agree with the journal: {why}"), help)))
            }
            Err(Failed::Index(other)) => Err(Error::Refused(Problem::new(Code::INDEX, other.to_string(), "try again in a moment"))),
        });
        done.await.map_err(|e| Error::Journal(e.to_string()))?
    }

    fn wanted(&self, asked: &Search) -> Result<Wanted, Error> {
        let mut keys = Vec::new();
        if let Some(text) = &asked.leaf {
            keys.push(link_key(text));
        }
        if let Some(text) = &asked.session {
            keys.push(key(KeyKind::Session, self.find_session(text)?.as_bytes()));
        }
        if let Some(text) = &asked.credential {
            keys.push(key(KeyKind::Credential, self.credential_of(text)?.as_bytes()));
        }
        if let Some(text) = &asked.human {
            let id: SubjectId = text.parse().map_err(|_| input(format!("`{text}` is no human's pseudonym")))?;
            keys.push(key(KeyKind::Human, id.as_bytes()));
        }
        let code = asked.code.as_deref().map(|text| {
            Code::from_text(text).map(Code::number).ok_or_else(|| input(format!("`{text}` is no code")))
        });
        let words = [
            (&asked.kind, Event::KINDS.to_vec(), "a kind of record"),
            (&asked.decision, found::DECISIONS.to_vec(), "a decision"),
            (&asked.effect, Effect::ALL.iter().map(|effect| effect.word()).collect(), "an effect"),
        ];
        for (word, known, what) in words {
            // A slip would be answered with nothing, and the word that this is all.
            if let Some(word) = word.as_deref().filter(|word| !known.contains(word)) {
                return Err(input(format!("`{word}` is not {what}; there are {}", known.join(", "))));
            }
        }
        let limit = asked.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
        Ok(Wanted {
            keys,
            columns: Candidates {
                kind: asked.kind.clone(),
                decision: asked.decision.clone(),
                service: asked.service.clone(),
                effect: asked.effect.clone(),
                code: code.transpose()?,
            },
            operation: asked.operation.clone(),
            resource: asked.resource.clone(),
            sessions: None,
            since_ms: asked.since_ms,
            until_ms: asked.until_ms,
            after: asked.after.unwrap_or(0),
            limit: usize::try_from(limit).unwrap_or(1),
        })
    }

    /// The credential of that name, or of that id where it was removed.
    fn credential_of(&self, text: &str) -> Result<CredentialId, Error> {
        let state = self.state.read();
        match state.credentials.values().find(|credential| credential.name == text) {
            Some(credential) => Ok(credential.id),
            None => text.parse().map_err(|_| {
                let what = format!("`{text}` is no credential");
                Error::Refused(Problem::new(Code::NOT_FOUND, what, "see `marque credential list`; a removed one is found by its id"))
            }),
        }
    }

    /// References are erasable text: they are in no index, and read where they lie encrypted, session by session.
    async fn only_sessions_of(self: &Arc<Self>, wanted: &mut Wanted, reference: &str, applied: u64) -> Result<(), Error> {
        let mut sessions = BTreeSet::new();
        let mut opens = Wanted { keys: wanted.keys.clone(), limit: usize::MAX, ..Wanted::default() };
        // A session's own credentials and leaves are not touched by its opening.
        opens.keys.retain(|key| [KeyKind::Human as u8, KeyKind::Session as u8].contains(&key.kind));
        opens.columns.kind = Some("session.open".into());
        loop {
            let asked = opens.clone();
            let page = self.blocking(move |this| this.page(&asked, applied)).await?;
            for open in &page.records {
                let text = self.opening_text(open.seq, field::REFS).await.unwrap_or_default();
                if text.lines().any(|line| line == reference)
                    && let Some(id) = open.session.as_deref().and_then(|id| id.parse::<SessionId>().ok())
                {
                    sessions.insert(*id.as_bytes());
                }
            }
            match page.next {
                Some(next) => opens.after = next,
                None => break,
            }
        }
        if let (1, Some(only)) = (sessions.len(), sessions.first()) {
            let only = key(KeyKind::Session, only);
            if !wanted.keys.contains(&only) {
                wanted.keys.insert(0, only);
            }
        }
        wanted.sessions = Some(sessions);
        Ok(())
    }

    fn page(&self, wanted: &Wanted, applied: u64) -> Result<SearchPage, Failed> {
        let from = match wanted.since_ms {
            Some(since_ms) => wanted.after.max(self.first_at(since_ms, applied)?),
            None => wanted.after,
        };
        let to = match wanted.until_ms {
            Some(until_ms) => self.first_at(until_ms.saturating_add(1), applied)?,
            None => applied,
        };
        let mut page = SearchPage {
            schema: "marque/search.v1".into(),
            records: Vec::new(),
            next: None,
            checked: if wanted.keys.is_empty() { "rows" } else { "backlinks" }.into(),
            searched: applied,
        };
        if wanted.sessions.as_ref().is_some_and(BTreeSet::is_empty) || from >= to {
            return Ok(page);
        }
        match wanted.keys.first() {
            Some(lead) => self.by_key(wanted, lead, from, to, applied, &mut page)?,
            None => self.by_columns(wanted, from, to, &mut page)?,
        }
        Ok(page)
    }

    /// The first record at or after a moment, checked with the records on both sides of it.
    fn first_at(&self, time_ms: u64, applied: u64) -> Result<u64, Failed> {
        let at = self.index.read(|reader| reader.first_at(time_ms))?.unwrap_or(applied).min(applied);
        let time_of = |seq: u64| -> Result<u64, Failed> {
            let bytes = self.journal.read(seq)?;
            Ok(record::decode(&bytes).map_err(|e| Failed::Journal(e.to_string()))?.head().time_ms)
        };
        let before = at.checked_sub(1).map(time_of).transpose()?;
        let here = if at < applied { Some(time_of(at)?) } else { None };
        if before.is_some_and(|before| before >= time_ms) || here.is_some_and(|here| here < time_ms) {
            return Err(Failed::Missing(format!("record {at} is not the first of its time")));
        }
        Ok(at)
    }

    /// Every record of the leading key from `from` on: each names the one before it, the first one names one before the page,
    /// and behind the last one there is another, or the head of the key.
    fn by_key(&self, wanted: &Wanted, lead: &KeyOf, from: u64, to: u64, applied: u64, page: &mut SearchPage) -> Result<(), Failed> {
        let head = self.head_of(lead, applied)?;
        let seqs = self.index.read(|reader| reader.touching(lead, from, LOOKED_AT_MAX + 1))?;
        let missing = |at: u64| Failed::Missing(format!("a record before {at} is missing"));
        let mut before: Option<(u64, u64)> = None;
        for (looked, seq) in seqs.iter().copied().enumerate() {
            let bytes = if seq < applied { self.journal.read(seq)? } else { break };
            let record = record::decode(&bytes).map_err(|e| Failed::Journal(e.to_string()))?;
            let link = record.head().backlinks.iter().find(|link| link.key_kind as u8 == lead.kind && link.key_id == lead.id).copied();
            let link = link.ok_or_else(|| Failed::Missing(format!("record {seq} is not of this key")))?;
            let follows = match before {
                Some((n, last)) => link.n == n + 1 && link.prev_seq == Some(last),
                None => link.prev_seq.is_none_or(|prev| prev < from),
            };
            if !follows {
                return Err(missing(seq));
            }
            if seq >= to {
                return Ok(());
            }
            if looked == LOOKED_AT_MAX || page.records.len() >= wanted.limit {
                page.next = Some(seq);
                return Ok(());
            }
            before = Some((link.n, seq));
            self.take(wanted, &record, page)?;
        }
        let whole = match (before, head) {
            (Some(last), Some(head)) => last == head,
            (None, Some((_, seq))) => seq < from,
            (None, None) => true,
            (Some(_), None) => false,
        };
        if whole { Ok(()) } else { Err(missing(applied)) }
    }

    /// Number and place of the newest durable record of a session.
    pub(crate) fn newest_of(&self, id: &SessionId) -> Result<Option<(u64, u64)>, String> {
        self.newest(&key(KeyKind::Session, id.as_bytes()))
    }

    /// Number and place of the newest durable record of a human.
    pub(crate) fn newest_of_human(&self, id: &SubjectId) -> Result<Option<(u64, u64)>, String> {
        self.newest(&key(KeyKind::Human, id.as_bytes()))
    }

    fn newest(&self, lead: &KeyOf) -> Result<Option<(u64, u64)>, String> {
        self.head_of(lead, self.journal.size()).map_err(|failed| match failed {
            Failed::Journal(why) | Failed::Missing(why) => why,
            Failed::Index(error) => error.to_string(),
        })
    }

    /// Number and place of the newest record of a key that is in the index's part of the journal.
    fn head_of(&self, lead: &KeyOf, applied: u64) -> Result<Option<(u64, u64)>, Failed> {
        let mut head = self.heads.read().get(&Key::of(lead)).copied();
        while let Some((n, seq)) = head {
            if seq < applied {
                break;
            }
            // Committed, and durable in a moment.
            let mut tail = self.journal.tail();
            let durable = self.runtime.block_on(tail.wait_for(|size| *size > seq)).map(drop);
            durable.map_err(|_| Failed::Journal("it is closed".into()))?;
            let bytes = self.journal.read(seq)?;
            let record = record::decode(&bytes).map_err(|e| Failed::Journal(e.to_string()))?;
            let head_of_record = record.head();
            let link = head_of_record.backlinks.iter().find(|link| link.key_kind as u8 == lead.kind && link.key_id == lead.id);
            head = link.and_then(|link| link.prev_seq).map(|prev| (n.saturating_sub(1), prev));
        }
        Ok(head)
    }

    /// Without a key: the rows of the range are as many as its records, and each that is told says the same in the journal.
    fn by_columns(&self, wanted: &Wanted, from: u64, to: u64, page: &mut SearchPage) -> Result<(), Failed> {
        let seqs = self.index.read(|reader| reader.candidates(&wanted.columns, from, to, LOOKED_AT_MAX + 1))?;
        let mut end = to;
        for (looked, seq) in seqs.iter().copied().enumerate() {
            if looked == LOOKED_AT_MAX || page.records.len() >= wanted.limit {
                (end, page.next) = (seq, Some(seq));
                break;
            }
            let bytes = self.journal.read(seq)?;
            let record = record::decode(&bytes).map_err(|e| Failed::Journal(e.to_string()))?;
            let row = found::row(&record).map_err(|e| Failed::Journal(e.to_string()))?;
            if !agrees(&wanted.columns, &row) {
                return Err(Failed::Missing(format!("row {seq} is not what record {seq} says")));
            }
            self.take(wanted, &record, page)?;
        }
        let rows = self.index.read(|reader| reader.count(from, end))?;
        if rows == end - from { Ok(()) } else { Err(Failed::Missing(format!("{rows} rows stand for the {} records from {from} on", end - from))) }
    }

    fn take(&self, wanted: &Wanted, record: &Record<'_>, page: &mut SearchPage) -> Result<(), Failed> {
        if matches(wanted, record).map_err(Failed::Journal)? {
            // Locked for this one alone: the committer needs the state too.
            let told = found::found(record, &self.state.read()).map_err(|e| Failed::Journal(e.to_string()))?;
            let fits = |have: &Option<String>, pattern: &Option<String>| match (have, pattern) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(have), Some(pattern)) => match pattern.strip_suffix('*') {
                    Some(start) => have.starts_with(start),
                    None => have == pattern,
                },
            };
            if fits(&told.operation, &wanted.operation) && fits(&told.resource, &wanted.resource) {
                page.records.push(told);
            }
        }
        Ok(())
    }
}

fn agrees(columns: &Candidates, row: &marque_store::index::Row) -> bool {
    let same = |wanted: &Option<String>, have: Option<&String>| wanted.is_none() || wanted.as_ref() == have;
    same(&columns.kind, Some(&row.kind))
        && same(&columns.decision, row.decision.as_ref())
        && same(&columns.service, row.service.as_ref())
        && same(&columns.effect, row.effect.as_ref())
        && columns.code.is_none_or(|code| row.codes.contains(&code))
}

/// Whether the record, as the journal has it, is one that was asked for.
fn matches(wanted: &Wanted, record: &Record<'_>) -> Result<bool, String> {
    let row = found::row(record).map_err(|e| e.to_string())?;
    let session = record.head().session;
    Ok(agrees(&wanted.columns, &row)
        && wanted.keys.iter().all(|key| row.keys.contains(key))
        && wanted.sessions.as_ref().is_none_or(|only| session.is_some_and(|id| only.contains(&id))))
}
