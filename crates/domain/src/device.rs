//! Devices: what a client says of the machine that it runs on. Nothing of it is proved; Policies and administrators
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

use crate::{clock::UnixMillis, id::Uid, kind::Kind, session::reference};

#[cfg(test)]
mod tests;

const API_VERSION: &str = "core/v1";
const ID_LENGTH: usize = 64;
const LONGEST_HOSTNAME: usize = 253;
const SERIAL_LENGTHS: std::ops::RangeInclusive<usize> = 6..=128;
const MOST_MAC_ADDRESSES: usize = 16;
const DEFAULT_MAX_PER_USER: u32 = 32;
/// The most Devices of one User that a Cluster can allow.
pub const MOST_PER_USER: u32 = 10_000;

/// What firmware says that was never given a serial number.
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

/// What a client says of its machine, well-formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The operating system: LINUX, WINDOWS or MAC.
    pub os_type: OsType,
    /// The name of the machine; may be empty.
    pub hostname: String,
    /// 64 lower-case hexadecimal digits: the SHA-256 of the machine id of the operating system.
    pub id: String,
    /// The serial number of the machine; empty where it has none.
    pub serial_number: String,
    /// Of its network interfaces, in lower case.
    pub mac_addresses: Vec<String>,
}

/// Why what a client says of its machine is not well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each says it in its message")]
pub enum Invalid {
    #[error("info.osType must be LINUX, WINDOWS or MAC")]
    OsType,
    #[error("info.id must be 64 lower-case hexadecimal digits")]
    Id,
    #[error("info.hostname must be at most 253 letters, digits, `-`, `_` and `.`")]
    Hostname,
    #[error("info.serialNumber must be 6 to 128 printable ASCII characters, or empty")]
    Serial,
    #[error("info.macAddresses must be at most 16 addresses as 00:00:5e:00:53:01")]
    MacAddress,
}

impl Facts {
    /// Reads them.
    ///
    /// # Errors
    /// Where one of them is not well-formed. A placeholder for a serial number counts as none.
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
    // EUI-48, EUI-64 and what InfiniBand has.
    if ![6, 8, 20].contains(&octets.len()) || !octets.iter().all(|octet| is_octet(octet)) {
        return Err(Invalid::MacAddress);
    }
    Ok(octets.join(":").to_ascii_lowercase())
}

/// What a new Device is made of.
pub struct NewDevice<'a> {
    /// Its id.
    pub uid: Uid,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub user: &'a User,
    /// What its client says.
    pub facts: Facts,
    /// See [`default_state`].
    pub state: State,
    /// The present instant.
    pub now: UnixMillis,
}

/// The new Device.
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

/// A reference to a Device, as a Session has it.
pub fn device_reference(device: &Device) -> Option<ObjectReference> {
    reference(Kind::Device, device.metadata.as_ref())
}

/// In which state a new Device of `user` begins: ACTIVE unless the Cluster says otherwise.
pub fn default_state(user: &User, config: &ClusterConfig) -> State {
    match settings(user, config).0 {
        State::Unknown => State::Active,
        state => state,
    }
}

/// How many Devices `user` may have: 32 unless the Cluster says otherwise.
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
