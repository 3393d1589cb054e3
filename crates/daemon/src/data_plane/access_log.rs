//! Storage of the gateway's requests in the control plane.

use api::{
    meta_v1::ObjectReference,
    platform_v1::{AccessEvent, access_event},
};
use domain::kind::Kind;
use gateway::{AccessFacts, Decision};
use server::{Context, access_log::Asker};

/// Implements the gateway's access log port.
pub(crate) struct AccessLog(pub(crate) Context);

impl gateway::AccessLog for AccessLog {
    fn add(&self, facts: &AccessFacts<'_>) {
        let decision = match facts.decision {
            Decision::Allowed => access_event::Decision::Allowed,
            Decision::Denied => access_event::Decision::Denied,
            Decision::Refused => access_event::Decision::Refused,
            Decision::Open => access_event::Decision::Open,
            Decision::Undecided => access_event::Decision::Undecided,
        };
        let asker = match facts.caller {
            Some(_) => Asker::Authenticated,
            None => Asker::Anonymous(facts.client),
        };
        let now = self.0.now();
        self.0
            .access
            .add(asker, decision, now, || self.event(facts));
    }
}

impl AccessLog {
    fn event(&self, facts: &AccessFacts<'_>) -> AccessEvent {
        // Texts are truncated here, because queued events must not be larger than stored ones.
        let text = |text: Option<&str>| {
            let text = text.unwrap_or_default();
            let end = text.floor_char_boundary(store::EVENT_TEXT_BYTES);
            text.get(..end).unwrap_or_default().to_owned()
        };
        AccessEvent {
            request_id: facts.request_id.to_owned(),
            at: Some(self.0.now().to_proto()),
            reason: facts.reason.to_string(),
            service_ref: facts
                .service
                .map(|(name, uid)| reference(Kind::Service, name, uid)),
            user_ref: facts
                .caller
                .map(|caller| reference(Kind::User, &caller.user, &caller.user_uid)),
            session_ref: facts
                .caller
                .map(|caller| reference(Kind::Session, &caller.session, &caller.session_uid)),
            credential: text(facts.caller.and_then(|caller| caller.credential.as_deref())),
            ip_address: facts.client.to_string(),
            method: text(Some(facts.method)),
            host: text(facts.host),
            path: text(facts.path),
            status: facts.status.unwrap_or_default().into(),
            grpc_status: facts.grpc_status.map(Into::into),
            duration: facts.duration.try_into().ok(),
            received: facts.received,
            sent: facts.sent,
            error: text(facts.error),
            step_up: facts.step_up.map(ToString::to_string).unwrap_or_default(),
            upstream: text(facts.upstream),
            ..AccessEvent::default()
        }
    }
}

fn reference(kind: Kind, name: &str, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: "core/v1".to_owned(),
        kind: kind.as_str().to_owned(),
        uid: uid.to_owned(),
        name: name.to_owned(),
        resource_version: String::new(),
    }
}
