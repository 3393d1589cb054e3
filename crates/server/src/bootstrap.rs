//! What an empty Cluster begins with.

/// The Service that the API is.
pub const API_SERVICE: &str = "default.octelium-api";
/// Its Namespace.
pub const API_NAMESPACE: &str = "octelium-api";
