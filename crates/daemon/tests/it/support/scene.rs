//! What most stories begin with: a workload, a Policy, an upstream and a Service in front of it.

use super::{
    cluster::{Cluster, Person},
    https::Https,
    upstream::Upstream,
};

/// A Cluster with `Service` `web`, which lets User `microservice1` read.
pub(crate) struct Scene {
    /// Somebody who may do everything.
    pub(crate) admin: Person,
    /// Clients.
    pub(crate) https: Https,
    /// Behind the Service.
    pub(crate) upstream: Upstream,
    /// Last: it looks through its log when it goes.
    pub(crate) cluster: Cluster,
}

/// The host of the Service.
pub(crate) const WEB: &str = "web.localhost";

impl Scene {
    /// On SQLite.
    pub(crate) async fn start() -> Self {
        Self::on(Cluster::start()).await
    }

    /// On a Cluster that serves already.
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

    /// An OAuth2 client of `microservice1`: its id and its secret.
    pub(crate) fn oauth2_client(&self, name: &str) -> (String, String) {
        let command = format!("octeliumctl create cred --type oauth2 --user microservice1 {name}");
        let made = self.admin.sh(&command).success();
        let secret = made.value("Client Secret:");
        (made.value("Client ID:"), self.cluster.secret(&secret))
    }

    /// An access token of `microservice1`.
    pub(crate) fn access_token(&self, name: &str) -> String {
        let command =
            format!("octeliumctl create cred --type access-token --user microservice1 {name}");
        let made = self.admin.sh(&command).success();
        self.cluster.secret(&made.value("Access Token:"))
    }

    /// An authentication token of `microservice1`.
    pub(crate) fn authentication_token(&self, name: &str) -> String {
        let command = format!("octeliumctl create credential --user microservice1 {name}");
        let made = self.admin.sh(&command).success();
        self.cluster.secret(&made.value("Authentication Token:"))
    }
}
