//! The door to HTTP: how every client of this program is made.

mod public;
pub mod secrets;

use std::{sync::Arc, time::Duration};

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{
    Client, RequestBuilder, Url,
    dns::Resolve,
    redirect::{Action, Attempt, Policy},
};
use rustls::{ClientConfig, RootCertStore};

pub use public::NotPublic;
use public::PublicResolver;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a transfer may stand still.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a transfer may be slower than a byte in a millisecond.
const PATIENCE: Duration = Duration::from_mins(1);

/// The way to release hosts.
#[derive(Debug, Clone)]
pub struct Web {
    client: Client,
    public_only: bool,
    patience: Duration,
}

impl Web {
    /// A request for a file.
    ///
    /// # Errors
    /// [`NotPublic`] where the URL itself names an address at which nothing may be asked.
    pub fn get(&self, url: Url) -> Result<RequestBuilder, NotPublic> {
        match public::refusal(&url).filter(|_| self.public_only) {
            Some(reason) => Err(reason),
            None => Ok(self.client.get(url)),
        }
    }

    /// [`proxy`], where one may be asked.
    pub(crate) fn proxy(&self, url: &Url) -> Option<String> {
        proxy(url).filter(|_| !self.public_only)
    }

    /// How long a transfer may bring less than a byte in a millisecond before it is given up.
    pub(crate) const fn patience(&self) -> Duration {
        self.patience
    }

    /// The same way, with another patience.
    #[cfg(test)]
    pub(crate) fn waiting(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

/// The way to release hosts: the host's certificates beside Mozilla's, no transparent decompression (it would break ranges,
/// lengths and checksums), up to 10 redirects and none from https to http.
///
/// # Errors
/// Where reqwest cannot be set up; with the TLS configuration given here that is a defect of the build.
pub fn web_client() -> reqwest::Result<Web> {
    Ok(Web { client: builder(tls()).redirect(few_redirects()).build()?, public_only: false, patience: PATIENCE })
}

/// The same for URLs that anybody may have written: wherever names and redirects lead, only public addresses are connected
/// to. A proxy is not asked, because it may reach what we must not.
///
/// # Errors
/// As [`web_client`].
pub fn public_web_client() -> reqwest::Result<Web> {
    public_web(Arc::new(PublicResolver))
}

fn public_web(resolver: Arc<dyn Resolve>) -> reqwest::Result<Web> {
    let policy = Policy::custom(|attempt| match public::refusal(attempt.url()) {
        Some(reason) => attempt.error(reason),
        None => follow(attempt),
    });
    let builder = builder(tls()).redirect(policy).dns_resolver(resolver).no_proxy();
    Ok(Web { client: builder.build()?, public_only: true, patience: PATIENCE })
}

/// A client for a chain's endpoints. It speaks HTTP/1.1 only, because a websocket begins as the upgrade of such a
/// connection (RFC 6455, section 4).
///
/// # Errors
/// As [`web_client`].
pub fn endpoint_client() -> reqwest::Result<Client> {
    let mut tls = tls();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    builder(tls).http1_only().redirect(few_redirects()).build()
}

/// The proxy by which a URL is asked for, and the variable that names it: it may be what is wrong, and not who is asked.
pub(crate) fn proxy(url: &Url) -> Option<String> {
    let by = Matcher::from_env().intercept(&url.as_str().parse().ok()?)?;
    let names = [url.scheme(), "all"].map(|scheme| format!("{scheme}_proxy")).into_iter();
    let is_set = |name: &String| std::env::var(name).is_ok_and(|value| !value.is_empty());
    let name = names.flat_map(|name| [name.to_uppercase(), name]).find(is_set)?;
    Some(format!("by way of the proxy {} of {name}", secrets::written_endpoint(&by.uri().to_string())))
}

/// A client for the own node, which speaks plain HTTP on this machine: no certificates are loaded, no proxy is asked,
/// and a node that does not answer within `limit` is taken as not answering.
///
/// # Errors
/// As [`web_client`].
pub fn own_node_client(limit: Duration) -> reqwest::Result<Client> {
    builder(tls_config(RootCertStore::empty())).no_proxy().redirect(Policy::none()).timeout(limit).build()
}

/// TLS for websockets and HTTP alike.
#[must_use]
pub fn tls() -> ClientConfig {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    tls_config(roots)
}

fn few_redirects() -> Policy {
    Policy::custom(follow)
}

fn follow(attempt: Attempt<'_>) -> Action {
    match refusal(attempt.previous(), attempt.url()) {
        Some(reason) => attempt.error(reason),
        None => attempt.follow(),
    }
}

/// Why a redirect is not followed; reqwest itself refuses other schemes than http and https.
fn refusal(previous: &[Url], next: &Url) -> Option<&'static str> {
    const MOST_REDIRECTS: usize = 10;
    if previous.len() > MOST_REDIRECTS {
        return Some("more than 10 redirects");
    }
    let from_https = previous.last().is_some_and(|url| url.scheme() == "https");
    (from_https && next.scheme() != "https").then_some("a redirect from https to plain http")
}

fn tls_config(roots: RootCertStore) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

fn builder(tls: ClientConfig) -> reqwest::ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("watcher/", env!("CARGO_PKG_VERSION")))
        // It would carry path and query, and what is secret in them, to wherever a redirect leads.
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Leads every name to a server on this machine, as if that were a public host.
    struct Here(std::net::SocketAddr);

    impl Resolve for Here {
        fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
            let address = self.0;
            Box::pin(async move { Ok(Box::new(std::iter::once(address)) as reqwest::dns::Addrs) })
        }
    }

    #[tokio::test]
    async fn a_public_host_cannot_lead_to_a_private_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metadata = axum::response::Redirect::temporary("http://169.254.169.254/latest");
        let router = axum::Router::new().route("/a", axum::routing::get(async || metadata));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let web = public_web(Arc::new(Here(address))).unwrap();
        let url = Url::parse(&format!("http://releases.example.org:{}/a", address.port())).unwrap();
        let refused = web.get(url).unwrap().send().await.unwrap_err();
        let mut causes = std::iter::successors(Some(&refused as &dyn std::error::Error), |error| error.source());
        assert!(causes.any(|cause| cause.downcast_ref::<NotPublic>().is_some()), "{refused:?}");
        server.abort();
    }

    #[tokio::test]
    async fn where_a_redirect_leads_nobody_hears_of_what_led_there() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/secret-path?key=secret", listener.local_addr().unwrap())).unwrap();
        let told = async |headers: axum::http::HeaderMap| format!("{headers:?}");
        let router = axum::Router::new()
            .route("/secret-path", axum::routing::get(async || axum::response::Redirect::temporary("/elsewhere")))
            .route("/elsewhere", axum::routing::get(told));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let web = web_client().unwrap().get(url.clone()).unwrap();
        for request in [web, endpoint_client().unwrap().get(url)] {
            let headers = request.send().await.unwrap().text().await.unwrap();
            assert!(headers.contains("user-agent") && !headers.contains("secret"), "{headers}");
        }
        server.abort();
    }

    #[test]
    fn redirects_are_followed_ten_times_and_never_away_from_https() {
        let url = |text: &str| Url::parse(text).unwrap();
        let (plain, secure) = (url("http://h/a"), url("https://h/a"));
        assert_eq!(refusal(&vec![secure.clone(); 10], &secure), None);
        assert!(refusal(&vec![secure.clone(); 11], &secure).is_some());
        assert!(refusal(std::slice::from_ref(&secure), &plain).is_some());
        assert_eq!(refusal(std::slice::from_ref(&plain), &secure), None);
        assert_eq!(refusal(std::slice::from_ref(&plain), &plain), None);
    }
}
