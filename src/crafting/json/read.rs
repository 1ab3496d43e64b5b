//! Reading: an object's fields are taken as slices of the text, then each is read by the rule it must hold to.
//!
//! Fields not asked for are passed over, whatever their order. A field that breaks its rule gives a [`Violation`] with
//! its path. Nothing is allocated but what is asked for as an owned value.

use std::{borrow::Cow, str::FromStr};

use serde::de::IgnoredAny;
use uuid::Uuid;

use super::scan::Scanner;
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
    /// What is in it, if it is an object that was gone through already.
    inside: Option<&'p Inside<'a>>,
}

impl<'a> Node<'a, 'a> {
    /// A whole text. It is proven to be JSON when it is read as an object, and not before.
    pub(crate) const fn root(raw: &'a str) -> Self {
        Self { raw, path: Path::Root, inside: None }
    }
}

impl<'a> Node<'a, '_> {
    pub(crate) const fn raw(self) -> &'a str {
        self.raw
    }

    /// That this value breaks that rule.
    pub(crate) fn breaks(self, rule: Rule) -> Violation {
        Violation::new(self.path, rule, self.raw)
    }
}

/// A field's place among the names that an object is read with; one that is not among them does not compile.
macro_rules! place {
    ($names:ident, $name:literal) => {
        const { $crate::crafting::json::place_of(&$names, $name) }
    };
}
pub(crate) use place;

/// See [`place!`].
pub(crate) const fn place_of(names: &[&str], name: &str) -> usize {
    let mut place = 0;
    while !is_same(names[place].as_bytes(), name.as_bytes()) {
        place += 1;
    }
    place
}

const fn is_same(left: &[u8], right: &[u8]) -> bool {
    let mut at = 0;
    while at < left.len() && at < right.len() && left[at] == right[at] {
        at += 1;
    }
    at == left.len() && at == right.len()
}

/// An object's fields of interest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object<'a, 'p, const N: usize> {
    path: Path<'p>,
    names: &'static [&'static str; N],
    values: [Option<&'a str>; N],
}

impl<'a, const N: usize> Object<'a, '_, N> {
    #[inline]
    pub(crate) fn required<T>(
        &self,
        place: usize,
        read: impl FnOnce(Node<'a, '_>) -> Result<T, Violation>,
    ) -> Result<T, Violation> {
        self.required_inside(place, None, read)
    }

    /// The same for a field that was gone through already.
    #[inline]
    pub(crate) fn required_inside<T>(
        &self,
        place: usize,
        inside: Option<&Inside<'a>>,
        read: impl FnOnce(Node<'a, '_>) -> Result<T, Violation>,
    ) -> Result<T, Violation> {
        let path = Path::Field(&self.path, self.names[place]);
        match self.values[place] {
            None => Err(Violation::new(path, Rule::Required, ABSENT)),
            Some("null") => Err(Violation::new(path, Rule::Required, "null")),
            Some(raw) => read(Node { raw, path, inside }),
        }
    }

    #[inline]
    pub(crate) fn optional<T>(
        &self,
        place: usize,
        read: impl FnOnce(Node<'a, '_>) -> Result<T, Violation>,
    ) -> Result<Option<T>, Violation> {
        match self.values[place] {
            None | Some("null") => Ok(None),
            Some(raw) => {
                read(Node { raw, path: Path::Field(&self.path, self.names[place]), inside: None }).map(Some)
            }
        }
    }
}

/// The fields of an object within an object, found in the same pass, so that its text is gone through once.
#[derive(Debug)]
pub(crate) struct Inside<'a> {
    fields: [(&'a str, &'a str); INSIDE_MAX],
    count: usize,
}

impl<'a> Inside<'a> {
    pub(crate) const EMPTY: Self = Self { fields: [("", ""); INSIDE_MAX], count: 0 };
}

/// More fields than any `data` of the contract has; an object with even more is gone through again.
const INSIDE_MAX: usize = 16;

/// Reads an object, of whose fields those named are kept.
pub(crate) fn object<'a, 'p, const N: usize>(
    node: Node<'a, 'p>,
    names: &'static [&'static str; N],
) -> Result<Object<'a, 'p, N>, Violation> {
    let mut found = Found::new(names);
    let is_object = match node.inside {
        Some(inside) => {
            inside.fields.iter().take(inside.count).try_for_each(|(name, raw)| found.add(name, raw))
        }
        None => fields_of(node.raw, |scanner, name| found.add(name, scanner.value()?)),
    };
    found.object(node, is_object)
}

/// The same, going through the object at `place` too. `None`: that field holds nothing that would help to read it.
pub(crate) fn object_with_inside<'a, 'p, 'i, const N: usize>(
    node: Node<'a, 'p>,
    names: &'static [&'static str; N],
    place: usize,
    inside: &'i mut Inside<'a>,
) -> Result<(Object<'a, 'p, N>, Option<&'i Inside<'a>>), Violation> {
    let mut found = Found::new(names);
    let mut is_gone_through = false;
    let is_object = fields_of(node.raw, |scanner, name| {
        let raw = match name == names[place] {
            true => {
                let (raw, is_whole) = value_and_inside(scanner, inside)?;
                is_gone_through = is_whole;
                raw
            }
            false => scanner.value()?,
        };
        found.add(name, raw)
    });
    let object = found.object(node, is_object)?;
    Ok((object, is_gone_through.then_some(&*inside)))
}

/// Any value, and whether `inside` has all that is in it.
fn value_and_inside<'a>(scanner: &mut Scanner<'a>, inside: &mut Inside<'a>) -> Option<(&'a str, bool)> {
    inside.count = 0;
    if scanner.token()? != b'{' {
        return scanner.value().map(|raw| (raw, false));
    }
    let start = scanner.clone();
    scanner.open(b'{')?;
    while scanner.has_item(inside.count == 0, b'}')? {
        let name = scanner.name()?;
        // Whether a name with escapes is one at all is not asked before the object is read as one.
        let Some(slot) = inside.fields.get_mut(inside.count).filter(|_| !name.contains('\\')) else {
            *scanner = start;
            return scanner.value().map(|raw| (raw, false));
        };
        *slot = (name, scanner.value()?);
        inside.count += 1;
    }
    Some((scanner.passed_since(&start)?, true))
}

/// Goes through a text that is an object and nothing else; `field` passes the value of each name.
#[inline]
fn fields_of<'a>(
    text: &'a str,
    mut field: impl FnMut(&mut Scanner<'a>, &'a str) -> Option<()>,
) -> Option<()> {
    let mut scanner = Scanner::new(text);
    scanner.open(b'{')?;
    let mut is_first = true;
    while scanner.has_item(is_first, b'}')? {
        let name = scanner.name()?;
        field(&mut scanner, name)?;
        is_first = false;
    }
    scanner.is_at_end().then_some(())
}

/// What was found of the fields that are asked for.
struct Found<'a, const N: usize> {
    names: &'static [&'static str; N],
    values: [Option<&'a str>; N],
    twice: Option<(&'static str, &'a str)>,
    /// Where the search begins: fields come in the contract's order from most writers.
    next: usize,
}

impl<'a, const N: usize> Found<'a, N> {
    fn new(names: &'static [&'static str; N]) -> Self {
        Self { names, values: [None; N], twice: None, next: 0 }
    }

    /// `None`: the name is none.
    #[inline]
    fn add(&mut self, name: &'a str, raw: &'a str) -> Option<()> {
        let Some(place) = self.place(name)? else { return Some(()) };
        let (slot, known) = (self.values.get_mut(place)?, self.names.get(place)?);
        if slot.replace(raw).is_some() {
            self.twice.get_or_insert((known, raw));
        }
        self.next = place + 1;
        Some(())
    }

    #[inline]
    fn place(&self, name: &str) -> Option<Option<usize>> {
        let (before, after) = self.names.split_at_checked(self.next)?;
        if let Some(place) = after.iter().position(|known| *known == name) {
            return Some(Some(self.next + place));
        }
        if let Some(place) = before.iter().position(|known| *known == name) {
            return Some(Some(place));
        }
        if !name.contains('\\') {
            return Some(None);
        }
        let name = unescaped(&format!("\"{name}\""))?;
        Some(self.names.iter().position(|known| *known == name))
    }

    fn object<'p>(self, node: Node<'_, 'p>, is_object: Option<()>) -> Result<Object<'a, 'p, N>, Violation> {
        match (is_object, self.twice) {
            (None, _) => Err(not_read(node, Rule::Object)),
            (_, Some((name, raw))) => Err(Violation::new(Path::Field(&node.path, name), Rule::Once, raw)),
            _ => Ok(Object { path: node.path, names: self.names, values: self.values }),
        }
    }
}

/// Reads every item of an array.
pub(crate) fn list<'a, T>(
    node: Node<'a, '_>,
    read: impl FnMut(Node<'a, '_>) -> Result<T, Violation>,
) -> Result<Vec<T>, Violation> {
    bounded_list(node, (0, usize::MAX), read)
}

/// Reads an array of a bounded number of items.
pub(crate) fn bounded_list<'a, T>(
    node: Node<'a, '_>,
    bounds: (usize, usize),
    mut read: impl FnMut(Node<'a, '_>) -> Result<T, Violation>,
) -> Result<Vec<T>, Violation> {
    let mut items = Vec::new();
    bounded_count(node, bounds, |item| read(item).map(|item| items.push(item)))?;
    Ok(items)
}

/// Reads every item of an array, and keeps none; returns how many there are.
pub(crate) fn bounded_count<'a>(
    node: Node<'a, '_>,
    (min, max): (usize, usize),
    mut read: impl FnMut(Node<'a, '_>) -> Result<(), Violation>,
) -> Result<usize, Violation> {
    let mut array = Array::new(node.raw);
    let mut count = 0;
    // The text is JSON to its end, since it was passed over before: it is an array if it begins as one.
    while let Some(raw) = array.next().ok_or_else(|| not_read(node, Rule::Array))? {
        read(Node { raw, path: Path::Item(&node.path, count), inside: None })?;
        count += 1;
    }
    if !(min..=max).contains(&count) {
        return Err(Violation::new(node.path, Rule::Items { min, max }, &format!("{count} items")));
    }
    Ok(count)
}

/// The items of an array, as text.
#[derive(Debug, Clone)]
pub(crate) struct Array<'a> {
    rest: Scanner<'a>,
    is_first: bool,
}

impl<'a> Array<'a> {
    pub(crate) const fn new(raw: &'a str) -> Self {
        Self { rest: Scanner::new(raw), is_first: true }
    }

    /// The next item, if there is one. `None`: this is no array.
    pub(crate) fn next(&mut self) -> Option<Option<&'a str>> {
        if self.is_first {
            self.rest.open(b'[')?;
        }
        let has_item = self.rest.has_item(self.is_first, b']')?;
        self.is_first = false;
        if has_item { self.rest.value().map(Some) } else { Some(None) }
    }
}

pub(crate) fn text<'a>(node: Node<'a, '_>) -> Result<Cow<'a, str>, Violation> {
    match inside_quotes(node.raw) {
        None => Err(node.breaks(Rule::Text)),
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        // Half a surrogate pair is JSON's grammar, but no text.
        Some(_) => unescaped(node.raw).map(Cow::Owned).ok_or_else(|| node.breaks(Rule::Text)),
    }
}

pub(crate) fn string(node: Node<'_, '_>) -> Result<String, Violation> {
    text(node).map(Cow::into_owned)
}

/// Reads a string that `check` allows, and keeps it as it is.
pub(crate) fn checked_text<'a>(
    node: Node<'a, '_>,
    check: impl FnOnce(&str) -> Result<(), InvalidValue>,
) -> Result<Cow<'a, str>, Violation> {
    let text = text(node)?;
    check(&text).map_err(|invalid| node.breaks(invalid.rule))?;
    Ok(text)
}

/// Reads a string that `T` checks. None of these has a backslash in it, so that one with escapes is refused at first.
#[inline]
pub(crate) fn parsed<T: FromStr<Err = InvalidValue>>(node: Node<'_, '_>) -> Result<T, Violation> {
    match inside_quotes(node.raw).map(str::parse) {
        Some(Ok(value)) => Ok(value),
        _ => text(node)?.parse().map_err(|invalid: InvalidValue| node.breaks(invalid.rule)),
    }
}

#[inline]
pub(crate) fn one_of<T: Named>(node: Node<'_, '_>) -> Result<T, Violation> {
    inside_quotes(node.raw)
        .and_then(T::of)
        .or_else(|| text(node).ok().and_then(|text| T::of(&text)))
        .ok_or_else(|| node.breaks(Rule::OneOf(T::NAMES)))
}

#[inline]
pub(crate) fn uuid(node: Node<'_, '_>) -> Result<Uuid, Violation> {
    // The parser also takes other forms; only the hyphenated one has this length.
    let hyphenated = |text: &str| {
        (text.len() == uuid::fmt::Hyphenated::LENGTH).then(|| Uuid::try_parse(text).ok()).flatten()
    };
    inside_quotes(node.raw)
        .and_then(hyphenated)
        .or_else(|| text(node).ok().and_then(|text| hyphenated(&text)))
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

/// A string without its quotes, if it is one.
#[inline]
fn inside_quotes(raw: &str) -> Option<&str> {
    raw.strip_prefix('"')?.strip_suffix('"')
}

/// A string, quotes included, whose escapes are more than text can hold or are not escapes at all, gives `None`.
#[cold]
fn unescaped(quoted: &str) -> Option<String> {
    serde_json::from_str(quoted).ok()
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

#[cfg(test)]
mod tests {
    use std::fmt;

    use proptest::{prelude::*, sample::Index};
    use serde::de::{Deserializer, MapAccess, Visitor};
    use serde_json::value::RawValue;

    use super::*;

    /// The fields by serde_json, the reference: whether it is an object, their values, and the first that came twice.
    fn by_serde_json<'a>(text: &'a str, names: &[&'static str]) -> Result<Reference<'a>, Violation> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let found = reader.deserialize_map(Fields(names));
        found
            .and_then(|found| reader.end().map(|()| found))
            .map_err(|_| not_read(Node::root(text), Rule::Object))
    }

    #[derive(Debug, Default, PartialEq)]
    struct Reference<'a> {
        values: Vec<Option<&'a str>>,
        twice: Option<(&'static str, &'a str)>,
    }

    struct Fields<'n>(&'n [&'static str]);

    impl<'de> Visitor<'de> for Fields<'_> {
        type Value = Reference<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
            let mut found = Reference { values: vec![None; self.0.len()], twice: None };
            while let Some(name) = fields.next_key::<String>()? {
                let Some(place) = self.0.iter().position(|known| *known == name) else {
                    fields.next_value::<IgnoredAny>()?;
                    continue;
                };
                let raw = fields.next_value::<&RawValue>()?.get();
                if found.values[place].replace(raw).is_some() {
                    found.twice.get_or_insert((self.0[place], raw));
                }
            }
            Ok(found)
        }
    }

    /// The object and, if it has one, the object `data` in it are read as the reference reads them.
    fn agrees(text: &str) {
        const NAMES: [&str; 3] = ["a", "data", "session_id"];
        let mut inside = Inside::EMPTY;
        let ours = object_with_inside(Node::root(text), &NAMES, place!(NAMES, "data"), &mut inside);
        let alone = object(Node::root(text), &NAMES).map(|object| object.values);
        assert_eq!(ours.as_ref().map(|(object, _)| object.values).map_err(Clone::clone), alone, "{text}");
        let (ours, theirs) = match (ours, by_serde_json(text, &NAMES)) {
            (Ok(ours), Ok(theirs)) => (ours, theirs),
            (Err(ours), Ok(Reference { twice: Some((name, raw)), .. })) => {
                return assert_eq!(ours, Violation::new(Path::Field(&Path::Root, name), Rule::Once, raw));
            }
            (Err(ours), Err(theirs)) => return assert_eq!(ours, theirs),
            (ours, theirs) => panic!("{text}: {ours:?}, and not {theirs:?}"),
        };
        let (object_of_fields, inside) = ours;
        assert_eq!((&object_of_fields.values[..], None), (&theirs.values[..], theirs.twice), "{text}");
        let Some(data) = theirs.values[1] else { return };
        let ours = object_of_fields.required_inside(1, inside, |node| {
            object(Node { path: Path::Root, ..node }, &NAMES).map(|object| object.values.to_vec())
        });
        match by_serde_json(data, &NAMES) {
            _ if data == "null" => assert_eq!(ours.unwrap_err().rule, Rule::Required),
            Ok(Reference { values, twice: None }) => assert_eq!(ours.unwrap(), values, "{text}"),
            Ok(Reference { twice: Some((name, raw)), .. }) => {
                assert_eq!(
                    ours.unwrap_err(),
                    Violation::new(Path::Field(&Path::Root, name), Rule::Once, raw),
                    "{text}"
                );
            }
            Err(theirs) => assert_eq!(ours.unwrap_err(), theirs, "{text}"),
        }
    }

    fn refused(raw: &str) -> String {
        object(Node::root(raw), &["a"]).unwrap_err().to_string()
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
        assert!(object(Node::root(r#"{"b": 1, "b": 2}"#), &["a"]).is_ok());
    }

    #[test]
    fn nesting_in_unknown_fields_is_passed_over() {
        let deep = format!("{{\"x\": {}{}, \"a\": 1}}", "[".repeat(100_000), "]".repeat(100_000));
        let found = object(Node::root(&deep), &["a"]).unwrap();
        assert_eq!(found.values[0], Some("1"));
    }

    #[test]
    fn objects_within_are_found_as_serde_json_finds_them() {
        let many: Vec<String> = (0..40).map(|number| format!("\"n{number}\":{number}")).collect();
        for data in [
            "{}",
            "[]",
            "7",
            "null",
            "{\"a\":1,\"a\":2}",
            "{\"\\u0061\":1,\"a\":2}",
            "{\"\\ud800\":1,\"a\":2}",
            "{\"a\":{\"data\":{}},}",
            "{ \"a\" : 1 , \"session_id\" : [ 2 ] }",
            &format!("{{{},\"a\":7}}", many[..15].join(",")),
            &format!("{{{},\"a\":7}}", many[..16].join(",")),
            &format!("{{{},\"a\":7}}", many.join(",")),
        ] {
            agrees(&format!("{{\"a\":5,\"data\":{data},\"z\":6}}"));
            agrees(&format!(" {{ \"data\" : {data} , \"data\" : {{\"a\":8}} }} "));
            agrees(&format!("{{\"data\":{{\"a\":8}},\"data\":{data}}}"));
            agrees(&format!("{{\"\\u0064ata\":{data}}}"));
        }
    }

    const EVENT: &str = include_str!("../../../tests/data/crafting-session-start.json");

    proptest! {
        #[test]
        fn objects_are_read_as_serde_json_reads_them(
            fields in prop::collection::vec(
                (
                    prop::sample::select(vec!["a", "b", "data", "session_id", "\\u0061", "\\ud800", "é"]),
                    "(null|-?0|1e5|\"[a\\\\\"]{0,3}\"|\\{\"(a|data|\\\\u0061)\": ?[0-9]{0,2}(,\"a\":1)?\\}|\\[[\\]\\[1,{}]{0,6}\\])",
                ),
                0..5,
            ),
        ) {
            let fields: Vec<String> = fields.iter().map(|(name, raw)| format!("\"{name}\":{raw}")).collect();
            agrees(&format!("{{{}}}", fields.join(",")));
        }

        #[test]
        fn events_with_pieces_moved_about_are_read_as_serde_json_reads_them(
            moves in prop::collection::vec((any::<Index>(), any::<Index>(), 0..9_usize), 0..4),
            bytes in prop::collection::vec((any::<Index>(), "[\\PC\"\\\\{}\\[\\],:0-9 ]"), 0..3),
        ) {
            let mut text = EVENT.to_owned();
            for (from, to, len) in moves {
                let at = |index: Index, text: &str| char_boundary_before(text, index.index(text.len()));
                let (from, to) = (at(from, &text), at(to, &text));
                let piece: String = text[from..].chars().take(len).collect();
                text.insert_str(to, &piece);
            }
            for (at, piece) in bytes {
                let at = char_boundary_before(&text, at.index(text.len()));
                let len = text[at..].chars().next().map_or(0, char::len_utf8);
                text.replace_range(at..at + len, &piece);
            }
            agrees(&text);
        }
    }
}
