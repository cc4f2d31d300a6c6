//! Combines policies' outcomes into one effect.
//!
//! Any denial or failure denies. Within a tier one allow suffices; each tier
//! that has a granting policy must allow, so that a lower tier cannot widen a
//! higher one. What nobody allows is denied.

use crate::decision::{Effect, Reason, ReasonCode, Tier};
use crate::outcome::Outcome;

/// A policy's tier and outcome.
pub(crate) type Ballot<'a> = (Tier, &'a Outcome);

/// The effect of `ballots`, which are sorted by tier.
pub(crate) fn effect<'a>(ballots: impl Iterator<Item = Ballot<'a>> + Clone) -> Effect {
    let denies = |(_, outcome): Ballot<'_>| matches!(outcome, Outcome::Deny(_) | Outcome::Error(_));
    if ballots.clone().any(denies) {
        return Effect::Deny;
    }
    let mut granted = false;
    for tier in [Tier::Guardrail, Tier::Organisation, Tier::Team] {
        let of_tier = || ballots.clone().filter(move |(t, _)| *t == tier).map(|(_, outcome)| outcome);
        let allows = of_tier().any(|outcome| matches!(outcome, Outcome::Allow { .. }));
        let abstains = of_tier().any(|outcome| matches!(outcome, Outcome::Abstain));
        if abstains && !allows {
            return Effect::Deny;
        }
        granted |= allows;
    }
    if granted { Effect::Allow } else { Effect::Deny }
}

/// Why `ballots` have the effect they have, most important first, never empty.
pub(crate) fn reasons<'a>(effect: Effect, ballots: impl Iterator<Item = Ballot<'a>> + Clone) -> Vec<Reason> {
    let mut reasons = Vec::new();
    match effect {
        Effect::Allow => {
            for (_, outcome) in ballots {
                if let Outcome::Allow { reason, .. } = outcome {
                    reasons.push(reason.clone());
                }
            }
        }
        Effect::Deny => {
            for (_, outcome) in ballots.clone() {
                match outcome {
                    Outcome::Error(reason) => reasons.push(reason.clone()),
                    Outcome::Deny(denials) => reasons.extend(denials.iter().cloned()),
                    Outcome::Allow { .. } | Outcome::Abstain | Outcome::Pass { .. } => {}
                }
            }
            if reasons.is_empty() {
                reasons.push(nobody_allowed(ballots));
            }
        }
    }
    reasons
}

/// The reason of a denial that no policy spoke.
fn nobody_allowed<'a>(mut ballots: impl Iterator<Item = Ballot<'a>>) -> Reason {
    let (code, message) = if ballots.next().is_some() {
        (ReasonCode::NotAllowed, "policies apply to this request, and none of a required tier allows it")
    } else {
        (ReasonCode::DefaultDeny, "no policy applies to this request")
    };
    plain(code, message)
}

/// A reason that no policy gave.
pub(crate) fn plain(code: ReasonCode, message: &str) -> Reason {
    Reason { code, policy_id: None, detail_code: None, message: message.into(), tier: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn allow() -> Outcome {
        Outcome::Allow { reason: plain(ReasonCode::PolicyAllow, "allowed"), obligations: Vec::new() }
    }

    fn deny() -> Outcome {
        Outcome::Deny(vec![plain(ReasonCode::PolicyDeny, "denied")])
    }

    fn error() -> Outcome {
        Outcome::Error(plain(ReasonCode::PolicyError, "failed"))
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(allow()),
            Just(deny()),
            Just(Outcome::Abstain),
            Just(Outcome::Pass { obligations: Vec::new() }),
            Just(error()),
        ]
    }

    fn tier() -> impl Strategy<Value = Tier> {
        prop_oneof![Just(Tier::Guardrail), Just(Tier::Organisation), Just(Tier::Team)]
    }

    fn ballots() -> impl Strategy<Value = Vec<(Tier, Outcome)>> {
        prop::collection::vec((tier(), outcome()), 0..8)
    }

    fn effect_of(ballots: &[(Tier, Outcome)]) -> Effect {
        effect(ballots.iter().map(|(tier, outcome)| (*tier, outcome)))
    }

    #[test]
    fn lower_tier_cannot_widen_a_higher_one() {
        let ballots = [(Tier::Organisation, Outcome::Abstain), (Tier::Team, allow())];
        assert_eq!(effect_of(&ballots), Effect::Deny);
    }

    #[test]
    fn deny_only_policies_alone_allow_nothing() {
        assert_eq!(effect_of(&[(Tier::Team, Outcome::Pass { obligations: Vec::new() })]), Effect::Deny);
        assert_eq!(effect_of(&[]), Effect::Deny);
    }

    proptest! {
        #[test]
        fn a_denial_or_an_error_denies_whatever_else_is_said(mut others in ballots(), at in tier(), failed: bool) {
            others.push((at, if failed { error() } else { deny() }));
            prop_assert_eq!(effect_of(&others), Effect::Deny);
        }

        #[test]
        fn order_within_and_across_tiers_does_not_matter(others in ballots()) {
            let mut reversed = others.clone();
            reversed.reverse();
            prop_assert_eq!(effect_of(&others), effect_of(&reversed));
        }

        #[test]
        fn a_policy_that_does_not_allow_never_turns_a_denial_into_an_allow(mut others in ballots(), at in tier(), extra in outcome()) {
            prop_assume!(!matches!(extra, Outcome::Allow { .. }));
            if effect_of(&others) == Effect::Deny {
                others.push((at, extra));
                prop_assert_eq!(effect_of(&others), Effect::Deny);
            }
        }

        #[test]
        fn every_effect_has_a_reason(others in ballots()) {
            let iter = others.iter().map(|(tier, outcome)| (*tier, outcome));
            prop_assert!(!reasons(effect(iter.clone()), iter).is_empty());
        }
    }
}
