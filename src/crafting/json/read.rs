//! Reading: an object's fields are taken as slices of the text, then each is read by the rule it must hold to.
//!
//! Fields not asked for are passed over, whatever their order. A field that breaks its rule gives a [`Violation`] with
//! its path.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::crafting::{
    names::Named,
    values::Bounded,
    violation::{InvalidValue, Path, Rule, Violation, char_boundary_before},
};

pub(crate) const ABSENT: &str = "absent";

/// A JSON value as text, and where it is.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a, 'p> {
    raw: &'a str,
    path: Path<'p>,
}

impl<'a> Node<'a, 'a> {
    /// A whole text. It is proven to be JSON when it is read as an object, and not before.
    pub(crate) const fn root(raw: &'a str) -> Self {
        Self { raw, path: Path::Root }
    }
}

impl<'a> Node<'a, '_> {
    /// That this value breaks that rule.
    pub(crate) fn breaks(self, rule: Rule) -> Violation {
        Violation::new(self.path, rule, self.raw)
    }
}

/// An object's fields of interest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object<'a, 'p, const N: usize> {
    path: Path<'p>,
    names: [&'static str; N],
    values: [Option<&'a str>; N],
}

impl<'a, const N: usize> Object<'a, '_, N> {
    pub(crate) fn required<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(Node<'a, '_>) -> Result<T, Violation>,
    ) -> Result<T, Violation> {
        let path = Path::Field(&self.path, name);
        match self.value(name) {
            None => Err(Violation::new(path, Rule::Required, ABSENT)),
            Some("null") => Err(Violation::new(path, Rule::Required, "null")),
            Some(raw) => read(Node { raw, path }),
        }
    }

    pub(crate) fn optional<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(Node<'a, '_>) -> Result<T, Violation>,
    ) -> Result<Option<T>, Violation> {
        match self.value(name) {
            None | Some("null") => Ok(None),
            Some(raw) => read(Node { raw, path: Path::Field(&self.path, name) }).map(Some),
        }
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        let index = self.names.iter().position(|known| *known == name)?;
        self.values.get(index).copied().flatten()
    }
}

/// Reads an object, of whose fields those named are kept.
pub(crate) fn object<'a, 'p, const N: usize>(
    node: Node<'a, 'p>,
    names: [&'static str; N],
) -> Result<Object<'a, 'p, N>, Violation> {
    let mut reader = serde_json::Deserializer::from_str(node.raw);
    let found = reader.deserialize_map(Fields { names: &names });
    let (values, twice) =
        found.and_then(|found| reader.end().map(|()| found)).map_err(|_| not_read(node, Rule::Object))?;
    match twice {
        Some((name, raw)) => Err(Violation::new(Path::Field(&node.path, name), Rule::Once, raw)),
        None => Ok(Object { path: node.path, names, values }),
    }
}

/// Reads every item of an array.
pub(crate) fn list<T>(
    node: Node<'_, '_>,
    mut read: impl FnMut(Node<'_, '_>) -> Result<T, Violation>,
) -> Result<Vec<T>, Violation> {
    let items = Items { path: node.path, read: &mut read, into: Vec::new() };
    match serde_json::Deserializer::from_str(node.raw).deserialize_seq(items) {
        Ok(result) => result,
        Err(_) => Err(not_read(node, Rule::Array)),
    }
}

/// Reads an array of a bounded number of items.
pub(crate) fn bounded_list<T>(
    node: Node<'_, '_>,
    (min, max): (usize, usize),
    read: impl FnMut(Node<'_, '_>) -> Result<T, Violation>,
) -> Result<Vec<T>, Violation> {
    let items = list(node, read)?;
    if !(min..=max).contains(&items.len()) {
        return Err(Violation::new(node.path, Rule::Items { min, max }, &format!("{} items", items.len())));
    }
    Ok(items)
}

pub(crate) fn text<'a>(node: Node<'a, '_>) -> Result<Cow<'a, str>, Violation> {
    let quoted = node.raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match quoted {
        None => Err(node.breaks(Rule::Text)),
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        // Half a surrogate pair is JSON's grammar, but no text.
        Some(_) => serde_json::from_str(node.raw).map(Cow::Owned).map_err(|_| node.breaks(Rule::Text)),
    }
}

pub(crate) fn string(node: Node<'_, '_>) -> Result<String, Violation> {
    text(node).map(Cow::into_owned)
}

/// Reads a string that `T` checks.
pub(crate) fn parsed<T: FromStr<Err = InvalidValue>>(node: Node<'_, '_>) -> Result<T, Violation> {
    text(node)?.parse().map_err(|invalid: InvalidValue| node.breaks(invalid.rule))
}

pub(crate) fn one_of<T: Named>(node: Node<'_, '_>) -> Result<T, Violation> {
    text(node).ok().and_then(|text| T::of(&text)).ok_or_else(|| node.breaks(Rule::OneOf(T::NAMES)))
}

pub(crate) fn uuid(node: Node<'_, '_>) -> Result<Uuid, Violation> {
    text(node)
        .ok()
        // The parser also takes other forms; only the hyphenated one has this length.
        .filter(|text| text.len() == uuid::fmt::Hyphenated::LENGTH)
        .and_then(|text| Uuid::try_parse(&text).ok())
        .ok_or_else(|| node.breaks(Rule::Uuid))
}

pub(crate) fn integer<T: Bounded>(node: Node<'_, '_>) -> Result<T, Violation> {
    let digits = if node.raw == "-0" { "0" } else { node.raw };
    digits.parse().ok().and_then(|number: u64| T::try_from(number).ok()).ok_or_else(|| node.breaks(T::RULE))
}

pub(crate) fn number(node: Node<'_, '_>) -> Result<f64, Violation> {
    // The standard library also reads `inf` and `nan`, which JSON has no word for.
    let is_number = node.raw.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let number = if is_number { node.raw.parse().ok() } else { None };
    number.filter(|number: &f64| number.is_finite()).ok_or_else(|| node.breaks(Rule::Number))
}

pub(crate) fn boolean(node: Node<'_, '_>) -> Result<bool, Violation> {
    match node.raw {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(node.breaks(Rule::Boolean)),
    }
}

/// Why a value was not read: it is no JSON, or JSON of another kind.
fn not_read(node: Node<'_, '_>, rule: Rule) -> Violation {
    match serde_json::from_str::<IgnoredAny>(node.raw) {
        Ok(_) => node.breaks(rule),
        Err(error) => {
            let offset = byte_offset(node.raw, &error);
            let rest = node.raw.get(offset..).unwrap_or_default();
            let value = if rest.is_empty() { "end of text" } else { rest };
            Violation::new(node.path, Rule::Json { offset }, value)
        }
    }
}

fn byte_offset(text: &str, error: &serde_json::Error) -> usize {
    if error.is_eof() {
        return text.len();
    }
    let line_start: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let offset = line_start + error.column().saturating_sub(1);
    char_boundary_before(text, offset)
}

type Found<'a, const N: usize> = ([Option<&'a str>; N], Option<(&'static str, &'a str)>);

struct Fields<'n, const N: usize> {
    names: &'n [&'static str; N],
}

impl<'de, const N: usize> Visitor<'de> for Fields<'_, N> {
    type Value = Found<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut values = [None; N];
        let mut twice = None;
        while let Some(Name(index)) = fields.next_key_seed(NameOf(self.names))? {
            let Some((slot, name)) = index.and_then(|index| values.get_mut(index).zip(self.names.get(index)))
            else {
                fields.next_value::<IgnoredAny>()?;
                continue;
            };
            let raw = fields.next_value::<&RawValue>()?.get();
            if slot.replace(raw).is_some() {
                twice.get_or_insert((*name, raw));
            }
        }
        Ok((values, twice))
    }
}

/// A field's place among the names asked for. Matching in place spares a `String` for names with escapes.
struct Name(Option<usize>);

struct NameOf<'n>(&'n [&'static str]);

impl<'de> serde::de::DeserializeSeed<'de> for NameOf<'_> {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Name, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for NameOf<'_> {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(Name(self.0.iter().position(|known| *known == name)))
    }
}

struct Items<'p, 'r, T, F> {
    path: Path<'p>,
    read: &'r mut F,
    into: Vec<T>,
}

impl<'de, T, F: FnMut(Node<'_, '_>) -> Result<T, Violation>> Visitor<'de> for Items<'_, '_, T, F> {
    type Value = Result<Vec<T>, Violation>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Self::Value, A::Error> {
        while let Some(raw) = items.next_element::<&RawValue>()? {
            let path = Path::Item(&self.path, self.into.len());
            match (self.read)(Node { raw: raw.get(), path }) {
                Ok(item) => self.into.push(item),
                Err(violation) => {
                    while items.next_element::<IgnoredAny>()?.is_some() {}
                    return Ok(Err(violation));
                }
            }
        }
        Ok(Ok(self.into))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(raw: &str) -> String {
        object(Node::root(raw), ["a"]).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_byte() {
        assert_eq!(refused(""), "$: must be JSON, and is not at byte 0: end of text");
        assert_eq!(refused("{\"a\": 1"), "$: must be JSON, and is not at byte 7: end of text");
        assert_eq!(refused("{\"a\":\n nil}"), "$: must be JSON, and is not at byte 8: il}");
        assert_eq!(refused("{\"a\": 1} x"), "$: must be JSON, and is not at byte 9: x");
        assert_eq!(refused("[1]"), "$: must be an object: [1]");
        assert_eq!(refused("null"), "$: must be an object: null");
    }

    #[test]
    fn a_field_given_twice_is_refused() {
        assert_eq!(refused(r#"{"a": 1, "a": 2}"#), "a: must be given once: 2");
        assert_eq!(refused(r#"{"a": 1, "\u0061": 2}"#), "a: must be given once: 2");
        assert!(object(Node::root(r#"{"b": 1, "b": 2}"#), ["a"]).is_ok());
    }

    #[test]
    fn nesting_in_unknown_fields_is_passed_over() {
        let deep = format!("{{\"x\": {}{}, \"a\": 1}}", "[".repeat(100_000), "]".repeat(100_000));
        let found = object(Node::root(&deep), ["a"]).unwrap();
        assert_eq!(found.value("a"), Some("1"));
    }
}
