//! SAML single logout, initiated by the provider or by the Cluster.

use api::core_v1::{
    Session,
    session::status::authentication::info::{IdentityProvider, identity_provider::Saml},
};
use authn::saml::{
    Ended, Incoming, LogoutRequest, NameId, Outgoing, answer_logout, begin_logout, claimed_sender,
    finish_logout, read_logout_request,
};
use aws_lc_rs::digest;
use domain::id::Uid;
use std::{fmt, sync::Arc};

use super::{failed, is_saml, service, source, spec, unreachable};
use crate::{
    Caller, Context, Error,
    authentication::identity::SingleUse,
    directory::ProviderEntry,
    document::index,
    federation::single_logout::{self, SessionSelector, initial_identity, unknown_sender},
};

const USED_REQUEST: &str = "saml-logout";

/// A logout request to send to the provider.
pub(crate) struct ProviderLogout {
    pub(crate) provider: Uid,
    /// Display name of the provider.
    pub(crate) label: String,
    pub(crate) request_id: String,
    pub(crate) message: Outgoing,
}

/// Extracts the identifiers of a login that a later logout needs.
pub(super) fn logout_identifiers(name: &NameId, session_index: Option<&str>) -> Saml {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Saml {
        name_id: name.value.clone(),
        name_id_format: text(&name.format),
        name_qualifier: text(&name.name_qualifier),
        sp_name_qualifier: text(&name.sp_name_qualifier),
        session_index: session_index.unwrap_or_default().to_owned(),
    }
}

/// Ends the Sessions that a provider's request names, and returns the response.
///
/// # Errors
/// Returns `Unauthenticated` if the request is not from a known provider or was already used.
pub(crate) async fn end_by_request(
    ctx: &Context,
    incoming: Incoming<'_>,
    relay_state: Option<&str>,
    caller: &Caller,
) -> Result<Outgoing, Error> {
    let (entry, request) = read(ctx, incoming).await?;
    end_sessions(ctx, &entry, &request, caller).await?;
    let spec = spec(&entry)?;
    let service = service(ctx, spec).await?;
    let known = source(ctx, spec)?.get().await.map_err(unreachable)?;
    answer_logout(
        &service,
        &known.provider,
        &request,
        Ended::All,
        relay_state,
        &*ctx.rng,
        ctx.now(),
    )
    .map_err(|error| failed(&entry, &error))
}

/// Builds the logout request to the SAML provider that authenticated `session`. Returns `None` for other Sessions, or
/// if the provider does not support logout.
pub(crate) async fn begin_provider_logout(
    ctx: &Context,
    session: &Session,
) -> Option<ProviderLogout> {
    let by = initial_identity(session)?;
    let saml = by.saml.as_ref()?;
    let provider = &by.identity_provider_ref.as_ref()?.uid;
    let entry = ctx.directory.identity_provider("", provider)?;
    let spec = spec(&entry).ok()?;
    let service = service(ctx, spec).await.ok()?;
    let known = source(ctx, spec).ok()?.get().await.ok()?;
    let present = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let name = NameId {
        value: saml.name_id.clone(),
        format: present(&saml.name_id_format),
        name_qualifier: present(&saml.name_qualifier),
        sp_name_qualifier: present(&saml.sp_name_qualifier),
    };
    let index = present(&saml.session_index);
    let about = (&name, index.as_deref());
    match begin_logout(&service, &known.provider, about, None, &*ctx.rng, ctx.now()) {
        Ok(sent) => sent.map(|sent| ProviderLogout {
            provider: entry.provider.uid,
            label: entry.label().to_owned(),
            request_id: sent.id,
            message: sent.message,
        }),
        Err(error) => {
            failed(&entry, &error);
            None
        }
    }
}

/// Verifies the provider's response to a [`ProviderLogout`]. Returns the display name of the provider.
///
/// # Errors
/// Returns `Unauthenticated` if the response is invalid, or `PermissionDenied` if the provider did not end all
/// sessions.
pub(crate) async fn finish(
    ctx: &Context,
    provider: Uid,
    request_id: &str,
    incoming: Incoming<'_>,
) -> Result<String, Error> {
    let entry = ctx.directory.identity_provider("", &provider.to_string());
    let entry = entry.ok_or_else(|| unknown_sender("provider_gone"))?;
    let spec = spec(&entry)?;
    let service = service(ctx, spec).await?;
    let now = ctx.now();
    source(ctx, spec)?
        .verify(|provider| finish_logout(&service, provider, incoming, request_id, now))
        .await
        .map_err(unreachable)?
        .map_err(|error| failed(&entry, &error))?;
    Ok(entry.label().to_owned())
}

/// Verifies the request and returns it with its provider.
async fn read(
    ctx: &Context,
    incoming: Incoming<'_>,
) -> Result<(Arc<ProviderEntry>, LogoutRequest), Error> {
    let sender = claimed_sender(incoming).map_err(|error| {
        tracing::warn!(reason = error.reason(), "a SAML logout cannot be read");
        unknown_sender("saml_malformed")
    })?;
    let mut refused = unknown_sender("provider_unknown");
    for entry in ctx.directory.identity_providers() {
        if !is_saml(&entry) {
            continue;
        }
        let spec = spec(&entry)?;
        // Without metadata, a request of this provider could not be verified. Other providers are not affected.
        let Ok(source) = source(ctx, spec).inspect_err(|error| skipped(&entry, error)) else {
            continue;
        };
        let known = source.get().await;
        let Ok(known) = known.inspect_err(|error| skipped(&entry, error)) else {
            continue;
        };
        if known.provider.entity_id != sender {
            continue;
        }
        let service = service(ctx, spec).await?;
        let now = ctx.now();
        let outcome = source
            .verify(|provider| read_logout_request(&service, provider, incoming, now))
            .await
            .map_err(unreachable)?;
        match outcome {
            Ok(request) => return Ok((entry, request)),
            Err(error) => refused = failed(&entry, &error),
        }
    }
    Err(refused)
}

fn skipped(entry: &ProviderEntry, error: &dyn fmt::Display) {
    let name = entry.name();
    tracing::debug!(identity_provider = name, %error, "provider skipped for a SAML logout");
}

async fn end_sessions(
    ctx: &Context,
    entry: &ProviderEntry,
    request: &LogoutRequest,
    caller: &Caller,
) -> Result<(), Error> {
    let provider = entry.provider.uid;
    let id = digest::digest(&digest::SHA256, request.id.as_bytes());
    let used = SingleUse {
        kind: USED_REQUEST,
        key: [provider.as_bytes().as_slice(), id.as_ref()].concat(),
        expires_at: request.remember_until,
    };
    let selector = SessionSelector {
        index: index::SAML,
        key: &index::saml_key(&provider.to_string(), &request.name_id.value),
        matches: |by: &IdentityProvider| is_selected(by, request),
    };
    single_logout::end_sessions(ctx, entry, &used, selector, caller).await
}

fn is_selected(by: &IdentityProvider, request: &LogoutRequest) -> bool {
    let Some(saml) = &by.saml else { return false };
    let formats = (&saml.name_id_format, &request.name_id.format);
    let is_other = matches!(formats, (had, Some(format)) if !had.is_empty() && had != format);
    let indexes = &request.session_indexes;
    saml.name_id == request.name_id.value
        && !is_other
        && (indexes.is_empty() || indexes.contains(&saml.session_index))
}
