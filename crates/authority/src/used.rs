//! What a session used, page by page, from the journal: for tasks that are made from what was needed.

use crate::authority::Authority;
use crate::{Error, limits};
use marque_api::control::{OpenedWith, PassedHost, RefusedCount, UsedOnce, Uses};
use marque_journal::record;
use marque_model::event::{Event, SessionOpen, UseIntent, field};
use marque_model::SessionId;
use marque_wire::http::path::CanonicalPath;
use std::sync::Arc;

impl Authority {
    /// One page of what a session used, from record `after` on; `max` may make it shorter.
    ///
    /// # Errors
    /// Where the first page meets no such session, or the journal cannot be read.
    pub async fn uses(self: &Arc<Self>, id: SessionId, after: u64, max: Option<u64>) -> Result<Uses, Error> {
        let most = max.and_then(|m| usize::try_from(m).ok()).unwrap_or(limits::PAGE_USES).clamp(1, limits::PAGE_USES);
        let mut page = Uses {
            schema: "marque/uses.v1".into(),
            session: id.to_string(),
            opened: None,
            uses: Vec::new(),
            passed: Vec::new(),
            refused: Vec::new(),
            next: None,
        };
        let (seqs, open) = self.records_of(id, after).await?;
        for seq in seqs {
            if page.uses.len() + page.passed.len() + page.refused.len() >= most {
                page.next = Some(seq);
                break;
            }
            let bytes = self.journal.read(seq).map_err(|e| Error::Journal(e.to_string()))?;
            let record = record::decode(&bytes).map_err(|e| Error::Journal(e.to_string()))?;
            let head = record.head();
            match Event::decode(record.kind(), record.body()).map_err(|e| Error::Journal(e.to_string()))? {
                Event::SessionOpen(open) => {
                    page.opened = Some(opened(&open, head.mode, head.time_ms)?);
                }
                // What marque did for itself is nobody's need.
                Event::UseIntent(intent) if intent.principal != 1 => {}
                Event::UseIntent(intent) => page.uses.push(used(head.seq, intent)),
                Event::HostPassed(passed) => page.passed.push(PassedHost { host: passed.host, count: passed.count.into() }),
                Event::UseDenied(denied) => page.refused.push(RefusedCount {
                    code: format!("MQ-{}", denied.code),
                    what: format!("{} {}", denied.service, denied.operation),
                    count: denied.count.into(),
                }),
                _ => {}
            }
        }
        if let Some(opened) = &mut page.opened {
            opened.purpose = self.opening_text(open, field::PURPOSE).await;
        }
        for used in page.uses.iter_mut().filter(|u| u.resource.is_none()) {
            used.path = self.opening_text(used.seq, field::URL).await.and_then(|uri| path_of(&uri));
        }
        Ok(page)
    }
}

/// The canonical path of what was forwarded, without its query: a query may hold anything.
fn path_of(uri: &str) -> Option<String> {
    let path = uri.split('?').next().unwrap_or(uri);
    CanonicalPath::parse(path).ok().map(|path| path.as_str().to_owned())
}

fn used(seq: u64, intent: UseIntent) -> UsedOnce {
    UsedOnce {
        seq,
        service: intent.service,
        operation: intent.operation,
        resource: intent.resource,
        origin: intent.origin,
        path: None,
        effect: intent.effect.to_string(),
        grant: intent.grant,
        would_deny: intent.would_deny.iter().map(|code| format!("MQ-{code}")).collect(),
    }
}

fn opened(open: &SessionOpen, mode: Option<record::Mode>, opened_ms: u64) -> Result<OpenedWith, Error> {
    let link = marque_chain::Link::read_unverified(&open.link).map_err(|e| Error::Journal(e.to_string()))?;
    let grants = serde_json::to_value(&link.claims().authorization_details).map_err(|e| Error::Journal(e.to_string()))?;
    let mode = match mode {
        Some(record::Mode::Observe) => "observe",
        Some(record::Mode::Adopt) => "adopt",
        _ => "enforce",
    };
    Ok(OpenedWith {
        agent: open.agent.clone(),
        purpose: None,
        environment: open.environment.clone(),
        mode: mode.into(),
        ttl_s: open.not_after_ms.saturating_sub(opened_ms).div_ceil(1000),
        grants,
    })
}
