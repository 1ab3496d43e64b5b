//! Just enough JSON to read the lines that the Java programs print: no escapes, integers only, bytes as hex strings.

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(i64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        let value = value(&mut rest)?;
        rest.is_empty().then_some(value)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(crate) fn number(&self) -> Option<i64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    pub(crate) fn bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    pub(crate) fn list(&self) -> Option<&[Self]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// `Some(None)` for null, `Some(Some(bytes))` for a hex string.
    pub(crate) fn hex(&self) -> Option<Option<Vec<u8>>> {
        match self {
            Self::Null => Some(None),
            Self::Text(text) => {
                let digits = text.as_bytes().chunks(2);
                let bytes = digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
                Some(Some(bytes.collect::<Option<_>>()?))
            }
            _ => None,
        }
    }
}

fn value(rest: &mut &str) -> Option<Json> {
    for (word, value) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))] {
        if eat(rest, word) {
            return Some(value);
        }
    }
    match rest.chars().next()? {
        '"' => text(rest).map(Json::Text),
        '[' => items(rest, "[", "]", value).map(Json::List),
        '{' => {
            let field = |rest: &mut &str| {
                let name = text(rest)?;
                eat(rest, ":").then_some(())?;
                Some((name, value(rest)?))
            };
            items(rest, "{", "}", field).map(Json::Object)
        }
        _ => {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(rest.len());
            let (digits, after) = rest.split_at(end);
            *rest = after;
            digits.parse().ok().map(Json::Number)
        }
    }
}

fn text(rest: &mut &str) -> Option<String> {
    let (text, after) = rest.strip_prefix('"')?.split_once('"')?;
    *rest = after;
    Some(text.to_owned())
}

fn items<T>(
    rest: &mut &str,
    open: &str,
    close: &str,
    item: impl Fn(&mut &str) -> Option<T>,
) -> Option<Vec<T>> {
    eat(rest, open).then_some(())?;
    let mut items = Vec::new();
    while !eat(rest, close) {
        if !items.is_empty() {
            eat(rest, ",").then_some(())?;
        }
        items.push(item(rest)?);
    }
    Some(items)
}

fn eat(rest: &mut &str, token: &str) -> bool {
    match rest.strip_prefix(token) {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn reads_a_line_as_the_java_programs_print_it() {
        let line = r#"{"partition":0,"offset":-1,"key":null,"value":"6b00","headers":[["64",null],["64",""]],"done":true}"#;
        let json = Json::parse(line).unwrap();
        assert_eq!(json.get("offset").unwrap().number(), Some(-1));
        assert_eq!(json.get("key").unwrap().hex(), Some(None));
        assert_eq!(json.get("value").unwrap().hex(), Some(Some(b"k\0".to_vec())));
        assert_eq!(json.get("headers").unwrap().list().unwrap().len(), 2);
        assert_eq!(json.get("done").unwrap().bool(), Some(true));
    }

    #[test]
    fn refuses_what_is_cut() {
        for text in ["", "{", r#"{"a":1"#, r#"{"a":1}}"#, "[1,", r#""a"#, "[1 2]"] {
            assert_eq!(Json::parse(text), None, "{text}");
        }
    }
}
