//! What a request spent, as long as a report may correct it.

use std::time::SystemTime;

use uuid::Uuid;

use super::Limit;
use crate::request::Text;

/// Hits that one request spent of one counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Policy that owns the limit.
    pub policy_id: Text,
    /// Name of the limit inside the policy.
    pub limit: Text,
    /// Tenant of the request; `None` is the default tenant.
    pub tenant: Option<Text>,
    /// Key the hits count under, as [`encode_key`](super::encode_key) writes it.
    pub key: Text,
    /// Hits that were spent.
    pub hits: u64,
    /// When.
    pub spent_at: SystemTime,
    /// The [`Spend::holder`](super::Spend::holder) they were spent under: the decision's id, or that of the
    /// decision which this one repeats.
    pub holder: Uuid,
    /// Whether a concurrency limit holds them until they are given back.
    pub held: bool,
    /// The limit itself, where a Rego policy made it: no policy set holds it.
    pub definition: Option<Limit>,
}
