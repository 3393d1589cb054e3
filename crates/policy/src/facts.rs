//! The rule lists around authentication: what their `ctx` is made of, and which rule matches first.

use api::core_v1::{
    Authenticator, AuthenticatorList, Condition, IdentityProvider, Session, User,
    session::status::authentication::Info,
};
use domain::{clock::UnixMillis, session::as_proved};
use prost_types::Struct;

use crate::{
    EvalError, EvalType, Problem, RuleList,
    cel::{self, EXPRESSION_BUDGET, Evaluation, Inputs, Program, Value},
    condition::{self, Compiled},
    context::put,
    document::Document,
    list::{
        ASSERTION, ASSERTION_MAP, AUTHENTICATOR_FIELD, AUTHENTICATOR_LIST, EMAIL, IDENTIFIER,
        IDENTITY_PROVIDER, INFO, SESSION, SUBJECT, USER,
    },
    wire,
};

/// `ctx` of one of the rule lists around authentication.
pub struct Facts {
    list: RuleList,
    document: Document,
}

impl Facts {
    /// For the enforcement rules; `session` is the one about to be stored.
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

    /// For the post-authentication rules of Authenticators; a passkey login has no Session yet.
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

    /// For the post-authentication rules of an `IdentityProvider`.
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

    /// For the assurance level rules of an `IdentityProvider`: the assertion as text where it is one, and its
    /// claims.
    pub fn aal(assertion: &str, claims: &Struct) -> Self {
        let mut bytes = Vec::new();
        wire::put_message(&mut bytes, ASSERTION, assertion.as_bytes());
        put(&mut bytes, ASSERTION_MAP, claims);
        Self::of(RuleList::Aal, &bytes)
    }

    /// For who becomes a User, and in which Groups Users are: as for the assurance level, with the identifier and the
    /// e-mail address, which is empty unless it may be believed.
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
            now,
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

/// What a rule does where it cannot be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// It counts as a match: for what restricts, such as DENY and ENFORCE.
    Match,
    /// It counts as no match: for what permits, such as ALLOW and IGNORE, and for assurance levels.
    Pass,
}

/// A compiled list of rules of which the first match decides.
pub struct Rules<E> {
    list: RuleList,
    rules: Vec<(Result<Compiled, String>, OnError, E)>,
}

/// The rule that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match<E> {
    /// What it does.
    pub effect: E,
    /// Its place in the list.
    pub index: usize,
    /// Why it could not be evaluated, where it matches for that.
    pub error: Option<String>,
}

/// A compiled expression of [`RuleList::Provisioning`] that yields names.
pub struct NamesExpression(Program);

impl NamesExpression {
    /// Checks and compiles an expression.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(source: &str) -> Result<Self, Vec<Problem>> {
        condition::expression(RuleList::Provisioning, source, EvalType::Names, "").map(Self)
    }

    /// The names: one, those of a list, or none where the value is null.
    ///
    /// # Errors
    /// Where it cannot be evaluated, or yields anything else: never fewer names instead.
    pub fn evaluate(&self, facts: &Facts, now: UnixMillis) -> Result<Vec<String>, EvalError> {
        if facts.list != RuleList::Provisioning {
            return Err(EvalError(NO_NAMES));
        }
        let mut evaluation = facts.evaluation(now);
        evaluation.begin(EXPRESSION_BUDGET);
        let value = evaluation.value(&self.0.root).map_err(EvalError)?;
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
    /// Compiles a list; a rule that does not compile fails whenever it is tried.
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

    /// The first rule that matches; `None` where none does.
    ///
    /// Facts of another list match nothing that reads them: every rule that restricts then counts as failed.
    pub fn first_match(&self, facts: &Facts, now: UnixMillis) -> Option<Match<E>> {
        let mut evaluation = facts.evaluation(now);
        for (index, (condition, on_error, effect)) in self.rules.iter().enumerate() {
            let held = match condition {
                _ if facts.list != self.list => Err("the facts are of another list".to_owned()),
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
