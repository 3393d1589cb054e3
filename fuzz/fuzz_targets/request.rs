//! Fuzzes the request messages of the API: the strict check, then the decoder of the message.
#![no_main]

use api::{auth_v1, codec, core_v1, meta_v1, platform_v1, reflect, user_v1};
use libfuzzer_sys::fuzz_target;
use prost::{Message, Name};
use prost_reflect::{DynamicMessage, Value};

macro_rules! requests {
    ($($message:ty,)*) => {
        const DECODERS: &[fn(&[u8])] = &[$(decode::<$message>,)*];
    };
}

requests! {
    meta_v1::GetOptions,
    meta_v1::DeleteOptions,
    core_v1::User,
    core_v1::Group,
    core_v1::Namespace,
    core_v1::Service,
    core_v1::Policy,
    core_v1::Credential,
    core_v1::Secret,
    core_v1::Config,
    core_v1::Session,
    core_v1::Device,
    core_v1::Authenticator,
    core_v1::IdentityProvider,
    core_v1::ClusterConfig,
    core_v1::GetClusterConfigRequest,
    core_v1::GenerateCredentialTokenRequest,
    core_v1::ListUserOptions,
    core_v1::ListGroupOptions,
    core_v1::ListNamespaceOptions,
    core_v1::ListServiceOptions,
    core_v1::ListPolicyOptions,
    core_v1::ListCredentialOptions,
    core_v1::ListSecretOptions,
    core_v1::ListConfigOptions,
    core_v1::ListSessionOptions,
    core_v1::ListDeviceOptions,
    core_v1::ListAuthenticatorOptions,
    core_v1::ListIdentityProviderOptions,
    core_v1::ListRegionOptions,
    core_v1::ListGatewayOptions,
    user_v1::GetStatusRequest,
    user_v1::ListServiceOptions,
    user_v1::ListNamespaceOptions,
    user_v1::SetServiceConfigsRequest,
    user_v1::DisconnectRequest,
    user_v1::ConnectRequest,
    auth_v1::Authenticator,
    auth_v1::AuthenticateWithAuthenticationTokenRequest,
    auth_v1::AuthenticateWithAssertionRequest,
    auth_v1::AuthenticateWithRefreshTokenRequest,
    auth_v1::AuthenticateWithAuthenticatorRequest,
    auth_v1::AuthenticateAuthenticatorBeginRequest,
    auth_v1::AuthenticateWithPasskeyBeginRequest,
    auth_v1::AuthenticateWithPasskeyRequest,
    auth_v1::CreateAuthenticatorRequest,
    auth_v1::GetAvailableAuthenticatorRequest,
    auth_v1::ListAuthenticatorOptions,
    auth_v1::LogoutRequest,
    auth_v1::RegisterAuthenticatorBeginRequest,
    auth_v1::RegisterAuthenticatorFinishRequest,
    auth_v1::RegisterDeviceBeginRequest,
    auth_v1::RegisterDeviceFinishRequest,
    auth_v1::RunDeviceProbeBeginRequest,
    auth_v1::RunDeviceProbeFinishRequest,
    platform_v1::ApplyRequest,
    platform_v1::WatchRequest,
    platform_v1::ListAuditEventOptions,
    platform_v1::RotateCredentialRequest,
}

fuzz_target!(|bytes: &[u8]| {
    let Some((which, message)) = bytes.split_first() else {
        return;
    };
    DECODERS[usize::from(*which) % DECODERS.len()](message);
});

fn decode<M: Message + Name + Default>(bytes: &[u8]) {
    if codec::check::<M>(bytes).is_err() {
        return;
    }
    let Ok(message) = M::decode(bytes) else {
        return;
    };
    let descriptor = reflect::descriptor::<M>().expect("a message of the contract");
    // No unknown fields were present, so none was dropped.
    let dynamic = DynamicMessage::decode(descriptor, bytes).expect("both decoders agree");
    assert!(!has_unknown(&dynamic));
    let again = message.encode_to_vec();
    assert_eq!(codec::check::<M>(&again), Ok(()));
    let reread = M::decode(again.as_slice()).expect("what was written reads");
    assert_eq!(reread.encode_to_vec(), again);
}

fn has_unknown(message: &DynamicMessage) -> bool {
    let in_value = |value: &Value| match value {
        Value::Message(nested) => has_unknown(nested),
        Value::List(list) => list.iter().any(|item| item.as_message().is_some_and(has_unknown)),
        Value::Map(map) => map.values().any(|item| item.as_message().is_some_and(has_unknown)),
        _ => false,
    };
    message.unknown_fields().next().is_some() || message.fields().any(|(_, value)| in_value(value))
}
