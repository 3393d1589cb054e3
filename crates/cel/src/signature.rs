//! Signatures of functions, written as text such as `list(A), int -> A`.

use std::sync::Arc;

use super::types::Type;

/// One overload of a function.
#[derive(Clone)]
pub struct Signature {
    /// Types of the parameters. The first one is the target of a function that is called on a target.
    pub parameters: Vec<Type>,
    /// Type of the result.
    pub result: Type,
}

/// Parses a signature. Returns `None` if it is malformed; a test checks that all signatures in this crate are valid.
pub(crate) fn signature(text: &str) -> Option<Signature> {
    let (parameters, result) = text.split_once("->")?;
    Some(Signature {
        parameters: types(parameters)?,
        result: ty(result)?,
    })
}

fn types(text: &str) -> Option<Vec<Type>> {
    let mut parts = Vec::new();
    let mut depth = 0_u32;
    let mut start = 0;
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                parts.push(text.get(start..index)?);
                start = index + 1;
            }
            _ => {}
        }
    }
    let last = text.get(start..)?;
    if !last.trim().is_empty() {
        parts.push(last);
    }
    parts.into_iter().map(ty).collect()
}

fn ty(text: &str) -> Option<Type> {
    let text = text.trim();
    if let Some((name, rest)) = text.split_once('(') {
        let inner = types(rest.strip_suffix(')')?)?;
        return match (name, inner.as_slice()) {
            ("list", [element]) => Some(Type::list(element.clone())),
            ("map", [key, value]) => Some(Type::map(key.clone(), value.clone())),
            ("optional", [inner]) => Some(Type::optional(inner.clone())),
            _ => None,
        };
    }
    Some(match text {
        "dyn" => Type::Dyn,
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::Text,
        "bytes" => Type::Bytes,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "type" => Type::Meta,
        "net.IP" | "net.CIDR" => Type::Opaque(Arc::from(text), Arc::from([])),
        "A" | "B" => Type::Parameter(Arc::from(text)),
        _ => return None,
    })
}
