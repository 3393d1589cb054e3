//! The command `policy test`.

use std::fmt::Write as _;

use api::{
    core_v1::policy::spec::rule::Effect,
    document::{self, Position, Problem},
    platform_v1::{DecisionExplanation, policy_test::Case},
};
use clap::Args;
use serde_json::{Value, json};

use super::{coverage::Coverage, test_resources::TestResources};
use crate::{
    client::Client,
    command::apply::manifest,
    context::Context,
    failure::{Failure, Outcome, Reason},
    input,
    kind::Kind,
    output::{self, Format, OutputArgs},
    remote::{self, Selection},
    text::printable,
};

/// Test Policies in files with test cases in files. Exit with code 1 if a case fails
#[derive(Args)]
#[command(
    after_help = "Example:\n  octeliumctl policy test ./cluster ./policy-tests.yaml\n  octeliumctl policy test --cluster policy-tests.yaml -o json"
)]
pub(crate) struct TestArgs {
    /// Files or directories with resources and documents of kind `PolicyTest`, or `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Load the resources of the Cluster first. Resources in the files replace them
    #[arg(long)]
    cluster: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Kinds that Policies can read.
const KINDS: [Kind; 8] = [
    Kind::Policy,
    Kind::User,
    Kind::Group,
    Kind::Service,
    Kind::Namespace,
    Kind::ClusterConfig,
    Kind::Session,
    Kind::Device,
];

/// A test case and its position.
struct Written {
    source: String,
    position: Position,
    name: String,
    case: Case,
}

/// The result of a test case.
struct Tested<'w> {
    written: &'w Written,
    /// Reason of the failure, or `None` if the case passed.
    failure: Option<String>,
    explanation: Option<DecisionExplanation>,
}

/// Reads all files, decides every case, and reports the results.
pub(crate) async fn run(context: &Context, args: TestArgs) -> Result<Outcome, Failure> {
    let mut given = TestResources::default();
    if args.cluster {
        let client = Client::connect(context).await?;
        for kind in KINDS {
            let listing = remote::list(&client, kind, &Selection::default()).await?;
            listing.items.into_iter().for_each(|item| given.add(item));
        }
    }
    let cases = read(&args.files, &mut given)?;
    let written = given.written();
    check(&written)?;
    let mut coverage = Coverage::of(&written);
    let policies = given.policies();
    let now = context.now();
    let tested: Vec<Tested<'_>> = cases
        .iter()
        .map(|written| {
            let request = written.case.request.clone().unwrap_or_default();
            match given.decide(&policies, &request, now) {
                Ok(explanation) => {
                    coverage.add(&explanation);
                    Tested {
                        written,
                        failure: compare(&written.case, &explanation),
                        explanation: Some(explanation),
                    }
                }
                Err(problem) => Tested {
                    written,
                    failure: Some(problem),
                    explanation: None,
                },
            }
        })
        .collect();
    let failed = tested.iter().filter(|one| one.failure.is_some()).count();
    match args.output.output.unwrap_or(Format::Table) {
        Format::Table | Format::Wide | Format::Name => {
            context.terminal.data(&text(&tested, &coverage))?;
        }
        format => output::value(context, &json(&tested, &coverage), &format)?,
    }
    if failed == 0 {
        return Ok(Outcome::Done);
    }
    let message = format!("{failed} of {} cases failed", tested.len());
    Err(Failure::new(Reason::Failed, "PolicyTest", message))
}

fn read(files: &[String], given: &mut TestResources) -> Result<Vec<Written>, Failure> {
    let mut problems: Vec<Problem> = Vec::new();
    let mut cases = Vec::new();
    for path in manifest::paths(files)? {
        let bytes = input::read(&path, document::MAX_BYTES)?;
        let source = input::source_name(&path);
        let (resources, tests) = match document::parse_with_tests(source, &bytes) {
            Ok(found) => found,
            Err(found) => {
                problems.extend(found);
                continue;
            }
        };
        for (_, resource) in resources {
            given.add(resource);
        }
        for (position, test) in tests {
            for (index, case) in test.cases.into_iter().enumerate() {
                let name = match case.name.as_str() {
                    "" => format!("cases[{index}]"),
                    name => name.to_owned(),
                };
                if case.expect() == Effect::Unknown {
                    problems.push(Problem {
                        source_name: source.to_owned(),
                        position: Some(position),
                        message: format!("{name}: expect must be ALLOW or DENY"),
                    });
                }
                cases.push(Written {
                    source: source.to_owned(),
                    position,
                    name,
                    case,
                });
            }
        }
    }
    if !problems.is_empty() {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        return Err(Failure::new(
            Reason::Failed,
            "InvalidDocument",
            lines.join("\n"),
        ));
    }
    if cases.is_empty() {
        return Err(Failure::input("the files contain no test cases")
            .hint("add a document of kind PolicyTest; docs/policy.md has an example"));
    }
    Ok(cases)
}

/// Rejects Policies that the Cluster would reject.
fn check(policies: &[(String, &api::core_v1::policy::Spec)]) -> Result<(), Failure> {
    let mut lines = Vec::new();
    for (name, spec) in policies {
        if let Err(problems) = policy::check_policy(spec) {
            lines.extend(
                problems
                    .iter()
                    .map(|problem| format!("Policy {name}: {problem}")),
            );
        }
    }
    if lines.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(
            Reason::Failed,
            "InvalidPolicy",
            lines.join("\n"),
        ))
    }
}

/// Returns why a decision differs from the expected one, or `None` if it does not.
fn compare(case: &Case, explanation: &DecisionExplanation) -> Option<String> {
    let wanted = match case.expect() {
        Effect::Allow => true,
        Effect::Deny | Effect::Unknown => false,
    };
    if wanted != explanation.allowed {
        let expected = if wanted { "ALLOW" } else { "DENY" };
        return Some(format!("expected {expected}: {}", explanation.reason));
    }
    let other = |wanted: &str, found: &str| !wanted.is_empty() && wanted != found;
    if other(&case.policy, &explanation.policy) || other(&case.rule, &explanation.rule) {
        let wanted =
            [&case.rule, &case.policy].map(|part| if part.is_empty() { "any" } else { part });
        let [rule, policy] = wanted;
        return Some(format!(
            "expected rule {rule} of Policy {policy} to decide: {}",
            explanation.reason
        ));
    }
    None
}

fn text(tested: &[Tested<'_>], coverage: &Coverage) -> String {
    let mut text = String::new();
    for one in tested {
        let Written {
            source,
            position,
            name,
            ..
        } = one.written;
        let place = printable(&format!("{source}:{position}: {name}"));
        let _ = match &one.failure {
            Some(failure) => writeln!(text, "FAIL {place}: {}", printable(failure)),
            None => writeln!(text, "ok   {place}"),
        };
    }
    let (unreached, unmatched) = coverage.uncovered();
    for (title, rules) in [
        ("Rules that no test case reaches:", unreached),
        ("Rules that are reached and never match:", unmatched),
    ] {
        if !rules.is_empty() {
            let _ = writeln!(text, "\n{title}");
            for rule in rules {
                let _ = writeln!(text, "  {}", printable(&rule));
            }
        }
    }
    let failed = tested.iter().filter(|one| one.failure.is_some()).count();
    let (rules, matched) = coverage.counts();
    let _ = writeln!(
        text,
        "\n{} passed, {failed} failed; {matched} of {rules} rules matched",
        tested.len() - failed
    );
    text
}

fn json(tested: &[Tested<'_>], coverage: &Coverage) -> Value {
    let cases: Vec<Value> = tested
        .iter()
        .map(|one| {
            let explanation = one.explanation.as_ref();
            json!({
                "file": one.written.source,
                "line": one.written.position.line,
                "name": one.written.name,
                "passed": one.failure.is_none(),
                "failure": one.failure,
                "allowed": explanation.map(|explanation| explanation.allowed),
                "reason": explanation.map(|explanation| &explanation.reason),
                "policy": explanation.map(|explanation| &explanation.policy),
                "rule": explanation.map(|explanation| &explanation.rule),
            })
        })
        .collect();
    let failed = tested.iter().filter(|one| one.failure.is_some()).count();
    json!({
        "passed": tested.len() - failed,
        "failed": failed,
        "cases": cases,
        "rules": coverage.json(),
    })
}
