//! The rule lists used during authentication: their `ctx`, and the first rule that matches.

use api::core_v1::{
    Authenticator, AuthenticatorList, Condition, IdentityProvider, Session, User,
    session::status::authentication::Info,
};
use cel::{Document, EXPRESSION_BUDGET, Evaluation, Inputs, Program, Value};
use domain::{clock::UnixMillis, session::as_proved};
use prost_types::Struct;

use crate::{
    EvalError, EvalType, Problem, RuleList,
    condition::{self, Compiled},
    context::put,
    list::{
        ASSERTION, ASSERTION_MAP, AUTHENTICATOR_FIELD, AUTHENTICATOR_LIST, EMAIL, IDENTIFIER,
        IDENTITY_PROVIDER, INFO, SESSION, SUBJECT, USER,
    },
    wire,
};

/// The `ctx` of a rule list that is used during authentication.
pub struct Facts {
    list: RuleList,
    document: Document,
}

impl Facts {
    /// Builds the `ctx` of enforcement rules. `session` is the Session that is about to be stored.
    pub fn enforcement(
        user: &User,
        session: &Session,
        identity_provider: Option<&IdentityProvider>,
        authenticators: &[Authenticator],
    ) -> Self {
        let mut bytes = Vec::new();
        put(&mut bytes, USER, user);
        put(&mut bytes, SESSION, &*as_proved(session));
        if let Some(provider) = identity_provider {
            put(&mut bytes, IDENTITY_PROVIDER, provider);
        }
        let list = AuthenticatorList {
            items: authenticators.to_vec(),
            ..AuthenticatorList::default()
        };
        put(&mut bytes, AUTHENTICATOR_LIST, &list);
        Self::of(RuleList::Enforcement, &bytes)
    }

    /// Builds the `ctx` of post-authentication rules of Authenticators. During a passkey login, `session` is `None`.
    pub fn authenticator_post_authentication(
        user: &User,
        session: Option<&Session>,
        authenticator: &Authenticator,
        info: &Info,
    ) -> Self {
        let mut bytes = Vec::new();
        put(&mut bytes, USER, user);
        if let Some(session) = session {
            put(&mut bytes, SESSION, &*as_proved(session));
        }
        put(&mut bytes, AUTHENTICATOR_FIELD, authenticator);
        put(&mut bytes, INFO, info);
        Self::of(RuleList::AuthenticatorPostAuthentication, &bytes)
    }

    /// Builds the `ctx` of post-authentication rules of an `IdentityProvider`.
    pub fn identity_provider_post_authentication(
        user: &User,
        identity_provider: &IdentityProvider,
        info: &Info,
    ) -> Self {
        let mut bytes = Vec::new();
        put(&mut bytes, USER, user);
        put(&mut bytes, IDENTITY_PROVIDER, identity_provider);
        put(&mut bytes, INFO, info);
        Self::of(RuleList::IdentityProviderPostAuthentication, &bytes)
    }

    /// Builds the `ctx` of assurance level rules of an `IdentityProvider`: the assertion if it is text, and the claims.
    pub fn aal(assertion: &str, claims: &Struct) -> Self {
        let mut bytes = Vec::new();
        wire::put_message(&mut bytes, ASSERTION, assertion.as_bytes());
        put(&mut bytes, ASSERTION_MAP, claims);
        Self::of(RuleList::Aal, &bytes)
    }

    /// Builds the `ctx` of the rules that create Users and map Groups.
    ///
    /// `email` must be empty unless the provider is trusted to have verified it.
    pub fn provisioning(assertion: &str, claims: &Struct, identifier: &str, email: &str) -> Self {
        let mut bytes = Vec::new();
        wire::put_message(&mut bytes, ASSERTION, assertion.as_bytes());
        put(&mut bytes, ASSERTION_MAP, claims);
        wire::put_message(&mut bytes, IDENTIFIER, identifier.as_bytes());
        wire::put_message(&mut bytes, EMAIL, email.as_bytes());
        Self::of(RuleList::Provisioning, &bytes)
    }

    fn evaluation(&self, now: UnixMillis) -> Evaluation<'_> {
        Evaluation::new(Inputs {
            documents: [Some(&self.document), None, None],
            now: now.0,
            ..Inputs::default()
        })
    }

    fn of(list: RuleList, bytes: &[u8]) -> Self {
        Self {
            list,
            document: Document::new(list.schema().layout(SUBJECT), bytes),
        }
    }
}

/// The effect of an evaluation error in a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The error counts as a match. For rules that restrict, such as DENY and ENFORCE.
    Match,
    /// The error counts as no match. For rules that permit, such as ALLOW and IGNORE, and for assurance levels.
    Pass,
}

/// A compiled list of rules. The first rule that matches decides.
pub struct Rules<E> {
    list: RuleList,
    rules: Vec<(Result<Compiled, String>, OnError, E)>,
}

/// The rule that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match<E> {
    /// Effect of the rule.
    pub effect: E,
    /// Index of the rule in the list.
    pub index: usize,
    /// Evaluation error, if the rule matched because of it (see [`OnError::Match`]).
    pub error: Option<String>,
}

/// A compiled expression of [`RuleList::Provisioning`] that yields names.
pub struct NamesExpression(Program);

impl NamesExpression {
    /// Checks and compiles an expression.
    ///
    /// # Errors
    /// Returns every problem found in the expression.
    pub fn compile(source: &str) -> Result<Self, Vec<Problem>> {
        condition::expression(RuleList::Provisioning, source, EvalType::Names, "").map(Self)
    }

    /// Evaluates the expression to names: one string, a list of strings, or no names if the value is null.
    ///
    /// # Errors
    /// Returns an error if the evaluation fails or yields another type. It never drops names from the list instead.
    pub fn evaluate(&self, facts: &Facts, now: UnixMillis) -> Result<Vec<String>, EvalError> {
        if facts.list != RuleList::Provisioning {
            return Err(EvalError(NO_NAMES));
        }
        let mut evaluation = facts.evaluation(now);
        evaluation.begin(EXPRESSION_BUDGET);
        let value = self.0.value(&mut evaluation).map_err(EvalError)?;
        if matches!(value, Value::Null) {
            return Ok(Vec::new());
        }
        if let Some(name) = value.as_str() {
            return Ok(vec![name.to_owned()]);
        }
        let elements = cel::items(&mut evaluation, &value).map_err(EvalError)?;
        let elements = elements.ok_or(EvalError(NO_NAMES))?;
        let name = |element: &Value<'_>| element.as_str().map(str::to_owned);
        let names: Option<Vec<String>> = elements.iter().map(name).collect();
        names.ok_or(EvalError(NO_NAMES))
    }
}

const NO_NAMES: cel::Error =
    cel::Error::InvalidArgument("the value is neither a string nor a list of strings");

impl<E: Clone> Rules<E> {
    /// Compiles a list. A rule that does not compile is kept and fails at each evaluation.
    pub fn new<'c>(
        list: RuleList,
        rules: impl IntoIterator<Item = (Option<&'c Condition>, OnError, E)>,
    ) -> Self {
        let compile = |condition: Option<&Condition>| match condition {
            None => Ok(Compiled::Constant(false)),
            Some(condition) => {
                condition::compile(list, condition, "condition").map_err(|problems| {
                    let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
                    all.join("; ")
                })
            }
        };
        let rules = rules
            .into_iter()
            .map(|(condition, on_error, effect)| (compile(condition), on_error, effect))
            .collect();
        Self { list, rules }
    }

    /// Returns the first rule that matches, or `None`.
    ///
    /// If `facts` belong to another rule list, every rule fails: restricting rules match, permitting rules do not.
    pub fn first_match(&self, facts: &Facts, now: UnixMillis) -> Option<Match<E>> {
        let mut evaluation = facts.evaluation(now);
        for (index, (condition, on_error, effect)) in self.rules.iter().enumerate() {
            let held = match condition {
                _ if facts.list != self.list => Err("the facts belong to another list".to_owned()),
                Ok(condition) => condition
                    .holds(&mut evaluation)
                    .map_err(|error| error.to_string()),
                Err(problem) => Err(problem.clone()),
            };
            let error = match (held, on_error) {
                (Ok(true), _) => None,
                (Err(error), OnError::Match) => Some(error),
                (Ok(false), _) | (Err(_), OnError::Pass) => continue,
            };
            return Some(Match {
                effect: effect.clone(),
                index,
                error,
            });
        }
        None
    }
}
