//! The common frame of the pages and their security headers.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use maud::{DOCTYPE, Markup, html};

use super::{
    asset,
    form::TOKEN,
    visit::{Visit, Visitor},
};
use crate::{Context, Error};

/// A page returned by a handler. The layer of the pages renders it in the frame.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    title: String,
    body: Markup,
    status: StatusCode,
    section: Option<Section>,
    form_targets: String,
    without_visitor: bool,
    asks_for_more: bool,
}

/// A section of the portal navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Services,
    Sessions,
    Devices,
    Authenticators,
    Profile,
    /// Shown only to visitors with administrative access.
    Admin,
}

impl Section {
    const ALL: [Self; 6] = [
        Self::Services,
        Self::Sessions,
        Self::Devices,
        Self::Authenticators,
        Self::Profile,
        Self::Admin,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Services => "Services",
            Self::Sessions => "Sessions",
            Self::Devices => "Devices",
            Self::Authenticators => "Authenticators",
            Self::Profile => "Profile",
            Self::Admin => "Admin",
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Services => "/",
            Self::Sessions => "/sessions",
            Self::Devices => "/devices",
            Self::Authenticators => super::authenticators::HOME,
            Self::Profile => "/profile",
            Self::Admin => super::admin::ADMIN,
        }
    }
}

impl Page {
    /// Creates a page outside of the navigation.
    pub(crate) fn new(title: impl Into<String>, body: Markup) -> Self {
        Self {
            title: title.into(),
            body,
            status: StatusCode::OK,
            section: None,
            form_targets: String::new(),
            without_visitor: false,
            asks_for_more: false,
        }
    }

    /// Creates a page of a navigation section.
    pub(crate) fn of(section: Section, body: Markup) -> Self {
        Self {
            section: Some(section),
            ..Self::new(section.label(), body)
        }
    }

    /// Replaces the title.
    #[must_use]
    pub(crate) fn titled(self, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            ..self
        }
    }

    /// Allows the script of the page to send requests to this origin (CSP `connect-src`).
    #[must_use]
    pub(crate) fn asks_for_more(self) -> Self {
        Self {
            asks_for_more: true,
            ..self
        }
    }

    /// Replaces the status, which is 200 by default.
    #[must_use]
    pub(crate) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Renders the page without the Session of the visitor.
    #[must_use]
    pub(crate) fn without_visitor(self) -> Self {
        Self {
            without_visitor: true,
            ..self
        }
    }

    /// Allows forms to redirect to `targets` (CSP `form-action`). It also restricts redirects after a form (CSP 3
    /// §6.4.2).
    #[must_use]
    pub(crate) fn forms_lead_to(self, targets: impl Into<String>) -> Self {
        Self {
            form_targets: targets.into(),
            ..self
        }
    }

    /// Renders the response. `is_admin` is true if the visitor has administrative access.
    ///
    /// # Errors
    /// Returns an error if no key is available for the form token.
    pub(super) fn render(
        &self,
        ctx: &Context,
        visit: &Visit,
        is_admin: bool,
    ) -> Result<Response, Error> {
        let visitor = match visit {
            Visit::SignedIn(visitor) if !self.without_visitor => {
                Some((&**visitor, visitor.form_token(ctx)?))
            }
            Visit::SignedIn(_) | Visit::Unknown(_) => None,
        };
        let domain = ctx.domain.authority();
        let document = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · " (domain) }
                    link rel="stylesheet" href=(*asset::STYLE_PATH);
                    link rel="icon" href="data:,";
                    script src=(*asset::SCRIPT_PATH) defer {}
                }
                body.alone[self.section.is_none()] {
                    a.skip href="#content" { "Skip to the content" }
                    header.top {
                        a.brand href="/" { (mark()) span { (domain) } }
                        @if let Some((visitor, token)) = &visitor {
                            (self.navigation(is_admin))
                            (identity(visitor, token))
                        }
                    }
                    main id="content" { (self.body) }
                }
            }
        };
        let mut response = (self.status, document.into_string()).into_response();
        self.headers(response.headers_mut());
        Ok(response)
    }

    fn navigation(&self, is_admin: bool) -> Markup {
        let sections = Section::ALL.into_iter();
        let sections = sections.filter(|section| is_admin || *section != Section::Admin);
        html! {
            nav aria-label="Portal" {
                @for section in sections {
                    a href=(section.path()) aria-current=[(self.section == Some(section)).then_some("page")] {
                        (section.label())
                    }
                }
            }
        }
    }

    fn headers(&self, headers: &mut HeaderMap) {
        let targets = if self.form_targets.is_empty() {
            String::new()
        } else {
            format!(" {}", self.form_targets)
        };
        let connections = if self.asks_for_more {
            " connect-src 'self';"
        } else {
            ""
        };
        let policy = format!(
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:;{connections} \
             base-uri 'none'; frame-ancestors 'none'; form-action 'self'{targets}"
        );
        // The policy is built from our own text. If it were not a valid header value, the page could load nothing.
        let policy = HeaderValue::try_from(policy)
            .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"));
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CACHE_CONTROL, "no-store"),
            // With `no-referrer`, browsers would omit the origin of a form.
            (header::REFERRER_POLICY, "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(
            "cross-origin-opener-policy",
            HeaderValue::from_static("same-origin"),
        );
    }
}

impl IntoResponse for Page {
    /// Returns an empty response that carries the page. The layer of the pages renders it, because it knows the
    /// visitor.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Renders the hidden field with the CSRF token of the Session.
pub(crate) fn token_field(token: &str) -> Markup {
    html! { input type="hidden" name=(TOKEN) value=(token); }
}

fn identity(visitor: &Visitor, token: &str) -> Markup {
    html! {
        div.who {
            span.name { (visitor.display_name()) }
            form method="post" action="/logout" {
                (token_field(token))
                button.quiet type="submit" { "Sign out" }
            }
        }
    }
}

/// Renders the logo beside the name of the Cluster.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" {
            path d="M8 2h8l6 6v8l-6 6H8l-6-6V8z" {}
            circle cx="12" cy="12" r="3.4" {}
        }
    }
}
