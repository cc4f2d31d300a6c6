//! One stage: what each policy that applies to a question said.

use crate::combine;
use crate::decision::{Effect, Obligation, Question, Reason, ShadowResult, Tier, Verdict};
use crate::outcome::Outcome;
use crate::request::Text;

/// What one policy said.
#[derive(Debug)]
pub(crate) struct Vote {
    /// Position of the policy in its set.
    pub(crate) position: u32,
    pub(crate) policy_id: Text,
    pub(crate) tier: Tier,
    /// Whether it only shadows.
    pub(crate) shadow: bool,
    pub(crate) outcome: Outcome,
}

/// Every vote on a question, by tier, then policy id.
#[derive(Debug)]
pub(crate) struct Stage {
    question: Question,
    votes: Vec<Vote>,
    effect: Effect,
}

impl Stage {
    pub(crate) fn new(question: Question, votes: Vec<Vote>) -> Self {
        let effect = combine::effect(enforced(&votes));
        Self { question, votes, effect }
    }

    pub(crate) fn effect(&self) -> Effect {
        self.effect
    }

    /// Whether a policy failed, so that the stage must not be memoised.
    pub(crate) fn failed(&self) -> bool {
        self.votes.iter().any(|vote| vote.outcome.failed())
    }

    /// The question's verdict.
    pub(crate) fn verdict(&self) -> Verdict {
        let reasons = combine::reasons(self.effect, enforced(&self.votes));
        Verdict { question: self.question, effect: self.effect, reasons, evaluated: true }
    }

    /// Obligations of the policies that allowed or passed; none where the stage denies.
    pub(crate) fn obligations(&self) -> impl Iterator<Item = &Obligation> {
        let votes = if self.effect == Effect::Allow { self.votes.as_slice() } else { &[] };
        votes.iter().filter(|vote| !vote.shadow).flat_map(|vote| match &vote.outcome {
            Outcome::Allow { obligations, .. } | Outcome::Pass { obligations } => obligations.as_slice(),
            Outcome::Deny(_) | Outcome::Abstain | Outcome::Error(_) => &[],
        })
    }

    /// Positions of the policies that applied and decide.
    pub(crate) fn deciding(&self) -> impl Iterator<Item = u32> {
        self.votes.iter().filter(|vote| !vote.shadow).map(|vote| vote.position)
    }

    /// Whether the policy at `position` applied and decides.
    pub(crate) fn applied(&self, position: u32) -> bool {
        self.votes.iter().any(|vote| vote.position == position && !vote.shadow)
    }

    /// What the shadow policies would have said, and whether each alone would have changed the effect.
    pub(crate) fn shadow_results(&self) -> Vec<ShadowResult> {
        self.votes.iter().filter(|vote| vote.shadow).map(|vote| self.shadow_result(vote)).collect()
    }

    fn shadow_result(&self, vote: &Vote) -> ShadowResult {
        let with = self.votes.iter().filter(|other| !other.shadow || other.position == vote.position);
        let changed = combine::effect(with.map(|other| (other.tier, &other.outcome)));
        let alone = (vote.tier, &vote.outcome);
        let effect = match vote.outcome {
            Outcome::Pass { .. } => Effect::Allow,
            _ => combine::effect(std::iter::once(alone)),
        };
        ShadowResult {
            policy_id: vote.policy_id.clone(),
            question: self.question,
            effect,
            would_change: changed != self.effect,
            reasons: shadow_reasons(effect, alone),
        }
    }
}

fn shadow_reasons(effect: Effect, alone: combine::Ballot<'_>) -> Vec<Reason> {
    match alone.1 {
        Outcome::Pass { .. } => Vec::new(),
        _ => combine::reasons(effect, std::iter::once(alone)),
    }
}

fn enforced(votes: &[Vote]) -> impl Iterator<Item = combine::Ballot<'_>> + Clone {
    votes.iter().filter(|vote| !vote.shadow).map(|vote| (vote.tier, &vote.outcome))
}
