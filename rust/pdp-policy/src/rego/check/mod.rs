//! What is refused at load because the engine lacks it or would answer differently from OPA 1.22.

mod builtins;
mod certainty;
mod expression;
mod negation;
pub(super) mod paths;
mod pattern;
mod recursion;
mod scope;
mod statement;
mod text;
mod token;
mod walk;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use regorus::Engine;
use regorus::unstable::{Expr, Module, NodeRef, Parser, Span as EngineSpan};

use crate::diagnostic::{Diagnostic, DiagnosticCode, Span};
use crate::program::Source;
use crate::value::Value;
use recursion::Dependencies;
use scope::Scope;
use world::{Path, World};

/// What is known of the input before any request.
pub(super) struct Guarantees<'a> {
    /// Paths that always exist, such as `input.subject.id`.
    pub(super) input: &'a [&'a str],
    /// Whether `input` itself is always defined and an object.
    pub(super) input_is_object: bool,
}

/// What checking found.
#[derive(Default)]
pub(super) struct Checked {
    /// Every fault.
    pub(super) faults: Vec<Diagnostic>,
    /// Whether no module calls a builtin that depends on anything but its arguments.
    pub(super) is_pure: bool,
    rules: BTreeMap<String, BTreeSet<String>>,
    parts: BTreeSet<Path>,
}

impl Checked {
    /// Whether only rules below `rule` exist, such as `deny.code` for `deny`.
    pub(super) fn is_in_parts(&self, package: &str, rule: &str) -> bool {
        let path: Path = package.split('.').chain([rule]).map(str::to_owned).collect();
        self.parts.contains(&path)
    }

    /// Names of the rules that `package` defines; `None` where no module declares it.
    pub(super) fn rules_of(&self, package: &str) -> Option<&BTreeSet<String>> {
        self.rules.get(package)
    }
}

/// Checks a module's text before it is parsed.
pub(super) fn source_text(module: &Source) -> Vec<Diagnostic> {
    text::check(module)
}

/// Checks parsed modules.
pub(super) fn modules(engine: &mut Engine, data: &Value, known: &Guarantees<'_>) -> Checked {
    let modules = engine.get_modules();
    let world = World::new(modules, data, known);
    let mut checked = Checked { is_pure: true, ..Checked::default() };
    let mut dependencies = Dependencies::default();
    for module in modules {
        let Some(package) = paths::components(&module.package.refr) else { continue };
        let rules = checked.rules.entry(package.join(".")).or_default();
        rules.extend(module.policy.iter().filter_map(|rule| paths::rule_name(rule)));
        for rule in &module.policy {
            let name = world::static_prefix(paths::rule_reference(rule)).into_iter().next();
            let path: Path = package.iter().cloned().chain(name).collect();
            if !world.rules.contains_key(&path) && world.has_rules_below(&path) {
                checked.parts.insert(path);
            }
        }
        let mut checker = Checker::new(&world, &package, imports(module), &mut dependencies);
        checker.module(module);
        checked.is_pure &= checker.is_pure;
        checked.faults.append(&mut checker.faults);
    }
    checked.faults.extend(world.data_conflicts(modules));
    checked.faults.extend(dependencies.faults());
    checked.faults.sort_by(|a, b| (&a.file, a.span).cmp(&(&b.file, b.span)));
    checked.faults.dedup();
    checked
}

/// Checks a free query.
pub(super) fn query(engine: &mut Engine, query: &str, data: &Value) -> Vec<Diagnostic> {
    let source = Source { path: "query".to_owned(), text: query.into() };
    let refused = text::check(&source);
    if !refused.is_empty() {
        return refused;
    }
    let known = Guarantees { input: &[], input_is_object: false };
    let world = World::new(engine.get_modules(), data, &known);
    let mut dependencies = Dependencies::default();
    let mut checker = Checker::new(&world, &[], BTreeMap::new(), &mut dependencies);
    let Ok(source) = regorus::Source::from_contents("query".to_owned(), query.to_owned()) else {
        return Vec::new();
    };
    let parsed = Parser::new(&source).and_then(|mut parser| {
        parser.enable_rego_v1()?;
        parser.parse_user_query()
    });
    // What does not parse is reported when the query is evaluated.
    if let Ok(parsed) = parsed {
        checker.query(&parsed, |_| {});
    }
    checker.faults
}

/// Where a reference leads.
enum Root {
    Local,
    /// The path below `input`.
    Input(Path),
    /// The path below `data`.
    Data(Path),
}

/// Walks one module.
struct Checker<'a, 'w> {
    world: &'a World<'w>,
    package: &'a [String],
    imports: BTreeMap<String, Path>,
    dependencies: &'a mut Dependencies,
    scopes: Vec<Scope>,
    /// Path of the rule being walked.
    rule: Path,
    /// Levels of expressions and iterations around the current place, and the most the rule reaches.
    level: usize,
    deepest: usize,
    is_pure: bool,
    faults: Vec<Diagnostic>,
}

impl<'a, 'w> Checker<'a, 'w> {
    fn new(
        world: &'a World<'w>,
        package: &'a [String],
        imports: BTreeMap<String, Path>,
        dependencies: &'a mut Dependencies,
    ) -> Self {
        let (scopes, rule, faults) = (Vec::new(), Vec::new(), Vec::new());
        let (level, deepest, is_pure) = (0, 0, true);
        Self { world, package, imports, dependencies, scopes, rule, level, deepest, is_pure, faults }
    }

    fn refuse(&mut self, span: &EngineSpan, code: DiagnosticCode, message: impl Into<String>) {
        self.faults.push(Diagnostic {
            file: span.source.file().clone(),
            span: Some(Span { row: span.line, column: span.col }),
            code,
            message: message.into(),
        });
    }

    /// Where the name `root` followed by `rest` leads from here.
    fn resolve(&self, root: &str, rest: &[String]) -> Root {
        let joined = |base: &[String]| [base, rest].concat();
        if self.scopes.iter().any(|scope| scope.declared.contains(root)) {
            return Root::Local;
        }
        match root {
            "input" => return Root::Input(rest.to_vec()),
            "data" => return Root::Data(rest.to_vec()),
            _ => {}
        }
        if let Some((first, path)) = self.imports.get(root).and_then(|path| path.split_first()) {
            return if first == "input" { Root::Input(joined(path)) } else { Root::Data(joined(path)) };
        }
        let mut own = self.package.to_vec();
        own.push(root.to_owned());
        if !self.package.is_empty() && self.world.rules.keys().any(|rule| rule.starts_with(&own)) {
            return Root::Data(joined(&own));
        }
        Root::Local
    }

    fn is_bound(&self, name: &str) -> bool {
        self.scopes.iter().any(|scope| scope.bound.contains(name))
    }

    /// The name of the builtin `function` is, unless it is a rule or a local name.
    fn builtin_name(&self, function: &Expr) -> Option<String> {
        let path = paths::components(function)?;
        let (root, rest) = path.split_first()?;
        let is_import = self.imports.contains_key(root);
        match self.resolve(root, rest) {
            Root::Local if !is_import => Some(path.join(".")),
            _ => None,
        }
    }
}

/// What each import of a module stands for, beginning with `data` or `input`.
fn imports(module: &NodeRef<Module>) -> BTreeMap<String, Path> {
    let mut imports = BTreeMap::new();
    for import in &module.imports {
        let Some(path) = paths::components(&import.refr) else { continue };
        let alias = import.r#as.as_ref().map(|name| name.text().to_owned()).or_else(|| path.last().cloned());
        if let (Some(alias), Some("data" | "input")) = (alias, path.first().map(String::as_str)) {
            imports.insert(alias, path);
        }
    }
    imports
}
