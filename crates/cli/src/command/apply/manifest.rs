//! Reads the resources in files for `apply` and `diff`.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use api::{
    document::{self, Position, Problem},
    platform_v1::{Resource, resource::Resource as Body},
    resource::Object as _,
};
use clap::Args;

use crate::{
    context::Context,
    failure::{Failure, Reason},
    input,
    kind::Kind,
};

/// Maximum nesting depth of directories. Stops at cycles of symbolic links.
const MAX_DEPTH: usize = 32;

/// Kinds that are applied by default, in dependency order.
const DEFAULT: [Kind; 7] = [
    Kind::Policy,
    Kind::Namespace,
    Kind::Group,
    Kind::IdentityProvider,
    Kind::User,
    Kind::Service,
    Kind::Credential,
];

/// Arguments that select files and kinds.
#[derive(Args)]
pub(crate) struct ManifestArgs {
    /// Files, directories (every .yaml and .yml file in them), or `-` for standard input, such as `./cluster`
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Delete objects that the files do not contain. Built-in objects are kept
    #[arg(long)]
    prune: bool,
    /// Kinds to apply (repeatable, or separated by commas), such as `user,group` [default: all except Secret]
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    include: Vec<String>,
    /// Kinds to leave out (repeatable, or separated by commas), such as `credential` [default: none]
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    exclude: Vec<String>,
    /// Apply Secrets too
    #[arg(long)]
    include_secret: bool,
}

/// A resource and its position in a file.
pub(crate) struct Entry {
    pub(crate) resource: Resource,
    /// Name of the file.
    pub(crate) source: String,
    /// Position in the file.
    pub(crate) position: Position,
}

/// The resources and kinds to apply.
pub(crate) struct Manifest {
    /// Resources, in dependency order.
    pub(crate) entries: Vec<Entry>,
    /// Kinds whose objects are deleted if the files do not contain them.
    pub(crate) prune: Vec<Kind>,
}

impl Manifest {
    /// Reads and checks all files before anything is applied.
    ///
    /// # Errors
    /// Returns a failure that lists every problem in the files.
    pub(crate) fn load(context: &Context, args: &ManifestArgs) -> Result<Self, Failure> {
        let selected = Selected::new(args)?;
        let mut problems = Vec::new();
        let mut entries = Vec::new();
        let mut skipped: Vec<Kind> = Vec::new();
        for path in paths(&args.files)? {
            let bytes = input::read(&path, document::MAX_BYTES)?;
            let source = input::source_name(&path);
            match document::parse(source, &bytes) {
                Err(found) => problems.extend(found),
                Ok(found) => {
                    for (position, mut resource) in found {
                        // There is one ClusterConfig, so its name does not matter.
                        if let Some(Body::ClusterConfig(config)) = &mut resource.resource {
                            config.metadata_mut();
                        }
                        let entry = Entry {
                            resource,
                            source: source.to_owned(),
                            position,
                        };
                        match selected.verdict(&entry) {
                            Verdict::Take => entries.push(entry),
                            Verdict::Skip(kind) => skipped.push(kind),
                            Verdict::Refuse(problem) => problems.push(problem),
                        }
                    }
                }
            }
        }
        problems.extend(duplicates(&entries));
        problems.sort_by(|a, b| (&a.source_name, a.position).cmp(&(&b.source_name, b.position)));
        if !problems.is_empty() {
            return Err(refuse(&problems));
        }
        if !args.include_secret && skipped.contains(&Kind::Secret) {
            context
                .terminal
                .warn("Secrets are skipped; use --include-secret to apply them");
        }
        entries.sort_by_key(|entry| order(&entry.resource));
        Ok(Self {
            entries,
            prune: if args.prune {
                selected.pruned()
            } else {
                Vec::new()
            },
        })
    }
}

enum Verdict {
    Take,
    Skip(Kind),
    Refuse(Problem),
}

struct Selected {
    kinds: Vec<Kind>,
    /// True if `--include` restricts the kinds.
    narrowed: bool,
}

impl Selected {
    fn new(args: &ManifestArgs) -> Result<Self, Failure> {
        let parse = |words: &[String]| -> Result<Vec<Kind>, Failure> {
            words.iter().map(|word| kind(word)).collect()
        };
        let included = parse(&args.include)?;
        let excluded = parse(&args.exclude)?;
        let narrowed = !included.is_empty();
        let mut kinds = if narrowed { included } else { DEFAULT.to_vec() };
        if args.include_secret && !kinds.contains(&Kind::Secret) {
            kinds.push(Kind::Secret);
        }
        kinds.retain(|kind| !excluded.contains(kind));
        Ok(Self { kinds, narrowed })
    }

    /// Decides whether an entry is applied.
    ///
    /// The `ClusterConfig` is always applied. Configs are applied unless `--include` leaves them out. They are pruned
    /// only if it names them.
    fn verdict(&self, entry: &Entry) -> Verdict {
        let kind = entry.resource.kind().and_then(Kind::parse);
        match kind {
            Some(Kind::ClusterConfig) => Verdict::Take,
            Some(kind) if self.kinds.contains(&kind) => Verdict::Take,
            Some(Kind::Config) if !self.narrowed => Verdict::Take,
            Some(
                kind @ (Kind::Session
                | Kind::Device
                | Kind::Authenticator
                | Kind::Region
                | Kind::Gateway),
            ) => Verdict::Refuse(Problem {
                source_name: entry.source.clone(),
                position: Some(entry.position),
                message: format!(
                    "a {} cannot be applied: the Cluster creates it",
                    kind.name()
                ),
            }),
            Some(kind) => Verdict::Skip(kind),
            None => Verdict::Skip(Kind::User),
        }
    }

    fn pruned(&self) -> Vec<Kind> {
        self.kinds
            .iter()
            .copied()
            .filter(|kind| *kind != Kind::ClusterConfig)
            .collect()
    }
}

fn kind(word: &str) -> Result<Kind, Failure> {
    let applied = || {
        DEFAULT
            .into_iter()
            .chain([Kind::Secret, Kind::Config, Kind::ClusterConfig])
    };
    Kind::parse(word)
        .filter(|kind| applied().any(|applied| applied == *kind))
        .ok_or_else(|| {
            let names: Vec<&str> = applied().map(Kind::name).collect();
            let failure = Failure::usage(format!("`{word}` is not a kind that can be applied"));
            match document::closest(word, names.iter().copied()) {
                Some(closest) => failure.hint(format!("did you mean {closest}?")),
                None => failure.hint(format!("these kinds can be applied: {}", names.join(", "))),
            }
        })
}

/// Expands directories in the arguments to the files in them.
///
/// # Errors
/// Returns a failure if a directory cannot be read.
pub(crate) fn paths(arguments: &[String]) -> Result<Vec<String>, Failure> {
    let mut paths = Vec::new();
    for argument in arguments {
        if argument != "-" && Path::new(argument).is_dir() {
            walk(Path::new(argument), 0, &mut paths)?;
        } else {
            paths.push(argument.clone());
        }
    }
    Ok(paths)
}

fn walk(directory: &Path, depth: usize, paths: &mut Vec<String>) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::input(format!("{}: {error}", directory.display()));
    if depth > MAX_DEPTH {
        return Err(Failure::input(format!(
            "{}: directories nest deeper than {MAX_DEPTH}",
            directory.display()
        )));
    }
    let mut found: Vec<PathBuf> = fs::read_dir(directory)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    found.sort();
    for path in found {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let yaml = path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml");
        if hidden {
        } else if path.is_dir() {
            walk(&path, depth + 1, paths)?;
        } else if yaml {
            paths.push(path.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// Returns the key that identifies an object. All `ClusterConfig` documents have the same key, because there is one.
fn identity(resource: &Resource) -> (&'static str, String) {
    match resource.kind() {
        Some("Service") => ("Service", Kind::Service.full_name(resource.name())),
        Some("ClusterConfig") => ("ClusterConfig", String::new()),
        kind => (kind.unwrap_or_default(), resource.name().to_owned()),
    }
}

fn duplicates(entries: &[Entry]) -> Vec<Problem> {
    let mut seen: HashMap<_, &Entry> = HashMap::new();
    let mut problems = Vec::new();
    for entry in entries {
        let identity = identity(&entry.resource);
        let (kind, name) = &identity;
        let message = seen.get(&identity).map(|first| {
            format!(
                "{kind} `{name}` is already at {}:{}",
                first.source, first.position
            )
        });
        match message {
            Some(message) => problems.push(Problem {
                source_name: entry.source.clone(),
                position: Some(entry.position),
                message,
            }),
            None => {
                seen.insert(identity, entry);
            }
        }
    }
    problems
}

fn refuse(problems: &[Problem]) -> Failure {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Failure::new(Reason::Failed, "InvalidDocument", lines.join("\n")).hint("nothing was changed")
}

fn order(resource: &Resource) -> usize {
    let kind = resource.kind().and_then(Kind::parse);
    match kind {
        Some(Kind::Secret) => 0,
        Some(Kind::Config) => 1,
        Some(Kind::ClusterConfig) => DEFAULT.len() + 2,
        _ => DEFAULT
            .iter()
            .position(|default| Some(*default) == kind)
            .map_or(DEFAULT.len() + 3, |index| index + 2),
    }
}
