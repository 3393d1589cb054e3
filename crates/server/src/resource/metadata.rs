//! The part of `metadata` that clients may set. The Cluster sets all other fields.

use std::collections::{BTreeMap, BTreeSet};

use api::meta_v1::Metadata;
use domain::{kind::Kind, name};

use super::author::Author;
use crate::Error;

/// System label of the initial objects of a Cluster that clients may change. Pruning skips them.
pub const BUILT_IN: &str = "built-in";

/// Length of a uid, which is a UUID with hyphens.
const UID_BYTES: usize = 36;
const DISPLAY_NAME_BYTES: usize = 100;
const DESCRIPTION_BYTES: usize = 1024;
const PICTURE_URL_BYTES: usize = 2048;
const ENTRIES: usize = 64;
const LABEL_VALUE_BYTES: usize = 32;
const ANNOTATION_KEY_BYTES: usize = 128;
const ANNOTATION_VALUE_BYTES: usize = 63;

/// Checks the name of a new object.
///
/// # Errors
/// Returns `InvalidArgument` with the part and the rule that it violates.
pub fn check_name(name: &str, max_parts: usize) -> Result<(), Error> {
    name::check(name, max_parts).map_err(|error| Error::invalid(format!("metadata.name: {error}")))
}

/// Checks a name used for a lookup. It permits more than [`check_name`], because the Cluster names Sessions more
/// freely.
///
/// # Errors
/// Returns `InvalidArgument` if no object can have this name.
pub fn check_stored_name(name: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if name.len() <= name::MAX_LENGTH && name.chars().all(allowed) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "The name {:?} is invalid: a name has at most {} lower-case letters, digits, hyphens and dots",
        name.chars().take(name::MAX_LENGTH).collect::<String>(),
        name::MAX_LENGTH
    )))
}

/// Checks the lengths of a name and a uid in a request; either can be empty. Every name and uid is checked before it is
/// looked up, logged or shown to Policies.
///
/// # Errors
/// Returns `InvalidArgument` if no object can have them, because they are too long.
pub fn check_lengths(kind: Kind, name: &str, uid: &str) -> Result<(), Error> {
    if name.len() > name::MAX_LENGTH {
        return Err(Error::invalid(format!(
            "The {kind} name in the request has {} bytes; a name has at most {}",
            name.len(),
            name::MAX_LENGTH
        )));
    }
    check_uid_length(uid)
}

/// Checks the length of a uid in a request, like [`check_lengths`].
///
/// # Errors
/// Returns `InvalidArgument` if it is too long.
pub fn check_uid_length(uid: &str) -> Result<(), Error> {
    if uid.len() <= UID_BYTES {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "The uid in the request has {} bytes; a uid has {UID_BYTES}",
        uid.len()
    )))
}

/// Checks all fields except the name.
///
/// # Errors
/// Returns `InvalidArgument` with the path of the field.
pub fn check(metadata: &Metadata) -> Result<(), Error> {
    let text = |field: &str, text: &str, limit: usize| {
        if text.len() <= limit {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "metadata.{field} has {} bytes; at most {limit} are allowed",
            text.len()
        )))
    };
    text("displayName", &metadata.display_name, DISPLAY_NAME_BYTES)?;
    text("description", &metadata.description, DESCRIPTION_BYTES)?;
    text("picURL", &metadata.pic_url, PICTURE_URL_BYTES)?;
    check_keys("labels", metadata.labels.keys())?;
    check_keys("tags", metadata.tags.iter())?;
    for (key, value) in &metadata.labels {
        if !is_label_value(value) {
            return Err(Error::invalid(format!(
                "metadata.labels.{key}: the value {value:?} is invalid: 1 to {LABEL_VALUE_BYTES} lower-case \
                 letters, digits and hyphens, not beginning with a hyphen"
            )));
        }
    }
    if metadata.annotations.len() > ENTRIES {
        return Err(too_many("annotations", metadata.annotations.len()));
    }
    for (key, value) in &metadata.annotations {
        text("annotations", key, ANNOTATION_KEY_BYTES)?;
        text(&format!("annotations.{key}"), value, ANNOTATION_VALUE_BYTES)?;
    }
    let unique: BTreeSet<_> = metadata.tags.iter().collect();
    if unique.len() != metadata.tags.len() {
        return Err(Error::invalid("metadata.tags has a tag twice"));
    }
    if !metadata.uid.is_empty() {
        super::write::parse_uid(&metadata.uid)?;
    }
    Ok(())
}

/// Returns the fields that an author may set at creation. Only the Cluster may mark objects as system or hidden.
pub fn accepted(sent: &Metadata, author: &Author) -> Metadata {
    let texts = texts(sent);
    if !author.is_cluster() {
        return texts;
    }
    Metadata {
        is_system: sent.is_system,
        is_user_hidden: sent.is_user_hidden,
        system_labels: sent.system_labels.clone(),
        ..texts
    }
}

/// Returns the metadata of an update. Omitted fields are cleared.
pub fn overlay(old: Option<&Metadata>, sent: Option<&Metadata>) -> Metadata {
    let old = old.cloned().unwrap_or_default();
    let sent = sent.map(texts).unwrap_or_default();
    Metadata {
        display_name: sent.display_name,
        description: sent.description,
        labels: sent.labels,
        tags: sent.tags,
        annotations: sent.annotations,
        pic_url: sent.pic_url,
        ..old
    }
}

/// Returns whether pruning skips the object.
pub fn is_built_in(metadata: Option<&Metadata>) -> bool {
    metadata
        .is_some_and(|metadata| metadata.is_system || metadata.system_labels.contains_key(BUILT_IN))
}

/// Returns the system labels of objects that pruning skips.
pub fn built_in() -> BTreeMap<String, String> {
    BTreeMap::from([(BUILT_IN.to_owned(), "true".to_owned())])
}

fn texts(sent: &Metadata) -> Metadata {
    Metadata {
        name: sent.name.clone(),
        display_name: sent.display_name.clone(),
        description: sent.description.clone(),
        labels: sent.labels.clone(),
        tags: sent.tags.clone(),
        annotations: sent.annotations.clone(),
        pic_url: sent.pic_url.clone(),
        ..Metadata::default()
    }
}

fn check_keys<'a>(
    field: &str,
    keys: impl ExactSizeIterator<Item = &'a String>,
) -> Result<(), Error> {
    if keys.len() > ENTRIES {
        return Err(too_many(field, keys.len()));
    }
    for key in keys {
        name::check(key, 1)
            .map_err(|error| Error::invalid(format!("metadata.{field}: {error}")))?;
    }
    Ok(())
}

fn too_many(field: &str, count: usize) -> Error {
    Error::invalid(format!(
        "metadata.{field} has {count} entries; at most {ENTRIES} are allowed"
    ))
}

fn is_label_value(value: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    value.len() <= LABEL_VALUE_BYTES
        && value.bytes().next().is_some_and(alphanumeric)
        && value.bytes().all(|byte| alphanumeric(byte) || byte == b'-')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn with(change: impl FnOnce(&mut Metadata)) -> Metadata {
        let mut metadata = Metadata::default();
        change(&mut metadata);
        metadata
    }

    fn entries(count: usize) -> BTreeMap<String, String> {
        (0..count)
            .map(|index| (format!("key-{index}"), "value".to_owned()))
            .collect()
    }

    #[rstest]
    #[case::empty(with(|_| ()))]
    #[case::display_name(with(|m| m.display_name = "x".repeat(100)))]
    #[case::description(with(|m| m.description = "x".repeat(1024)))]
    #[case::labels(with(|m| m.labels = entries(64)))]
    #[case::annotation(with(|m| m.annotations = [("ab".to_owned(), "x".repeat(63))].into()))]
    #[case::tags(with(|m| m.tags = vec!["one".to_owned(), "two".to_owned()]))]
    fn metadata_within_the_limits_passes(#[case] metadata: Metadata) {
        check(&metadata).unwrap();
    }

    #[rstest]
    #[case::display_name(with(|m| m.display_name = "x".repeat(101)), "metadata.displayName")]
    #[case::description(with(|m| m.description = "x".repeat(1025)), "metadata.description")]
    #[case::labels(with(|m| m.labels = entries(65)), "metadata.labels")]
    #[case::key(with(|m| m.labels = [("Key".to_owned(), "v".to_owned())].into()), "metadata.labels")]
    #[case::value(with(|m| m.labels = [("key".to_owned(), "-v".to_owned())].into()), "metadata.labels.key")]
    #[case::annotation(with(|m| m.annotations = [("ab".to_owned(), "x".repeat(64))].into()), "metadata.annotations.ab")]
    #[case::tags(with(|m| m.tags = vec!["one".to_owned(); 2]), "metadata.tags")]
    #[case::uid(with(|m| m.uid = "1".to_owned()), "uid")]
    fn invalid_values_are_named(#[case] metadata: Metadata, #[case] field: &str) {
        let error = check(&metadata).unwrap_err();
        assert!(error.public().contains(field), "{error}");
    }

    #[rstest]
    #[case::longest(128, 36, true)]
    #[case::name(129, 0, false)]
    #[case::uid(0, 37, false)]
    fn names_and_uids_in_requests_have_a_longest_length_s02(
        #[case] name: usize,
        #[case] uid: usize,
        #[case] expected: bool,
    ) {
        let checked = check_lengths(Kind::User, &"a".repeat(name), &"a".repeat(uid));
        assert_eq!(checked.is_ok(), expected);
        if let Err(error) = checked {
            assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument);
            assert!(error.public().contains("bytes"), "{error}");
        }
    }

    #[test]
    fn clients_cannot_set_fields_of_the_cluster() {
        let sent = Metadata {
            name: "one".to_owned(),
            uid: "u".to_owned(),
            is_system: true,
            is_user_hidden: true,
            system_labels: built_in(),
            resource_version: "7".to_owned(),
            ..Metadata::default()
        };
        let old = Metadata {
            uid: "old".to_owned(),
            ..Metadata::default()
        };
        let new = overlay(Some(&old), Some(&sent));
        assert_eq!(new, old);
    }
}
