//! The messages of the contract as expressions see them.

use std::sync::LazyLock;

use cel::schema::{Alias, MessageRef, MessageType, Presentation, Schema};

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let presentation = Presentation {
        is_hidden: is_secret,
        aliases,
        short_name,
    };
    Schema::load(api::reflect::pool(), presentation)
});

/// Returns the message with this full name, or an empty message if it does not exist.
pub(crate) fn message(name: &str) -> &'static MessageType {
    SCHEMA.message(name)
}

/// Returns a reference to the message with this full name.
pub(crate) fn reference(name: &str) -> Option<MessageRef> {
    SCHEMA.reference(name)
}

/// Returns whether a field is secret. Secret fields are not visible to expressions.
fn is_secret(message: &str, field: &str) -> bool {
    let Some(message) = message.strip_prefix("octelium.api.main.core.v1.") else {
        return false;
    };
    matches!(
        (message, field),
        (
            "Authenticator.Status",
            "authenticationAttempt" | "lastAuthenticationAttempts"
        ) | ("Authenticator.Status.Info.TOTP", "sharedSecret")
            | (
                "Authenticator.Status.Info.TPM",
                "akBytes" | "attestationParameters"
            )
            | ("Secret" | "Config", "data")
            | (
                "Session.Status.Authentication"
                    | "Session.Status.Authentication.Info.Credential"
                    | "Credential.Status",
                "tokenID" | "previousTokenID"
            )
    )
}

/// Returns the documented short names of longer paths in a message.
fn aliases(message: &str) -> &'static [Alias] {
    match message {
        "octelium.api.main.core.v1.Session.Status.Authentication.Info.Authenticator" => &[
            ("userPresent", &["info", "fido", "userPresent"]),
            ("userVerified", &["info", "fido", "userVerified"]),
            ("isHardware", &["info", "fido", "isHardware"]),
            ("isSoftware", &["info", "fido", "isSoftware"]),
            (
                "isAttestationVerified",
                &["info", "fido", "isAttestationVerified"],
            ),
            ("isPasskey", &["info", "fido", "isPasskey"]),
            ("aaguid", &["info", "fido", "aaguid"]),
        ],
        _ => &[],
    }
}

/// Returns the name of a message or an enum without its package.
fn short_name(name: &str) -> &str {
    name.strip_prefix("octelium.api.main.")
        .and_then(|rest| rest.split_once(".v1."))
        .map_or(name, |(_, rest)| rest)
}
