//! The table columns of each resource kind, for lists of resources.

use api::{
    core_v1::{
        Authenticator, ClusterConfig, Credential, Device, Gateway, IdentityProvider, Policy,
        Region, Service, Session, User,
    },
    meta_v1::{Metadata, ObjectReference},
    platform_v1::{Resource, resource::Resource as Body},
};

use crate::{clock::UnixMillis, kind::Kind, service::is_unreachable};

mod age;

pub use age::{since, until};

/// Returns the column headers of a kind. `wide` adds further columns.
pub fn header(kind: Kind, wide: bool) -> Vec<String> {
    let (narrow, more): (&[&str], &[&str]) = match kind {
        Kind::User => (
            &["NAME", "TYPE", "GROUPS", "EMAIL", "DISABLED", "AGE"],
            &["LOCKED", "POLICIES"],
        ),
        Kind::Group
        | Kind::Namespace
        | Kind::Secret
        | Kind::Config
        | Kind::Gateway
        // Never shown in tables.
        | Kind::SigningKey
        | Kind::Certificate
        | Kind::SecondFactors
        | Kind::AuthenticatorMetadata
        | Kind::RevokedToken
        | Kind::Enrollment => (&["NAME", "AGE"], &[]),
        Kind::Service => (
            &[
                "NAME",
                "NAMESPACE",
                "MODE",
                "PORT",
                "PUBLIC",
                "ANONYMOUS",
                "DISABLED",
                "AGE",
            ],
            &["HOSTNAME", "ADDRESSES", "TLS", "POLICIES", "WARNING"],
        ),
        Kind::Policy => (
            &["NAME", "RULES", "DISABLED", "AGE"],
            &["ENFORCEMENT RULES"],
        ),
        Kind::Credential => (
            &[
                "NAME",
                "USER",
                "TYPE",
                "STATE",
                "EXPIRES IN",
                "LAST USED",
                "AGE",
            ],
            &[
                "CLIENT ID",
                "SESSION TYPE",
                "USES",
                "ROTATED",
                "ROTATIONS",
                "POLICIES",
            ],
        ),
        Kind::Session => (
            &[
                "NAME",
                "USER",
                "TYPE",
                "STATE",
                "EXPIRES IN",
                "LAST AUTH",
                "CONNECTED",
                "AGE",
            ],
            &["CREDENTIAL", "DEVICE", "AUTHENTICATIONS"],
        ),
        Kind::Device => (
            &["NAME", "USER", "STATE", "OS", "HOSTNAME", "AGE"],
            &["SERIAL NUMBER", "LAST SEEN"],
        ),
        Kind::Authenticator => (
            &[
                "NAME",
                "USER",
                "TYPE",
                "STATE",
                "REGISTERED",
                "AUTHENTICATIONS",
                "AGE",
            ],
            &["LAST USED", "DESCRIPTION"],
        ),
        Kind::IdentityProvider => (&["NAME", "TYPE", "DISABLED", "AGE"], &["LOCKED"]),
        Kind::Region => (
            &["NAME", "INGRESS ADDRESSES", "AGE"],
            &["HOSTNAME", "VERSION"],
        ),
        Kind::ClusterConfig => (&["NAME", "DOMAIN", "AGE"], &[]),
    };
    let mut header: Vec<String> = narrow.iter().map(ToString::to_string).collect();
    if wide {
        header.extend(more.iter().map(ToString::to_string));
        header.extend(["UID".to_owned(), "DISPLAY NAME".to_owned()]);
    }
    header
}

/// Returns the cells of a resource, in the order of [`header`] for its kind.
pub fn row(resource: &Resource, now: UnixMillis, wide: bool) -> Vec<String> {
    let none = Metadata::default();
    let metadata = resource.metadata().unwrap_or(&none);
    let age = since(metadata.created_at.as_ref(), now);
    let (narrow, more) = match &resource.resource {
        Some(Body::User(user)) => self::user(user),
        Some(Body::Service(service)) => self::service(service),
        Some(Body::Policy(policy)) => self::policy(policy),
        Some(Body::Credential(credential)) => self::credential(credential, now),
        Some(Body::Session(session)) => self::session(session, now),
        Some(Body::Device(device)) => self::device(device, now),
        Some(Body::Authenticator(authenticator)) => self::authenticator(authenticator, now),
        Some(Body::IdentityProvider(provider)) => identity_provider(provider),
        Some(Body::Region(region)) => self::region(region),
        Some(Body::ClusterConfig(config)) => cluster_config(config),
        Some(
            Body::Group(_)
            | Body::Namespace(_)
            | Body::Secret(_)
            | Body::Config(_)
            | Body::Gateway(Gateway { .. }),
        )
        | None => (Vec::new(), Vec::new()),
    };
    let mut row = vec![metadata.name.clone()];
    row.extend(narrow);
    row.push(age);
    if wide {
        row.extend(more);
        let display_name = match &resource.resource {
            // The display name of an Authenticator is in its spec: the User chooses it.
            Some(Body::Authenticator(authenticator)) => {
                let spec = authenticator.spec.as_ref();
                spec.map_or_else(String::new, |spec| spec.display_name.clone())
            }
            _ => metadata.display_name.clone(),
        };
        row.extend([metadata.uid.clone(), display_name]);
    }
    row
}

type Cells = (Vec<String>, Vec<String>);

fn user(user: &User) -> Cells {
    let spec = user.spec.clone().unwrap_or_default();
    let status = user.status.clone().unwrap_or_default();
    let authorization = spec.authorization.clone().unwrap_or_default();
    (
        vec![
            enumeration(spec.r#type().as_str_name()),
            spec.groups.join(","),
            spec.email.clone(),
            flag(spec.is_disabled),
        ],
        vec![
            flag(status.is_locked),
            policies(&authorization.policies, authorization.inline_policies.len()),
        ],
    )
}

fn service(service: &Service) -> Cells {
    let warning = if is_unreachable(service) {
        "private: no client can reach it"
    } else {
        ""
    };
    let spec = service.spec.clone().unwrap_or_default();
    let status = service.status.clone().unwrap_or_default();
    let authorization = spec.authorization.clone().unwrap_or_default();
    let addresses: Vec<String> = status
        .addresses
        .iter()
        .filter_map(|address| address.dual_stack_ip.as_ref())
        .flat_map(|ip| [ip.ipv4.clone(), ip.ipv6.clone()])
        .filter(|ip| !ip.is_empty())
        .collect();
    (
        vec![
            named(status.namespace_ref.as_ref()),
            enumeration(spec.mode().as_str_name()),
            if status.port > 0 {
                status.port
            } else {
                spec.port
            }
            .to_string(),
            flag(spec.is_public),
            flag(spec.is_anonymous),
            flag(spec.is_disabled),
        ],
        vec![
            status.primary_hostname,
            addresses.join(","),
            flag(spec.is_tls),
            policies(&authorization.policies, authorization.inline_policies.len()),
            warning.to_owned(),
        ],
    )
}

fn policy(policy: &Policy) -> Cells {
    let spec = policy.spec.clone().unwrap_or_default();
    (
        vec![spec.rules.len().to_string(), flag(spec.is_disabled)],
        vec![spec.enforcement_rules.len().to_string()],
    )
}

fn credential(credential: &Credential, now: UnixMillis) -> Cells {
    let spec = credential.spec.clone().unwrap_or_default();
    let status = credential.status.clone().unwrap_or_default();
    let authorization = spec.authorization.clone().unwrap_or_default();
    let state = if spec.is_disabled {
        "DISABLED"
    } else if status.is_locked {
        "LOCKED"
    } else if spec.max_authentications > 0
        && status.total_authentications >= spec.max_authentications
    {
        "USED UP"
    } else if status.version == 0 {
        "NO TOKEN"
    } else {
        "ACTIVE"
    };
    let uses = match spec.max_authentications {
        0 => status.total_authentications.to_string(),
        limit => format!("{}/{limit}", status.total_authentications),
    };
    (
        vec![
            spec.user.clone(),
            enumeration(spec.r#type().as_str_name()),
            state.to_owned(),
            until(spec.expires_at.as_ref(), now),
            ago(status.last_used_at.as_ref(), now),
        ],
        vec![
            status.id,
            enumeration(spec.session_type().as_str_name()),
            uses,
            since(status.last_rotation_at.as_ref(), now),
            status.total_rotations.to_string(),
            policies(&authorization.policies, authorization.inline_policies.len()),
        ],
    )
}

fn session(session: &Session, now: UnixMillis) -> Cells {
    let spec = session.spec.clone().unwrap_or_default();
    let status = session.status.clone().unwrap_or_default();
    let state = if status.is_locked {
        "LOCKED".to_owned()
    } else {
        enumeration(spec.state().as_str_name())
    };
    let mut session_type = enumeration(status.r#type().as_str_name());
    if status.is_browser {
        session_type.push_str(" (Browser)");
    }
    let authenticated = status
        .authentication
        .as_ref()
        .and_then(|authentication| authentication.set_at.as_ref());
    (
        vec![
            named(status.user_ref.as_ref()),
            session_type,
            state,
            until(spec.expires_at.as_ref(), now),
            ago(authenticated, now),
            flag(status.is_connected),
        ],
        vec![
            named(status.credential_ref.as_ref()),
            named(status.device_ref.as_ref()),
            status.total_authentications.to_string(),
        ],
    )
}

fn device(device: &Device, now: UnixMillis) -> Cells {
    let spec = device.spec.clone().unwrap_or_default();
    let status = device.status.clone().unwrap_or_default();
    let seen = status
        .posture
        .as_ref()
        .and_then(|posture| posture.last_seen_at.as_ref());
    (
        vec![
            named(status.user_ref.as_ref()),
            if status.is_locked {
                "LOCKED".to_owned()
            } else {
                enumeration(spec.state().as_str_name())
            },
            enumeration(status.os_type().as_str_name()),
            status.hostname.clone(),
        ],
        vec![status.serial_number.clone(), ago(seen, now)],
    )
}

fn authenticator(authenticator: &Authenticator, now: UnixMillis) -> Cells {
    let spec = authenticator.spec.clone().unwrap_or_default();
    let status = authenticator.status.clone().unwrap_or_default();
    (
        vec![
            named(status.user_ref.as_ref()),
            enumeration(status.r#type().as_str_name()),
            enumeration(spec.state().as_str_name()),
            flag(status.is_registered),
            format!(
                "{}/{}",
                status.successful_authentications, status.total_authentication_attempts
            ),
        ],
        vec![ago(status.last_used_at.as_ref(), now), status.description],
    )
}

fn identity_provider(provider: &IdentityProvider) -> Cells {
    let disabled = provider.spec.as_ref().is_some_and(|spec| spec.is_disabled);
    let status = provider.status.unwrap_or_default();
    (
        vec![enumeration(status.r#type().as_str_name()), flag(disabled)],
        vec![flag(status.is_locked)],
    )
}

fn region(region: &Region) -> Cells {
    let status = region.status.clone().unwrap_or_default();
    (
        vec![status.ingress_addresses.join(",")],
        vec![status.public_hostname, status.version],
    )
}

fn cluster_config(config: &ClusterConfig) -> Cells {
    let domain = config.status.as_ref().map(|status| status.domain.clone());
    (vec![domain.unwrap_or_default()], Vec::new())
}

fn named(reference: Option<&ObjectReference>) -> String {
    reference.map_or_else(String::new, |reference| reference.name.clone())
}

fn flag(set: bool) -> String {
    if set {
        "True".to_owned()
    } else {
        String::new()
    }
}

/// Returns the name of an enum value, or an empty text for the zero value.
fn enumeration(name: &str) -> String {
    if name.ends_with("UNKNOWN") || name.ends_with("UNSET") {
        String::new()
    } else {
        name.to_owned()
    }
}

fn ago(time: Option<&prost_types::Timestamp>, now: UnixMillis) -> String {
    if time.is_none() {
        return "never".to_owned();
    }
    since(time, now)
}

fn policies(named: &[String], inline: usize) -> String {
    let mut shown = named.to_vec();
    if inline > 0 {
        shown.push(format!("{inline} inline"));
    }
    shown.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_service_is_shown_with_a_warning_g8() {
        let warning = |is_public, is_system| {
            let service = Service {
                metadata: Some(Metadata {
                    is_system,
                    ..Metadata::default()
                }),
                spec: Some(api::core_v1::service::Spec {
                    is_public,
                    ..api::core_v1::service::Spec::default()
                }),
                ..Service::default()
            };
            let cells = service_cells(service);
            let place = header(Kind::Service, true);
            let place = place.iter().position(|name| name == "WARNING").unwrap();
            cells[place].clone()
        };
        assert_eq!(warning(false, false), "private: no client can reach it");
        assert_eq!(warning(true, false), "");
        assert_eq!(warning(false, true), "");
    }

    #[test]
    fn an_authenticator_shows_its_last_use() {
        let mut authenticator = Authenticator::default();
        crate::authenticator::record(&mut authenticator, true, UnixMillis(0));
        let resource = Resource {
            resource: Some(Body::Authenticator(authenticator)),
        };
        let cells = row(&resource, UnixMillis(120_000), true);
        let header = header(Kind::Authenticator, true);
        let column = header.iter().position(|name| name == "LAST USED").unwrap();
        assert_eq!(cells[column], "2m");
    }

    fn service_cells(service: Service) -> Vec<String> {
        let resource = Resource {
            resource: Some(Body::Service(service)),
        };
        row(&resource, UnixMillis(0), true)
    }

    #[test]
    fn every_kind_has_as_many_cells_as_columns() {
        for kind in Kind::ALL {
            let Some(resource) = Resource::decode_object(kind.as_str(), &[]) else {
                continue;
            };
            let mut resource = resource.unwrap();
            resource.ensure_spec();
            for wide in [false, true] {
                assert_eq!(
                    row(&resource, UnixMillis(0), wide).len(),
                    header(*kind, wide).len(),
                    "{kind:?} wide={wide}"
                );
            }
        }
    }
}
