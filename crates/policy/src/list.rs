//! The rule lists of the contract and the checks that run when a resource is written.

use api::core_v1;

use crate::Problem;

/// Which rule list an expression belongs to, and so which fields `ctx` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleList {
    /// Rules and enforcement rules of a Policy: `request`, `session`, `user`, `groups`, `device`, `service`,
    /// `namespace`.
    Policy,
    /// Authentication and registration enforcement rules: `user`, `session`, `identityProvider`,
    /// `authenticatorList`.
    Enforcement,
    /// Post-authentication rules of Authenticators: `user`, `session`, `authenticator`, `info`.
    AuthenticatorPostAuthentication,
    /// Post-authentication rules of an `IdentityProvider`: `user`, `identityProvider`, `authenticationInfo`.
    IdentityProviderPostAuthentication,
    /// Assurance level rules of an `IdentityProvider`: `assertion`, `assertionMap`.
    Aal,
}

/// What an expression must yield.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EvalType {
    /// A boolean.
    Bool,
    /// Text.
    String,
}

/// Checks a condition against the schema of its list.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check_condition(
    _list: RuleList,
    _condition: &core_v1::Condition,
) -> Result<(), Vec<Problem>> {
    Ok(())
}

/// Checks the rules and enforcement rules of a Policy or an inline Policy.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check_policy(_spec: &core_v1::policy::Spec) -> Result<(), Vec<Problem>> {
    Ok(())
}

/// Checks an expression that must yield a value of a certain type.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check_eval(_list: RuleList, _source: &str, _want: EvalType) -> Result<(), Vec<Problem>> {
    Ok(())
}
