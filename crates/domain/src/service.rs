//! Properties of a Service that follow from its spec.

use api::core_v1::Service;

/// Returns whether no client can reach the Service: a private Service needs a private network, which Clusters do not
/// have yet. The system Services of the Cluster are reachable at their own host names.
pub fn is_unreachable(service: &Service) -> bool {
    let is_public = service.spec.as_ref().is_some_and(|spec| spec.is_public);
    let is_system = service
        .metadata
        .as_ref()
        .is_some_and(|metadata| metadata.is_system);
    !is_public && !is_system
}
