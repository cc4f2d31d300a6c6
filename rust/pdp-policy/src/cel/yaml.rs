//! YAML with the place of every node, so that a fault in an expression is shown where it stands.

use saphyr_parser::{Event, Parser, ScalarStyle, Span as YamlSpan};

use crate::diagnostic::{Diagnostic, DiagnosticCode, Span};

/// Deepest nesting a policy document may have.
const MAX_DEPTH: usize = 32;
/// Most nodes a policy document may have.
const MAX_NODES: usize = 20_000;

/// A node and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) content: Content,
    pub(super) span: Span,
    /// Characters before the node in its file.
    offset: usize,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A scalar's text; `plain` where it was not quoted, so that `true` and `1` are no text.
    Scalar {
        text: String,
        plain: bool,
        quoted: bool,
    },
    List(Vec<Node>),
    /// Entries in the order of the file.
    Map(Vec<(Node, Node)>),
}

/// Reads the one document of `text`.
pub(super) fn read(file: &str, text: &str) -> Result<Node, Diagnostic> {
    let mut reader = Reader { file, parser: Parser::new_from_str(text), nodes: 0 };
    loop {
        match reader.next()? {
            (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
            (Event::StreamEnd | Event::DocumentEnd, span) => {
                return Err(reader.fault(&span, "the file holds no document"));
            }
            (event, span) => {
                let node = reader.node(event, &span, 0)?;
                reader.end()?;
                return Ok(node);
            }
        }
    }
}

struct Reader<'a> {
    file: &'a str,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, YamlSpan), Diagnostic> {
        match self.parser.next_event() {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => Err(document(
                self.file,
                place(error.marker().line(), error.marker().col()),
                format!("not valid YAML: {}", error.info()),
            )),
            None => Ok((Event::StreamEnd, YamlSpan::default())),
        }
    }

    fn fault(&self, span: &YamlSpan, message: &str) -> Diagnostic {
        document(self.file, place(span.start.line(), span.start.col()), message.to_owned())
    }

    /// Refuses a second document: of two policies in one file only the first would count.
    fn end(&mut self) -> Result<(), Diagnostic> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentEnd | Event::Nothing, _) => {}
                (_, span) => return Err(self.fault(&span, "one file holds one document")),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: &YamlSpan, depth: usize) -> Result<Node, Diagnostic> {
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            let mut fault = self.fault(span, "the document is nested too deeply or has too many nodes");
            fault.code = DiagnosticCode::TooLarge;
            return Err(fault);
        }
        let content = match event {
            Event::Scalar(text, style, anchor, tag) => {
                if anchor != 0 || tag.is_some() {
                    return Err(self.fault(span, "anchors and tags are not allowed"));
                }
                let quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
                Content::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain, quoted }
            }
            Event::SequenceStart(0, None) => Content::List(self.list(depth)?),
            Event::MappingStart(0, None) => Content::Map(self.map(depth)?),
            Event::Alias(_) => return Err(self.fault(span, "aliases are not allowed")),
            _ => return Err(self.fault(span, "anchors and tags are not allowed")),
        };
        let span_start = place(span.start.line(), span.start.col());
        Ok(Node { content, span: span_start, offset: span.start.index() })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Diagnostic> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, &span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Node, Node)>, Diagnostic> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(entries);
            }
            let key = self.node(event, &span, depth + 1)?;
            let Some(name) = key.as_text() else { return Err(self.fault(&span, "a key must be text")) };
            if entries.iter().any(|(seen, _)| seen.as_text() == Some(name)) {
                return Err(self.fault(&span, &format!("the key `{name}` stands twice")));
            }
            let (event, span) = self.next()?;
            let value = self.node(event, &span, depth + 1)?;
            entries.push((key, value));
        }
    }
}

fn place(line: usize, column: usize) -> Span {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Span { row: number(line.max(1)), column: number(column + 1) }
}

/// A fault in the document's shape.
pub(super) fn document(file: &str, span: Span, message: String) -> Diagnostic {
    Diagnostic { file: file.to_owned(), span: Some(span), code: DiagnosticCode::Document, message }
}

impl Node {
    /// The scalar's text.
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The place in `source` of the character at `at` (bytes) of this scalar's text.
    ///
    /// Line folding changes only white space, so the characters that are none are
    /// counted; an escape in a double-quoted scalar shifts the column only.
    pub(super) fn place_of(&self, source: &str, at: usize) -> Span {
        let Some(text) = self.as_text() else { return self.span };
        let text = text.trim_end();
        if at >= text.len() {
            let last = text.char_indices().last().map_or(0, |(last, _)| last);
            let Span { row, column } = self.place_before(source, text, last);
            return Span { row, column: column + 1 };
        }
        self.place_before(source, text, at)
    }

    fn place_before(&self, source: &str, text: &str, at: usize) -> Span {
        let wanted = text.get(..at).unwrap_or(text).chars().filter(|c| !c.is_whitespace()).count();
        let (mut row, mut column) = (self.span.row, self.span.column);
        let mut seen = 0;
        for c in source.chars().skip(self.offset).skip(self.header(source, &mut row, &mut column)) {
            if !c.is_whitespace() {
                if seen == wanted {
                    break;
                }
                seen += 1;
            }
            if c == '\n' {
                (row, column) = (row + 1, 1);
            } else {
                column += 1;
            }
        }
        Span { row, column }
    }

    /// Characters before the scalar's own: a quote, or the line of a block's indicator.
    fn header(&self, source: &str, row: &mut u32, column: &mut u32) -> usize {
        let Content::Scalar { plain, quoted, .. } = self.content else { return 0 };
        if plain {
            return 0;
        }
        if quoted {
            *column += 1;
            return 1;
        }
        let rest: String = source.chars().skip(self.offset).collect();
        if !rest.starts_with(['|', '>']) {
            return 0;
        }
        (*row, *column) = (*row + 1, 1);
        rest.chars().position(|c| c == '\n').map_or(0, |line| line + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_in(source: &str, word: &str) -> (u32, u32) {
        let node = read("p.yaml", source).unwrap();
        let Content::Map(entries) = &node.content else { panic!("no map") };
        let value = &entries[0].1;
        let at = value.as_text().unwrap().find(word).unwrap();
        let span = value.place_of(source, at);
        (span.row, span.column)
    }

    #[test]
    fn place_is_exact_in_every_scalar_style() {
        assert_eq!(place_in("a: b + word\n", "word"), (1, 8));
        assert_eq!(place_in("a: 'b + word'\n", "word"), (1, 9));
        assert_eq!(place_in("a: \"b + word\"\n", "word"), (1, 9));
        assert_eq!(place_in("a: |\n  b\n   + word\n", "word"), (3, 6));
        assert_eq!(place_in("a: >-\n  b\n  + word\n", "word"), (3, 5));
        assert_eq!(place_in("a: b\n  + word\n", "word"), (2, 5));
        assert_eq!(place_in("a: 'ä + word'\n", "word"), (1, 9));
    }

    #[test]
    fn aliases_second_documents_and_double_keys_are_refused() {
        for source in ["a: &x 1\nb: *x\n", "a: 1\n---\nb: 2\n", "a: 1\na: 2\n", "a: !!str 1\n", ""] {
            assert!(read("p.yaml", source).is_err(), "{source}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        assert_eq!(read("p.yaml", &"[".repeat(10_000)).unwrap_err().file, "p.yaml");
    }
}
