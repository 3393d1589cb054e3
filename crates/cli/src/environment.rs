//! The environment variables of the programs.

use std::{collections::HashMap, path::Path};

/// Environment variables. Empty ones count as unset.
#[derive(Clone, Default)]
pub(crate) struct Environment(HashMap<String, String>);

impl Environment {
    /// Reads the variables of this process.
    pub(crate) fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// Returns the value of a variable if it is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Returns whether the value is exactly `true`.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }
}

/// Variables that are set only on machines of workload platforms.
const OF_PLATFORMS: [&str; 3] = [
    "KUBERNETES_SERVICE_HOST",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_EXECUTION_ENV",
];
/// Files that exist only in containers, relative to the root directory.
const OF_CONTAINERS: [&str; 2] = [".dockerenv", "run/.containerenv"];

impl Environment {
    /// Returns whether this is not a person's machine but a container, a function or a job of continuous integration.
    ///
    /// `root` is the root directory of the file system.
    pub(crate) fn is_workload_host(&self, root: &Path) -> bool {
        self.is_true("OCTELIUM_CONTAINER_MODE")
            || (cfg!(target_os = "linux") && self.is_true("CI"))
            || self.get("container") == Some("podman")
            || OF_PLATFORMS.iter().any(|name| self.get(name).is_some())
            || OF_CONTAINERS.iter().any(|file| root.join(file).exists())
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Environment {
        [(name.to_owned(), value.to_owned())].into_iter().collect()
    }

    #[test]
    fn machines_of_people_are_recognized() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert!(!Environment::default().is_workload_host(root));
        for (name, value) in [
            ("OCTELIUM_CONTAINER_MODE", "true"),
            ("container", "podman"),
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
            ("AWS_LAMBDA_FUNCTION_NAME", "f"),
            ("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE"),
        ] {
            assert!(with(name, value).is_workload_host(root), "{name}");
        }
        assert_eq!(
            with("CI", "true").is_workload_host(root),
            cfg!(target_os = "linux")
        );
        for (name, value) in [("CI", "false"), ("container", "toolbox"), ("CI", "")] {
            assert!(!with(name, value).is_workload_host(root), "{name}={value}");
        }
        std::fs::create_dir(root.join("run")).unwrap();
        for file in OF_CONTAINERS {
            std::fs::write(root.join(file), "").unwrap();
            assert!(Environment::default().is_workload_host(root), "{file}");
            std::fs::remove_file(root.join(file)).unwrap();
        }
    }
}
