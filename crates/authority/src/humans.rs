//! Humans behind pseudonyms, and how one is erased (threats H9). The record that says so comes first: from then on the pseudonym
//! answers for nothing, and whatever is left of it is destroyed at every start until nothing is.

use crate::authority::Authority;
use crate::machine::Key;
use crate::{Error, tasks};
use marque_api::control::{HumanErase, HumanView};
use marque_api::{Code, Problem};
use marque_journal::record::{self, KeyKind};
use marque_model::event::{Draft, Erased};
use marque_model::state::AskPhase;
use marque_model::{State, SubjectId};
use marque_switch::fail_point;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Authority {
    /// Every human that is known by a pseudonym, also the erased ones.
    ///
    /// # Errors
    /// Where the secrets cannot be opened.
    pub async fn human_list(&self) -> Result<Vec<HumanView>, Error> {
        let users = self.with_vault(|vault| vault.humans()).await?;
        let users: BTreeMap<SubjectId, u32> = users.into_iter().map(|(uid, subject)| (subject, uid)).collect();
        let state = self.state.read();
        let all: BTreeSet<SubjectId> = users.keys().chain(state.humans.keys()).chain(state.erased.keys()).copied().collect();
        Ok(all.into_iter().map(|subject| self.human_view(&state, subject, users.get(&subject).copied())).collect())
    }

    fn human_view(&self, state: &State, subject: SubjectId, uid: Option<u32>) -> HumanView {
        let (sessions, questions) = in_the_way(state, subject);
        let erased = state.erased.get(&subject).copied();
        let newest = self.heads.read().get(&Key::new(KeyKind::Human as u8, subject.as_bytes())).copied();
        HumanView {
            human: subject.to_string(),
            state: if erased.is_some() { "erased" } else { "known" }.into(),
            uid: uid.filter(|_| erased.is_none()),
            records: newest.map_or(0, |(n, _)| n.saturating_add(1)),
            newest: newest.map(|(_, seq)| seq),
            sessions,
            questions,
            erased,
        }
    }

    /// Destroys what can be read of a human: purposes, references, addresses and summaries of his sessions, the texts of the
    /// tasks that he put in force, and the row with his name. The records stay, and verify. An act that widens
    /// nothing and cannot be undone: it needs the passphrase. For one that was erased before, what was left is destroyed.
    ///
    /// # Errors
    /// Where the passphrase is wrong, a policy forbids it, there is no such human, or he has live sessions or open
    /// questions.
    pub async fn human_erase(self: &Arc<Self>, human: &str, mut asked: HumanErase, uid: u32) -> Result<HumanView, Error> {
        self.check_passphrase(&mut asked.passphrase).await?;
        let subject = self.known_human(human).await?;
        self.judge_act("human.erase", &subject.to_string(), "", self.subject_of(uid).await?)?;
        let _one_at_a_time = self.erasing.lock().await;
        // Asked again by the committer: a session that opens in this moment is in the way too.
        let known = self.state.read().erased.contains_key(&subject);
        if !known {
            self.may_be_erased(subject)?;
            // As many as there are now: what comes before the record is destroyed too.
            let count = self.openings_of(subject).await?;
            self.append(Draft::new(Erased { subject, count }).into()).await?;
            fail_point("erase.durable");
        }
        self.destroy(subject).await?;
        fail_point("erase.destroyed");
        self.remember()?;
        Ok(self.human_view(&self.state.read(), subject, None))
    }

    async fn known_human(&self, text: &str) -> Result<SubjectId, Error> {
        let unknown = || Error::Refused(Problem::new(Code::NOT_FOUND, format!("`{text}` is no human's pseudonym"), "see `marque human list`"));
        let subject: SubjectId = text.parse().map_err(|_| unknown())?;
        let there = self.human_list().await?.iter().any(|view| view.human == subject.to_string());
        if there { Ok(subject) } else { Err(unknown()) }
    }

    fn may_be_erased(&self, subject: SubjectId) -> Result<(), Error> {
        let (sessions, questions) = in_the_way(&self.state.read(), subject);
        if sessions.is_empty() && questions.is_empty() {
            return Ok(());
        }
        let mut what = format!("`{subject}` still answers for the live sessions {}", quoted(&sessions));
        if !questions.is_empty() {
            what.push_str(&format!(" and the open questions {}", quoted(&questions)));
        }
        let help = "end them with `marque session close ID`; questions end with their session, or with `marque approval deny ID`";
        Err(Error::Refused(Problem::new(Code::HUMAN_IN_USE, what, help)))
    }

    /// What is left of erasures that were interrupted, or of a secrets file that was put back.
    pub(crate) async fn finish_erasures(self: &Arc<Self>) -> Result<(), Error> {
        let erased: Vec<SubjectId> = self.state.read().erased.keys().copied().collect();
        if erased.is_empty() {
            return Ok(());
        }
        let data_dir = self.options.data_dir.clone();
        let left = move |vault: &mut crate::openings::Vault| {
            let humans = vault.humans()?;
            let anything = |subject: &SubjectId| vault.knows(*subject, &humans) || tasks::has_texts(&data_dir, *subject);
            Ok(erased.into_iter().filter(anything).collect::<Vec<_>>())
        };
        for subject in self.with_vault(left).await? {
            self.destroy(subject).await?;
        }
        Ok(())
    }

    /// In one turn at the secrets file: a text that is kept in this moment is there before and goes too, or finds no key.
    pub(crate) async fn destroy(&self, subject: SubjectId) -> Result<(), Error> {
        let data_dir = self.options.data_dir.clone();
        let all = move |vault: &mut crate::openings::Vault| {
            tasks::forget_texts(&data_dir, subject)?;
            fail_point("erase.texts-removed");
            vault.erase(subject)
        };
        self.with_vault(all).await?;
        // Not before: who asks for it in between puts it back.
        self.subject_keys.write().remove(subject.as_bytes());
        Ok(())
    }

    async fn openings_of(self: &Arc<Self>, subject: SubjectId) -> Result<u32, Error> {
        let this = self.clone();
        let walk = tokio::task::spawn_blocking(move || this.walk_human(subject));
        walk.await.map_err(|e| Error::Journal(e.to_string()))?
    }

    /// By the human's own backlinks, so that nothing is missed and nobody else's records are read.
    fn walk_human(&self, subject: SubjectId) -> Result<u32, Error> {
        let failed = |e: String| Error::Journal(e);
        let mut openings = 0u32;
        let head = self.newest_of_human(&subject).map_err(failed)?;
        let mut next = head.map(|(_, seq)| seq);
        while let Some(seq) = next {
            let bytes = self.journal.read(seq).map_err(|e| failed(e.to_string()))?;
            let record = record::decode(&bytes).map_err(|e| failed(e.to_string()))?;
            let head = record.head();
            // Every commitment of a record of his came with its opening.
            openings = openings.saturating_add(u32::try_from(head.commitments.len()).unwrap_or(u32::MAX));
            let own = |link: &&record::Backlink<'_>| link.key_kind == KeyKind::Human && link.key_id == subject.as_bytes();
            next = head.backlinks.iter().find(own).and_then(|link| link.prev_seq);
        }
        Ok(openings)
    }
}

/// Sessions that are not closed, and questions of theirs that nobody answered.
fn in_the_way(state: &State, subject: SubjectId) -> (Vec<String>, Vec<String>) {
    let his = |id| state.sessions.get(id).is_some_and(|session| session.human == subject);
    let sessions = state.sessions.values().filter(|s| s.human == subject).map(|s| s.id.to_string()).collect();
    let open = state.asks.values().filter(|ask| ask.phase == AskPhase::Open && his(&ask.session));
    (sessions, open.map(|ask| ask.id.to_string()).collect())
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
