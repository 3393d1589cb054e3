//! Authorization of calls that have an object. The object is known only after the message was read.

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};

use super::{Call, Refused, permit, refusal, target};
use crate::{Actor, Caller, Context, Error};

/// The bytes before a message: one for compression, and four for the length.
const PREFIX: usize = 5;

/// Authorizes the calls that [`super::decide`] leaves to this middleware. Other calls pass.
pub(crate) async fn decide(State(ctx): State<Context>, request: Request, next: Next) -> Response {
    if !target::has_object(request.uri().path()) {
        return next.run(request).await;
    }
    match with_object(&ctx, request).await {
        Ok(request) => next.run(request).await,
        Err(refused) => refusal(refused),
    }
}

/// Reads the message, authorizes the call and returns the request with the message as its body.
async fn with_object(ctx: &Context, request: Request) -> Result<Request, Refused> {
    let (parts, body) = request.into_parts();
    let (Some(actor), Some(caller)) = (
        parts.extensions.get::<Actor>(),
        parts.extensions.get::<Caller>(),
    ) else {
        return Err(Error::internal("a call with an object was not authenticated").into());
    };
    let path = parts.uri.path();
    let read = read(ctx, path, body).await;
    // A caller without permission for the method must not learn about errors in the message.
    let target = read.as_ref().map_or(&[][..], |(target, _)| target);
    let call = Call {
        caller,
        principal: &actor.principal,
        path,
        host: parts.uri.host().unwrap_or_default(),
        headers: &parts.headers,
        target,
    };
    permit(ctx, &call).await?;
    let (_, body) = read?;
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// Returns the target of the call and the body that was read.
async fn read(ctx: &Context, path: &str, body: Body) -> Result<(Vec<u8>, Bytes), Error> {
    let most = target::max_bytes(path);
    let body = Limited::new(body, most + PREFIX).collect().await;
    let body = body
        .map_err(|_| {
            Error::invalid(format!(
                "The message is incomplete or larger than {most} bytes"
            ))
        })?
        .to_bytes();
    let target = target::of(ctx, path, message(&body)?).await?;
    Ok((target, body))
}

/// Returns the only message of a body. The handler could interpret any other body differently.
fn message(body: &Bytes) -> Result<&[u8], Error> {
    let invalid = || Error::invalid("The body must be one message that is not compressed");
    let (prefix, message) = body.split_at_checked(PREFIX).ok_or_else(invalid)?;
    let [0, length @ ..] = prefix else {
        return Err(invalid());
    };
    let length: [u8; 4] = length.try_into().map_err(|_| invalid())?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| invalid())?;
    if length == message.len() {
        Ok(message)
    } else {
        Err(invalid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_exactly_one_message_s11() {
        let read = |bytes: &'static [u8]| message(&Bytes::from_static(bytes)).map(<[u8]>::len).ok();
        assert_eq!(read(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(read(&[0, 0, 0, 0, 2, 8, 1]), Some(2));
        for refused in [
            &[][..],
            &[0, 0, 0, 0],
            &[1, 0, 0, 0, 0],
            &[0, 0, 0, 0, 1],
            &[0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0, 255, 255, 255, 255, 1],
        ] {
            assert_eq!(read(refused), None, "{refused:?}");
        }
    }
}
