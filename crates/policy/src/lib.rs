//! The policy engine: compiles CEL conditions and rule lists, and decides requests.
//!
//! Conditions read the User, Groups, Session, Device, Service and request. Each decision has a reason. Expressions are
//! parsed, type-checked against the contract and compiled when a resource is written or loaded. A decision parses
//! nothing, allocates nothing on its comparison path, and is bounded in time and memory. An expression that cannot be
//! evaluated never allows a request.

mod checks;
mod condition;
mod context;
mod decision;
mod describe;
mod explanation;
mod expression;
mod facts;
mod list;
mod problem;
#[cfg(test)]
mod reference;
mod request;
mod rule;
mod schema;
mod set;
mod step_up;
mod view;
mod wire;

pub use cel::Fields;
pub use checks::{check_condition, check_eval, check_policy};
pub use context::{Background, Subject, Target};
pub use decision::{
    Decision, Explanation, Reason, Step, StepOutcome, decide, decide_with_shadow, explain,
};
pub use describe::{Described, Misread};
pub use explanation::{
    CallerResources, Owners, decided_without_policies, default_session, explain_request,
    is_anonymous, refusal,
};
pub use expression::{Condition, EvalError, Scope, TextExpression};
pub use facts::{Facts, Match, NamesExpression, OnError, Rules};
pub use list::{EvalType, RuleList};
pub use problem::Problem;
pub use request::{Grpc, NoFields, Request};
pub use rule::{Effect, rule_name};
pub use set::{PolicySet, inline_name};
pub use step_up::{Age, Method, StepUp, StepUpAlternative, longest_age};
pub use view::QueryView;
