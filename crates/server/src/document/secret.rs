//! Data of Secrets that are not sealed.

use api::core_v1::{Secret, secret};

pub(crate) mod certificates;

/// Removes everything except certificates from `spec.data`. Earlier releases stored and returned any data there.
pub(super) fn remove_data(secret: &mut Secret) {
    let Some(spec) = &mut secret.spec else {
        return;
    };
    let is_public = spec
        .data
        .as_ref()
        .map(|data| certificates::are_all(bytes(data)));
    if is_public != Some(false) {
        return;
    }
    let left = spec
        .data
        .take()
        .map(|data| certificates::only(bytes(&data)));
    spec.data = left
        .filter(|left| !left.is_empty())
        .map(|left| secret::spec::Data {
            r#type: Some(secret::spec::data::Type::Value(left)),
        });
}

/// Returns the bytes of `spec.data`.
pub(crate) fn bytes(data: &secret::spec::Data) -> &[u8] {
    match &data.r#type {
        Some(secret::spec::data::Type::Value(value)) => value.as_bytes(),
        Some(secret::spec::data::Type::ValueBytes(value)) => value,
        None => &[],
    }
}
