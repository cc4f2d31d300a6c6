//! Demands that lie apart on a Cluster: spent part by part, and given back where a later part refuses.
//!
//! A part is spent whole or not at all. Where a later one refuses or fails, the earlier ones are given
//! back, so no counter ever admits more than its limit. Until they are, and where this node dies in
//! between until they drain, their counters hold hits of a request that was not admitted: at most its
//! own hits, once each. Others may be refused meanwhile that would have been admitted.

use std::sync::Arc;

use pdp_engine::limit::LimitOutcome;

use super::decode::{Status, Told};
use super::encode::Group;
use super::failure::{Executed, Failure};
use super::hub::Tally;
use super::lane::{self, Lane};
use super::plan::Part;
use super::store::{Inner, Ran, place_outcomes};

/// Runs the parts, all or none of them.
pub(super) async fn run(
    inner: &Arc<Inner>,
    lane: &Lane,
    parts: Vec<Part>,
    mut outcomes: Vec<LimitOutcome>,
) -> Result<Ran, Failure> {
    let mut spent: Vec<(Group, Vec<usize>)> = Vec::new();
    let mut rest = parts.into_iter();
    while let Some(Part { group, indices, others }) = rest.next() {
        let Some((undo, _)) = others.map(|others| *others) else { continue };
        match lane::ask(lane, group, inner.deadline()).await {
            Ok(Told { status: Status::Stale, .. }) => {
                give_back(inner, lane, spent, &mut Vec::new()).await;
                return Ok(Ran::Stale);
            }
            Ok(told) => {
                inner.note(told.status);
                let refused = told.status == Status::Refused;
                place_outcomes(&mut outcomes, &indices, told.outcomes);
                if refused {
                    give_back(inner, lane, spent, &mut outcomes).await;
                    read(inner, lane, rest, &mut outcomes).await?;
                    return Ok(Ran::Outcomes(outcomes));
                }
                spent.push((undo, indices));
            }
            Err(failure) => {
                // It may have been spent: giving back without knowing could free what others spent.
                if failure.executed == Executed::Unknown {
                    Tally::add(&inner.hub.tally.unreturned, 1);
                }
                give_back(inner, lane, spent, &mut Vec::new()).await;
                return Err(failure);
            }
        }
    }
    Ok(Ran::Outcomes(outcomes))
}

/// Gives parts back; what they had room for is told as it stands then.
async fn give_back(
    inner: &Arc<Inner>,
    lane: &Lane,
    spent: Vec<(Group, Vec<usize>)>,
    outcomes: &mut Vec<LimitOutcome>,
) {
    for (undo, indices) in spent {
        // A part that was only read has nothing to give back.
        if undo.records == 0 {
            continue;
        }
        match lane::ask(lane, undo, inner.deadline()).await {
            Ok(told) => {
                let spends = indices.iter().filter_map(|&index| Some((index, outcomes.get(index)?.admitted)));
                let spends: Vec<usize> = spends.filter(|(_, admitted)| *admitted).map(|it| it.0).collect();
                place_outcomes(outcomes, &spends, told.outcomes);
            }
            Err(failure) => {
                Tally::add(&inner.hub.tally.unreturned, 1);
                tracing::warn!(reason = %failure, "hits of a refused request could not be given back");
            }
        }
    }
}

/// Reads the parts that were not tried.
async fn read(
    inner: &Arc<Inner>,
    lane: &Lane,
    rest: impl Iterator<Item = Part>,
    outcomes: &mut [LimitOutcome],
) -> Result<(), Failure> {
    for Part { indices, others, .. } in rest {
        let Some((_, peek)) = others.map(|others| *others) else { continue };
        let told = lane::ask(lane, peek, inner.deadline()).await?;
        place_outcomes(outcomes, &indices, told.outcomes);
    }
    Ok(())
}
