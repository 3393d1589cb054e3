//! The functions that expressions can call.

use std::sync::LazyLock;

use hashbrown::HashMap;

use super::{
    signature::{Signature, signature},
    state::{Evaluation, Outcome},
    value::Value,
};

mod conversion;
mod encoding;
mod format;
mod json;
mod list;
mod math;
mod network;
mod optional;
mod pattern;
mod standard;
mod text;
mod timestamp;

pub(crate) use pattern::Pattern;
#[cfg(feature = "fuzzing")]
pub(crate) use pattern::check_translation;

/// The implementation of a function. The first argument is the target if there is one.
pub(crate) type Run = for<'a> fn(&mut Evaluation<'a>, &[Value<'a>]) -> Outcome<'a>;

/// The overloads and the implementation of a function.
pub(crate) struct Function {
    pub(crate) signatures: Vec<Signature>,
    pub(crate) run: Run,
}

/// A line of a function table: name (with a leading dot if it is called on a target), signatures, implementation.
type Line = (&'static str, &'static [&'static str], Run);

/// Finds a function by name. `member` is true if it is called on a target.
pub(crate) fn find(name: &str, member: bool) -> Option<&'static Function> {
    let tables = &*FUNCTIONS;
    if member {
        tables.member.get(name)
    } else {
        tables.global.get(name)
    }
}

/// Returns the names of all functions. `member` is true for those called on a target.
pub(crate) fn names(member: bool) -> impl Iterator<Item = &'static str> {
    let tables = &*FUNCTIONS;
    let table = if member {
        &tables.member
    } else {
        &tables.global
    };
    table.keys().copied()
}

struct Tables {
    global: HashMap<&'static str, Function>,
    member: HashMap<&'static str, Function>,
}

static FUNCTIONS: LazyLock<Tables> = LazyLock::new(|| {
    let mut tables = Tables {
        global: HashMap::new(),
        member: HashMap::new(),
    };
    for (name, signatures, run) in lines() {
        let signatures = signatures.iter().copied().filter_map(signature).collect();
        match name.strip_prefix('.') {
            Some(name) => tables.member.insert(name, Function { signatures, run }),
            None => tables.global.insert(name, Function { signatures, run }),
        };
    }
    tables
});

/// The function tables, each with its title.
const TABLES: [(&str, &[Line]); 10] = [
    ("Standard", standard::FUNCTIONS),
    ("Conversions", conversion::FUNCTIONS),
    ("Texts", text::FUNCTIONS),
    ("Encodings", encoding::FUNCTIONS),
    ("JSON", json::FUNCTIONS),
    ("Lists", list::FUNCTIONS),
    ("Numbers", math::FUNCTIONS),
    ("Addresses and networks", network::FUNCTIONS),
    ("Optional values", optional::FUNCTIONS),
    ("Time", timestamp::FUNCTIONS),
];

fn lines() -> impl Iterator<Item = Line> {
    TABLES.into_iter().flat_map(|(_, lines)| lines).copied()
}

/// Returns titles, names and signatures of all functions, for documentation. The name of a function that is called on a
/// target starts with a dot.
pub fn tables() -> impl Iterator<Item = (&'static str, Vec<(&'static str, &'static [&'static str])>)>
{
    TABLES.into_iter().map(|(title, lines)| {
        let lines = lines
            .iter()
            .map(|(name, signatures, _)| (*name, *signatures));
        (title, lines.collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_can_be_read_and_every_name_is_there_once() {
        let mut seen = std::collections::BTreeSet::new();
        for (name, signatures, _) in lines() {
            assert!(seen.insert(name), "{name} is defined twice");
            for text in signatures {
                assert!(signature(text).is_some(), "{name}: {text}");
            }
        }
    }
}
