//! The Devices of a User.

use api::{
    core_v1::{Device, device::spec::State as DeviceState},
    resource::Object as _,
};
use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use domain::clock::UnixMillis;
use maud::{Markup, html};

use super::{Member, time_text::time_text};
use crate::{
    Context, Error,
    document::{index, load},
    web::{
        failure::Failure,
        page::{Page, Section},
    },
};

const MOST: u32 = 1000;

pub(super) async fn page(State(ctx): State<Context>, member: Member) -> Result<Response, Failure> {
    let now = ctx.now();
    let user = member.resumed.user.uid.to_string();
    let found = load::by_index::<Device>(&*ctx.store, index::USER, &user, MOST, now).await;
    let (devices, _) = found.map_err(Error::from)?;
    let body = html! {
        div.heading { h1 { "Devices" } }
        p.count { "Machines where you signed in with the command line." }
        @if devices.is_empty() {
            div.empty {
                p { "No Devices yet." }
                p.fine { "A machine is registered when you run " code { "octelium login" } " on it." }
            }
        } @else {
            ul.rows { @for stored in &devices { li.row { (row(&stored.message, now)) } } }
        }
    };
    Ok(Page::of(Section::Devices, body).into_response())
}

fn row(device: &Device, now: UnixMillis) -> Markup {
    let status = device.status().cloned().unwrap_or_default();
    let state = device
        .spec()
        .map_or(DeviceState::Unknown, api::core_v1::device::Spec::state);
    let name = if status.hostname.is_empty() {
        device.name().to_owned()
    } else {
        status.hostname.clone()
    };
    let system = status.os_type().as_str_name().to_lowercase();
    let since = device.metadata().and_then(|metadata| metadata.created_at);
    html! {
        div.row-main {
            h2 {
                (name)
                @match state {
                    DeviceState::Active => {}
                    DeviceState::Pending => { " " span.badge { "Waiting for approval" } }
                    DeviceState::Rejected | DeviceState::Unknown => { " " span.badge { "Rejected" } }
                }
            }
            dl.facts {
                div { dt { "Name" } dd { (device.name()) } }
                @if !system.contains("unknown") { div { dt { "System" } dd { (system) } } }
                @if !status.serial_number.is_empty() { div { dt { "Serial number" } dd { (status.serial_number) } } }
                @if let Some(at) = &since { div { dt { "Registered" } dd { (time_text(UnixMillis::from_proto(at), now)) } } }
            }
        }
    }
}
