//! Limits: how one stands for a key, and forgetting what was spent.

use pdp_proto::v1::{self as proto, ErrorDetail};

use super::{Admin, unimplemented};

/// How a limit stands, spending nothing.
pub(super) async fn inspect(
    _: &Admin,
    _: proto::InspectLimitRequest,
) -> Result<proto::InspectLimitResponse, ErrorDetail> {
    Err(unimplemented("`InspectLimit`"))
}

/// Forgets what was spent under a key.
pub(super) async fn reset(
    _: &Admin,
    _: proto::ResetLimitRequest,
) -> Result<proto::ResetLimitResponse, ErrorDetail> {
    Err(unimplemented("`ResetLimit`"))
}
