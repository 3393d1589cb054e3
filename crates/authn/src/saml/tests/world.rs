//! A shared identity provider and service provider, because RSA key generation is slow.

use std::sync::LazyLock;

use domain::clock::UnixMillis;

use crate::saml::{
    Error, ErrorKind, Expected, Login, MetadataOptions, Provider, ServiceProvider, finish_login,
    testing::{Draft, IdentityProvider, NOW, posted, service_provider},
};

pub(super) const DOMAIN: &str = "example.com";
pub(super) const REQUEST: &str = "_q1";
pub(super) const BASE: &str = "https://idp.example.org";

pub(super) static IDP: LazyLock<IdentityProvider> =
    LazyLock::new(|| IdentityProvider::new("https://idp.example.org/metadata").unwrap());
pub(super) static SERVICE: LazyLock<ServiceProvider> =
    LazyLock::new(|| service_provider(DOMAIN).unwrap());
pub(super) static PROVIDER: LazyLock<Provider> = LazyLock::new(|| {
    Provider::from_metadata(&IDP.metadata(BASE), MetadataOptions::default(), NOW).unwrap()
});

pub(super) fn draft() -> Draft {
    Draft::new(&IDP, DOMAIN, REQUEST)
}

pub(super) fn expected() -> Expected<'static> {
    Expected {
        request_id: REQUEST,
        requested_at: NOW,
        force_authn: false,
    }
}

pub(super) fn finish(document: &str) -> Result<Login, Error> {
    finish_at(document, NOW)
}

pub(super) fn finish_at(document: &str, now: UnixMillis) -> Result<Login, Error> {
    finish_login(&SERVICE, &PROVIDER, &posted(document), expected(), now)
}

/// Asserts that the document is rejected with this error kind and this text in the reason.
#[track_caller]
pub(super) fn refused(document: &str, kind: ErrorKind, reason: &str) {
    let error = finish(document).expect_err("it was accepted");
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(error.reason().contains(reason), "{error:?}");
    assert!(
        !error.to_string().contains(error.reason()),
        "the public text says why"
    );
}

/// Asserts that a validly signed, modified draft is rejected.
#[track_caller]
pub(super) fn refused_draft(change: impl FnOnce(&mut Draft), kind: ErrorKind, reason: &str) {
    let mut draft = draft();
    change(&mut draft);
    refused(&draft.write(&IDP).unwrap(), kind, reason);
}
