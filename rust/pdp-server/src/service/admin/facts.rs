//! Stored facts: put, get, delete, watch.

use pdp_proto::v1::{self as proto, ErrorDetail};

use super::{Admin, unimplemented};

/// Changes as they happen.
pub(super) type Changes = tonic::codegen::BoxStream<proto::WatchFactsResponse>;

/// Stores all documents or none.
pub(super) async fn put(
    _: &Admin,
    _: proto::PutFactsRequest,
) -> Result<proto::PutFactsResponse, ErrorDetail> {
    Err(unimplemented("`PutFacts`"))
}

/// Reads documents from the store.
pub(super) async fn get(
    _: &Admin,
    _: proto::GetFactsRequest,
) -> Result<proto::GetFactsResponse, ErrorDetail> {
    Err(unimplemented("`GetFacts`"))
}

/// Deletes all documents or none.
pub(super) async fn delete(
    _: &Admin,
    _: proto::DeleteFactsRequest,
) -> Result<proto::DeleteFactsResponse, ErrorDetail> {
    Err(unimplemented("`DeleteFacts`"))
}

/// Tells of each change from now on.
pub(super) async fn watch(_: &Admin, _: proto::WatchFactsRequest) -> Result<Changes, ErrorDetail> {
    Err(unimplemented("`WatchFacts`"))
}
