//! The CEL policy YAML format: from a document to a plan.

use super::lower::{Pool, Variable};
use super::plan::{Entry, Match, Outcome, Placed, Plan, Rule};
use super::types::Kind;
use super::unit;
use super::yaml::{self, Content, Node, document};
use crate::diagnostic::{Diagnostic, DiagnosticCode};
use crate::program::Source;
use crate::schema::{Schema, nearest};

/// Longest policy document, in bytes.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
/// Most expressions in one document.
const MAX_EXPRESSIONS: usize = 2_000;
/// Deepest nesting of rules.
const MAX_RULES: usize = 8;

/// Compiles the document in `source`.
pub(super) fn compile(source: &Source, schema: Schema) -> Result<Plan, Vec<Diagnostic>> {
    if source.text.len() > MAX_DOCUMENT_BYTES {
        return Err(vec![Diagnostic {
            file: source.path.clone(),
            span: None,
            code: DiagnosticCode::TooLarge,
            message: format!("the policy is longer than {MAX_DOCUMENT_BYTES} bytes"),
        }]);
    }
    let root = yaml::read(&source.path, &source.text).map_err(|fault| vec![fault])?;
    let mut builder = Builder {
        source,
        schema,
        units: Vec::new(),
        variables: Vec::new(),
        visible: Vec::new(),
        pool: Pool::default(),
        faults: Vec::new(),
        rules: 0,
    };
    let rule = builder.policy(&root);
    match rule {
        Some(rule) if builder.faults.is_empty() => Ok(Plan {
            file: source.path.clone(),
            units: builder.units,
            variables: builder.variables,
            pool: builder.pool,
            entry: Entry::Rule(rule),
        }),
        _ => Err(builder.faults),
    }
}

/// The policy's name, for the results of its tests.
pub(super) fn name(source: &Source) -> Option<String> {
    let root = yaml::read(&source.path, &source.text).ok()?;
    let Content::Map(entries) = &root.content else { return None };
    let (_, value) = entries.iter().find(|(key, _)| key.as_text() == Some("name"))?;
    value.as_text().map(str::to_owned)
}

struct Builder<'a> {
    source: &'a Source,
    schema: Schema,
    units: Vec<Placed>,
    variables: Vec<usize>,
    /// Variables of the rules around the place that is being read.
    visible: Vec<Variable>,
    pool: Pool,
    faults: Vec<Diagnostic>,
    rules: usize,
}

impl<'a> Builder<'a> {
    fn fault(&mut self, node: &Node, message: impl Into<String>) {
        self.faults.push(document(&self.source.path, node.span, message.into()));
    }

    /// The values under `keys`, in their order; other keys are faults.
    fn fields<'n, const N: usize>(
        &mut self,
        node: &'n Node,
        what: &str,
        keys: [&'static str; N],
    ) -> Option<[Option<&'n Node>; N]> {
        let Content::Map(entries) = &node.content else {
            self.fault(node, format!("{what} must be a map"));
            return None;
        };
        let mut found = [None; N];
        for (key, value) in entries {
            let name = key.as_text().unwrap_or_default();
            match keys.iter().position(|known| *known == name).and_then(|at| found.get_mut(at)) {
                Some(place) => *place = Some(value),
                None if name == "imports" => {
                    self.fault(key, "`imports` is not supported: types are built in, remove it");
                }
                None => {
                    let hint = nearest(keys.iter().copied(), name);
                    let hint = hint.map(|known| format!(", did you mean `{known}`")).unwrap_or_default();
                    self.fault(key, format!("{what} has no key `{name}`{hint}"));
                }
            }
        }
        Some(found)
    }

    fn text<'n>(&mut self, node: Option<&'n Node>, what: &str) -> Option<&'n str> {
        let node = node?;
        let text = node.as_text().filter(|text| !text.trim().is_empty());
        if text.is_none() {
            self.fault(node, format!("{what} must be text"));
        }
        text
    }

    fn items<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.content {
            Content::List(items) if !items.is_empty() => items,
            _ => {
                self.fault(node, format!("{what} must be a list of at least one entry"));
                &[]
            }
        }
    }

    fn policy(&mut self, root: &Node) -> Option<Rule> {
        let [name, description, rule] = self.fields(root, "a policy", ["name", "description", "rule"])?;
        if name.is_none() {
            self.fault(root, "a policy needs a `name`");
        }
        self.text(name, "`name`");
        self.text(description, "`description`");
        match rule {
            Some(rule) => self.rule(rule),
            None => {
                self.fault(root, "a policy needs a `rule`");
                None
            }
        }
    }

    fn rule(&mut self, node: &Node) -> Option<Rule> {
        let [id, description, variables, matches] =
            self.fields(node, "a rule", ["id", "description", "variables", "match"])?;
        self.text(id, "`id`");
        self.text(description, "`description`");
        self.rules += 1;
        if self.rules > MAX_RULES {
            self.fault(node, format!("rules are nested more than {MAX_RULES} deep"));
            return None;
        }
        let outside = self.visible.len();
        if let Some(variables) = variables {
            for item in self.items(variables, "`variables`") {
                self.variable(item, outside);
            }
        }
        let mut rule = Rule { matches: Vec::new() };
        match matches {
            Some(matches) => {
                let items = self.items(matches, "`match`");
                for (at, item) in items.iter().enumerate() {
                    rule.matches.extend(self.choice(item, at + 1 == items.len()));
                }
            }
            None => self.fault(node, "a rule needs a `match`"),
        }
        self.visible.truncate(outside);
        self.rules -= 1;
        Some(rule)
    }

    fn variable(&mut self, node: &Node, outside: usize) {
        let keys = ["name", "expression", "description"];
        let Some([name, expression, _]) = self.fields(node, "a variable", keys) else { return };
        let (Some(name_node), Some(expression)) = (name, expression) else {
            return self.fault(node, "a variable needs a `name` and an `expression`");
        };
        let Some(name) = self.text(name, "`name`").map(str::to_owned) else { return };
        if !is_identifier(&name) {
            return self.fault(name_node, format!("`{name}` is no identifier"));
        }
        if self.visible.iter().skip(outside).any(|variable| variable.name == name) {
            return self.fault(name_node, format!("the variable `{name}` is already defined in this rule"));
        }
        let unit = self.expression(expression, &format!("variable {name}"));
        // A faulty variable is declared all the same, so that its uses are no faults too.
        let found = unit.and_then(|unit| self.units.get(unit));
        let (depth, kind) =
            found.map_or((0, Kind::Unknown), |placed| (placed.unit.depth, placed.unit.kind.clone()));
        self.visible.push(Variable { name, index: self.variables.len(), depth, kind });
        self.variables.push(unit.unwrap_or(usize::MAX));
    }

    fn choice(&mut self, node: &Node, last: bool) -> Option<Match> {
        let keys = ["condition", "output", "explanation", "rule"];
        let [condition, output, explanation, rule] = self.fields(node, "a match", keys)?;
        let always = condition.is_none_or(|condition| condition.as_text().map(str::trim) == Some("true"));
        let condition =
            condition.filter(|_| !always).map(|condition| self.expression(condition, "condition"));
        let outcome = self.outcome(node, output, explanation, rule);
        let ends = match &outcome {
            Some(Outcome::Output { .. }) => true,
            Some(Outcome::Rule(nested)) => nested.always_answers(),
            None => false,
        };
        if always && ends && !last {
            self.fault(node, "this match always answers, so those after it are never reached");
        }
        // Each expression is looked at before any of them ends the match: all faults are shown.
        match condition {
            Some(condition) => Some(Match { condition: Some(condition?), outcome: outcome? }),
            None => Some(Match { condition: None, outcome: outcome? }),
        }
    }

    fn outcome(
        &mut self,
        node: &Node,
        output: Option<&Node>,
        explanation: Option<&Node>,
        rule: Option<&Node>,
    ) -> Option<Outcome> {
        match (output, rule) {
            (Some(output), None) => {
                let output = self.expression(output, "output");
                let explanation = explanation.map(|explanation| self.expression(explanation, "explanation"));
                let explanation = match explanation {
                    Some(explanation) => Some(explanation?),
                    None => None,
                };
                Some(Outcome::Output { output: output?, explanation })
            }
            (None, Some(rule)) => {
                if let Some(explanation) = explanation {
                    self.fault(explanation, "`explanation` stands beside an `output`");
                }
                Some(Outcome::Rule(self.rule(rule)?))
            }
            _ => {
                self.fault(node, "a match needs either an `output` or a `rule`");
                None
            }
        }
    }

    fn expression(&mut self, node: &Node, role: &str) -> Option<usize> {
        let text = self.text(Some(node), "an expression")?;
        if self.units.len() >= MAX_EXPRESSIONS {
            self.fault(node, format!("a policy has at most {MAX_EXPRESSIONS} expressions"));
            return None;
        }
        match unit(text, self.schema, &self.visible, &mut self.pool) {
            Ok(unit) => {
                let wanted = match role {
                    "condition" => Kind::Bool,
                    "explanation" => Kind::Text,
                    _ => Kind::Unknown,
                };
                if wanted != Kind::Unknown && !unit.kind.may_be(&wanted) {
                    let message = format!("must be a {}, is {}", wanted.name(), unit.kind.with_article());
                    self.fault(node, message);
                }
                self.units.push(Placed { unit, span: node.span, role: role.to_owned() });
                Some(self.units.len() - 1)
            }
            Err(faults) => {
                let placed = faults.into_iter().map(|fault| Diagnostic {
                    file: self.source.path.clone(),
                    span: Some(node.place_of(&self.source.text, fault.at)),
                    code: fault.code,
                    message: fault.message,
                });
                self.faults.extend(placed);
                None
            }
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
