//! Finds reads of stored facts that a policy's entry does not name: such a read would be undefined for
//! ever, and a denial that hangs on it would never come.

use pdp_policy::{Diagnostic, DiagnosticCode, Source, Span};

use crate::fact::{FactKind, FactKinds};
use crate::policy_set::EngineKind;
use crate::policy_set::files::fault;

/// A diagnostic for each read in `source` of a kind that is not among `named`.
///
/// It looks at the text and finds `input.facts` and `input["facts"]` in Rego, `facts.<kind>` and
/// `facts["<kind>"]` in CEL. A read that hides better than that is undefined in Rego and an error in CEL.
pub(crate) fn unnamed(source: &Source, engine: EngineKind, named: FactKinds) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (row, line) in (1..).zip(source.text.lines()) {
        let code = line.split('#').next().unwrap_or_default();
        let reads = match engine {
            EngineKind::Rego => rego_reads(code),
            EngineKind::Cel | EngineKind::Limits => cel_reads(code),
        };
        for (at, kind) in reads {
            let missing = kind.map_or(named.is_empty(), |kind| !named.contains(kind));
            if missing {
                let column = code.get(..at).map_or(0, |head| head.chars().count());
                found.push(diagnostic(source, row, column, kind));
            }
        }
    }
    found
}

/// Where Rego code reads stored facts, and of which kind where it says so.
fn rego_reads(code: &str) -> Vec<(usize, Option<FactKind>)> {
    let starts = ["input.facts", "input[\"facts\"]"];
    let reads = starts.into_iter().flat_map(|start| code.match_indices(start)).filter_map(|(at, start)| {
        let rest = code.get(at + start.len()..)?;
        (!begins_with_word(rest) && !ends_with_word(code.get(..at)?)).then(|| (at, kind_of(rest)))
    });
    reads.collect()
}

/// Where CEL code reads a kind of stored facts.
fn cel_reads(code: &str) -> Vec<(usize, Option<FactKind>)> {
    let reads = code.match_indices("facts").filter_map(|(at, start)| {
        let (before, rest) = (code.get(..at)?, code.get(at + start.len()..)?);
        let alone = !ends_with_word(before) && !before.ends_with('.');
        kind_of(rest).filter(|_| alone).map(|kind| (at, Some(kind)))
    });
    reads.collect()
}

fn kind_of(rest: &str) -> Option<FactKind> {
    FactKind::ALL.into_iter().find(|kind| {
        let name = kind.name();
        let dotted = rest.strip_prefix('.').and_then(|rest| rest.strip_prefix(name));
        let quoted = |quote: char| {
            rest.strip_prefix('[')?.strip_prefix(quote)?.strip_prefix(name)?.strip_prefix(quote).map(|_| "")
        };
        dotted.or_else(|| quoted('"')).or_else(|| quoted('\'')).is_some_and(|rest| !begins_with_word(rest))
    })
}

fn begins_with_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn ends_with_word(text: &str) -> bool {
    text.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn diagnostic(source: &Source, row: u32, column: usize, kind: Option<FactKind>) -> Diagnostic {
    let (what, entry) = match kind {
        Some(kind) => (format!("the stored fact of the {}", kind.name()), format!("{}: {{}}", kind.name())),
        None => ("stored facts".to_owned(), "<kind>: {}".to_owned()),
    };
    let message = format!(
        "reads {what}, which the policy's entry does not name: add `stored_facts: {{{entry}}}` to the manifest"
    );
    let span = Some(Span { row, column: u32::try_from(column).unwrap_or(u32::MAX - 1) + 1 });
    Diagnostic { span, ..fault(&source.path, DiagnosticCode::Document, &message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(engine: EngineKind, text: &str, named: &[FactKind]) -> Vec<(u32, u32)> {
        let source = Source { path: "p".to_owned(), text: text.into() };
        let found = unnamed(&source, engine, named.iter().copied().collect());
        found.iter().map(|it| it.span.map(|span| (span.row, span.column)).unwrap()).collect()
    }

    #[test]
    fn a_read_of_a_kind_that_is_not_named_is_found_where_it_stands() {
        let rego = "package p\n\ndeny contains x if input.facts.device.value.bad\n";
        assert_eq!(places(EngineKind::Rego, rego, &[]), [(3, 20)]);
        assert_eq!(places(EngineKind::Rego, rego, &[FactKind::Subject]), [(3, 20)]);
        assert!(places(EngineKind::Rego, rego, &[FactKind::Device]).is_empty());
        assert_eq!(places(EngineKind::Rego, "x := input[\"facts\"]", &[]), [(1, 6)]);
        assert_eq!(places(EngineKind::Cel, "a: facts['device'].value", &[]), [(1, 4)]);
        assert_eq!(places(EngineKind::Limits, "key: facts.subject.value.tier", &[]), [(1, 6)]);
    }

    #[test]
    fn what_only_looks_like_a_read_is_not_one() {
        for text in ["data.facts.device", "input.factsheet", "# input.facts.device", "myinput.facts.device"] {
            assert!(places(EngineKind::Rego, text, &[]).is_empty(), "{text}");
        }
        for text in ["context.facts.device", "artefacts.device", "the facts. Full stop", "facts.devices"] {
            assert!(places(EngineKind::Cel, text, &[]).is_empty(), "{text}");
        }
    }
}
