//! The setup of most tests: a workload, a Policy, an upstream and a Service for it.

use super::{
    cluster::{Cluster, Person},
    https::Https,
    upstream::Upstream,
};

/// A Cluster with the Service `web`, which User `microservice1` may read.
pub(crate) struct Scene {
    /// A person with all permissions.
    pub(crate) admin: Person,
    pub(crate) https: Https,
    /// The upstream of the Service.
    pub(crate) upstream: Upstream,
    /// The last field, because its drop checks the log.
    pub(crate) cluster: Cluster,
}

/// The host of the Service.
pub(crate) const WEB: &str = "web.localhost";

impl Scene {
    /// Creates the scene on SQLite.
    pub(crate) async fn start() -> Self {
        Self::on(Cluster::start()).await
    }

    /// Creates the scene on a running Cluster.
    pub(crate) async fn on(cluster: Cluster) -> Self {
        let upstream = Upstream::start().await;
        let admin = cluster.administrator();
        let documents =
            include_str!("scene.yaml").replace("{upstream}", &upstream.address.to_string());
        admin
            .sh_with_input("octeliumctl apply -", &documents)
            .success();
        Self {
            admin,
            https: Https::new(&cluster),
            upstream,
            cluster,
        }
    }

    /// Creates an OAuth2 client of `microservice1`. Returns its id and secret.
    pub(crate) fn oauth2_client(&self, name: &str) -> (String, String) {
        let command = format!("octeliumctl create cred --type oauth2 --user microservice1 {name}");
        let made = self.admin.sh(&command).success();
        let secret = made.value("Client Secret:");
        (made.value("Client ID:"), self.cluster.secret(&secret))
    }

    /// Creates an access token of `microservice1`.
    pub(crate) fn access_token(&self, name: &str) -> String {
        let command =
            format!("octeliumctl create cred --type access-token --user microservice1 {name}");
        let made = self.admin.sh(&command).success();
        self.cluster.secret(&made.value("Access Token:"))
    }

    /// Creates an authentication token of `microservice1`.
    pub(crate) fn authentication_token(&self, name: &str) -> String {
        let command = format!("octeliumctl create credential --user microservice1 {name}");
        let made = self.admin.sh(&command).success();
        self.cluster.secret(&made.value("Authentication Token:"))
    }
}
