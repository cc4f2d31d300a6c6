//! From sources to an engine that holds parsed modules and data.

use regorus::Engine;

use super::{convert, extension, fault::Fault};
use crate::diagnostic::{Diagnostic, DiagnosticCode};
use crate::program::Source;
use crate::value::Value;

/// Parsed modules with their data.
pub(super) struct Loaded {
    /// Not yet prepared for evaluation.
    pub(super) engine: Engine,
}

/// Parses `modules` and loads `data`.
///
/// # Errors
/// Every module that does not parse, and data that cannot be held.
pub(super) fn load(modules: &[Source], data: &Value) -> Result<Loaded, Vec<Diagnostic>> {
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(false);
    engine.set_gather_prints(true);
    let mut faults = Vec::new();
    for module in modules {
        let refused = super::check::source_text(module);
        if refused.is_empty() {
            faults.extend(parse(&mut engine, module));
        } else {
            faults.extend(refused);
        }
    }
    if let Err(error) = convert::to_rego(data).map_err(|error| error.to_string()).and_then(|data| {
        let added = if matches!(data, regorus::Value::Null) { Ok(()) } else { engine.add_data(data) };
        added.map_err(|error| Fault::parse(&error).into_message())
    }) {
        faults.push(Diagnostic {
            file: "data".to_owned(),
            span: None,
            code: DiagnosticCode::Document,
            message: error,
        });
    }
    if faults.is_empty() { Ok(Loaded { engine }) } else { Err(faults) }
}

fn parse(engine: &mut Engine, module: &Source) -> Option<Diagnostic> {
    let error = engine.add_policy(module.path.clone(), module.text.to_string()).err()?;
    let too_large = ["exceeds maximum allowed", "exceeds maximum", "depth"];
    let text = error.to_string();
    let code = if too_large.iter().any(|part| text.contains(part)) {
        DiagnosticCode::TooLarge
    } else {
        DiagnosticCode::RegoSyntax
    };
    Some(Fault::parse(&error).into_diagnostic(&module.path, code))
}

impl Loaded {
    /// Adds the product's builtins and has the engine analyse the modules.
    ///
    /// # Errors
    /// What the engine finds wrong across modules, such as unsafe variables.
    pub(super) fn prepare(&mut self, file: &str) -> Result<(), Vec<Diagnostic>> {
        let fault = |error: &anyhow::Error| {
            vec![Fault::parse(error).into_diagnostic(file, DiagnosticCode::RegoSyntax)]
        };
        extension::install(&mut self.engine).map_err(|error| fault(&error))?;
        // The engine prepares itself on its first evaluation; a path no rule has makes it stop right after.
        match self.engine.eval_rule("data.\u{1}".to_owned()) {
            Err(error) if !error.to_string().starts_with("not a valid rule path") => Err(fault(&error)),
            _ => Ok(()),
        }
    }
}
