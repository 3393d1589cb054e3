//! Services: what follows from their spec.

use api::core_v1::Service;

/// Whether no client can reach the Service: a private one needs a private network, which Clusters do not have yet.
/// The Services of the Cluster itself are reached at their own names.
pub fn is_unreachable(service: &Service) -> bool {
    let is_public = service.spec.as_ref().is_some_and(|spec| spec.is_public);
    let is_system = service
        .metadata
        .as_ref()
        .is_some_and(|metadata| metadata.is_system);
    !is_public && !is_system
}
