//! `octelium.platform.v1.MainService`: methods that this implementation adds to the Octelium API.

use std::pin::Pin;

use api::{
    core_v1::CredentialToken,
    platform_v1::{
        AccessEventList, ApplyRequest, ApplyResponse, AuditEventList, CreateEnrollmentRequest,
        DecisionExplanation, DecisionRequest, Enrollment, EnrollmentList,
        GetMetadataServiceStateRequest, ListAccessEventOptions, ListAuditEventOptions,
        ListEnrollmentOptions, MetadataServiceState, ResetAuthenticatorsRequest,
        ResetAuthenticatorsResponse, RevokeEnrollmentRequest, RevokeEnrollmentResponse,
        RotateCredentialRequest, WatchEvent, WatchRequest, main_service_server::MainService,
    },
};
use domain::{credential::Rotation, duration};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use super::{actor, author, credential_ref_missing};
use crate::{
    Context, Error,
    authentication::{enrollment, issue},
    explanation,
    resource::{access, apply::Apply, audit, authenticator::Reset, watch, write::transact},
};

/// The gRPC service for the additional methods.
#[derive(Clone)]
pub struct Platform(Context);

impl Platform {
    /// Creates the service.
    pub fn new(context: Context) -> Self {
        Self(context)
    }
}

#[tonic::async_trait]
impl MainService for Platform {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchEvent, Status>> + Send>>;

    async fn apply(
        &self,
        request: Request<ApplyRequest>,
    ) -> Result<Response<ApplyResponse>, Status> {
        let author = author(&request, "/octelium.platform.v1.MainService/Apply")?;
        let response = transact(&self.0, &author, &Apply(request.into_inner())).await?;
        Ok(Response::new(response))
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let actor = actor(&request)?;
        let events = watch::watch(self.0.clone(), actor, request.get_ref())?;
        let events = ReceiverStream::new(events).map(|event| event.map_err(Status::from));
        Ok(Response::new(Box::pin(events)))
    }

    async fn list_audit_event(
        &self,
        request: Request<ListAuditEventOptions>,
    ) -> Result<Response<AuditEventList>, Status> {
        let list = audit::list(&self.0, request.get_ref()).await?;
        Ok(Response::new(list))
    }

    async fn list_access_event(
        &self,
        request: Request<ListAccessEventOptions>,
    ) -> Result<Response<AccessEventList>, Status> {
        let list = access::list(&self.0, request.get_ref()).await?;
        Ok(Response::new(list))
    }

    async fn rotate_credential(
        &self,
        request: Request<RotateCredentialRequest>,
    ) -> Result<Response<CredentialToken>, Status> {
        let actor = actor(&request)?;
        let request = request.into_inner();
        let rotation = rotation(&request)?;
        let credential = request.credential_ref.ok_or_else(credential_ref_missing)?;
        let token = issue::rotate(&self.0, &actor, &credential, rotation).await?;
        Ok(Response::new(token))
    }

    async fn explain_decision(
        &self,
        request: Request<DecisionRequest>,
    ) -> Result<Response<DecisionExplanation>, Status> {
        let explanation = explanation::explain(&self.0, request.get_ref()).await?;
        Ok(Response::new(explanation))
    }

    async fn create_enrollment(
        &self,
        request: Request<CreateEnrollmentRequest>,
    ) -> Result<Response<Enrollment>, Status> {
        let actor = actor(&request)?;
        let enrollment = enrollment::create(&self.0, &actor, request.get_ref()).await?;
        Ok(Response::new(enrollment))
    }

    async fn list_enrollment(
        &self,
        request: Request<ListEnrollmentOptions>,
    ) -> Result<Response<EnrollmentList>, Status> {
        let list = enrollment::list(&self.0, request.get_ref()).await?;
        Ok(Response::new(list))
    }

    async fn revoke_enrollment(
        &self,
        request: Request<RevokeEnrollmentRequest>,
    ) -> Result<Response<RevokeEnrollmentResponse>, Status> {
        let actor = actor(&request)?;
        let revoked = enrollment::revoke(&self.0, &actor, request.get_ref()).await?;
        Ok(Response::new(revoked))
    }

    async fn get_metadata_service_state(
        &self,
        _request: Request<GetMetadataServiceStateRequest>,
    ) -> Result<Response<MetadataServiceState>, Status> {
        Ok(Response::new(self.0.metadata.state(self.0.now())))
    }

    async fn reset_authenticators(
        &self,
        request: Request<ResetAuthenticatorsRequest>,
    ) -> Result<Response<ResetAuthenticatorsResponse>, Status> {
        let author = author(
            &request,
            "/octelium.platform.v1.MainService/ResetAuthenticators",
        )?;
        let response = transact(&self.0, &author, &Reset(request.into_inner())).await?;
        Ok(Response::new(response))
    }
}

fn rotation(request: &RotateCredentialRequest) -> Result<Rotation, Error> {
    match (request.keep_sessions, &request.overlap) {
        (true, Some(_)) => Err(Error::invalid(
            "keepSessions and overlap cannot be set together",
        )),
        (true, None) => Ok(Rotation::KeepSessions),
        (false, None) => Ok(Rotation::EndSessions),
        (false, Some(overlap)) => duration::check(overlap)
            .map(Rotation::Overlap)
            .map_err(|error| Error::invalid(format!("overlap: {error}"))),
    }
}
