//! Storing facts: for operators, and for those who test policies without a server.

use std::time::SystemTime;

use bytes::Buf;
use pdp_engine::Reply;
use pdp_proto::v1::{self as proto, ErrorDetail};

use super::Decider;
use crate::convert::{self, stored};

impl Decider {
    /// Stores all documents of a request, or none.
    ///
    /// # Errors
    /// [`ErrorDetail`] naming the document at fault, or that the store does not answer.
    pub async fn put_facts(
        &self,
        request: proto::PutFactsRequest,
    ) -> Result<proto::PutFactsResponse, ErrorDetail> {
        let versions = self.put(request)?.await.map_err(|error| stored::refused("facts", &error))?;
        Ok(proto::PutFactsResponse { versions })
    }

    /// As [`Self::put_facts`], of an encoded request, waiting on this thread.
    ///
    /// # Errors
    /// As there, and where the bytes are no such message.
    pub fn put_facts_encoded(&self, bytes: impl Buf) -> Result<proto::PutFactsResponse, ErrorDetail> {
        let request = convert::decode(bytes)?;
        let versions = self.put(request)?.wait().map_err(|error| stored::refused("facts", &error))?;
        Ok(proto::PutFactsResponse { versions })
    }

    fn put(&self, request: proto::PutFactsRequest) -> Result<Reply<Stored>, ErrorDetail> {
        let now = SystemTime::now();
        Ok(self.facts().put(stored::puts(request, now)?, now))
    }
}

/// The version of each document, or why none was stored.
type Stored = Result<Vec<u64>, pdp_state::facts::FactError>;
