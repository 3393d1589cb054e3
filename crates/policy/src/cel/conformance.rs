//! The public conformance suite, read from data.

use std::{collections::BTreeMap, sync::Arc};

use base64::Engine as _;
use domain::clock::UnixMillis;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{
    check::{Environment, compile},
    compare::equal,
    error::Error,
    eval::{EXPRESSION_BUDGET, Evaluation, Inputs},
    signature::Signature,
    types::Type,
    value::{Map, Value},
};

#[derive(Deserialize)]
struct Case {
    file: String,
    section: String,
    name: String,
    expr: String,
    #[serde(default)]
    bindings: BTreeMap<String, Json>,
    #[serde(default)]
    type_env: Vec<Json>,
    #[serde(default)]
    container: String,
    #[serde(default)]
    disable_check: bool,
    #[serde(default)]
    check_only: bool,
    deduced_type: Option<Json>,
    want: (String, Json),
}

/// What came of a case.
enum Outcome {
    Passed,
    Failed(String),
    Skipped(&'static str),
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "another set of cases may be named from outside"
)]
fn cel_conformance() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/cel/cases.json");
    let path = std::env::var("CEL_CASES").unwrap_or_else(|_| default.to_owned());
    let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (mut passed, mut failed) = (0, 0);
    let mut skipped: BTreeMap<(String, &'static str), usize> = BTreeMap::new();
    for case in &cases {
        match run(case) {
            Outcome::Passed => passed += 1,
            Outcome::Failed(why) => {
                failed += 1;
                println!(
                    "FAILED {}/{}/{}: {}\n  {why}",
                    case.file, case.section, case.name, case.expr
                );
            }
            Outcome::Skipped(why) => {
                *skipped.entry((case.file.clone(), why)).or_default() += 1;
            }
        }
    }
    for ((file, why), count) in &skipped {
        println!("skipped {count} of {file}: {why}");
    }
    println!(
        "{passed} passed, {failed} failed, {} skipped",
        skipped.values().sum::<usize>()
    );
    assert_eq!(failed, 0);
}

fn run(case: &Case) -> Outcome {
    let (mut variables, mut functions) = (Vec::new(), Vec::new());
    let mut values = Vec::new();
    for (name, binding) in &case.bindings {
        let Some(value) = value(binding) else {
            return Outcome::Skipped("a variable is a message");
        };
        // Bound variables come first, so that the others have no value.
        variables.push((name.clone(), Type::Dyn, case.disable_check));
        values.push(value);
    }
    for declaration in &case.type_env {
        let name = declaration["name"].as_str().unwrap().to_owned();
        if let Some(ident) = declaration.get("ident") {
            let Some(ty) = ty(&ident["type"]) else {
                return Outcome::Skipped("a declared type is a message");
            };
            match variables.iter_mut().find(|(known, ..)| *known == name) {
                Some(known) => (known.1, known.2) = (ty, true),
                None => variables.push((name, ty, true)),
            }
        } else {
            let overloads = declaration["function"]["overloads"].as_array().unwrap();
            let signatures: Option<Vec<Signature>> = overloads
                .iter()
                .map(|overload| {
                    let parameters = overload["params"].as_array().unwrap().iter().map(ty);
                    Some(Signature {
                        parameters: parameters.collect::<Option<_>>()?,
                        result: ty(&overload["result_type"])?,
                    })
                })
                .collect();
            match signatures {
                Some(signatures) => functions.push((name, signatures)),
                None => return Outcome::Skipped("a declared type is a message"),
            }
        }
    }
    let variables: Vec<(String, Type)> = variables
        .into_iter()
        .map(|(name, ty, declared)| (if declared { name } else { format!("@{name}") }, ty))
        .collect();
    let environment = Environment {
        variables: &variables,
        functions: &functions,
        container: &case.container,
        unchecked: case.disable_check,
        ..Environment::default()
    };
    let program = match compile(environment, &case.expr) {
        Ok(program) => program,
        Err(mistakes) if mistakes.iter().any(|mistake| mistake.unsupported) => {
            return Outcome::Skipped("it constructs a message");
        }
        Err(mistakes) if case.want.0 == "error" => {
            assert!(!mistakes.is_empty());
            return Outcome::Passed;
        }
        Err(_) if names_protobuf_types(case) => {
            return Outcome::Skipped("it names a protobuf type or enum");
        }
        Err(mistakes) => return Outcome::Failed(format!("refused: {mistakes:?}")),
    };
    if let Some(wanted) = &case.deduced_type {
        let Some(wanted) = ty(wanted) else {
            return Outcome::Skipped("the deduced type is a message");
        };
        if wanted.to_string() != program.ty.to_string() {
            return Outcome::Failed(format!("wanted type {wanted}, found {}", program.ty));
        }
    }
    if case.check_only {
        return Outcome::Passed;
    }
    let inputs = Inputs {
        variables: &values,
        now: UnixMillis(0),
        ..Inputs::default()
    };
    let mut evaluation = Evaluation::new(inputs);
    evaluation.begin(EXPRESSION_BUDGET);
    let found = evaluation.value(&program.root);
    match (case.want.0.as_str(), found) {
        ("error", Err(_)) => Outcome::Passed,
        (_, Err(Error::Unknown(_))) if names_protobuf_types(case) => {
            Outcome::Skipped("it names a protobuf type or enum")
        }
        ("error", Ok(found)) => Outcome::Failed(format!("wanted an error, found {found:?}")),
        ("value", found) => {
            let Some(wanted) = value(&case.want.1) else {
                return Outcome::Skipped("the result is a message");
            };
            compare(&mut evaluation, &wanted, found)
        }
        (other, _) => Outcome::Failed(format!("unknown expectation {other}")),
    }
}

/// Types and enums of protobuf packages are refused as undeclared names.
fn names_protobuf_types(case: &Case) -> bool {
    let packages = ["google.protobuf.", "cel.expr.conformance."];
    packages.iter().any(|package| case.expr.contains(package))
        || case.container.starts_with("cel.expr.conformance")
}

fn compare<'a>(
    evaluation: &mut Evaluation<'a>,
    wanted: &Value<'a>,
    found: Result<Value<'a>, Error>,
) -> Outcome {
    let found = match found {
        Ok(found) => found,
        Err(error) => return Outcome::Failed(format!("error: {error}")),
    };
    let nan = matches!((wanted, &found), (Value::Double(a), Value::Double(b)) if a.is_nan() && b.is_nan());
    let same_type = wanted.type_name() == found.type_name();
    if nan || same_type && equal(evaluation, wanted, &found, 0) == Ok(true) {
        return Outcome::Passed;
    }
    let describe = |value: &Value<'_>| match value {
        Value::Str(text) => format!("{text:?}"),
        Value::Text(text) => format!("{text:?}"),
        Value::Int(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        other => format!("{other:?}"),
    };
    Outcome::Failed(format!(
        "wanted {}, found {}",
        describe(wanted),
        describe(&found)
    ))
}

/// A typed value of the data; `None` for messages.
fn value(json: &Json) -> Option<Value<'static>> {
    let content = &json[1];
    let text = content.as_str();
    Some(match json[0].as_str()? {
        "null" => Value::Null,
        "bool" => Value::Bool(content.as_bool()?),
        "int64" => Value::Int(text?.parse().ok()?),
        "uint64" => Value::Uint(text?.parse().ok()?),
        "double" => Value::Double(text?.parse().ok()?),
        "string" => Value::text(text?),
        "bytes" => Value::Bytes(base64::prelude::BASE64_STANDARD.decode(text?).ok()?.into()),
        "list" => {
            let items: Option<Vec<_>> = content.as_array()?.iter().map(value).collect();
            Value::list(items?)
        }
        "map" => {
            let mut map = Map::default();
            for entry in content.as_array()? {
                map.insert(value(&entry[0])?, value(&entry[1])?);
            }
            Value::Map(Arc::new(map))
        }
        "type" => Value::Type(Arc::from(text?)),
        _ => return None,
    })
}

/// A type of the data; `None` for messages.
fn ty(json: &Json) -> Option<Type> {
    let (kind, content) = json.as_object()?.iter().next()?;
    Some(match kind.as_str() {
        "dyn" => Type::Dyn,
        "null" => Type::Null,
        "primitive" => match content.as_str()? {
            "BOOL" => Type::Bool,
            "INT64" => Type::Int,
            "UINT64" => Type::Uint,
            "DOUBLE" => Type::Double,
            "STRING" => Type::Text,
            "BYTES" => Type::Bytes,
            _ => return None,
        },
        "well_known" => match content.as_str()? {
            "TIMESTAMP" => Type::Timestamp,
            "DURATION" => Type::Duration,
            "ANY" => Type::Dyn,
            _ => return None,
        },
        "list_type" => Type::list(content.get("elem_type").map_or(Some(Type::Dyn), ty)?),
        "map_type" => Type::map(
            content.get("key_type").map_or(Some(Type::Dyn), ty)?,
            content.get("value_type").map_or(Some(Type::Dyn), ty)?,
        ),
        "type" => Type::Meta,
        "type_param" => Type::Parameter(Arc::from(content.as_str()?)),
        "abstract_type" => {
            let parameters = content.get("parameter_types").and_then(Json::as_array);
            let parameters: Option<Vec<Type>> = parameters.into_iter().flatten().map(ty).collect();
            Type::Opaque(Arc::from(content["name"].as_str()?), parameters?.into())
        }
        _ => return None,
    })
}
