//! What the modules define together: rules by path, the data beneath them, and the input that is guaranteed.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Module, NodeRef, Rule, RuleHead};

use super::{Guarantees, paths};
use crate::diagnostic::{Diagnostic, DiagnosticCode, Span};
use crate::value::Value;

/// A path below `data`.
pub(super) type Path = Vec<String>;

/// What kind of document a rule makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RuleKind {
    Complete,
    Set,
    Object,
    Function(usize),
}

/// What is known of the rules with one path.
#[derive(Clone, Debug)]
pub(super) struct RuleInfo {
    pub(super) kind: RuleKind,
    /// Whether it is defined for every input.
    pub(super) is_always_defined: bool,
}

/// All modules together.
pub(super) struct World<'a> {
    pub(super) rules: BTreeMap<Path, RuleInfo>,
    pub(super) packages: BTreeSet<Path>,
    clashes: BTreeSet<Path>,
    defaults: BTreeSet<Path>,
    pub(super) data: &'a Value,
    guaranteed: Vec<Path>,
    pub(super) input_is_object: bool,
}

impl<'a> World<'a> {
    pub(super) fn new(modules: &[NodeRef<Module>], data: &'a Value, known: &Guarantees<'_>) -> Self {
        let guaranteed =
            known.input.iter().map(|path| path.split('.').map(str::to_owned).collect()).collect();
        let mut world = Self {
            rules: BTreeMap::new(),
            packages: BTreeSet::new(),
            clashes: BTreeSet::new(),
            defaults: BTreeSet::new(),
            data,
            guaranteed,
            input_is_object: known.input_is_object,
        };
        for module in modules {
            let Some(package) = paths::components(&module.package.refr) else { continue };
            for rule in &module.policy {
                world.add(&package, rule);
            }
            world.packages.insert(package);
        }
        world
    }

    fn add(&mut self, package: &[String], rule: &Rule) {
        let mut path = package.to_vec();
        path.extend(static_prefix(paths::rule_reference(rule)));
        let kind = kind_of(rule);
        let is_always_defined = match rule {
            Rule::Default { args, .. } => args.is_empty(),
            Rule::Spec { bodies, head, .. } => match kind {
                RuleKind::Set | RuleKind::Object => true,
                RuleKind::Complete => bodies.is_empty() && assigned(head).is_none_or(is_constant),
                RuleKind::Function(_) => false,
            },
        };
        let is_default = matches!(rule, Rule::Default { .. });
        if is_default && !self.defaults.insert(path.clone()) {
            self.clashes.insert(path.clone());
        }
        let is_partial = matches!(kind, RuleKind::Set | RuleKind::Object);
        let known_is_partial =
            self.rules.get(&path).is_some_and(|known| matches!(known.kind, RuleKind::Set | RuleKind::Object));
        if (is_partial && self.defaults.contains(&path)) || (is_default && known_is_partial) {
            self.clashes.insert(path.clone());
        }
        let is_function = |kind| matches!(kind, RuleKind::Function(_));
        if self.rules.get(&path).is_some_and(|known| is_function(known.kind) != is_function(kind)) {
            self.clashes.insert(path.clone());
        }
        let known = self.rules.entry(path).or_insert(RuleInfo { kind, is_always_defined });
        known.is_always_defined |= is_always_defined;
        if matches!(known.kind, RuleKind::Complete) {
            known.kind = kind;
        }
    }

    /// Whether the path is declared in ways that exclude one another: a function and another rule, two
    /// defaults, or a default of a partial rule.
    pub(super) fn is_contradictory(&self, path: &[String]) -> bool {
        self.clashes.contains(path)
    }

    /// Whether the path lies inside a package and is the beginning of rules' names, as `a` is for `a.b := 1`.
    pub(super) fn has_rules_below(&self, path: &[String]) -> bool {
        let is_inside = |package: &Path| path.len() > package.len() && path.starts_with(package);
        let is_package = self.packages.iter().any(|package| package.starts_with(path));
        let is_below = |rule: &Path| rule.len() > path.len() && rule.starts_with(path);
        !is_package && self.packages.iter().any(is_inside) && self.rules.keys().any(is_below)
    }

    /// Whether the input path is there in every request.
    pub(super) fn has_input(&self, path: &[String]) -> bool {
        if path.is_empty() {
            return self.input_is_object;
        }
        self.guaranteed.iter().any(|known| {
            let known = known.strip_prefix(&["input".to_owned()]).unwrap_or(known);
            known.starts_with(path)
        })
    }

    /// Whether any input path is guaranteed.
    pub(super) fn has_guarantees(&self) -> bool {
        !self.guaranteed.is_empty()
    }

    /// Whether the path below `data` is defined for every input.
    pub(super) fn has_data(&self, path: &[String]) -> bool {
        if let Some((rest, info)) = self.rule_at(path) {
            return rest == 0 && info.is_always_defined && !matches!(info.kind, RuleKind::Function(_));
        }
        let is_virtual = self.rules.keys().chain(&self.packages).any(|known| known.starts_with(path));
        !is_virtual && path.iter().try_fold(self.data, |value, name| value.get(name)).is_some()
    }

    /// Rules that stand where `data` already has a value, which OPA refuses to load.
    pub(super) fn data_conflicts(&self, modules: &[NodeRef<Module>]) -> Vec<Diagnostic> {
        let mut faults = Vec::new();
        for module in modules {
            let Some(package) = paths::components(&module.package.refr) else { continue };
            for rule in &module.policy {
                let mut path = package.clone();
                path.extend(static_prefix(paths::rule_reference(rule)));
                let Some(first) = path.get(..=package.len()) else { continue };
                if first.iter().try_fold(self.data, |value, name| value.get(name)).is_some() {
                    let span = rule.span();
                    faults.push(Diagnostic {
                        file: span.source.file().clone(),
                        span: Some(Span { row: span.line, column: span.col }),
                        code: DiagnosticCode::Document,
                        message: format!(
                            "rule `{}` stands where data has a value: rename one",
                            path.join(".")
                        ),
                    });
                }
            }
        }
        faults
    }

    /// The rule whose path is the longest prefix of `path`, and how many components remain.
    pub(super) fn rule_at(&self, path: &[String]) -> Option<(usize, &RuleInfo)> {
        (1..=path.len()).rev().find_map(|length| {
            let info = self.rules.get(path.get(..length)?)?;
            Some((path.len() - length, info))
        })
    }

    /// The number of arguments of the function at `path`.
    pub(super) fn function_at(&self, path: &[String]) -> Option<usize> {
        match self.rules.get(path)?.kind {
            RuleKind::Function(arguments) => Some(arguments),
            _ => None,
        }
    }
}

fn kind_of(rule: &Rule) -> RuleKind {
    match rule {
        Rule::Default { args, .. } if args.is_empty() => RuleKind::Complete,
        Rule::Default { args, .. } => RuleKind::Function(args.len()),
        Rule::Spec { head: RuleHead::Func { args, .. }, .. } => RuleKind::Function(args.len()),
        Rule::Spec { head: RuleHead::Set { .. }, .. } => RuleKind::Set,
        Rule::Spec { head: RuleHead::Compr { refr, .. }, .. } => match refr.as_ref() {
            Expr::RefBrack { .. } => RuleKind::Object,
            _ => RuleKind::Complete,
        },
    }
}

fn assigned(head: &RuleHead) -> Option<&Expr> {
    match head {
        RuleHead::Compr { assign, .. } | RuleHead::Func { assign, .. } => {
            assign.as_ref().map(|assign| assign.value.as_ref())
        }
        RuleHead::Set { .. } => None,
    }
}

/// Scalars and collections of them.
pub(super) fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::String { .. }
        | Expr::RawString { .. }
        | Expr::Number { .. }
        | Expr::Bool { .. }
        | Expr::Null { .. } => true,
        Expr::Array { items, .. } | Expr::Set { items, .. } => items.iter().all(|item| is_constant(item)),
        Expr::Object { fields, .. } => {
            fields.iter().all(|(_, key, value)| is_constant(key) && is_constant(value))
        }
        Expr::UnaryExpr { expr, .. } => is_constant(expr),
        _ => false,
    }
}

/// The components of a reference up to the first that is computed.
pub(super) fn static_prefix(expr: &Expr) -> Path {
    let mut steps = Vec::new();
    let mut at = expr;
    loop {
        match at {
            Expr::RefDot { refr, field, .. } => {
                steps.push(Some(field.0.text().to_owned()));
                at = refr;
            }
            Expr::RefBrack { refr, index, .. } => {
                steps.push(match index.as_ref() {
                    Expr::String { value, .. } | Expr::RawString { value, .. } => {
                        value.as_string().ok().map(ToString::to_string)
                    }
                    _ => None,
                });
                at = refr;
            }
            Expr::Var { span, .. } => {
                steps.push(Some(span.text().to_owned()));
                break;
            }
            _ => break,
        }
    }
    steps.into_iter().rev().map_while(|step| step).collect()
}
