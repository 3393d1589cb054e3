//! References to objects.

use api::meta_v1::{Metadata, ObjectReference};

use crate::kind::Kind;

const API_VERSION: &str = "core/v1";

/// Returns a reference to the object with this kind and metadata.
pub(crate) fn reference(kind: Kind, metadata: Option<&Metadata>) -> Option<ObjectReference> {
    metadata.map(|metadata| ObjectReference {
        api_version: API_VERSION.to_owned(),
        kind: kind.to_string(),
        uid: metadata.uid.clone(),
        name: metadata.name.clone(),
        resource_version: String::new(),
    })
}
