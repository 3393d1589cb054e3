//! Combines all gRPC services in one router.

use api::{
    auth_v1::main_service_server::MainServiceServer as AuthServer,
    core_v1::main_service_server::MainServiceServer as CoreServer,
    platform_v1::main_service_server::MainServiceServer as PlatformServer,
    user_v1::main_service_server::MainServiceServer as UserServer,
};
use axum::{Router, middleware};
use tonic::service::Routes;
use tonic_health::ServingStatus;

use super::{auth::Auth, core::Core, platform::Platform, user::User};
use crate::{
    Context, access,
    budget::{ANONYMOUS_MESSAGE, MESSAGE, PLATFORM_MESSAGE},
};

/// The services that the health service reports. The empty name is the whole server.
const SERVICES: &[&str] = &[
    "",
    "octelium.api.main.auth.v1.MainService",
    "octelium.api.main.core.v1.MainService",
    "octelium.api.main.user.v1.MainService",
    "octelium.platform.v1.MainService",
];

/// Returns the gRPC API of the Cluster for the host `octelium-api.<domain>`. The access layer authorizes every call
/// first.
///
/// # Errors
/// Returns an error if the embedded API descriptors cannot be read, which a test of the build excludes.
pub async fn grpc_router(ctx: Context) -> Result<Router, Box<dyn std::error::Error + Send + Sync>> {
    let (health, health_service) = tonic_health::server::health_reporter();
    for service in SERVICES {
        let serving = ServingStatus::Serving;
        health.set_service_status(*service, serving).await;
    }
    let auth = AuthServer::new(Auth::new(ctx.clone()));
    let core = CoreServer::new(Core::new(ctx.clone()));
    let user = UserServer::new(User::new(ctx.clone()));
    let platform = PlatformServer::new(Platform::new(ctx.clone()));
    let mut routes = Routes::new(auth.max_decoding_message_size(ANONYMOUS_MESSAGE))
        .add_service(core.max_decoding_message_size(MESSAGE))
        .add_service(user.max_decoding_message_size(MESSAGE))
        .add_service(platform.max_decoding_message_size(PLATFORM_MESSAGE))
        .add_service(health_service.max_decoding_message_size(ANONYMOUS_MESSAGE));
    for reflection in [Reflection::V1, Reflection::V1Alpha] {
        routes = reflection.add_to(routes)?;
    }
    let with_object = middleware::from_fn_with_state(ctx.clone(), access::object::decide);
    let decide = middleware::from_fn_with_state(ctx, access::decide);
    // The layer added last processes requests first.
    Ok(routes
        .prepare()
        .into_axum_router()
        .layer(with_object)
        .layer(decide))
}

/// Version of the reflection service. Older clients only support `v1alpha`.
enum Reflection {
    V1,
    V1Alpha,
}

impl Reflection {
    fn add_to(&self, routes: Routes) -> Result<Routes, tonic_reflection::server::Error> {
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(api::reflect::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        // Each version registers its own descriptors. Adding the other one makes both versions describe both.
        Ok(match self {
            Self::V1 => routes.add_service(
                builder
                    .register_encoded_file_descriptor_set(
                        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
                    )
                    .build_v1()?
                    .max_decoding_message_size(ANONYMOUS_MESSAGE),
            ),
            Self::V1Alpha => routes.add_service(
                builder
                    .register_encoded_file_descriptor_set(
                        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
                    )
                    .build_v1alpha()?
                    .max_decoding_message_size(ANONYMOUS_MESSAGE),
            ),
        })
    }
}
