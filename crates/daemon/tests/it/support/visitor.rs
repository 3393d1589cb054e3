//! A browser without a window: cookies, forms and redirects, but no scripts.

use std::collections::BTreeMap;

use http::{Method, Request, Uri};

use super::https::{Answer, Https};

/// A person who opens pages.
pub(crate) struct Visitor {
    https: Https,
    /// `localhost:1234`
    domain: String,
    /// Cookies by host and name. Each of our cookies is valid at its host only.
    cookies: BTreeMap<String, BTreeMap<String, String>>,
}

impl Visitor {
    pub(crate) fn new(https: &Https, domain: String) -> Self {
        Self {
            https: https.clone(),
            domain,
            cookies: BTreeMap::new(),
        }
    }

    /// Opens an address, or a path of the Cluster's pages, and follows redirects.
    pub(crate) async fn open(&mut self, place: &str) -> Answer {
        let answer = self.send(Method::GET, place, "").await;
        self.follow(place, answer).await
    }

    /// Submits a form of the Cluster's pages and follows redirects.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let answer = self.send(Method::POST, path, &form.finish()).await;
        self.follow(path, answer).await
    }

    async fn follow(&mut self, place: &str, mut answer: Answer) -> Answer {
        let mut place = self.whole(place);
        for _ in 0..10 {
            if !answer.status.is_redirection() {
                return answer;
            }
            let location = answer.header("location").to_owned();
            place = match location.strip_prefix('/') {
                Some(rest) => {
                    let authority = place.authority().unwrap();
                    format!("https://{authority}/{rest}").parse().unwrap()
                }
                None => location.parse().unwrap(),
            };
            answer = self.send(Method::GET, &place.to_string(), "").await;
        }
        panic!("it goes round in circles: {place}");
    }

    fn whole(&self, place: &str) -> Uri {
        if place.starts_with('/') {
            format!("https://{}{place}", self.domain).parse().unwrap()
        } else {
            place.parse().unwrap()
        }
    }

    async fn send(&mut self, method: Method, place: &str, body: &str) -> Answer {
        let uri = self.whole(place);
        let host = uri.host().unwrap().to_owned();
        let cookies = self.cookies.entry(host.clone()).or_default();
        let cookies: Vec<String> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let target = uri.path_and_query().unwrap().as_str().to_owned();
        let mut request = Request::builder()
            .method(&method)
            .uri(target)
            .header("accept", "text/html");
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        if method == Method::POST {
            request = request
                .header("content-type", "application/x-www-form-urlencoded")
                .header("origin", format!("https://{}", self.domain));
        }
        let request = request.body(body.to_owned()).unwrap();
        let answer = self.https.send(&host, request).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (pair, attributes) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let kept = self.cookies.entry(host.clone()).or_default();
            if attributes.contains("Max-Age=0") {
                kept.remove(name);
            } else {
                kept.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }
}

/// Returns the value of the first attribute `name` after `mark`.
pub(crate) fn attribute(page: &Answer, mark: &str, name: &str) -> String {
    let (_, rest) = page
        .body
        .split_once(mark)
        .unwrap_or_else(|| panic!("no {mark}: {}", page.body));
    let (_, rest) = rest
        .split_once(&format!("{name}=\""))
        .unwrap_or_else(|| panic!("no {name} after {mark}"));
    let (value, _) = rest.split_once('"').unwrap();
    value
        .replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}
