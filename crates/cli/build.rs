//! Extracts the comments of the contract for `explain`.

use std::{collections::BTreeMap, env, error::Error, fmt::Write as _, fs, path::PathBuf};

use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

/// Field numbers of descriptors, as the paths of source locations contain them.
const MESSAGE: i32 = 4;
const ENUM: i32 = 5;
const FIELD: i32 = 2;
const NESTED: i32 = 3;
const NESTED_ENUM: i32 = 4;
const VALUE: i32 = 2;

#[allow(
    clippy::disallowed_methods,
    reason = "Cargo tells a build script where to write through the environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let root = "../api/proto";
    println!("cargo::rerun-if-changed={root}");
    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(["octelium/api/main/core/v1/core.proto"])?;
    let mut comments = BTreeMap::new();
    for file in compiler.file_descriptor_set().file {
        collect(&file, &mut comments);
    }
    let mut source = String::from("pub(super) static COMMENTS: &[(&str, &str)] = &[\n");
    for (name, text) in comments {
        writeln!(source, "    ({name:?}, {text:?}),")?;
    }
    source.push_str("];\n");
    fs::write(
        PathBuf::from(env::var("OUT_DIR")?).join("comments.rs"),
        source,
    )?;
    Ok(())
}

fn collect(file: &FileDescriptorProto, comments: &mut BTreeMap<String, String>) {
    let package = file.package();
    if package.starts_with("google.") {
        return;
    }
    let mut names = BTreeMap::new();
    for (index, message) in (0..).zip(&file.message_type) {
        name_message(message, package, &[MESSAGE, index], &mut names);
    }
    for (index, of) in (0..).zip(&file.enum_type) {
        name_enum(of, package, &[ENUM, index], &mut names);
    }
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    for location in locations {
        if let Some(name) = names.get(&location.path) {
            let text = location.leading_comments();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            let text = lines.join("\n").trim().to_owned();
            if !text.is_empty() {
                comments.insert(name.clone(), text);
            }
        }
    }
}

fn name_message(
    message: &DescriptorProto,
    scope: &str,
    path: &[i32],
    names: &mut BTreeMap<Vec<i32>, String>,
) {
    let name = format!("{scope}.{}", message.name());
    for (index, field) in (0..).zip(&message.field) {
        let path = [path, &[FIELD, index]].concat();
        names.insert(path, format!("{name}.{}", field.name()));
    }
    for (index, nested) in (0..).zip(&message.nested_type) {
        name_message(nested, &name, &[path, &[NESTED, index]].concat(), names);
    }
    for (index, of) in (0..).zip(&message.enum_type) {
        name_enum(of, &name, &[path, &[NESTED_ENUM, index]].concat(), names);
    }
    names.insert(path.to_vec(), name);
}

fn name_enum(
    of: &EnumDescriptorProto,
    scope: &str,
    path: &[i32],
    names: &mut BTreeMap<Vec<i32>, String>,
) {
    let name = format!("{scope}.{}", of.name());
    for (index, value) in (0..).zip(&of.value) {
        let path = [path, &[VALUE, index]].concat();
        names.insert(path, format!("{name}.{}", value.name()));
    }
    names.insert(path.to_vec(), name);
}
