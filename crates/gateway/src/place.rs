//! Slots: emptied before the decision, filled after it, and never searched for anything.

use crate::gate::{Attachment, Returned, RoutePlan};
use crate::problem::{Problem, found};
use crate::taken::Taken;
use bytes::Bytes;
use http::request::Parts;
use marque_detect::Secret;
use marque_wire::answer::{ReturnSlot, cookies};
use marque_wire::place::Placement;

/// Fields in which clients carry credentials of their own: refused on open hosts (threats H15).
pub(crate) const CREDENTIAL_FIELDS: [&str; 12] = [
    "authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "apikey",
    "x-auth-token",
    "x-access-token",
    "x-goog-api-key",
    "x-amz-security-token",
    "private-token",
    "job-token",
    "x-vault-token",
];

/// Whether the client brought a credential of its own, as far as can be seen.
pub(crate) fn carries_credential(parts: &Parts) -> bool {
    parts.headers.keys().any(|name| {
        let folded = name.as_str().replace('_', "-");
        CREDENTIAL_FIELDS.contains(&folded.as_str())
    })
}

/// What stands behind placeholders of earlier answers, in slots of the head.
pub(crate) struct Back {
    /// All of it, for the decision.
    pub(crate) told: Vec<Returned>,
    /// What goes back into slots that are emptied before the decision: into the very slots in which the placeholders stood.
    /// Cookies stay as they are until after it.
    pub(crate) attachments: Vec<Attachment>,
}

/// Looks for placeholders of earlier answers where they may come back, and nowhere else.
pub(crate) fn returned(parts: &Parts, plan: &RoutePlan, find: impl Fn(&str, &str) -> Option<Secret>) -> Back {
    let mut back = Back { told: Vec::new(), attachments: Vec::new() };
    for slot in &plan.returns {
        match slot {
            ReturnSlot::At(placement) if placement.needs_body() => {}
            ReturnSlot::At(placement) => {
                let Some(placeholder) = placement.read(parts, None) else { continue };
                let words = placement.to_string();
                let Some(secret) = find(&words, &placeholder) else { continue };
                let told = Returned { slot: words, placement: Some(placement.clone()), placeholder: placeholder.clone() };
                back.told.push(told);
                if !matches!(placement, Placement::Cookie { .. }) {
                    back.attachments.push(Attachment { placement: placement.clone(), placeholder: Some(placeholder), secret });
                }
            }
            _ => {
                for (name, value) in cookies(&parts.headers) {
                    let words = format!("cookie {name}");
                    if find(&words, &value).is_some() {
                        back.told.push(Returned { slot: words, placement: None, placeholder: value });
                    }
                }
            }
        }
    }
    back
}

/// What stands in slots of a held body, for the decision.
pub(crate) fn returned_in_body(
    parts: &Parts,
    body: Option<&[u8]>,
    plan: &RoutePlan,
    find: impl Fn(&str, &str) -> Option<Secret>,
) -> Vec<Returned> {
    let in_body = plan.returns.iter().filter_map(|slot| match slot {
        ReturnSlot::At(placement) if placement.needs_body() => Some(placement),
        _ => None,
    });
    let read = in_body.filter_map(|placement| {
        let placeholder = placement.read(parts, body)?;
        find(&placement.to_string(), &placeholder)?;
        Some(Returned { slot: placement.to_string(), placement: Some(placement.clone()), placeholder })
    });
    read.collect()
}

/// Puts back what stands behind placeholders in cookies and bodies; whether there was any.
pub(crate) fn restore(
    parts: &mut Parts,
    body: &mut Taken,
    plan: &RoutePlan,
    find: impl Fn(&str, &str) -> Option<Secret>,
) -> Result<bool, Problem> {
    let is_late = |slot: &&ReturnSlot| match slot {
        ReturnSlot::At(Placement::Cookie { .. }) | ReturnSlot::AnyCookie => true,
        ReturnSlot::At(placement) => placement.needs_body(),
        _ => false,
    };
    let slots: Vec<ReturnSlot> = plan.returns.iter().filter(is_late).cloned().collect();
    if slots.is_empty() {
        return Ok(false);
    }
    let mut held = match body {
        Taken::Whole(bytes) if !bytes.is_empty() => Some(bytes.to_vec()),
        _ => None,
    };
    let filled = marque_wire::answer::restore(parts, held.as_mut(), &slots, &find).map_err(|e| found::placing(&e.to_string()))?;
    if let Some(held) = held {
        *body = Taken::Whole(Bytes::from(held));
    }
    Ok(!filled.is_empty())
}

/// Writes a credential into its declared slot.
pub(crate) fn place(parts: &mut Parts, body: &mut Taken, attachment: &Attachment) -> Result<(), Problem> {
    let Attachment { placement, placeholder, secret } = attachment;
    let mut held = match body {
        Taken::Whole(bytes) if placement.needs_body() => Some(bytes.to_vec()),
        _ => None,
    };
    placement.place(secret, placeholder.as_deref(), parts, held.as_mut()).map_err(|e| found::placing(&e.to_string()))?;
    if let Some(held) = held {
        *body = Taken::Whole(Bytes::from(held));
    }
    Ok(())
}
