//! Devices: the information that a client reports about its machine. It is not proved; Policies and administrators
//! judge it.

use api::{
    auth_v1::register_device_begin_request::{Info, info},
    core_v1::{
        ClusterConfig, Device, User,
        device::{Spec, Status, spec::State, status::OsType},
        user,
    },
    meta_v1::{Metadata, ObjectReference},
};

use crate::{clock::UnixMillis, id::Uid, kind::Kind, reference::reference};

#[cfg(test)]
mod tests;

const API_VERSION: &str = "core/v1";
const ID_LENGTH: usize = 64;
const LONGEST_HOSTNAME: usize = 253;
const SERIAL_LENGTHS: std::ops::RangeInclusive<usize> = 6..=128;
const MOST_MAC_ADDRESSES: usize = 16;
const DEFAULT_MAX_PER_USER: u32 = 32;
/// The largest limit of Devices per User that a Cluster can set.
pub const MOST_PER_USER: u32 = 10_000;

/// Placeholders of firmware without a serial number.
const NO_SERIAL: [&str; 9] = [
    "to be filled by o.e.m.",
    "default string",
    "system serial number",
    "not specified",
    "not applicable",
    "not available",
    "none",
    "unknown",
    "invalid",
];

/// Validated information that a client reports about its machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The operating system: LINUX, WINDOWS or MAC.
    pub os_type: OsType,
    /// The host name; can be empty.
    pub hostname: String,
    /// The SHA-256 of the machine id of the operating system, as 64 lower-case hexadecimal digits.
    pub id: String,
    /// The serial number of the machine; empty if it has none.
    pub serial_number: String,
    /// The MAC addresses of its network interfaces, in lower case.
    pub mac_addresses: Vec<String>,
}

/// The reason why reported information is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant documents it")]
pub enum Invalid {
    #[error("info.osType must be LINUX, WINDOWS or MAC")]
    OsType,
    #[error("info.id must be 64 lower-case hexadecimal digits")]
    Id,
    #[error("info.hostname must be at most 253 letters, digits, `-`, `_` and `.`")]
    Hostname,
    #[error("info.serialNumber must be 6 to 128 printable ASCII characters, or empty")]
    Serial,
    #[error("info.macAddresses must be at most 16 addresses such as 00:00:5e:00:53:01")]
    MacAddress,
}

impl Facts {
    /// Validates reported information. A placeholder for a serial number becomes an empty one.
    ///
    /// # Errors
    /// Returns the variant of [`Invalid`] for the first invalid field.
    pub fn read(info: &Info) -> Result<Self, Invalid> {
        let os_type = match info.os_type() {
            info::OsType::Linux => OsType::Linux,
            info::OsType::Windows => OsType::Windows,
            info::OsType::Mac => OsType::Mac,
            info::OsType::Unknown | info::OsType::Android | info::OsType::Ios => {
                return Err(Invalid::OsType);
            }
        };
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if info.id.len() != ID_LENGTH || !info.id.bytes().all(is_digit) {
            return Err(Invalid::Id);
        }
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if info.hostname.len() > LONGEST_HOSTNAME || !info.hostname.bytes().all(is_of_name) {
            return Err(Invalid::Hostname);
        }
        if info.mac_addresses.len() > MOST_MAC_ADDRESSES {
            return Err(Invalid::MacAddress);
        }
        let addresses = info
            .mac_addresses
            .iter()
            .map(|address| mac_address(address));
        Ok(Self {
            os_type,
            hostname: info.hostname.clone(),
            id: info.id.clone(),
            serial_number: serial_number(&info.serial_number)?,
            mac_addresses: addresses.collect::<Result<_, _>>()?,
        })
    }
}

fn serial_number(text: &str) -> Result<String, Invalid> {
    let text = text.trim();
    let mut bytes = text.bytes();
    let first = bytes.next();
    let is_one_character = bytes.all(|byte| Some(byte) == first);
    if is_one_character || NO_SERIAL.contains(&text.to_ascii_lowercase().as_str()) {
        return Ok(String::new());
    }
    let is_printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !SERIAL_LENGTHS.contains(&text.len()) || !is_printable {
        return Err(Invalid::Serial);
    }
    Ok(text.to_owned())
}

fn mac_address(text: &str) -> Result<String, Invalid> {
    let octets = text.split([':', '-']);
    let is_octet =
        |octet: &str| octet.len() == 2 && octet.bytes().all(|byte| byte.is_ascii_hexdigit());
    let octets: Vec<_> = octets.collect();
    // EUI-48, EUI-64, InfiniBand
    if ![6, 8, 20].contains(&octets.len()) || !octets.iter().all(|octet| is_octet(octet)) {
        return Err(Invalid::MacAddress);
    }
    Ok(octets.join(":").to_ascii_lowercase())
}

/// The fields of a new Device.
pub struct NewDevice<'a> {
    /// The id of the Device.
    pub uid: Uid,
    /// The resource name.
    pub name: String,
    /// The owner.
    pub user: &'a User,
    /// The information that the client reported.
    pub facts: Facts,
    /// The initial state. See [`default_state`].
    pub state: State,
    /// The current time.
    pub now: UnixMillis,
}

/// Creates a Device.
pub fn new_device(new: NewDevice<'_>) -> Device {
    let facts = new.facts;
    Device {
        api_version: API_VERSION.to_owned(),
        kind: Kind::Device.to_string(),
        metadata: Some(Metadata {
            uid: new.uid.to_string(),
            name: new.name,
            created_at: Some(new.now.to_proto()),
            ..Metadata::default()
        }),
        spec: Some(Spec {
            state: new.state.into(),
            ..Spec::default()
        }),
        status: Some(Status {
            user_ref: reference(Kind::User, new.user.metadata.as_ref()),
            os_type: facts.os_type.into(),
            hostname: facts.hostname,
            id: facts.id,
            serial_number: facts.serial_number,
            mac_addresses: facts.mac_addresses,
            ..Status::default()
        }),
    }
}

/// Returns the reference to a Device that a Session stores.
pub fn device_reference(device: &Device) -> Option<ObjectReference> {
    reference(Kind::Device, device.metadata.as_ref())
}

/// Returns the initial state of a new Device of `user`: ACTIVE unless the Cluster sets another.
pub fn default_state(user: &User, config: &ClusterConfig) -> State {
    match settings(user, config).0 {
        State::Unknown => State::Active,
        state => state,
    }
}

/// Returns the limit of Devices of `user`: 32 unless the Cluster sets another, at most [`MOST_PER_USER`].
pub fn max_per_user(user: &User, config: &ClusterConfig) -> u32 {
    match settings(user, config).1 {
        0 => DEFAULT_MAX_PER_USER,
        most => most.min(MOST_PER_USER),
    }
}

fn settings(user: &User, config: &ClusterConfig) -> (State, u32) {
    let device = config.spec.as_ref().and_then(|spec| spec.device.as_ref());
    let is_workload = user
        .spec
        .as_ref()
        .is_some_and(|spec| spec.r#type() == user::spec::Type::Workload);
    let settings = if is_workload {
        let workload = device.and_then(|device| device.workload.as_ref());
        workload.map(|workload| (workload.default_state(), workload.max_per_user))
    } else {
        let human = device.and_then(|device| device.human.as_ref());
        human.map(|human| (human.default_state(), human.max_per_user))
    };
    settings.unwrap_or((State::Unknown, 0))
}
