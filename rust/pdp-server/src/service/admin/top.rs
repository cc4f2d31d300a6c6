//! Top talkers: who asked most of this node lately.

use std::time::Instant;

use pdp_proto::v1::{self as proto, ErrorDetail, ErrorReason};
use pdp_state::talkers::Talker;

use super::Admin;
use crate::errors;

/// Talkers of each kind where the caller does not say how many.
const USUAL: u32 = 10;
/// Most of each kind.
const MOST: u32 = 100;

/// Names the top talkers of each kind.
pub(super) fn talkers(
    admin: &Admin,
    request: proto::GetTopTalkersRequest,
) -> Result<proto::GetTopTalkersResponse, ErrorDetail> {
    let most = match request.most {
        0 => USUAL,
        most if most <= MOST => most,
        most => {
            let message = format!("`{most}` is out of range: write a number from 1 to {MOST}");
            return Err(errors::detail(ErrorReason::FieldOutOfRange, "most", message));
        }
    };
    let talkers = admin.reloader.decider().talkers();
    let top = talkers.top(usize::try_from(most).unwrap_or_default(), Instant::now());
    Ok(proto::GetTopTalkersResponse {
        talkers: top.into_iter().map(talker).collect(),
        since: Some(talkers.since().into()),
    })
}

fn talker(from: Talker) -> proto::TopTalker {
    let Talker { kind, name, requests, error, refused } = from;
    proto::TopTalker { kind: kind.name().to_owned(), name, requests, error, refused }
}
