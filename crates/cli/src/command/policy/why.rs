//! The command `policy why`.

use std::fmt::Write as _;

use api::{
    core_v1::policy::spec::rule::Effect,
    platform_v1::{
        DecisionExplanation, DecisionRequest,
        decision_explanation::{Outcome as StepOutcome, Step},
    },
    reflect,
};
use clap::Args;

use crate::{
    client::{Client, Repeat},
    context::Context,
    failure::{Failure, Outcome},
    output::{self, Format, OutputArgs, table},
    text::printable,
};

/// Explain the decision of a request: the rules that are reached, in order, and the reason
#[derive(Args)]
#[command(
    after_help = "Example:\n  octeliumctl policy why --user alice --service web --path /admin --header x-team=red\n  octeliumctl policy why --user alice --service web --at 2026-12-24T20:00:00Z -o json"
)]
pub(crate) struct WhyArgs {
    /// User who makes the request, such as `alice` [default: none, as for an anonymous Service]
    #[arg(long)]
    user: Option<String>,
    /// Requested Service as NAME or NAME.NAMESPACE, such as `web`
    #[arg(long)]
    service: String,
    /// HTTP method, such as `PUT` [default: GET, or POST for a gRPC Service]
    #[arg(long)]
    method: Option<String>,
    /// Path, with or without a query, such as `/admin` [default: /]
    #[arg(long)]
    path: Option<String>,
    /// Query without the question mark, such as `a=1&b=2` [default: none]
    #[arg(long)]
    query: Option<String>,
    /// Add a header, such as `x-team=red` (repeatable; a value may contain commas) [default: none]
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// IP address of the client, such as 203.0.113.7 [default: none]
    #[arg(long)]
    ip: Option<String>,
    /// Time of the request, such as 2026-01-02T15:04:05Z [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Session of the User, such as `alice-x1y2z3`
    #[arg(long)]
    session: Option<String>,
    /// Device of the Session, such as `alice-laptop`
    #[arg(long)]
    device: Option<String>,
    /// Host without the port, such as `web.example.com` [default: none]
    #[arg(long)]
    host: Option<String>,
    /// Scheme, `http` or `https` [default: https]
    #[arg(long)]
    scheme: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Prints the decision and the rules that were reached.
pub(crate) async fn run(context: &Context, mut args: WhyArgs) -> Result<Outcome, Failure> {
    let format = args.output.output.take().unwrap_or(Format::Table);
    let request = request(args)?;
    let client = Client::connect(context).await?;
    let explanation = client
        .call(Repeat::Safe, async |rpc| {
            rpc.platform().explain_decision(request.clone()).await
        })
        .await?
        .into_inner();
    match format {
        Format::Name => context.terminal.line(verdict(explanation.allowed))?,
        Format::Table | Format::Wide => context.terminal.data(&text(&explanation))?,
        format => {
            if let Some(message) = reflect::dynamic(&explanation) {
                output::message(context, &message, &format)?;
            }
        }
    }
    Ok(Outcome::Done)
}

fn request(args: WhyArgs) -> Result<DecisionRequest, Failure> {
    let (path, query) = match (args.path, args.query) {
        (Some(path), None) => match path.split_once('?') {
            Some((path, query)) => (path.to_owned(), query.to_owned()),
            None => (path, String::new()),
        },
        (path, query) => (path.unwrap_or_default(), query.unwrap_or_default()),
    };
    let mut headers = std::collections::BTreeMap::new();
    for header in &args.headers {
        let (name, value) = header
            .split_once(['=', ':'])
            .ok_or_else(|| Failure::usage(format!("--header {header}: use the form NAME=VALUE")))?;
        let name = name.trim().to_ascii_lowercase();
        if headers.insert(name, value.trim().to_owned()).is_some() {
            return Err(Failure::usage(format!(
                "--header {header}: it is given twice"
            )));
        }
    }
    let at = match &args.at {
        None => None,
        Some(text) => Some(instant(text)?),
    };
    Ok(DecisionRequest {
        user: args.user.unwrap_or_default(),
        session: args.session.unwrap_or_default(),
        device: args.device.unwrap_or_default(),
        service: args.service,
        method: args.method.unwrap_or_default(),
        path,
        query,
        headers,
        ip: args.ip.unwrap_or_default(),
        host: args.host.unwrap_or_default(),
        scheme: args.scheme.unwrap_or_default(),
        protocol: String::new(),
        size: 0,
        at,
    })
}

fn instant(text: &str) -> Result<prost_types::Timestamp, Failure> {
    let instant: jiff::Timestamp = text
        .parse()
        .map_err(|_| Failure::usage(format!("--at {text}: use the form 2026-01-02T15:04:05Z")))?;
    Ok(prost_types::Timestamp {
        seconds: instant.as_second(),
        nanos: instant.subsec_nanosecond(),
    })
}

fn verdict(allowed: bool) -> &'static str {
    if allowed { "allowed" } else { "denied" }
}

fn text(explanation: &DecisionExplanation) -> String {
    let mut text = format!(
        "{}: {}\n",
        verdict(explanation.allowed),
        printable(&explanation.reason)
    );
    if !explanation.steps.is_empty() {
        text.push_str("\nRules, in the order in which they were reached:\n");
        text.push_str(&steps(&explanation.steps));
    }
    if let Some(step_up) = &explanation.step_up {
        let _ = writeln!(
            text,
            "\nIt would be allowed if the User verified their identity {}",
            printable(&step_up.description)
        );
        if !step_up.authenticators.is_empty() {
            let names = printable(&step_up.authenticators.join(", "));
            let _ = writeln!(text, "  Authenticators of the User: {names}");
        }
    }
    if let Some(shadow) = &explanation.shadow {
        let _ = writeln!(
            text,
            "\nWith the shadow Policies it would be {}: {}",
            verdict(shadow.allowed),
            printable(&shadow.reason)
        );
        text.push_str(&steps(&shadow.steps));
    }
    if !explanation.attachments.is_empty() {
        text.push_str("\nPolicies:\n");
        for attachment in &explanation.attachments {
            let policies = printable(&attachment.policies.join(", "));
            let _ = writeln!(text, "  {}: {policies}", printable(&attachment.owner));
        }
    }
    if !explanation.assumptions.is_empty() {
        text.push_str("\nNot given:\n");
        for assumption in &explanation.assumptions {
            let _ = writeln!(text, "  {}", printable(assumption));
        }
    }
    text
}

fn steps(steps: &[Step]) -> String {
    let header = ["POLICY", "RULE", "EFFECT", "PRIORITY", "OUTCOME"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(steps.iter().map(|step| {
        let effect = match step.effect() {
            Effect::Allow => "ALLOW",
            Effect::Deny => "DENY",
            Effect::Unknown => "",
        };
        let outcome = match step.outcome() {
            StepOutcome::Matched => "matched: decides".to_owned(),
            StepOutcome::Failed => format!("could not be evaluated: decides ({})", step.error),
            StepOutcome::NotMatched => "did not match".to_owned(),
            StepOutcome::Skipped => format!("could not be evaluated: skipped ({})", step.error),
            StepOutcome::NotEnforced => "its Policy is not enforced".to_owned(),
            StepOutcome::Unknown => String::new(),
        };
        vec![
            step.policy.clone(),
            step.rule.clone(),
            effect.to_owned(),
            step.priority.to_string(),
            outcome,
        ]
    }));
    table::render(&rows)
}
