//! The decision engine: policy sets, decision semantics, data loss prevention
//! and limit arithmetic. Pure: no sockets, no clocks, no threads of its own.

pub mod decision;
pub mod dlp;
pub mod limit;
pub mod request;

pub use decision::{
    Decision, Effect, FactUse, FindingAction, LimitStatus, Obligation, Question, Reason, ReasonCode,
    ReportedFinding, ShadowResult, Tier, Verdict,
};
pub use request::{
    Behaviour, Destination, DestinationKind, Device, Function, HttpRequest, LimitSpend, Location, Payload,
    Request, Resource, Subject, Text, Transport,
};
