//! Names of built-in objects. `bootstrap` creates them.

/// Name of the Service of the API.
pub(crate) const API_SERVICE: &str = "default.octelium-api";
/// Name of the Namespace of the API.
pub(crate) const API_NAMESPACE: &str = "octelium-api";
