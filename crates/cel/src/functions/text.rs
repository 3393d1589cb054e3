//! The strings extension, and `toLower` and `toUpper`.

use super::{Evaluation, Line, Outcome, Value, format};
use crate::{collection, error::Error};

pub(super) const FUNCTIONS: &[Line] = &[
    (".charAt", &["string, int -> string"], char_at),
    (
        ".indexOf",
        &["string, string -> int", "string, string, int -> int"],
        index_of,
    ),
    (
        ".lastIndexOf",
        &["string, string -> int", "string, string, int -> int"],
        last_index_of,
    ),
    (".lowerAscii", &["string -> string"], |e, a| {
        map(e, a, "lowerAscii", str::to_ascii_lowercase)
    }),
    (".upperAscii", &["string -> string"], |e, a| {
        map(e, a, "upperAscii", str::to_ascii_uppercase)
    }),
    (".toLower", &["string -> string"], |e, a| {
        map(e, a, "toLower", str::to_lowercase)
    }),
    (".toUpper", &["string -> string"], |e, a| {
        map(e, a, "toUpper", str::to_uppercase)
    }),
    (".trim", &["string -> string"], |e, a| {
        map(e, a, "trim", |text| text.trim().to_owned())
    }),
    (".reverse", &["string -> string"], |e, a| {
        map(e, a, "reverse", |text| text.chars().rev().collect())
    }),
    (
        ".replace",
        &[
            "string, string, string -> string",
            "string, string, string, int -> string",
        ],
        replace,
    ),
    (
        ".split",
        &[
            "string, string -> list(string)",
            "string, string, int -> list(string)",
        ],
        split,
    ),
    (
        ".substring",
        &["string, int -> string", "string, int, int -> string"],
        substring,
    ),
    (
        ".join",
        &["list(string) -> string", "list(string), string -> string"],
        join,
    ),
    (".format", &["string, list(dyn) -> string"], format::run),
    ("strings.quote", &["string -> string"], |e, a| {
        map(e, a, "strings.quote", quote)
    }),
];

fn map<'a>(
    evaluation: &mut Evaluation<'a>,
    arguments: &[Value<'a>],
    name: &str,
    run: fn(&str) -> String,
) -> Outcome<'a> {
    let [value] = arguments else {
        return Err(Error::overload(name));
    };
    let text = value.as_str().ok_or_else(|| Error::overload(name))?;
    evaluation.charge_bytes(text.len().saturating_mul(3))?;
    Ok(Value::text(run(text)))
}

/// Converts a character index between 0 and the length to a byte offset.
fn byte_offset(text: &str, index: i64) -> Result<usize, Error> {
    let index = usize::try_from(index).map_err(|_| Error::IndexOutOfBounds)?;
    text.char_indices()
        .map(|(offset, _)| offset)
        .chain([text.len()])
        .nth(index)
        .ok_or(Error::IndexOutOfBounds)
}

fn character_index(text: &str, offset: usize) -> i64 {
    let before = text.get(..offset).unwrap_or_default();
    i64::try_from(before.chars().count()).unwrap_or(i64::MAX)
}

fn char_at<'a>(evaluation: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let [text, Value::Int(index)] = arguments else {
        return Err(Error::overload("charAt"));
    };
    let text = text.as_str().ok_or_else(|| Error::overload("charAt"))?;
    evaluation.charge_bytes(text.len())?;
    let rest = text.get(byte_offset(text, *index)?..).unwrap_or_default();
    Ok(Value::text(
        rest.chars().next().map(String::from).unwrap_or_default(),
    ))
}

fn index_of<'a>(evaluation: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let (text, part, start) = search(evaluation, arguments, "indexOf")?;
    let start = match start {
        Some(start) => byte_offset(text, start)?,
        None => 0,
    };
    let found = text.get(start..).and_then(|rest| rest.find(part));
    Ok(Value::Int(found.map_or(-1, |offset| {
        character_index(text, start + offset)
    })))
}

fn last_index_of<'a>(evaluation: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let (text, part, last) = search(evaluation, arguments, "lastIndexOf")?;
    let last = match last {
        Some(last) => byte_offset(text, last)?,
        None => text.len(),
    };
    // A match starts at `last` or earlier.
    let end = last.saturating_add(part.len()).min(text.len());
    let mut end = end;
    while !text.is_char_boundary(end) {
        end += 1;
    }
    let mut searched = text.get(..end).unwrap_or_default();
    loop {
        match searched.rfind(part) {
            Some(offset) if offset > last => {
                let shorter = offset + part.len();
                let shorter = shorter.saturating_sub(1);
                let mut shorter = shorter.min(searched.len());
                while !searched.is_char_boundary(shorter) {
                    shorter -= 1;
                }
                searched = searched.get(..shorter).unwrap_or_default();
            }
            found => {
                let index = found.map_or(-1, |offset| character_index(text, offset));
                return Ok(Value::Int(index));
            }
        }
    }
}

fn search<'v, 'a>(
    evaluation: &mut Evaluation<'a>,
    arguments: &'v [Value<'a>],
    name: &str,
) -> Result<(&'v str, &'v str, Option<i64>), Error> {
    let (text, part, at) = match arguments {
        [text, part] => (text, part, None),
        [text, part, Value::Int(at)] => (text, part, Some(*at)),
        _ => return Err(Error::overload(name)),
    };
    match (text.as_str(), part.as_str()) {
        (Some(text), Some(part)) => {
            evaluation.charge_bytes(text.len().saturating_mul(2))?;
            Ok((text, part, at))
        }
        _ => Err(Error::overload(name)),
    }
}

fn replace<'a>(evaluation: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let overload = || Error::overload("replace");
    let (text, old, new, count) = match arguments {
        [text, old, new] => (text, old, new, -1),
        [text, old, new, Value::Int(count)] => (text, old, new, *count),
        _ => return Err(overload()),
    };
    let text = text.as_str().ok_or_else(overload)?;
    let old = old.as_str().ok_or_else(overload)?;
    let new = new.as_str().ok_or_else(overload)?;
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    evaluation.charge_bytes(text.len())?;
    let hits = text.matches(old).take(limit).count();
    evaluation.charge_bytes(hits.saturating_mul(new.len()))?;
    Ok(Value::text(text.replacen(old, new, limit)))
}

fn split<'a>(evaluation: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let overload = || Error::overload("split");
    let (text, separator, limit) = match arguments {
        [text, separator] => (text, separator, -1),
        [text, separator, Value::Int(limit)] => (text, separator, *limit),
        _ => return Err(overload()),
    };
    let text = text.as_str().ok_or_else(overload)?;
    let separator = separator.as_str().ok_or_else(overload)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if limit == 0 {
        return Ok(Value::list(Vec::new()));
    }
    evaluation.charge_bytes(text.len())?;
    evaluation.charge(if separator.is_empty() {
        text.len()
    } else {
        text.matches(separator).count()
    })?;
    let mut parts = Vec::new();
    if separator.is_empty() {
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if parts.len() + 1 == limit {
                break;
            }
            let (one, more) = rest.split_at(first.len_utf8());
            parts.push(Value::text(one));
            rest = more;
        }
        if !rest.is_empty() {
            parts.push(Value::text(rest));
        }
    } else {
        parts.extend(text.splitn(limit, separator).map(Value::text));
    }
    Ok(Value::list(parts))
}

fn substring<'a>(evaluation: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let (text, start, end) = match arguments {
        [text, Value::Int(start)] => (text, *start, None),
        [text, Value::Int(start), Value::Int(end)] => (text, *start, Some(*end)),
        _ => return Err(Error::overload("substring")),
    };
    let text = text.as_str().ok_or_else(|| Error::overload("substring"))?;
    evaluation.charge_bytes(text.len().saturating_mul(2))?;
    let start = byte_offset(text, start)?;
    let end = match end {
        Some(end) => byte_offset(text, end)?,
        None => text.len(),
    };
    match text.get(start..end) {
        Some(part) => Ok(Value::text(part)),
        None => Err(Error::InvalidArgument(
            "the substring ends before it starts",
        )),
    }
}

fn join<'a>(evaluation: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let overload = || Error::overload("join");
    let (list, separator) = match arguments {
        [list] => (list, ""),
        [list, separator] => (list, separator.as_str().ok_or_else(overload)?),
        _ => return Err(overload()),
    };
    let items = collection::items(evaluation, list)?.ok_or_else(overload)?;
    let mut output = String::new();
    for (index, item) in items.iter().enumerate() {
        let text = item.as_str().ok_or_else(overload)?;
        evaluation.charge_bytes(text.len() + separator.len())?;
        if index > 0 {
            output.push_str(separator);
        }
        output.push_str(text);
    }
    Ok(Value::text(output))
}

fn quote(text: &str) -> String {
    let mut output = String::with_capacity(text.len() + 2);
    output.push('"');
    for character in text.chars() {
        match character {
            '\x07' => output.push_str("\\a"),
            '\x08' => output.push_str("\\b"),
            '\x0c' => output.push_str("\\f"),
            '\n' => output.push_str("\\n"),
            '\r' => output.push_str("\\r"),
            '\t' => output.push_str("\\t"),
            '\x0b' => output.push_str("\\v"),
            '\\' => output.push_str("\\\\"),
            '"' => output.push_str("\\\""),
            other => output.push(other),
        }
    }
    output.push('"');
    output
}
