//! The services of the API over one connection.

use api::{auth_v1, core_v1, platform_v1, user_v1};
use secrecy::{ExposeSecret as _, SecretString};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use crate::failure::Failure;

/// Maximum size of a response, in bytes. A list page can contain a thousand objects.
const MAX_ANSWER: usize = 64 << 20;

/// A connection that sends an access token with each call.
#[derive(Clone)]
pub(crate) struct Rpc {
    channel: Channel,
    header: Header,
}

/// A channel that adds a token to each request.
pub(crate) type Authenticated = InterceptedService<Channel, Header>;

impl Rpc {
    /// Creates a client of the core, user and platform services.
    ///
    /// # Errors
    /// Returns a failure if the token contains characters that a header cannot contain.
    pub(crate) fn with_access_token(
        channel: Channel,
        token: &SecretString,
    ) -> Result<Self, Failure> {
        Ok(Self {
            channel,
            header: Header::new("x-octelium-auth", token)?,
        })
    }

    /// Returns the service for resources.
    pub(crate) fn core(&self) -> core_v1::main_service_client::MainServiceClient<Authenticated> {
        core_v1::main_service_client::MainServiceClient::with_interceptor(
            self.channel.clone(),
            self.header.clone(),
        )
        .max_decoding_message_size(MAX_ANSWER)
    }

    /// Returns the service for Users.
    pub(crate) fn user(&self) -> user_v1::main_service_client::MainServiceClient<Authenticated> {
        user_v1::main_service_client::MainServiceClient::with_interceptor(
            self.channel.clone(),
            self.header.clone(),
        )
        .max_decoding_message_size(MAX_ANSWER)
    }

    /// Returns the service for apply, watch, audit and rotation.
    pub(crate) fn platform(
        &self,
    ) -> platform_v1::main_service_client::MainServiceClient<Authenticated> {
        platform_v1::main_service_client::MainServiceClient::with_interceptor(
            self.channel.clone(),
            self.header.clone(),
        )
        .max_decoding_message_size(MAX_ANSWER)
    }
}

/// The client of the authentication API.
pub(crate) type Auth = auth_v1::main_service_client::MainServiceClient<Authenticated>;

/// Creates a client of the authentication API that sends `refresh_token` if there is one.
///
/// # Errors
/// Returns a failure if the token contains characters that a header cannot contain.
pub(crate) fn auth(
    channel: Channel,
    refresh_token: Option<&SecretString>,
) -> Result<Auth, Failure> {
    let header = match refresh_token {
        Some(token) => Header::new("x-octelium-refresh-token", token)?,
        None => Header(None),
    };
    Ok(auth_v1::main_service_client::MainServiceClient::with_interceptor(channel, header))
}

/// Adds a token to each request.
#[derive(Clone)]
pub(crate) struct Header(Option<(&'static str, MetadataValue<Ascii>)>);

impl Header {
    fn new(name: &'static str, token: &SecretString) -> Result<Self, Failure> {
        let mut value = MetadataValue::try_from(token.expose_secret()).map_err(|_| {
            Failure::unauthenticated("the token contains characters that are not valid in a token")
        })?;
        value.set_sensitive(true);
        Ok(Self(Some((name, value))))
    }
}

impl Interceptor for Header {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some((name, value)) = &self.0 {
            request.metadata_mut().insert(*name, value.clone());
        }
        Ok(request)
    }
}
