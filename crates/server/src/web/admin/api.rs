//! In-process API calls with the Session of the visitor.

use std::sync::Arc;

use ::api::{
    core_v1::main_service_server::MainServiceServer as CoreServer,
    platform_v1::main_service_server::MainServiceServer as PlatformServer,
};
use bytes::{Buf as _, BufMut as _, Bytes};
use futures_util::future::BoxFuture;
use http::{HeaderMap, uri::PathAndQuery};
use prost::Message;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::NamedService,
};

use super::kind::ConsoleKind;
use crate::{
    Actor, Caller, Context, Error, ErrorKind, Principal, Unauthenticated,
    access::{Call, target},
    authentication::active::ActiveSession,
    grpc::{core::Core, platform::Platform},
    web::visit::Visitor,
};

/// Returns the path of a method of `octelium.api.main.core.v1.MainService`.
pub(super) fn core(method: &str) -> String {
    format!("/{}/{method}", CoreServer::<Core>::NAME)
}

/// Returns the path of a method of `octelium.platform.v1.MainService`.
pub(super) fn platform(method: &str) -> String {
    format!("/{}/{method}", PlatformServer::<Platform>::NAME)
}

pub(super) fn path_of(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// API client that authorizes each call like a call from the network.
pub(in crate::web) struct Api {
    ctx: Context,
    principal: Arc<Principal>,
    caller: Caller,
    headers: HeaderMap,
    host: String,
}

impl Api {
    /// Creates a client for the active Session of `visitor`.
    ///
    /// # Errors
    /// Returns `PermissionDenied` if the Session is not valid, and `Unavailable` if it cannot be checked now.
    pub(super) async fn of(
        ctx: &Context,
        visitor: &Visitor,
        active: &ActiveSession,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> Result<Self, Error> {
        let principal = visitor
            .principal(ctx, active)
            .await
            .map_err(|error| match error {
                Unauthenticated::Refused { reason } => {
                    Error::denied("Your Session cannot be used for this").because(reason)
                }
                error @ Unauthenticated::Unavailable => Error::unavailable(error),
            })?;
        Ok(Self {
            ctx: ctx.clone(),
            principal,
            caller: caller.clone(),
            headers: headers.clone(),
            host: format!("octelium-api.{}", ctx.domain.host()),
        })
    }

    /// Returns whether the Session may call the method at `path`. Records nothing.
    pub(super) fn allows(&self, path: &str) -> bool {
        self.decided(path, &[]).is_allowed(&self.ctx)
    }

    /// Returns whether the Session may see any page of the console.
    pub(super) fn has_anything(&self) -> bool {
        ConsoleKind::all()
            .iter()
            .any(|console_kind| self.allows(&console_kind.path()))
            || self.allows(&platform("ListAuditEvent"))
            || self.allows(&platform("ListAccessEvent"))
            || self.allows(&core("CreateCredential"))
    }

    /// Calls a method with typed messages.
    ///
    /// # Errors
    /// Returns the error of the API call.
    pub(super) fn ask<'a, Q: Message, A: Message + Default>(
        &'a self,
        path: &'a str,
        question: &Q,
    ) -> BoxFuture<'a, Result<A, Error>> {
        let question = question.encode_to_vec();
        Box::pin(async move {
            let answer = self.call(path, question).await?;
            A::decode(answer).map_err(Error::internal)
        })
    }

    /// Calls a method with dynamic messages.
    ///
    /// # Errors
    /// Returns the error of the API call.
    pub(super) async fn ask_dynamic(
        &self,
        method: &MethodDescriptor,
        question: &DynamicMessage,
    ) -> Result<DynamicMessage, Error> {
        let answer = self
            .call(&path_of(method), question.encode_to_vec())
            .await?;
        DynamicMessage::decode(method.output(), answer).map_err(Error::internal)
    }

    async fn call(&self, path: &str, question: Vec<u8>) -> Result<Bytes, Error> {
        let target = target::of(&self.ctx, path, &question).await?;
        self.decided(path, &target).permit(&self.ctx)?;
        let mut request = Request::new(question);
        let extensions = request.extensions_mut();
        extensions.insert(Actor {
            principal: self.principal.clone(),
            request_id: self.caller.request_id.clone(),
            ip: self.caller.ip,
            user_agent: self.caller.user_agent.clone(),
        });
        extensions.insert(self.caller.clone());
        let uri = PathAndQuery::try_from(path).map_err(Error::internal)?;
        let service = path.split('/').nth(1).unwrap_or_default();
        let ctx = self.ctx.clone();
        let answer = if service == CoreServer::<Core>::NAME {
            let server = CoreServer::new(Core::new(ctx));
            client(server).unary(request, uri, Raw).await
        } else if service == PlatformServer::<Platform>::NAME {
            let server = PlatformServer::new(Platform::new(ctx));
            client(server).unary(request, uri, Raw).await
        } else {
            return Err(Error::new(ErrorKind::Unimplemented, "Unknown method"));
        };
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| error(&status))
    }

    fn decided<'a>(&'a self, path: &'a str, target: &'a [u8]) -> Call<'a> {
        Call {
            caller: &self.caller,
            principal: &self.principal,
            path,
            host: &self.host,
            headers: &self.headers,
            target,
        }
    }
}

/// Removes the size limit: the process already holds these messages.
fn client<S>(server: S) -> Grpc<S> {
    Grpc::new(server).max_decoding_message_size(usize::MAX)
}

/// Converts a status to an error. The method has already logged the internal details.
fn error(status: &Status) -> Error {
    let kind = match status.code() {
        Code::InvalidArgument => ErrorKind::InvalidArgument,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::PermissionDenied => ErrorKind::PermissionDenied,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::OutOfRange => ErrorKind::Conflict,
        Code::FailedPrecondition => ErrorKind::FailedPrecondition,
        Code::Unimplemented => ErrorKind::Unimplemented,
        Code::Unavailable => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, status.message())
}

/// Codec for messages that are already encoded.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
