//! The page at the domain itself.

use axum::{Router, response::Html, routing::get};
use http::{HeaderName, StatusCode, header};

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Octelium Cluster</title>
<h1>This is a Cluster</h1>
<p>It serves OAuth2 clients and command-line clients. There is no login for browsers yet.</p>
<ul>
<li>OAuth2 clients: <a href="/.well-known/oauth-authorization-server">authorization server metadata</a></li>
<li>People and machines with an authentication token: <code>octelium login --auth-token-file FILE</code></li>
<li>Services are at names below this one.</li>
</ul>
</html>
"#;

const LOGIN: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Login</title>
<h1>A login is needed</h1>
<p>The page that you asked for is shown to known people alone, and this Cluster has no login for browsers yet.</p>
<p>With an authentication token, command-line clients get in: <code>octelium login --auth-token-file FILE</code></p>
</html>
"#;

/// Adds the pages, and an answer for every path that nothing else serves.
pub(crate) fn with_landing(endpoints: Router) -> Router {
    let headers: [(HeaderName, &str); 4] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    endpoints
        .route(
            "/",
            get({
                let headers = headers.clone();
                move || async move { (headers, Html(PAGE)) }
            }),
        )
        // Where browsers are sent that ask for a Service.
        .route(
            "/login",
            get(move || async move { (StatusCode::NOT_IMPLEMENTED, headers, Html(LOGIN)) }),
        )
        .fallback(|| async { (StatusCode::NOT_FOUND, "Nothing is served at this path.\n") })
}
