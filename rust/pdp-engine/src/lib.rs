//! The decision engine: policy sets, decision semantics, data loss prevention
//! and limit arithmetic. Pure: no sockets, no clocks, no threads of its own.

pub mod decision;
pub mod dlp;
pub mod fact;
pub mod limit;
pub mod policy_set;
pub mod reply;
pub mod request;
pub mod schema;
pub mod worker;

mod combine;
mod input;
mod memo;
mod outcome;

pub use decision::{
    Decision, Effect, FactUse, FindingAction, LimitStatus, Obligation, Question, Reason, ReasonCode,
    ReportedFinding, ShadowResult, Tier, Verdict,
};
pub use fact::{FactDocument, FactKind, FactName, FactReading, FactStore, StoredFacts};
pub use policy_set::{EngineKind, LoadOptions, Mode, PolicyInfo, PolicySet, Settling, UsageFault};
pub use reply::Reply;
pub use request::{
    Behaviour, Destination, DestinationKind, Device, Facts, Function, HttpRequest, LimitSpend, Location,
    Observed, Payload, Request, Resource, SpendLimit, Subject, Text, Transport,
};
pub use worker::{BudgetOptions, RequestFault, Worker, WorkerOptions};
