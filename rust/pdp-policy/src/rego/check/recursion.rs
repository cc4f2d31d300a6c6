//! Rules that depend on themselves, and chains of rules too long for the stack.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::Span as EngineSpan;

use super::world::Path;
use crate::diagnostic::{Diagnostic, DiagnosticCode, Span};

/// Levels of expressions and iterations that rules reading one another may stack up; measured so that a
/// thread with 2 MiB of stack keeps a reserve in builds without optimisation.
const MAX_LEVELS: usize = 600;

/// Which rule reads which path.
#[derive(Default)]
pub(super) struct Dependencies {
    places: BTreeMap<Path, (String, Span)>,
    edges: BTreeMap<Path, BTreeSet<Path>>,
    levels: BTreeMap<Path, usize>,
}

/// How far the search has come with a rule.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Levels it stacks up at most.
    Done(usize),
}

impl Dependencies {
    /// Names a rule and its place.
    pub(super) fn declare(&mut self, rule: &[String], span: &EngineSpan) {
        let place = (span.source.file().clone(), Span { row: span.line, column: span.col });
        self.places.entry(rule.to_vec()).or_insert(place);
    }

    /// Notes that `rule` reads `path`.
    pub(super) fn add(&mut self, rule: &[String], path: Path) {
        self.edges.entry(rule.to_vec()).or_default().insert(path);
    }

    /// Notes how many levels `rule` stacks up by itself.
    pub(super) fn weigh(&mut self, rule: &[String], levels: usize) {
        let known = self.levels.entry(rule.to_vec()).or_default();
        *known = levels.max(*known);
    }

    /// Every rule that depends on itself or stacks up too many levels.
    pub(super) fn faults(&self) -> Vec<Diagnostic> {
        let mut states: BTreeMap<&Path, State> = BTreeMap::new();
        let mut faults = Vec::new();
        for rule in self.places.keys() {
            self.search(rule, &mut states, &mut faults);
        }
        faults
    }

    /// The rules a rule reads: those at, above or below each path.
    fn read_by(&self, rule: &Path) -> Vec<&Path> {
        let mut read = BTreeSet::new();
        for path in self.edges.get(rule).into_iter().flatten() {
            for length in 1..=path.len() {
                read.extend(
                    path.get(..length).and_then(|path| self.places.get_key_value(path)).map(|(path, _)| path),
                );
            }
            let below = self.places.range(path.clone()..).map(|(known, _)| known);
            read.extend(below.take_while(|known| known.starts_with(path)));
        }
        read.into_iter().collect()
    }

    /// Depth-first without recursion, as chains may be as long as there are rules.
    fn search<'a>(
        &'a self,
        first: &'a Path,
        states: &mut BTreeMap<&'a Path, State>,
        faults: &mut Vec<Diagnostic>,
    ) {
        if states.contains_key(first) {
            return;
        }
        states.insert(first, State::Open);
        let mut stack = vec![(first, self.read_by(first), 0_usize)];
        while let Some((rule, unread, longest)) = stack.last_mut() {
            let rule: &'a Path = rule;
            let Some(next) = unread.pop() else {
                let own = self.levels.get(rule).copied().unwrap_or_default() + 1;
                let length = *longest + own;
                states.insert(rule, State::Done(length));
                if length > MAX_LEVELS && *longest <= MAX_LEVELS {
                    let message = format!(
                        "the rule and those it reads nest more than {MAX_LEVELS} levels of expressions and iterations"
                    );
                    faults.extend(self.fault(rule, DiagnosticCode::TooLarge, message));
                }
                stack.pop();
                if let Some((_, _, longest)) = stack.last_mut() {
                    *longest = (*longest).max(length);
                }
                continue;
            };
            match states.get(next) {
                Some(State::Done(length)) => *longest = (*longest).max(*length),
                Some(State::Open) => {
                    let message = format!("rule `{}` depends on itself", next.join("."));
                    faults.extend(self.fault(next, DiagnosticCode::RegoSyntax, message));
                }
                None => {
                    states.insert(next, State::Open);
                    let read = self.read_by(next);
                    stack.push((next, read, 0));
                }
            }
        }
    }

    fn fault(&self, rule: &Path, code: DiagnosticCode, message: String) -> Option<Diagnostic> {
        let (file, span) = self.places.get(rule)?;
        Some(Diagnostic { file: file.clone(), span: Some(*span), code, message })
    }
}
