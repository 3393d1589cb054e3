//! The fields of specs that the Cluster acts on. A field that is set but not served is refused, never ignored.
//!
//! To serve a field, add its path here. A path includes everything below it. The fields of `config` are also served in
//! each of `dynamicConfig.configs`.

use prost_reflect::{DynamicMessage, Value};

use crate::Error;

/// Served fields of `Service.spec`. The gateway compiles `config.http`: change both lists together.
pub const SERVICE: &[&str] = &[
    "port",
    "mode",
    "region",
    "attrs",
    "authorization",
    "isTLS",
    "isPublic",
    "isAnonymous",
    "isDisabled",
    "dynamicConfig.rules.condition",
    "dynamicConfig.rules.configName",
    "dynamicConfig.rules.eval",
    "config.name",
    "config.parent",
    "config.upstream.url",
    "config.upstream.loadbalance.endpoints.url",
    "config.tls.trustedCAs",
    "config.tls.appendToSystemPool",
    "config.tls.insecureSkipVerify",
    "config.tls.clientCertificate",
    "config.clientCertificate",
    "config.http.header.addRequestHeaders.key",
    "config.http.header.addRequestHeaders.value",
    "config.http.header.addRequestHeaders.eval",
    "config.http.header.addRequestHeaders.append",
    "config.http.header.removeRequestHeaders",
    "config.http.header.addResponseHeaders.key",
    "config.http.header.addResponseHeaders.value",
    "config.http.header.addResponseHeaders.eval",
    "config.http.header.addResponseHeaders.append",
    "config.http.header.removeResponseHeaders",
    "config.http.header.forwardedMode",
    "config.http.header.authorizationMode",
    "config.http.header.host.preserve",
    "config.http.header.host.value",
    "config.http.header.host.eval",
    "config.http.path.addPrefix",
    "config.http.path.removePrefix",
    "config.http.cors",
    "config.http.body.maxRequestSize",
    "config.http.body.mode",
    "config.http.enableRequestBuffering",
    "config.http.identity",
    "config.http.timeouts",
    "config.http.retry",
    "config.http.plugins.name",
    "config.http.plugins.isDisabled",
    "config.http.plugins.phase",
    "config.http.plugins.condition",
    "config.http.plugins.direct",
    "config.http.plugins.rateLimit",
    "config.http.plugins.path",
    "config.http.auth",
    "config.http.isUpstreamHTTP2",
    // The listener negotiates the HTTP version with the client.
    "config.http.listenHTTP2",
    "config.http.response.direct",
];

const CONFIG: &str = "config";
const DYNAMIC_CONFIGS: &str = "dynamicConfig.configs";

/// Served fields of `ClusterConfig.spec`.
pub const CLUSTER_CONFIG: &[&str] = &["authorization", "session", "authenticator", "device"];

/// Checks that `spec` sets only the fields in `served`.
///
/// # Errors
/// Returns `InvalidArgument` with the path of the first field that is not served.
pub fn check(spec: Option<&DynamicMessage>, served: &[&str]) -> Result<(), Error> {
    spec.map_or(Ok(()), |spec| check_message(spec, served, "", "spec"))
}

/// Checks a nested message. `table` is the path as in the list, `path` the path with indexes.
fn check_message(
    message: &DynamicMessage,
    served: &[&str],
    table: &str,
    path: &str,
) -> Result<(), Error> {
    for (field, value) in message.fields() {
        let name = field.json_name();
        let table = if table.is_empty() {
            name.to_owned()
        } else {
            format!("{table}.{name}")
        };
        let path = format!("{path}.{name}");
        let table = match table.as_str() {
            DYNAMIC_CONFIGS => CONFIG.to_owned(),
            _ => table,
        };
        if served.contains(&table.as_str()) {
            continue;
        }
        let leads_to_served = served.iter().any(|served| {
            served
                .strip_prefix(table.as_str())
                .is_some_and(|rest| rest.starts_with('.'))
        });
        match value {
            Value::Message(message) if leads_to_served => {
                check_message(message, served, &table, &path)?;
            }
            Value::List(items) if leads_to_served => {
                for (index, item) in items.iter().enumerate() {
                    if let Value::Message(message) = item {
                        check_message(message, served, &table, &format!("{path}[{index}]"))?;
                    }
                }
            }
            _ => {
                return Err(Error::invalid(format!(
                    "{path} is not supported yet: leave it out"
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use api::core_v1::service::Spec;
    use prost_reflect::{DeserializeOptions, DynamicMessage};
    use rstest::rstest;

    use super::*;

    fn spec(json: &str) -> DynamicMessage {
        let descriptor = api::reflect::descriptor::<Spec>().unwrap();
        let mut json = serde_json::Deserializer::from_str(json);
        DynamicMessage::deserialize_with_options(descriptor, &mut json, &DeserializeOptions::new())
            .unwrap()
    }

    #[test]
    fn each_path_of_the_lists_is_a_field_of_the_contract() {
        let service = api::reflect::descriptor::<Spec>().unwrap();
        let cluster = api::reflect::descriptor::<api::core_v1::cluster_config::Spec>().unwrap();
        for (descriptor, paths) in [(service, SERVICE), (cluster, CLUSTER_CONFIG)] {
            for path in paths {
                let mut message = Some(descriptor.clone());
                for name in path.split('.') {
                    let field = message.as_ref().unwrap().get_field_by_json_name(name);
                    let field = field.unwrap_or_else(|| panic!("{path}: no field {name}"));
                    message = field.kind().as_message().cloned();
                }
            }
        }
    }

    #[rstest]
    #[case(r#"{"mode": "HTTP", "isPublic": true, "config": {"upstream": {"url": "http://localhost"}}}"#)]
    #[case(r#"{"config": {"upstream": {"loadbalance": {"endpoints": [{"url": "http://a"}]}}}}"#)]
    #[case(
        r#"{"config": {"http": {"header": {"addRequestHeaders": [{"key": "a", "value": "b"}]}}}}"#
    )]
    #[case(
        r#"{"dynamicConfig": {"rules": [{"eval": "x"}], "configs": [{"upstream": {"url": "http://a"}}]}}"#
    )]
    #[case(r#"{"config": {"http": {"auth": {"bearer": {"fromSecret": "one"}}}}}"#)]
    fn supported_fields_are_accepted(#[case] json: &str) {
        check(Some(&spec(json)), SERVICE).unwrap();
    }

    #[rstest]
    #[case(
        r#"{"dynamicConfig": {"rules": [{"opa": "x"}]}}"#,
        "spec.dynamicConfig.rules[0].opa"
    )]
    #[case(
        r#"{"dynamicConfig": {"configs": [{"name": "a"}, {"ssh": {"user": "x"}}]}}"#,
        "spec.dynamicConfig.configs[1].ssh"
    )]
    #[case(r#"{"deployment": {"replicas": 2}}"#, "spec.deployment")]
    #[case(r#"{"config": {"ssh": {"user": "x"}}}"#, "spec.config.ssh")]
    #[case(
        r#"{"config": {"upstream": {"container": {"port": 1}}}}"#,
        "spec.config.upstream.container"
    )]
    #[case(
        r#"{"config": {"upstream": {"user": "x"}}}"#,
        "spec.config.upstream.user"
    )]
    #[case(
        r#"{"config": {"http": {"plugins": [{"name": "x", "lua": {"inline": "x"}}]}}}"#,
        "spec.config.http.plugins[0].lua"
    )]
    #[case(
        r#"{"config": {"http": {"visibility": {"enableRequestBody": true}}}}"#,
        "spec.config.http.visibility"
    )]
    fn unsupported_fields_are_named(#[case] json: &str, #[case] path: &str) {
        let error = check(Some(&spec(json)), SERVICE).unwrap_err();
        assert!(
            error
                .public()
                .starts_with(&format!("{path} is not supported")),
            "{error}"
        );
    }
}
