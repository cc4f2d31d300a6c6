//! A worker's own evaluators, each made when its policy is first met or warmed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pdp_policy::{Budget, EvalError, Evaluator, Input, Program, Value};

use crate::policy_set::{Body, LimitRule, Policy, PolicySet};
use crate::worker::BudgetOptions;

/// The evaluators of one policy.
enum Prepared {
    Rules(Box<dyn Evaluator>),
    Limits(Vec<PreparedLimit>),
}

/// The evaluators of one limit.
struct PreparedLimit {
    key: Option<Box<dyn Evaluator>>,
    when: Option<Box<dyn Evaluator>>,
    cost: Option<Box<dyn Evaluator>>,
}

/// Evaluators by position of their policy.
pub(crate) struct Evaluators {
    set: Arc<PolicySet>,
    prepared: Vec<Option<Prepared>>,
    budget: BudgetOptions,
    /// Wall time that the caller leaves, whatever the budgets are.
    most_time: Duration,
}

impl Evaluators {
    pub(crate) fn new(set: Arc<PolicySet>, budget: BudgetOptions) -> Self {
        let prepared = (0..set.policies().len()).map(|_| None).collect();
        Self { set, prepared, budget, most_time: Duration::MAX }
    }

    /// Bounds each evaluation from now on.
    pub(crate) fn limit_time(&mut self, most: Option<Duration>) {
        self.most_time = most.unwrap_or(Duration::MAX);
    }

    /// Makes the evaluators of the first `most` policies.
    pub(crate) fn warm(&mut self, most: usize) {
        let set = self.set.clone();
        for (position, slot) in (0u32..).zip(&mut self.prepared).take(most) {
            if let (None, Some(policy)) = (&slot, set.policy(position)) {
                *slot = Some(prepare(policy));
            }
        }
    }

    /// Evaluates the program of the policy at `position`.
    pub(crate) fn rules(
        &mut self,
        position: u32,
        input: &Input,
        now: SystemTime,
    ) -> Result<Option<Value>, EvalError> {
        let budget = self.budget(position, now);
        match self.prepared(position) {
            Some(Prepared::Rules(evaluator)) => evaluator.evaluate(input, &budget),
            _ => Err(lost()),
        }
    }

    /// Evaluates the condition of a limit.
    pub(crate) fn limit_applies(
        &mut self,
        position: u32,
        rule: usize,
        input: &Input,
        now: SystemTime,
    ) -> Result<Option<Value>, EvalError> {
        self.of_limit(position, rule, |limit| &mut limit.when, input, now)
    }

    /// Evaluates the key of a limit.
    pub(crate) fn limit_key(
        &mut self,
        position: u32,
        rule: usize,
        input: &Input,
        now: SystemTime,
    ) -> Result<Option<Value>, EvalError> {
        self.of_limit(position, rule, |limit| &mut limit.key, input, now)
    }

    /// Evaluates the cost of a limit.
    pub(crate) fn limit_cost(
        &mut self,
        position: u32,
        rule: usize,
        input: &Input,
        now: SystemTime,
    ) -> Result<Option<Value>, EvalError> {
        self.of_limit(position, rule, |limit| &mut limit.cost, input, now)
    }

    fn of_limit(
        &mut self,
        position: u32,
        rule: usize,
        part: fn(&mut PreparedLimit) -> &mut Option<Box<dyn Evaluator>>,
        input: &Input,
        now: SystemTime,
    ) -> Result<Option<Value>, EvalError> {
        let budget = self.budget(position, now);
        let Some(Prepared::Limits(limits)) = self.prepared(position) else { return Err(lost()) };
        let limit = limits.get_mut(rule).ok_or_else(lost)?;
        part(limit).as_mut().ok_or_else(lost)?.evaluate(input, &budget)
    }

    fn prepared(&mut self, position: u32) -> Option<&mut Prepared> {
        let slot = self.prepared.get_mut(position as usize)?;
        if slot.is_none() {
            *slot = self.set.policy(position).map(prepare);
        }
        slot.as_mut()
    }

    fn budget(&self, position: u32, now: SystemTime) -> Budget {
        let own = self.set.policy(position).map(|policy| policy.budget).unwrap_or_default();
        Budget {
            time: own.time.unwrap_or(self.budget.time).min(self.most_time).max(Duration::from_micros(1)),
            instructions: own.instructions.unwrap_or(self.budget.instructions),
            memory_bytes: own.memory_bytes.unwrap_or(self.budget.memory_bytes),
            now,
        }
    }
}

fn prepare(policy: &Policy) -> Prepared {
    match &policy.body {
        Body::Rules { program, .. } => Prepared::Rules(program.instantiate()),
        Body::Limits(list) => Prepared::Limits(list.rules.iter().map(prepare_limit).collect()),
    }
}

fn prepare_limit(rule: &LimitRule) -> PreparedLimit {
    let prepare = |program: &Option<Box<dyn Program>>| program.as_ref().map(|it| it.instantiate());
    PreparedLimit { key: prepare(&rule.key), when: prepare(&rule.when), cost: prepare(&rule.cost) }
}

fn lost() -> EvalError {
    EvalError::Policy { message: "the policy set changed shape under its worker".to_owned() }
}
