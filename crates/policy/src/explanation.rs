//! Builds the explanations of decisions that the API returns.

use api::{
    core_v1::{
        self, ClusterConfig, Credential, Device, Group, InlinePolicy, Namespace, Service, Session,
        User,
        policy::spec::rule,
        session::{Status, spec::State, status},
    },
    meta_v1::Metadata,
    platform_v1::{
        DecisionExplanation, DecisionRequest,
        decision_explanation::{self as message, Outcome},
    },
};
use domain::clock::UnixMillis;

use crate::{
    Decision, Described, Effect, Misread, PolicySet, Reason, Step, StepOutcome, Subject, Target,
    explain,
};

/// The resources that may attach Policies to a decision, to report which of them attaches which Policy.
#[derive(Clone, Copy)]
pub struct Owners<'a> {
    /// Requested Service.
    pub service: &'a Service,
    /// Namespace of the Service.
    pub namespace: &'a Namespace,
    /// Settings of the Cluster, if there are any.
    pub cluster: Option<&'a ClusterConfig>,
    /// The caller, or `None` for an anonymous request.
    pub subject: Option<CallerResources<'a>>,
}

/// The resources of an authenticated caller.
#[derive(Clone, Copy)]
pub struct CallerResources<'a> {
    /// User.
    pub user: &'a User,
    /// Groups of the User.
    pub groups: &'a [Group],
    /// Credential that created the Session.
    pub credential: Option<&'a Credential>,
    /// Device of the Session.
    pub device: Option<&'a Device>,
    /// Session.
    pub session: &'a Session,
}

/// Decides a described request with the code that decides received requests.
///
/// # Errors
/// Returns [`Misread`] if a Policy reads a value that makes the gateway answer 400.
pub fn explain_request(
    policies: &PolicySet,
    subject: Option<&Subject>,
    target: &Target,
    request: &Described,
    now: UnixMillis,
) -> Result<DecisionExplanation, Misread> {
    let explanation = request.with(|request| explain(policies, subject, target, request, now))?;
    let (policy, rule) = match &explanation.decision.reason {
        Reason::Rule { policy, rule, .. } => (policy.to_string(), rule.to_string()),
        Reason::MissingPolicy { policy } => (policy.to_string(), String::new()),
        Reason::NoMatch => Default::default(),
    };
    let Decision { allowed, reason } = explanation.decision;
    Ok(DecisionExplanation {
        allowed,
        reason: reason.to_string(),
        policy,
        rule,
        steps: explanation.steps.iter().map(step).collect(),
        attachments: Vec::new(),
        assumptions: request.assumptions().to_vec(),
        step_up: None,
        shadow: explanation
            .shadow
            .map(|(Decision { allowed, reason }, steps)| message::Shadow {
                allowed,
                reason: reason.to_string(),
                steps: steps.iter().map(step).collect(),
            }),
    })
}

/// Returns whether the Service accepts requests without authentication.
pub fn is_anonymous(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| spec.is_anonymous)
}

/// Returns why the request is decided without Policies, or `None` if Policies decide it.
pub fn decided_without_policies(
    service: &Service,
    request: &DecisionRequest,
) -> Option<&'static str> {
    let spec = service.spec.as_ref();
    if spec.is_some_and(|spec| spec.is_disabled) {
        return Some("the Service is disabled");
    }
    let by_policy = spec
        .and_then(|spec| spec.authorization.as_ref())
        .is_some_and(|authorization| authorization.enable_anonymous);
    match (is_anonymous(service), by_policy) {
        (true, false) => Some("no Policy is evaluated: the Service is anonymous"),
        (false, _) if request.user.is_empty() => {
            Some("not authenticated: no User is given, and the Service is not anonymous")
        }
        (true, true) | (false, _) => None,
    }
}

/// Builds the explanation of a request that is denied without Policies.
pub fn refusal(reason: impl Into<String>) -> DecisionExplanation {
    DecisionExplanation {
        reason: reason.into(),
        ..DecisionExplanation::default()
    }
}

/// Returns the Session that is assumed if none is given: active, of type CLIENT, without Policies of its own.
pub fn default_session() -> Session {
    Session {
        metadata: Some(Metadata::default()),
        spec: Some(core_v1::session::Spec {
            state: State::Active.into(),
            ..core_v1::session::Spec::default()
        }),
        status: Some(Status {
            r#type: status::Type::Client.into(),
            ..Status::default()
        }),
        ..Session::default()
    }
}

impl Owners<'_> {
    /// Lists the Policies that each owner attaches, in lookup order. Owners without Policies are omitted.
    pub fn attachments(&self) -> Vec<message::Attachment> {
        let mut all = Vec::new();
        macro_rules! add {
            ($kind:literal, $owner:expr) => {
                let authorization = $owner
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.authorization.as_ref());
                if let Some(authorization) = authorization {
                    let name = $owner
                        .metadata
                        .as_ref()
                        .map_or("", |metadata| &metadata.name);
                    all.extend(attachment(
                        format!("{} {name}", $kind),
                        name,
                        &authorization.policies,
                        &authorization.inline_policies,
                    ));
                }
            };
        }
        add!("Service", self.service);
        add!("Namespace", self.namespace);
        if let Some(cluster) = self.cluster {
            add!("ClusterConfig", cluster);
        }
        if let Some(asking) = self.subject {
            add!("User", asking.user);
            for group in asking.groups {
                add!("Group", group);
            }
            if let Some(credential) = asking.credential {
                add!("Credential", credential);
            }
            if let Some(device) = asking.device {
                add!("Device", device);
            }
            add!("Session", asking.session);
        }
        all
    }
}

fn attachment(
    owner: String,
    name: &str,
    policies: &[String],
    inline: &[InlinePolicy],
) -> Option<message::Attachment> {
    let inline = inline
        .iter()
        .enumerate()
        .map(|(index, policy)| crate::set::inline_name(name, index, policy));
    let policies: Vec<String> = policies.iter().cloned().chain(inline).collect();
    (!policies.is_empty()).then_some(message::Attachment { owner, policies })
}

fn step(step: &Step) -> message::Step {
    let (outcome, error) = match &step.outcome {
        StepOutcome::Matched => (Outcome::Matched, ""),
        StepOutcome::Failed(error) => (Outcome::Failed, error.as_str()),
        StepOutcome::NotMatched => (Outcome::NotMatched, ""),
        StepOutcome::Skipped(error) => (Outcome::Skipped, error.as_str()),
        StepOutcome::NotEnforced => (Outcome::NotEnforced, ""),
    };
    let effect = match step.effect {
        Effect::Allow => rule::Effect::Allow,
        Effect::Deny => rule::Effect::Deny,
    };
    message::Step {
        policy: step.policy.to_string(),
        rule: step.rule.to_string(),
        effect: effect.into(),
        priority: step.priority,
        outcome: outcome.into(),
        error: error.to_owned(),
    }
}
