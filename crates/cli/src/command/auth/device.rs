//! The command `auth device`.

use std::{fs, path::Path};

use api::auth_v1::{
    RegisterDeviceBeginRequest, RegisterDeviceFinishRequest,
    register_device_begin_request::{Info, info::OsType},
};
use aws_lc_rs::digest;
use clap::Args;

use crate::{
    client::Client,
    context::Context,
    failure::{Failure, Outcome},
};

const MACHINE_ID: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
const MOST_ADDRESSES: usize = 16;

/// Arguments of `auth device`. There are none: the operating system provides the data of the machine.
#[derive(Args)]
pub(super) struct DeviceArgs {}

pub(super) async fn run(context: &Context, _args: DeviceArgs) -> Result<Outcome, Failure> {
    let client = Client::connect(context).await?;
    register(context, &client).await?;
    Ok(Outcome::Done)
}

/// Registers this machine as a Device of the User.
///
/// # Errors
/// Returns a failure if the machine has no readable id or the Cluster refuses.
pub(crate) async fn register(context: &Context, client: &Client) -> Result<(), Failure> {
    let info = facts()?;
    let begun = client
        .call_auth(async |mut auth| {
            auth.register_device_begin(RegisterDeviceBeginRequest {
                info: Some(info.clone()),
            })
            .await
        })
        .await;
    let begun = match begun {
        Ok(begun) => begun,
        Err(failure) if failure.code == "AlreadyExists" => {
            context.terminal.say("Device already registered");
            return Ok(());
        }
        Err(failure) => return Err(failure),
    };
    if !begun.requests.is_empty() {
        // The client never runs commands that a server sends.
        return Err(Failure::unavailable(
            "the Cluster requires this machine to run commands, which this client does not support",
        ));
    }
    client
        .call_auth(async |mut auth| {
            auth.register_device_finish(RegisterDeviceFinishRequest {
                uid: begun.uid.clone(),
                responses: Vec::new(),
            })
            .await
        })
        .await?;
    context.terminal.say("Device successfully registered");
    Ok(())
}

/// Reads the data of the machine from the operating system.
fn facts() -> Result<Info, Failure> {
    let id = MACHINE_ID.iter().find_map(|path| text(path));
    let id = id.ok_or_else(|| {
        Failure::input("this machine has no readable machine id")
            .hint("Devices can be registered only on Linux with /etc/machine-id")
    })?;
    let digest = digest::digest(&digest::SHA256, id.as_bytes());
    let id = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    Ok(Info {
        os_type: OsType::Linux.into(),
        hostname: text("/proc/sys/kernel/hostname").unwrap_or_default(),
        id: id.collect(),
        // On most systems only root can read it.
        serial_number: text("/sys/class/dmi/id/product_serial").unwrap_or_default(),
        mac_addresses: addresses(Path::new("/sys/class/net")),
    })
}

fn text(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Returns the MAC addresses of hardware interfaces. Virtual interfaces are ignored because they change.
fn addresses(interfaces: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(interfaces) else {
        return Vec::new();
    };
    let hardware = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.join("device").exists());
    let mut found: Vec<String> = hardware
        .filter_map(|path| fs::read_to_string(path.join("address")).ok())
        .map(|address| address.trim().to_ascii_lowercase())
        .filter(|address| !address.is_empty() && address != "00:00:00:00:00:00")
        .collect();
    found.sort();
    found.truncate(MOST_ADDRESSES);
    found
}
