mod checks;
mod creation;
mod refreshing;

use std::time::Duration;

use api::{
    core_v1::{ClusterConfig, Credential, User, credential, session::status::Type, user},
    meta_v1,
};

use super::*;
use crate::{
    clock::UnixMillis,
    credential::{Rotation, rotate},
    id::Uid,
    token::{Claims, TokenType},
};

const NOW: UnixMillis = UnixMillis(1_800_000_000_500);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

fn id(byte: u8) -> Uid {
    Uid::from_bytes(&[byte; 16]).unwrap()
}

fn at(offset: Duration) -> UnixMillis {
    NOW.saturating_add(offset)
}

fn metadata(uid: Uid, name: &str) -> meta_v1::Metadata {
    meta_v1::Metadata {
        uid: uid.to_string(),
        name: name.to_owned(),
        ..meta_v1::Metadata::default()
    }
}

fn some_user() -> User {
    User {
        metadata: Some(metadata(id(10), "robot")),
        spec: Some(user::Spec {
            r#type: user::spec::Type::Workload.into(),
            ..user::Spec::default()
        }),
        ..User::default()
    }
}

/// Returns a Credential whose first secret has the token id 1 and the version 1.
fn some_credential(r#type: credential::spec::Type) -> Credential {
    let mut credential = Credential {
        metadata: Some(metadata(id(20), "robot-key")),
        spec: Some(credential::Spec {
            r#type: r#type.into(),
            ..credential::Spec::default()
        }),
        status: Some(credential::Status::default()),
        ..Credential::default()
    };
    rotate(&mut credential, Rotation::EndSessions, id(1), NOW).unwrap();
    credential
}

/// Creates a Session at [`NOW`] with the given Credential. Its tokens have the id 30.
fn session_of(credential: &Credential) -> Session {
    let user = some_user();
    new_session(NewSession {
        uid: id(40),
        name: "robot-abcdef".to_owned(),
        user: &user,
        credential: Some((credential, 1)),
        session_type: Type::Client,
        is_browser: false,
        scopes: Vec::new(),
        token_id: id(30),
        info: credential_info(credential, downstream(None, "octelium-cli/1.2.3 grpc-go/1")),
        lifetimes: lifetimes(&user, &ClusterConfig::default(), Type::Client),
        state: api::core_v1::session::spec::State::Active,
        now: NOW,
    })
}

fn some_session() -> Session {
    session_of(&some_credential(credential::spec::Type::AuthToken))
}

fn refreshed(session: &Session, token_id: Uid, now: UnixMillis) -> Session {
    let mut session = session.clone();
    rotate_tokens(
        &mut session,
        token_id,
        now,
        refresh_info(downstream(None, "")),
    );
    session
}

fn access(token_id: Uid, expires_at: UnixMillis) -> Claims {
    Claims {
        token_type: TokenType::Access,
        key_id: id(50),
        subject: id(40),
        token_id,
        expires_at: Some(expires_at),
        credential_version: 1,
        audience: id(60),
    }
}
