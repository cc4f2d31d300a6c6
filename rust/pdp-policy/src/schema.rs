//! What an input document may hold, as the owner of the questions declares it,
//! so that a policy that misspells a name is refused when it is loaded.

/// A declared document: its top-level names.
///
/// A field that is not declared cannot be read by a CEL policy. Maps and
/// [`Shape::Any`] are open: whatever lies below them is not checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Schema {
    /// Top-level names, such as `subject`. A name of shape [`Shape::Now`] is the time of
    /// the request, taken from the budget and not from the document.
    pub fields: &'static [Field],
    /// Names under which CEL reads top-level fields whose own name it reserves, each with
    /// the field's name.
    pub cel_names: &'static [(&'static str, &'static str)],
}

/// A declared field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// Whether the field is there whenever its parent is. Top-level names are never guaranteed.
    pub guaranteed: bool,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A boolean.
    Bool,
    /// A whole number.
    Int,
    /// A floating-point number.
    Float,
    /// Text.
    Text,
    /// Raw bytes.
    Bytes,
    /// The time of the request.
    Now,
    /// A list.
    List(&'static Shape),
    /// A map from names the caller chooses.
    Map(&'static Shape),
    /// A message of documented fields and no others.
    Message(&'static [Field]),
    /// Any value.
    Any,
}

/// A name that is not declared where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// The name.
    pub name: String,
    /// The path before it, dotted; empty at the top.
    pub parent: String,
    /// A declared name that looks alike.
    pub suggestion: Option<&'static str>,
}

impl Schema {
    /// The shape at `path`; [`Shape::Any`] below open maps, lists and scalars.
    ///
    /// # Errors
    /// The first name along the path that is not declared.
    pub fn shape<S: AsRef<str>>(&self, path: &[S]) -> Result<Shape, UnknownName> {
        let mut shape = Shape::Message(self.fields);
        for (at, step) in path.iter().enumerate() {
            shape = match shape {
                Shape::Message(fields) => {
                    find(fields, step.as_ref()).map(|field| field.shape).ok_or_else(|| UnknownName {
                        name: step.as_ref().to_owned(),
                        parent: join(path.get(..at).unwrap_or_default()),
                        suggestion: nearest(fields.iter().map(|field| field.name), step.as_ref()),
                    })?
                }
                Shape::Map(inner) => *inner,
                _ => Shape::Any,
            };
        }
        Ok(shape)
    }

    /// The top-level field that CEL reads as `name`.
    #[must_use]
    pub fn cel_field<'a>(&self, name: &'a str) -> &'a str {
        self.cel_names.iter().find(|(cel, _)| *cel == name).map_or(name, |(_, field)| field)
    }

    /// Whether the value at `path` exists whenever its top-level name does.
    #[must_use]
    pub fn is_guaranteed<S: AsRef<str>>(&self, path: &[S]) -> bool {
        let mut shape = Shape::Message(self.fields);
        for (depth, step) in path.iter().enumerate() {
            let Shape::Message(fields) = shape else { return false };
            match find(fields, step.as_ref()) {
                Some(field) if depth == 0 || field.guaranteed => shape = field.shape,
                _ => return false,
            }
        }
        !path.is_empty()
    }
}

fn find<'a>(fields: &'a [Field], name: &str) -> Option<&'a Field> {
    fields.iter().find(|field| field.name == name)
}

fn join<S: AsRef<str>>(path: &[S]) -> String {
    path.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(".")
}

/// The name among `names` that differs from `wanted` in at most a third of its letters.
pub(crate) fn nearest<'a>(names: impl Iterator<Item = &'a str>, wanted: &str) -> Option<&'a str> {
    let limit = wanted.chars().count().div_ceil(3).max(1);
    names
        .map(|name| (edit_distance(name, wanted), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein distance, by one row of the Wagner-Fischer table.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        if let Some(first) = row.first_mut() {
            *first = before;
        }
        for (cell, r) in row.iter_mut().skip(1).zip(&right) {
            let substituted = diagonal + usize::from(l != *r);
            diagonal = *cell;
            before = substituted.min(before + 1).min(diagonal + 1);
            *cell = before;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: Schema = Schema {
        fields: &[Field {
            name: "subject",
            shape: Shape::Message(&[
                Field { name: "id", shape: Shape::Text, guaranteed: false },
                Field { name: "roles", shape: Shape::List(&Shape::Text), guaranteed: true },
                Field { name: "attributes", shape: Shape::Map(&Shape::Any), guaranteed: true },
            ]),
            guaranteed: false,
        }],
        cel_names: &[],
    };

    #[test]
    fn misspelt_field_is_unknown_and_the_near_name_is_suggested() {
        let unknown = SCHEMA.shape(&["subject", "rolez"]).unwrap_err();
        assert_eq!((unknown.parent.as_str(), unknown.suggestion), ("subject", Some("roles")));
        assert_eq!(SCHEMA.shape(&["subject", "zzzzzz"]).unwrap_err().suggestion, None);
    }

    #[test]
    fn below_an_open_map_every_name_is_known() {
        assert!(matches!(SCHEMA.shape(&["subject", "attributes", "x", "y"]), Ok(Shape::Any)));
    }

    #[test]
    fn only_fields_marked_so_are_guaranteed() {
        assert!(SCHEMA.is_guaranteed(&["subject", "roles"]));
        assert!(!SCHEMA.is_guaranteed(&["subject", "id"]));
        assert!(!SCHEMA.is_guaranteed(&["subject", "attributes", "x"]));
        assert!(!SCHEMA.is_guaranteed(&["nothing"]));
    }
}
