//! Top talkers: who asked most of this node lately.

use pdp_proto::v1::{self as proto, ErrorDetail};

use super::{Admin, unimplemented};

/// Names the top talkers of each kind.
pub(super) async fn talkers(
    _: &Admin,
    _: proto::GetTopTalkersRequest,
) -> Result<proto::GetTopTalkersResponse, ErrorDetail> {
    Err(unimplemented("`GetTopTalkers`"))
}
