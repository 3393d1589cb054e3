//! Validation of `ClusterConfig.spec.device`: the initial state of Devices and their maximum number per User.

use api::core_v1::{cluster_config::spec::Device, device::spec::State};
use domain::device::MOST_PER_USER;

use crate::Error;

pub(super) fn check(device: &Device) -> Result<(), Error> {
    if let Some(human) = &device.human {
        check_settings("spec.device.human", human.default_state, human.max_per_user)?;
    }
    if let Some(workload) = &device.workload {
        let state = workload.default_state;
        check_settings("spec.device.workload", state, workload.max_per_user)?;
    }
    Ok(())
}

fn check_settings(path: &str, default_state: i32, max_per_user: u32) -> Result<(), Error> {
    if max_per_user > MOST_PER_USER {
        return Err(Error::invalid(format!(
            "{path}.maxPerUser is {max_per_user}; at most {MOST_PER_USER} are allowed"
        )));
    }
    match State::try_from(default_state) {
        Ok(State::Unknown | State::Active | State::Pending) => Ok(()),
        Ok(State::Rejected) | Err(_) => Err(Error::invalid(format!(
            "{path}.defaultState must be ACTIVE or PENDING, or left out"
        ))),
    }
}
