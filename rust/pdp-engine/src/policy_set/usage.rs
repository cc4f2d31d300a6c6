//! From what a request spent to the settlements that correct it, against the set that is active now.

use std::time::SystemTime;

use crate::decision::LimitStatus;
use crate::limit::{CounterName, Limit, LimitOutcome, LimitStore, Settle, Settlement, Usage};
use crate::policy_set::{Body, PolicySet};
use crate::reply::Reply;

/// Why what was spent cannot be corrected any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageFault {
    /// The active policy set has no such policy, or it is of another kind now.
    #[error("the policy is not in the active policy set")]
    PolicyGone,
    /// The policy has no limit of that name any more, or one that counts otherwise.
    #[error("the limit is not in the active policy set, or is of another kind")]
    LimitGone,
}

/// What a request spent, by the limits of the active set.
#[derive(Clone, Debug, Default)]
pub struct Settling<'u> {
    rows: Vec<(&'u Usage, Limit)>,
    skipped: Vec<(&'u Usage, UsageFault)>,
}

impl PolicySet {
    /// Finds the limits of what a request spent. A limit that changed is corrected as it is now; a row whose
    /// limit is gone is skipped.
    #[must_use]
    pub fn settling<'u>(&self, usage: &'u [Usage]) -> Settling<'u> {
        let mut settling = Settling::default();
        for row in usage {
            match self.limit_of(row) {
                Ok(limit) => settling.rows.push((row, limit)),
                Err(fault) => settling.skipped.push((row, fault)),
            }
        }
        // A store takes one settlement of each holder.
        settling.rows.sort_by_key(|(row, _)| row.holder);
        settling
    }

    fn limit_of(&self, row: &Usage) -> Result<Limit, UsageFault> {
        let policy = self.position(&row.policy_id).and_then(|position| self.policy(position));
        match (&policy.ok_or(UsageFault::PolicyGone)?.body, &row.definition) {
            (Body::Rules { .. }, Some(limit)) if limit.validate().is_ok() => Ok(limit.clone()),
            (Body::Limits(_), None) => {
                let limit = self.limit(&row.policy_id, &row.limit, row.tenant.as_deref());
                let same_kind = |limit: &Limit| limit.is_held() == row.held;
                limit.filter(same_kind).ok_or(UsageFault::LimitGone)
            }
            _ => Err(UsageFault::PolicyGone),
        }
    }
}

impl<'u> Settling<'u> {
    /// Rows that cannot be corrected, and why.
    #[must_use]
    pub fn skipped(&self) -> &[(&'u Usage, UsageFault)] {
        &self.skipped
    }

    /// Rows that can be, by holder.
    #[must_use]
    pub fn rows(&self) -> &[(&'u Usage, Limit)] {
        &self.rows
    }

    /// Corrects the rows: to `hits`, or as they are where it is not known; what is held is given back. One
    /// reply for each holder; the replies' outcomes one after the other are those of [`Settling::rows`].
    #[must_use]
    pub fn settle(
        &self,
        hits: Option<u64>,
        store: &dyn LimitStore,
        now: SystemTime,
    ) -> Vec<Reply<Vec<LimitOutcome>>> {
        let of_holder = |rows: &[(&'u Usage, Limit)]| {
            let settlements: Vec<Settlement<'_>> =
                rows.iter().map(|(row, limit)| settlement(row, limit, hits)).collect();
            let holder = rows.first().map(|(row, _)| row.holder).unwrap_or_default();
            store.settle(&Settle { holder, settlements: &settlements, now })
        };
        self.rows.chunk_by(|a, b| a.0.holder == b.0.holder).map(of_holder).collect()
    }

    /// How the limits of the rows stand, given what the store said of them.
    #[must_use]
    pub fn statuses(&self, outcomes: &[LimitOutcome]) -> Vec<LimitStatus> {
        let status = |((row, limit), outcome): (&(&Usage, Limit), &LimitOutcome)| {
            LimitStatus::new(row.policy_id.clone(), limit, *outcome)
        };
        self.rows.iter().zip(outcomes).map(status).collect()
    }
}

fn settlement<'a>(row: &'a Usage, limit: &'a Limit, hits: Option<u64>) -> Settlement<'a> {
    let counter =
        CounterName { policy_id: &row.policy_id, limit, tenant: row.tenant.as_deref(), key: &row.key };
    let actual = if row.held { 0 } else { hits.unwrap_or(row.hits) };
    Settlement { counter, spent: row.hits, actual, spent_at: row.spent_at }
}
