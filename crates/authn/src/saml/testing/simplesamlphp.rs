//! A real identity provider: `simplesamlphp` on PHP's built-in server, with one user.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::saml::{SigningKey, generate};
use domain::{
    clock::{Clock as _, SystemClock},
    rng::SystemRng,
};

/// Maximum start time of PHP.
const PATIENCE: Duration = Duration::from_secs(10);
const ROOT: &str = "/usr/share/simplesamlphp/www";
/// Name of the user.
pub const USER: &str = "john";
/// Password of the user.
pub const PASSWORD: &str = "correct horse";

/// A running provider, stopped on drop.
#[derive(Debug)]
pub struct Simplesamlphp {
    server: Child,
    port: u16,
    directory: TempDir,
}

/// Settings of the provider, which always signs assertions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// True if assertions are encrypted.
    pub encrypts: bool,
    /// True if responses are signed in addition to assertions.
    pub signs_response: bool,
}

/// A page fetched with `curl`.
#[derive(Debug, Clone)]
pub struct PageGot {
    /// URL after all redirects.
    pub url: String,
    /// HTML body.
    pub body: String,
}

impl Simplesamlphp {
    /// Starts a provider that trusts the service provider of this metadata document.
    ///
    /// # Errors
    /// Returns an error if `simplesamlphp` is not installed (see `scripts/install-test-tools`) or does not start.
    pub fn start(service_metadata: &str, settings: Settings) -> io::Result<Self> {
        if !Path::new(ROOT).exists() {
            return Err(io::Error::other(
                "simplesamlphp is missing: run scripts/install-test-tools",
            ));
        }
        let directory = TempDir::new()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        write_configuration(directory.path(), port, service_metadata, settings)?;
        let log = fs::File::create(directory.path().join("php.log"))?;
        let server = Command::new("php")
            .args(["-S", &format!("127.0.0.1:{port}"), "-t", ROOT])
            .env("SIMPLESAMLPHP_CONFIG_DIR", directory.path().join("config"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let provider = Self {
            server,
            port,
            directory,
        };
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(provider);
            }
            thread::yield_now();
        }
        Err(io::Error::other("php does not listen"))
    }

    /// Replaces the metadata of the service provider.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn know(&self, service_metadata: &str) -> io::Result<()> {
        fs::write(self.directory.path().join("sp.xml"), service_metadata)
    }

    /// Returns the URL of the provider's metadata.
    pub fn metadata_url(&self) -> String {
        format!("http://127.0.0.1:{}/saml2/idp/metadata.php", self.port)
    }

    /// Fetches the provider's metadata.
    ///
    /// # Errors
    /// Returns an error if the provider does not answer.
    pub fn metadata(&self) -> io::Result<String> {
        Ok(self.get(&self.metadata_url())?.body)
    }

    /// Fetches a page, following redirects and keeping cookies.
    ///
    /// # Errors
    /// Returns an error if `curl` fails.
    pub fn get(&self, url: &str) -> io::Result<PageGot> {
        self.curl(&["--location", url])
    }

    /// Posts a form, following redirects and keeping cookies.
    ///
    /// # Errors
    /// Returns an error if `curl` fails.
    pub fn post(&self, url: &str, fields: &[(&str, &str)]) -> io::Result<PageGot> {
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut arguments = vec!["--location", url];
        for field in &fields {
            arguments.extend(["--data-urlencode", field]);
        }
        self.curl(&arguments)
    }

    /// Signs in if the page asks for it, and returns the form that leads back to the service provider.
    ///
    /// # Errors
    /// Returns an error if the page lacks such a form.
    pub fn log_in(&self, request: PageGot) -> io::Result<Vec<(String, String)>> {
        let mut page = request;
        if page.body.contains("name=\"password\"") {
            let state = value_of(&page.body, "AuthState")
                .ok_or_else(|| io::Error::other(format!("no AuthState: {}", page.body)))?;
            let url = page.url.clone();
            let fields = [
                ("username", USER),
                ("password", PASSWORD),
                ("AuthState", &state),
            ];
            page = self.post(&url, &fields)?;
        }
        let fields: Vec<(String, String)> = ["SAMLResponse", "RelayState"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), value_of(&page.body, name)?)))
            .collect();
        if fields.is_empty() {
            return Err(io::Error::other(format!(
                "no SAMLResponse at {}: {}",
                page.url, page.body
            )));
        }
        Ok(fields)
    }

    /// Follows redirects until a URL starts with `prefix`, and returns this URL.
    ///
    /// # Errors
    /// Returns an error if no redirect leads there.
    pub fn follow_to(&self, url: &str, prefix: &str) -> io::Result<String> {
        let mut at = url.to_owned();
        for _ in 0..10 {
            let page = self.curl(&["--write-out", "\n%{redirect_url}", &at])?;
            if page.url.is_empty() {
                return Err(io::Error::other(format!(
                    "{at} leads nowhere: {}",
                    page.body
                )));
            }
            if page.url.starts_with(prefix) {
                return Ok(page.url);
            }
            at = page.url;
        }
        Err(io::Error::other(format!("{at} leads nowhere else")))
    }

    fn curl(&self, arguments: &[&str]) -> io::Result<PageGot> {
        let jar = self.directory.path().join("cookies");
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "30", "--cookie"])
            .arg(&jar)
            .arg("--cookie-jar")
            .arg(&jar)
            .args(["--write-out", "\n%{url_effective}"])
            .args(arguments)
            .output()?;
        if !output.status.success() {
            return Err(io::Error::other(
                String::from_utf8_lossy(&output.stderr).into_owned(),
            ));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, url) = text.rsplit_once('\n').unwrap_or(("", &text));
        Ok(PageGot {
            url: url.to_owned(),
            body: body.to_owned(),
        })
    }
}

impl Drop for Simplesamlphp {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Returns the value of the first input with this name.
pub fn value_of(page: &str, name: &str) -> Option<String> {
    let at = page.find(&format!("name=\"{name}\""))?;
    let begin = page.get(..at)?.rfind('<')?;
    let tag = page.get(begin..)?.split('>').next()?;
    let value = tag.split("value=\"").nth(1)?.split('"').next()?;
    Some(
        value
            .replace("&quot;", "\"")
            .replace("&#039;", "'")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&"),
    )
}

fn write_configuration(
    directory: &Path,
    port: u16,
    service_metadata: &str,
    settings: Settings,
) -> io::Result<()> {
    for part in [
        "config", "metadata", "cert", "log", "data", "tmp", "sessions",
    ] {
        fs::create_dir(directory.join(part))?;
    }
    let material = generate(
        "idp",
        &SystemRng,
        SystemClock.now(),
        Duration::from_hours(24),
    )
    .map_err(io::Error::other)?;
    let key = SigningKey::new(&material.pkcs8, &material.certificate).map_err(io::Error::other)?;
    let pem = |label: &str, der: &[u8]| {
        let encoded = crate::saml::base64::encode(der);
        let lines: Vec<&str> = encoded
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap_or_default())
            .collect();
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            lines.join("\n")
        )
    };
    fs::write(
        directory.join("cert/idp.pem"),
        pem("PRIVATE KEY", &material.pkcs8),
    )?;
    fs::write(
        directory.join("cert/idp.crt"),
        pem("CERTIFICATE", key.certificate().der()),
    )?;
    fs::write(directory.join("sp.xml"), service_metadata)?;
    let root = directory.display();
    fs::write(
        directory.join("config/config.php"),
        format!(
            "<?php $config = ['baseurlpath' => 'http://127.0.0.1:{port}/', 'certdir' => '{root}/cert/', \
             'loggingdir' => '{root}/log/', 'datadir' => '{root}/data/', 'tempdir' => '{root}/tmp/', \
             'metadatadir' => '{root}/metadata/', 'secretsalt' => 'test', 'auth.adminpassword' => 'test', \
             'technicalcontact_email' => 'na@example.org', 'timezone' => 'UTC', 'logging.handler' => 'file', \
             'enable.saml20-idp' => true, 'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true], \
             'session.cookie.secure' => false, 'session.cookie.samesite' => null, 'language.cookie.secure' => false, \
             'session.phpsession.savepath' => '{root}/sessions', 'store.type' => 'phpsession', \
             'language.available' => ['en'], 'language.default' => 'en', 'trusted.url.domains' => null, \
             'metadata.sources' => [['type' => 'flatfile'], ['type' => 'xml', 'file' => '{root}/sp.xml']]];"
        ),
    )?;
    fs::write(
        directory.join("config/authsources.php"),
        format!(
            "<?php $config = ['users' => ['exampleauth:UserPass', '{USER}:{PASSWORD}' => ['uid' => ['{USER}'], \
             'mail' => ['john@example.com'], 'groups' => ['ops', 'dev & test']]]];"
        ),
    )?;
    let response = if settings.signs_response {
        "true"
    } else {
        "false"
    };
    let encryption = if settings.encrypts { "true" } else { "false" };
    fs::write(
        directory.join("metadata/saml20-idp-hosted.php"),
        format!(
            "<?php $metadata['https://idp.example.org/metadata'] = ['host' => '__DEFAULT__', 'privatekey' => 'idp.pem', \
             'certificate' => 'idp.crt', 'auth' => 'users', 'validate.authnrequest' => true, 'sign.logout' => true, \
             'validate.logout' => true, 'redirect.sign' => true, 'redirect.validate' => true, \
             'saml20.sign.response' => {response}, 'saml20.sign.assertion' => true, \
             'assertion.encryption' => {encryption}, \
             'sharedkey_algorithm' => 'http://www.w3.org/2009/xmlenc11#aes256-gcm', \
             'signature.algorithm' => 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256', \
             'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent', \
             'simplesaml.nameidattribute' => 'uid'];"
        ),
    )
}
