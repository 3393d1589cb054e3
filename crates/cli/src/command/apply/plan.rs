//! The call that `apply` and `diff` share.

use api::{
    document::Problem,
    platform_v1::{
        ApplyRequest, ApplyResponse,
        apply_response::{self, Action},
    },
};
use tonic::Code;

use super::manifest::Manifest;
use crate::{
    client::{Client, Repeat},
    failure::{Failure, Reason, code_name},
    kind::Kind,
};

/// The extent of the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Compute the changes without making them.
    DryRun,
    /// Make the changes, but fail if they delete all objects of a kind.
    Careful,
    /// Make the changes, even if they delete all objects of a kind.
    PruneAll,
}

/// Applies the manifest or computes the changes.
///
/// # Errors
/// Returns a failure with the problems that the Cluster found and their positions in the files. Nothing was changed
/// then.
pub(crate) async fn call(
    client: &Client,
    manifest: &Manifest,
    mode: Mode,
) -> Result<ApplyResponse, Failure> {
    let resources = manifest.entries.iter().map(|entry| entry.resource.clone());
    let request = ApplyRequest {
        resources: resources.collect(),
        dry_run: mode == Mode::DryRun,
        prune_kinds: manifest
            .prune
            .iter()
            .map(|kind| kind.name().to_owned())
            .collect(),
        allow_prune_all: mode != Mode::Careful,
    };
    let repeat = if request.dry_run {
        Repeat::Safe
    } else {
        Repeat::Unsafe
    };
    let response = client
        .call(repeat, async |rpc| {
            rpc.platform().apply(request.clone()).await
        })
        .await?
        .into_inner();
    if response.problems.is_empty() {
        Ok(response)
    } else {
        Err(refused(manifest, &response.problems))
    }
}

/// Returns the kinds of which the changes delete every object that is not built in.
pub(crate) fn fully_deleted_kinds(response: &ApplyResponse) -> Vec<&str> {
    let mut kinds: Vec<&str> = Vec::new();
    for result in &response.results {
        let survives = response
            .results
            .iter()
            .any(|other| other.kind == result.kind && other.action() != Action::Deleted);
        if !survives && !kinds.contains(&result.kind.as_str()) {
            kinds.push(&result.kind);
        }
    }
    kinds
}

/// Returns the name of an object as `kind/name`.
pub(crate) fn object_name(result: &apply_response::Result) -> String {
    let word = Kind::parse(&result.kind).map_or(result.kind.as_str(), |kind| kind.word());
    format!("{word}/{}", result.name)
}

fn refused(manifest: &Manifest, problems: &[apply_response::Problem]) -> Failure {
    let line = |problem: &apply_response::Problem| {
        let code = code_name(code(problem));
        let message = if problem.kind.is_empty() {
            format!("{} ({code})", problem.message)
        } else {
            format!(
                "{} `{}`: {} ({code})",
                problem.kind, problem.name, problem.message
            )
        };
        let entry = problem
            .index
            .and_then(|index| manifest.entries.get(usize::try_from(index).ok()?));
        match entry {
            Some(entry) => Problem {
                source_name: entry.source.clone(),
                position: Some(entry.position),
                message,
            }
            .to_string(),
            None => message,
        }
    };
    let lines: Vec<String> = problems.iter().map(line).collect();
    let mut reasons = problems
        .iter()
        .map(|problem| Reason::of_code(code(problem)));
    let first = reasons.next().unwrap_or(Reason::Failed);
    let alike = reasons.all(|reason| reason == first);
    let code = problems
        .first()
        .map_or("InvalidArgument", |problem| code_name(code(problem)));
    Failure::new(
        if alike { first } else { Reason::Failed },
        code,
        lines.join("\n"),
    )
    .hint("nothing was changed")
}

fn code(problem: &apply_response::Problem) -> Code {
    Code::from_i32(i32::try_from(problem.code).unwrap_or(2))
}
