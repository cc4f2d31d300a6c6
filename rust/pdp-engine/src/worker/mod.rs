//! A worker: decides requests on one thread, from one policy set.

pub(crate) mod egress;
mod evaluators;
mod facts;
mod limits;
mod options;
pub(crate) mod stage;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

pub use self::limits::Counted;
pub use self::options::{BudgetOptions, MemoStats, RequestFault, WorkerOptions};
use crate::combine::plain;
use crate::decision::{Decision, Effect, Obligation, Question, Reason, ReasonCode, Verdict};
use crate::dlp::{self, Finding};
use crate::fact::FactName;
use crate::input::{Built, LazyInput};
use crate::limit::{LimitDemand, LimitOutcome, LimitStore, Spend};
use crate::memo::Memo;
use crate::outcome::{self, Outcome};
use crate::policy_set::{Body, Mode, Policy, PolicySet};
use crate::reply::Reply;
use crate::request::Request;
use crate::worker::evaluators::Evaluators;
use crate::worker::limits::LimitPlan;
use crate::worker::stage::{Stage, Vote};

/// Decides requests on one thread.
pub struct Worker {
    set: Arc<PolicySet>,
    evaluators: Evaluators,
    memo: Option<Memo>,
    memo_stats: MemoStats,
}

/// A request whose limits are not yet spent. It borrows nothing, so that it can wait for a store.
pub struct Pending {
    now: SystemTime,
    /// Input documents that policies have asked for.
    built: Built,
    limits: Option<LimitPlan>,
}

/// What a decision has come to so far.
struct Progress {
    verdicts: Vec<Verdict>,
    obligations: Vec<Obligation>,
    stages: Vec<Arc<Stage>>,
    memoised: bool,
    denied: bool,
}

impl Worker {
    /// A worker for `set`.
    #[must_use]
    pub fn new(set: Arc<PolicySet>, options: &WorkerOptions) -> Self {
        Self {
            evaluators: Evaluators::new(set.clone(), options.budget),
            set,
            memo: Memo::new(options.memo_entries),
            memo_stats: MemoStats::default(),
        }
    }

    /// Prepares up to `most` policies now instead of at their first request.
    pub fn warm(&mut self, most: usize) {
        self.evaluators.warm(most);
    }

    /// Bounds the wall time of each evaluation from now on by what a caller's deadline leaves.
    pub fn limit_time(&mut self, most: Option<Duration>) {
        self.evaluators.limit_time(most);
    }

    /// The policy set that decides.
    #[must_use]
    pub fn policy_set(&self) -> &Arc<PolicySet> {
        &self.set
    }

    /// How often the memo answered since the worker was made.
    #[must_use]
    pub fn memo_stats(&self) -> MemoStats {
        self.memo_stats
    }

    /// Decides `request`, spending its limits from `store`.
    ///
    /// # Errors
    /// [`RequestFault`] when the request names a policy or revision that is not active.
    pub fn decide(
        &mut self,
        request: &Request,
        now: SystemTime,
        decision_id: Uuid,
        store: &dyn LimitStore,
    ) -> Result<Decision, RequestFault> {
        let pending = self.begin(request, now)?;
        let replies = pending.spend(request, &self.set, decision_id, store);
        let outcomes: Vec<_> = replies.into_iter().flat_map(Reply::wait).collect();
        Ok(self.finish(request, pending, &outcomes, decision_id))
    }

    /// Names the stored facts that policies need to answer the request: read them, and put what was
    /// read into [`Request::stored`] before the request is decided.
    #[must_use]
    pub fn fact_names<'a>(&self, request: &'a Request) -> Vec<FactName<'a>> {
        facts::names(&self.set, request)
    }

    /// Finds out which limits the request spends.
    ///
    /// # Errors
    /// [`RequestFault`] when the request names a policy or revision that is not active.
    pub fn begin(&mut self, request: &Request, now: SystemTime) -> Result<Pending, RequestFault> {
        if request.policy_revision.as_ref().is_some_and(|wanted| wanted != self.set.revision()) {
            return Err(RequestFault::RevisionNotActive { active: self.set.revision().clone() });
        }
        if let Some(index) = request.required_policies.iter().position(|id| self.set.position(id).is_none()) {
            return Err(RequestFault::PolicyUnknown { index });
        }
        let input = LazyInput::new(request, None, now);
        let limits = request
            .questions
            .contains(&Question::RateLimit)
            .then(|| LimitPlan::new(&self.set, &mut self.evaluators, request, &input, now));
        Ok(Pending { now, built: input.into_built(), limits })
    }

    /// Decides the request that `pending` began, given what the store said of [`Pending::spend`].
    pub fn finish(
        &mut self,
        request: &Request,
        pending: Pending,
        outcomes: &[LimitOutcome],
        decision_id: Uuid,
    ) -> Decision {
        let Pending { now, built, limits } = pending;
        let input = LazyInput::built(request, now, built);
        let mut progress = Progress {
            verdicts: Vec::with_capacity(request.questions.len()),
            obligations: Vec::new(),
            stages: Vec::new(),
            memoised: false,
            denied: false,
        };
        let mut decision = self.blank(decision_id);
        for question in &request.questions {
            if progress.denied {
                progress.verdicts.push(not_evaluated(*question));
                continue;
            }
            match (question, &limits) {
                (Question::RateLimit, Some(plan)) => {
                    let spend = &request.facts.limit;
                    let concluded = plan.conclude(&self.set, spend, outcomes, decision_id);
                    decision.limits = concluded.limits;
                    decision.usage = concluded.usage;
                    decision.shadow.extend(concluded.shadow);
                    progress.take(concluded.verdict);
                }
                (Question::Egress, _) => self.egress(request, now, &mut progress, &mut decision),
                (question, _) => {
                    let stage = self.stage(*question, request, &input, now, &mut progress.memoised);
                    progress.obligations.extend(stage.obligations().cloned());
                    progress.take(stage.verdict());
                    progress.stages.push(stage);
                }
            }
        }
        self.require(request, limits.as_ref(), &mut progress);
        self.conclude(request, now, progress, decision)
    }

    fn blank(&self, decision_id: Uuid) -> Decision {
        Decision {
            effect: Effect::Deny,
            decision_id,
            policy_revision: self.set.revision().clone(),
            verdicts: Vec::new(),
            obligations: Vec::new(),
            limits: Vec::new(),
            findings: Vec::new(),
            masked_payload: None,
            facts: Vec::new(),
            cacheable_for: None,
            shadow: Vec::new(),
            memoised: false,
            usage: Vec::new(),
        }
    }

    /// Runs the stage of one question, from the memo where that is sound.
    fn stage(
        &mut self,
        question: Question,
        request: &Request,
        input: &LazyInput<'_>,
        now: SystemTime,
        memoised: &mut bool,
    ) -> Arc<Stage> {
        let set = self.set.clone();
        let selected = set.select(question, &request.facts);
        // Ages change while the key does not: a policy that refuses a fact's age is not memoised.
        let refusals: Vec<_> = selected.iter().map(|p| refusal(&set, *p, request, now)).collect();
        let memoisable = self.memo.is_some()
            && request.facts.payload.is_none()
            && refusals.iter().all(Option::is_none)
            && selected.iter().all(|position| is_pure(&set, *position));
        if memoisable && let Some(stage) = self.recall(question, request) {
            *memoised = true;
            return stage;
        }
        let votes = selected.iter().zip(refusals).filter_map(|(position, refusal)| {
            let policy = set.policy(*position)?;
            Some(self.vote(*position, policy, refusal, input, now))
        });
        let stage = Arc::new(Stage::new(question, votes.collect()));
        if memoisable
            && !stage.failed()
            && let Some(memo) = &mut self.memo
        {
            memo.insert(question, &request.facts, stage.clone());
        }
        stage
    }

    fn recall(&mut self, question: Question, request: &Request) -> Option<Arc<Stage>> {
        let found = self.memo.as_mut()?.get(question, &request.facts);
        match found {
            Some(_) => self.memo_stats.hits += 1,
            None => self.memo_stats.misses += 1,
        }
        found
    }

    fn vote(
        &mut self,
        position: u32,
        policy: &Policy,
        refusal: Option<(ReasonCode, String)>,
        input: &LazyInput<'_>,
        now: SystemTime,
    ) -> Vote {
        let outcome = match (refusal, &policy.body) {
            (Some((code, message)), _) => outcome::failure(policy, code, &message),
            (None, Body::Rules { grants, .. }) => {
                Outcome::read(policy, *grants, self.evaluators.rules(position, input.of(policy), now))
            }
            (None, Body::Limits(_)) => Outcome::Abstain,
        };
        Vote {
            position,
            policy_id: policy.info.id.clone(),
            tier: policy.info.tier,
            shadow: policy.info.mode == Mode::Shadow,
            outcome: checked(policy, outcome),
        }
    }

    /// Runs the egress stage: scan, decide, mask.
    fn egress(
        &mut self,
        request: &Request,
        now: SystemTime,
        progress: &mut Progress,
        decision: &mut Decision,
    ) {
        let content = request.facts.payload.as_ref().map_or(&[][..], |payload| &payload.content);
        let findings = match dlp::scan(content) {
            Ok(findings) => findings,
            Err(error) => {
                let reasons = vec![plain(ReasonCode::PayloadNotScanned, &error.to_string())];
                let question = Question::Egress;
                progress.take(Verdict { question, effect: Effect::Deny, reasons, evaluated: true });
                return;
            }
        };
        let input = LazyInput::new(request, Some(&findings), now);
        let stage = self.stage(Question::Egress, request, &input, now, &mut progress.memoised);
        let mut verdict = stage.verdict();
        let obligations: Vec<_> = stage.obligations().cloned().collect();
        explain_findings(&mut verdict, &findings);
        let masking = egress::apply(stage.effect(), findings, &obligations, &verdict.reasons, content);
        if masking.payload.is_some() {
            verdict.reasons.push(plain(ReasonCode::DataMasked, "the payload may leave after masking"));
        }
        // A mask that finds nothing to mask obliges to nothing.
        let due = |o: &Obligation| !egress::masks(o) || masking.payload.is_some();
        progress.obligations.extend(obligations.into_iter().filter(due));
        progress.take(verdict);
        progress.stages.push(stage);
        decision.findings = masking.findings;
        decision.masked_payload = masking.payload;
    }

    /// Denies where a required policy did not apply.
    fn require(&self, request: &Request, limits: Option<&LimitPlan>, progress: &mut Progress) {
        for id in &request.required_policies {
            let Some(position) = self.set.position(id) else { continue };
            let applied = progress.stages.iter().any(|stage| stage.applied(position))
                || limits.is_some_and(|plan| plan.applied(&self.set, position));
            let kind = self.set.policy(position).map(|policy| policy.info.kind);
            let at = progress.verdicts.iter().position(|v| Some(v.question) == kind);
            let at = at.unwrap_or(progress.verdicts.len().saturating_sub(1));
            let Some(verdict) = progress.verdicts.get_mut(at) else { continue };
            if applied || !verdict.evaluated {
                continue;
            }
            if verdict.effect == Effect::Allow {
                verdict.effect = Effect::Deny;
                verdict.reasons.clear();
            }
            let message = format!("required policy `{id}` did not apply to this request");
            let mut reason = plain(ReasonCode::RequiredPolicyNotApplied, &message);
            reason.policy_id = Some(id.clone());
            verdict.reasons.push(reason);
            progress.denied = true;
        }
    }

    fn conclude(
        &self,
        request: &Request,
        now: SystemTime,
        progress: Progress,
        mut decision: Decision,
    ) -> Decision {
        if progress.denied {
            decision.masked_payload = None;
        } else {
            decision.effect = Effect::Allow;
            decision.obligations = progress.obligations;
        }
        decision.cacheable_for = self.cacheable_for(request, now, &progress.stages);
        decision.shadow.extend(progress.stages.iter().flat_map(|stage| stage.shadow_results()));
        decision.facts = facts::uses(request, now);
        decision.verdicts = progress.verdicts;
        decision.memoised = progress.memoised;
        decision
    }

    /// The shortest time that every policy involved grants, and every fact's age leaves.
    fn cacheable_for(&self, request: &Request, now: SystemTime, stages: &[Arc<Stage>]) -> Option<Duration> {
        if stages.len() != request.questions.len() || stages.iter().any(|stage| stage.failed()) {
            return None;
        }
        let policies = stages.iter().flat_map(|stage| stage.deciding());
        policies
            .map(|position| {
                let policy = self.set.policy(position)?;
                let granted = policy.cacheable_for?;
                Some(facts::valid_for(policy, request, now).map_or(granted, |left| left.min(granted)))
            })
            .reduce(|a, b| a.zip(b).map(|(a, b)| a.min(b)))
            .flatten()
    }
}

impl Pending {
    /// What the request is counted under, in the order of the outcomes given to [`Worker::finish`].
    pub fn counters<'a>(&'a self, set: &'a PolicySet) -> impl Iterator<Item = Counted<'a>> + Clone {
        self.limits.iter().flat_map(|plan| plan.counters(set))
    }

    /// Spends the request's limits in groups, each whole or not at all. The outcomes given to
    /// [`Worker::finish`] are the groups' outcomes, one after the other.
    pub fn spend(
        &self,
        request: &Request,
        set: &PolicySet,
        holder: Uuid,
        store: &dyn LimitStore,
    ) -> Vec<Reply<Vec<LimitOutcome>>> {
        let request_id = request.request_id.as_deref();
        let groups = self.limits.as_ref().map(|plan| plan.groups(set)).unwrap_or_default();
        let spend = |demands: &Vec<LimitDemand<'_>>| {
            store.spend(&Spend { request_id, holder, demands, now: self.now })
        };
        groups.iter().map(spend).collect()
    }
}

impl Progress {
    fn take(&mut self, verdict: Verdict) {
        self.denied |= verdict.effect == Effect::Deny;
        self.verdicts.push(verdict);
    }
}

fn refusal(
    set: &PolicySet,
    position: u32,
    request: &Request,
    now: SystemTime,
) -> Option<(ReasonCode, String)> {
    facts::refusal(set.policy(position)?, request, now)
}

fn is_pure(set: &PolicySet, position: u32) -> bool {
    set.policy(position).is_some_and(|policy| match &policy.body {
        // A stored fact changes, and ages, while the memo's key does not.
        Body::Rules { program, .. } => program.is_pure() && policy.stored.is_empty(),
        Body::Limits(_) => false,
    })
}

/// Turns an outcome with a masking obligation that cannot be carried out into a failure.
fn checked(policy: &Policy, outcome: Outcome) -> Outcome {
    let obligations = match &outcome {
        Outcome::Allow { obligations, .. } | Outcome::Pass { obligations } => obligations.as_slice(),
        Outcome::Deny(_) | Outcome::Abstain | Outcome::Error(_) => &[],
    };
    let fault = obligations.iter().filter(|o| egress::masks(o)).find_map(|o| egress::check(o).err());
    match fault {
        Some(message) => outcome::failure(policy, ReasonCode::PolicyOutputInvalid, &message),
        None => outcome,
    }
}

/// A denial over a payload with findings is about the data.
fn explain_findings(verdict: &mut Verdict, findings: &[Finding]) {
    if !findings.is_empty() {
        for reason in &mut verdict.reasons {
            if reason.code == ReasonCode::PolicyDeny {
                reason.code = ReasonCode::DataBlocked;
            }
        }
    }
}

fn not_evaluated(question: Question) -> Verdict {
    let reason: Reason = plain(ReasonCode::NotEvaluated, "an earlier question was denied");
    Verdict { question, effect: Effect::Deny, reasons: vec![reason], evaluated: false }
}
