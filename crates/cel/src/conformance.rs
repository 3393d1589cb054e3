//! Runs the public CEL conformance suite from data files.

use std::{collections::BTreeMap, sync::Arc};

use base64::Engine as _;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{
    check::{Environment, compile},
    compare::equal,
    error::Error,
    signature::Signature,
    state::{EXPRESSION_BUDGET, Evaluation, Inputs},
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
    /// Kind of the result (`value`, `error` or `type`) and the result itself.
    #[serde(default)]
    want: Vec<Json>,
    /// Expected outcome of the project's own cases: `passed` or `skipped`.
    outcome: Option<String>,
}

/// The result of a case.
enum Outcome {
    Passed,
    Failed(String),
    Skipped(&'static str),
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "a variable can select another set of cases"
)]
fn cel_conformance() {
    let path = std::env::var("CEL_CASES").unwrap_or_else(|_| data("cases.json"));
    let cases = read(&path);
    let (mut passed, mut failed) = (0, 0);
    let mut skipped: BTreeMap<(String, &'static str), usize> = BTreeMap::new();
    for case in &cases {
        match run(case) {
            Outcome::Passed => passed += 1,
            Outcome::Failed(why) => {
                failed += 1;
                println!("FAILED {}: {}\n  {why}", case.title(), case.expr);
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

/// Checks the project's own cases in areas of the suite that use messages. Each states whether it is skipped.
#[test]
fn what_needs_messages_is_skipped_and_nothing_else() {
    for case in read(&data("messages.json")) {
        let wanted = case.outcome.as_deref().unwrap_or("passed");
        let found = match run(&case) {
            Outcome::Passed => "passed",
            Outcome::Skipped(_) => "skipped",
            Outcome::Failed(why) => panic!("{}: {}\n  {why}", case.title(), case.expr),
        };
        assert_eq!(found, wanted, "{}: {}", case.title(), case.expr);
    }
}

/// Compares with the results of another implementation for random expressions, made by `scripts/cel-oracle`.
#[test]
fn another_implementation_agrees() {
    for case in read(&data("oracle.json")) {
        match run(&case) {
            Outcome::Passed => {}
            Outcome::Skipped(why) => panic!("{}: {}\n  {why}", case.title(), case.expr),
            Outcome::Failed(why) => panic!("{}: {}\n  {why}", case.title(), case.expr),
        }
    }
}

fn data(file: &str) -> String {
    format!("{}/tests/data/{file}", env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> Vec<Case> {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

impl Case {
    fn title(&self) -> String {
        format!("{}/{}/{}", self.file, self.section, self.name)
    }

    fn wants(&self) -> &str {
        self.want.first().and_then(Json::as_str).unwrap_or_default()
    }
}

/// Runs a case and converts a panic to a failure, so that the other cases still run.
fn run(case: &Case) -> Outcome {
    std::panic::catch_unwind(|| run_unguarded(case))
        .unwrap_or_else(|_| Outcome::Failed("it panicked".to_owned()))
}

fn run_unguarded(case: &Case) -> Outcome {
    let (mut variables, mut functions) = (Vec::new(), Vec::new());
    let mut values = Vec::new();
    for (name, binding) in &case.bindings {
        let Some(value) = value(binding) else {
            return Outcome::Skipped("a variable is a message");
        };
        // Bound variables come first, because `values` has no entries for the others.
        variables.push((name.clone(), Type::Dyn, case.disable_check));
        values.push(value);
    }
    for declaration in &case.type_env {
        let name = declaration["name"].as_str().unwrap_or_default().to_owned();
        if let Some(ident) = declaration.get("ident") {
            let Some(ty) = ty(&ident["type"]) else {
                return Outcome::Skipped("a declared type is a message");
            };
            match variables.iter_mut().find(|(known, ..)| *known == name) {
                Some(known) => (known.1, known.2) = (ty, true),
                None => variables.push((name, ty, true)),
            }
        } else {
            let overloads = declaration["function"]["overloads"].as_array();
            let signatures: Option<Vec<Signature>> = overloads
                .into_iter()
                .flatten()
                .map(|overload| {
                    let parameters = overload["params"].as_array().into_iter().flatten().map(ty);
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
        // The rejection of the protobuf name is not the error that the case tests.
        Err(_) if names_protobuf_types(case) => {
            return Outcome::Skipped("it names a protobuf type or enum");
        }
        Err(mistakes) if case.wants() == "error" => {
            assert!(!mistakes.is_empty());
            return Outcome::Passed;
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
        ..Inputs::default()
    };
    let mut evaluation = Evaluation::new(inputs);
    evaluation.begin(EXPRESSION_BUDGET);
    let found = evaluation.value(&program.root);
    match (case.wants(), found) {
        (_, Err(Error::Unknown(_))) if names_protobuf_types(case) => {
            Outcome::Skipped("it names a protobuf type or enum")
        }
        ("error", Err(_)) => Outcome::Passed,
        ("error", Ok(found)) => Outcome::Failed(format!("wanted an error, found {found:?}")),
        ("value", found) => match case.want.get(1).and_then(value) {
            Some(wanted) => compare(&mut evaluation, &wanted, found),
            None => Outcome::Skipped("the result is a message"),
        },
        _ => Outcome::Skipped("neither value nor error is wanted"),
    }
}

/// Returns whether a case names types or enums of protobuf packages, which are rejected as undeclared names.
fn names_protobuf_types(case: &Case) -> bool {
    let packages = ["google.protobuf.", "cel.expr.conformance."];
    packages.iter().any(|package| case.expr.contains(package))
        || case.container.starts_with("cel.expr.conformance")
        || case.container.starts_with("google.protobuf")
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
    if same(evaluation, wanted, &found) {
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

/// Returns whether two values have the same type and value. NaN equals itself here.
fn same<'a>(evaluation: &mut Evaluation<'a>, wanted: &Value<'a>, found: &Value<'a>) -> bool {
    match (wanted, found) {
        (Value::Double(wanted), Value::Double(found)) if wanted.is_nan() => found.is_nan(),
        (Value::List(wanted), Value::List(found)) => {
            wanted.len() == found.len()
                && (wanted.iter().zip(found.iter()))
                    .all(|(wanted, found)| same(evaluation, wanted, found))
        }
        (Value::Map(wanted), Value::Map(found)) => {
            wanted.entries().len() == found.entries().len()
                && wanted.entries().iter().all(|(key, wanted)| {
                    let found = found.get(key);
                    found.is_some_and(|found| same(evaluation, wanted, found))
                })
        }
        _ => {
            wanted.type_name() == found.type_name()
                && equal(evaluation, wanted, found, 0) == Ok(true)
        }
    }
}

/// Parses a timestamp or a duration in the JSON form of `google.protobuf.Any`. Returns `None` for other messages.
fn well_known(content: &Json) -> Option<Value<'static>> {
    let name = content.get("@type")?.as_str()?.rsplit('/').next()?;
    let text = content.get("value")?.as_str()?;
    match name {
        "google.protobuf.Timestamp" => super::time::parse_timestamp(text).ok(),
        "google.protobuf.Duration" => super::time::parse_duration(text).ok(),
        _ => None,
    }
}

/// Parses a typed value of the data. Returns `None` for messages.
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
        "object" | "message" | "any" => well_known(content)?,
        _ => return None,
    })
}

/// Parses a type of the data. Returns `None` for messages.
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
