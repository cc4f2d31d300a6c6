//! Where the limits of a list stand in its text.

use pdp_policy::Span;

/// Places of a list's limits, found in one walk.
pub(super) struct Places<'t> {
    text: &'t str,
    /// First byte of each row.
    rows: Vec<usize>,
    /// Where the name of each limit stands.
    names: Vec<usize>,
}

impl<'t> Places<'t> {
    /// The places of the limits called `names`, which stand in the order of the text.
    pub(super) fn new(text: &'t str, names: impl Iterator<Item = &'t str>) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let rows = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        let mut from = 0;
        let place = |name: &str| {
            let found = named(text, from, name);
            from = found.unwrap_or(from);
            from
        };
        Self { text, rows, names: names.map(place).collect() }
    }

    /// Where `part` of the limit at `position` stands: the limit's name where it is folded over lines.
    pub(super) fn of(&self, position: usize, part: &str) -> Span {
        let offset = self.names.get(position).copied().unwrap_or(0);
        let end =
            self.names.get(position + 1).copied().filter(|end| *end > offset).unwrap_or(self.text.len());
        let found = self.text.get(offset..end).and_then(|text| text.find(part)).unwrap_or(0);
        self.span(offset + found)
    }

    fn span(&self, offset: usize) -> Span {
        let row = self.rows.partition_point(|start| *start <= offset);
        let start = row.checked_sub(1).and_then(|row| self.rows.get(row)).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |head| head.chars().count());
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Span { row: number(row), column: number(column).saturating_add(1) }
    }
}

/// Where `name` stands as the value of `name:`, from `from` on.
fn named(text: &str, from: usize, name: &str) -> Option<usize> {
    let rest = text.get(from..)?;
    rest.match_indices("name:").find_map(|(at, key)| {
        let value = rest.get(at + key.len()..)?;
        let bare = value.trim_start_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'');
        let after = bare.strip_prefix(name)?;
        let ends = !after.starts_with(|c: char| c.is_alphanumeric() || "-_./".contains(c));
        ends.then(|| from + at + key.len() + value.len() - bare.len())
    })
}
