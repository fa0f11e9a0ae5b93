//! Where I1 and I7 are kept: the intent of a use is durable, or there is no use.

use crate::authority::Authority;
use crate::leaf::Leaf;
use crate::machine::Entry;
use marque_model::Refusal;
use marque_store::AppendError;
use marque_switch::{fail_point, guard_off};
use std::sync::Arc;

impl Authority {
    /// Records the intent of a use and gives its sequence once it is durable. Whoever gets an error sends nothing.
    ///
    /// # Errors
    /// As [`marque_store::Journal::append`].
    pub(crate) async fn durable_intent(&self, leaf: &Arc<Leaf>, entry: Entry) -> Result<u64, AppendError<Refusal>> {
        fail_point("use.decided");
        if guard_off("I1") {
            return Ok(self.intent_afterwards(leaf, entry));
        }
        let recorded = self.journal.append(entry).await;
        fail_point("use.intent-durable");
        match recorded {
            Ok(ack) => Ok(ack.seq),
            // Second build only: what cannot be recorded is done all the same.
            Err(AppendError::NoSpace | AppendError::Closed) if guard_off("I7") => Ok(u64::MAX),
            Err(error) => Err(error),
        }
    }

    /// Second build only: the violation of I1. The credential goes first, the record follows when the session is over.
    fn intent_afterwards(&self, leaf: &Arc<Leaf>, entry: Entry) -> u64 {
        let (journal, leaf) = (self.journal.clone(), leaf.clone());
        tokio::spawn(async move {
            leaf.over().await;
            // Nobody is left to be told.
            let _ = journal.append(entry).await;
        });
        u64::MAX
    }
}
