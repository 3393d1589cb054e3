//! Expands macros: calls whose arguments are not evaluated first.

use super::{
    super::ast::{Comprehension, ComprehensionKind, Expr, ExprKind, Literal, Mistake, Quantifier},
    Parser, qualified_name,
};

/// Maximum nesting depth of the slots of `cel.block` that use each other.
const MAX_BLOCK_DEPTH: usize = 400;

/// Parses a call without a target: `has(...)` or a function.
pub(super) fn global(
    parser: &mut Parser,
    offset: u32,
    name: String,
    mut arguments: Vec<Expr>,
) -> Result<Expr, Mistake> {
    if name == "has" {
        let [argument] = arguments.as_mut_slice() else {
            return Err(Mistake::new(offset, "has() takes one field"));
        };
        let height = argument.height;
        let kind = std::mem::replace(&mut argument.kind, ExprKind::Literal(Literal::Null));
        let ExprKind::Select {
            operand,
            field,
            optional,
        } = kind
        else {
            return Err(Mistake::new(argument.offset, "has() takes a field")
                .suggest("write it as has(a.b)"));
        };
        return parser.finish(
            offset,
            height,
            ExprKind::Has {
                operand,
                field,
                optional,
            },
        );
    }
    let height = arguments.iter().map(|argument| argument.height).max();
    let kind = ExprKind::Call {
        target: None,
        function: name,
        arguments,
    };
    parser.finish(offset, height.unwrap_or(0), kind)
}

/// Parses a call on a target: a macro if name and number of arguments match, otherwise a function.
pub(super) fn member(
    parser: &mut Parser,
    offset: u32,
    target: Expr,
    name: String,
    arguments: Vec<Expr>,
) -> Result<Expr, Mistake> {
    if matches!(&target.kind, ExprKind::Ident(target) if target == "cel")
        && let Some(result) = cel_macro(parser, offset, &name, &arguments)
    {
        return result;
    }
    let optional_map = matches!(name.as_str(), "optMap" | "optFlatMap");
    if optional_map && arguments.len() == 2 {
        let [variable, body] = take(arguments, offset)?;
        let height = target.height + body.height;
        let kind = ExprKind::OptionalMap {
            name: variable_name(&variable)?,
            target: Box::new(target),
            body: Box::new(body),
            flat: name == "optFlatMap",
        };
        return parser.finish(offset, height, kind);
    }
    if let Some((kind, variables, filtered)) = comprehension(&name, arguments.len()) {
        return loop_over(
            parser,
            offset,
            target,
            arguments,
            (kind, variables, filtered),
        );
    }
    let height = arguments.iter().map(|argument| argument.height).max();
    let height = height.unwrap_or(0).max(target.height);
    let kind = ExprKind::Call {
        target: Some(Box::new(target)),
        function: name,
        arguments,
    };
    parser.finish(offset, height, kind)
}

/// Returns the kind, the number of variables, and whether a filter precedes the body.
fn comprehension(name: &str, arguments: usize) -> Option<(ComprehensionKind, usize, bool)> {
    use ComprehensionKind as Kind;
    Some(match (name, arguments) {
        ("all", 2) => (Kind::Quantifier(Quantifier::All), 1, false),
        ("all", 3) => (Kind::Quantifier(Quantifier::All), 2, false),
        ("exists", 2) => (Kind::Quantifier(Quantifier::Exists), 1, false),
        ("exists", 3) => (Kind::Quantifier(Quantifier::Exists), 2, false),
        ("exists_one" | "existsOne", 2) => (Kind::Quantifier(Quantifier::ExistsOne), 1, false),
        ("exists_one" | "existsOne", 3) => (Kind::Quantifier(Quantifier::ExistsOne), 2, false),
        ("filter", 2) => (Kind::Filter, 1, false),
        ("map", 2) => (Kind::List, 1, false),
        ("map", 3) => (Kind::List, 1, true),
        ("transformList", 3) => (Kind::List, 2, false),
        ("transformList", 4) => (Kind::List, 2, true),
        ("transformMap", 3) => (Kind::Map, 2, false),
        ("transformMap", 4) => (Kind::Map, 2, true),
        ("transformMapEntry", 3) => (Kind::MapEntries, 2, false),
        ("transformMapEntry", 4) => (Kind::MapEntries, 2, true),
        _ => return None,
    })
}

fn loop_over(
    parser: &mut Parser,
    offset: u32,
    range: Expr,
    arguments: Vec<Expr>,
    (kind, variables, filtered): (ComprehensionKind, usize, bool),
) -> Result<Expr, Mistake> {
    let mut arguments = arguments.into_iter();
    let mut next = || {
        arguments
            .next()
            .ok_or_else(|| Mistake::new(offset, "too few arguments"))
    };
    let first = variable_name(&next()?)?;
    let second = if variables == 2 {
        let expr = next()?;
        let name = variable_name(&expr)?;
        if name == first {
            return Err(Mistake::new(expr.offset, "the two names must differ"));
        }
        Some(name)
    } else {
        None
    };
    let filter = if filtered { Some(next()?) } else { None };
    let body = next()?;
    // The body nests its result around elements of the range, so the sum also bounds the depth of values.
    let inner = filter
        .as_ref()
        .map_or(0, |filter| filter.height)
        .max(body.height);
    let height = range.height + inner;
    let comprehension = Comprehension {
        kind,
        range,
        first,
        second,
        filter,
        body,
    };
    let kind = ExprKind::Comprehension(Box::new(comprehension));
    parser.finish(offset, height, kind)
}

/// Expands `cel.bind`, `cel.block`, `cel.index` and `cel.iterVar`.
fn cel_macro(
    parser: &mut Parser,
    offset: u32,
    name: &str,
    arguments: &[Expr],
) -> Option<Result<Expr, Mistake>> {
    match (name, arguments) {
        ("bind", [variable, value, body]) => Some(variable_name(variable).and_then(|name| {
            let height = value.height + body.height;
            let kind = ExprKind::Bind {
                bindings: vec![(name, value.clone())],
                body: Box::new(body.clone()),
            };
            parser.finish(offset, height, kind)
        })),
        ("block", [slots, body]) => {
            let ExprKind::List(elements) = &slots.kind else {
                return Some(Err(Mistake::new(
                    slots.offset,
                    "cel.block() takes a list first",
                )));
            };
            let bindings = elements
                .iter()
                .enumerate()
                .map(|(index, element)| (format!("@index{index}"), element.value.clone()))
                .collect();
            let height = slots.height.max(body.height);
            let depth: usize = elements
                .iter()
                .map(|slot| usize::from(slot.value.height))
                .sum();
            if depth > MAX_BLOCK_DEPTH {
                return Some(Err(Mistake::new(offset, "cel.block() has too many slots")));
            }
            let kind = ExprKind::Bind {
                bindings,
                body: Box::new(body.clone()),
            };
            Some(parser.finish(offset, height, kind))
        }
        ("index", [index]) => Some(match number(index) {
            Some(index) => parser.ident(offset, &format!("@index{index}")),
            None => Err(Mistake::new(offset, "cel.index() takes a literal number")),
        }),
        ("iterVar" | "accuVar", [depth, unique]) => Some(match (number(depth), number(unique)) {
            (Some(depth), Some(unique)) => {
                parser.ident(offset, &format!("@{name}:{depth}:{unique}"))
            }
            _ => Err(Mistake::new(
                offset,
                format!("cel.{name}() takes two literal numbers"),
            )),
        }),
        _ => None,
    }
}

fn number(expr: &Expr) -> Option<i64> {
    match expr.kind {
        ExprKind::Literal(Literal::Int(value)) if value >= 0 => Some(value),
        _ => None,
    }
}

fn variable_name(expr: &Expr) -> Result<String, Mistake> {
    match &expr.kind {
        ExprKind::Ident(name) if !name.starts_with('.') => Ok(name.clone()),
        _ => Err(Mistake::new(
            expr.offset,
            match qualified_name(expr) {
                Some(name) => format!("`{name}` is not a simple name"),
                None => "a simple name is expected here".to_owned(),
            },
        )),
    }
}

fn take<const N: usize>(arguments: Vec<Expr>, offset: u32) -> Result<[Expr; N], Mistake> {
    arguments
        .try_into()
        .map_err(|_| Mistake::new(offset, "wrong number of arguments"))
}
