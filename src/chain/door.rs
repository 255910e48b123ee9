//! One HTTP question, one bounded answer: the way in which every endpoint is asked, whatever it speaks.

use std::{error::Error, fmt::Write as _, time::Duration};

use reqwest::{Client, RequestBuilder, Response, StatusCode, header};
use url::Url;

use super::fault::{Cause, Fault, excerpt};
use crate::http::secrets;

/// More than this is never read of one answer, bytes.
pub(super) const LARGEST_ANSWER: usize = 8 << 20;

/// An endpoint's address and how it is reached.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub(super) client: Client,
    /// `http` or `https`; may hold a path prefix, user name and password, a query.
    pub(super) base: Url,
    /// How it is called in messages.
    pub(super) label: String,
    /// How long one answer may take as a whole.
    pub(super) limit: Duration,
}

/// What came back, unjudged.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The height at which the gateway read the store.
    pub(super) height: Option<u64>,
    pub(super) body: Vec<u8>,
}

impl Door {
    /// The base with a path behind its prefix, and with more query parameters.
    pub(super) fn url(&self, path: &str, parameters: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        url
    }

    pub(super) async fn get(&self, url: Url, question: &str) -> Result<Answer, Fault> {
        self.send(self.client.get(url), question).await
    }

    pub(super) async fn post(&self, json: String, question: &str) -> Result<Answer, Fault> {
        let request = self.client.post(self.base.clone()).header(header::CONTENT_TYPE, "application/json").body(json);
        self.send(request, question).await
    }

    pub(super) fn fault(&self, question: &str, cause: Cause) -> Fault {
        let hidden = |said: &str| secrets::hidden(said, &self.base);
        let cause = match cause {
            Cause::Unreachable(said) => Cause::Unreachable(hidden(&said)),
            Cause::Status(status, said) => Cause::Status(status, hidden(&said)),
            Cause::Unreadable { reason, said } => Cause::Unreadable { reason: hidden(&reason), said: hidden(&said) },
            Cause::Refused { code, message } => Cause::Refused { code, message: hidden(&message) },
            Cause::Unknown(said) => Cause::Unknown(hidden(&said)),
            Cause::Unserved(said) => Cause::Unserved(hidden(&said)),
            Cause::NoState(said) => Cause::NoState(hidden(&said)),
            other => other,
        };
        Fault { endpoint: self.label.clone(), question: question.to_owned(), cause }
    }

    /// The fault for an answer that could not be read: the status explains more than the body where it is an error.
    pub(super) fn unreadable(&self, answer: &Answer, question: &str, reason: &dyn ToString) -> Fault {
        let cause = match answer.status.as_u16() {
            status @ (404 | 405 | 501) => Cause::Unserved(format!("HTTP {status}, {:?}", excerpt(&answer.body))),
            status if !answer.status.is_success() => Cause::Status(status, excerpt(&answer.body)),
            _ if answer.body.iter().all(u8::is_ascii_whitespace) => Cause::Empty,
            _ => Cause::Unreadable { reason: reason.to_string(), said: excerpt(&answer.body) },
        };
        self.fault(question, cause)
    }

    async fn send(&self, request: RequestBuilder, question: &str) -> Result<Answer, Fault> {
        let answer = tokio::time::timeout(self.limit, receive(request)).await;
        answer.unwrap_or(Err(Cause::Slow(self.limit))).map_err(|cause| self.fault(question, cause))
    }
}

async fn receive(request: RequestBuilder) -> Result<Answer, Cause> {
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let wish = retry_after(&response);
    if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE && wish.is_some() {
        return Err(Cause::Throttled(wish));
    }
    let height = ["grpc-metadata-x-cosmos-block-height", "x-cosmos-block-height"]
        .iter()
        .find_map(|name| response.headers().get(*name)?.to_str().ok()?.parse().ok());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(Cause::TooLarge(LARGEST_ANSWER));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, height, body })
}

/// reqwest's own words name the URL, which may hold a password, and hide the reason, which is what is wanted.
fn unreachable(error: reqwest::Error) -> Cause {
    let error = error.without_url();
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(reason, ": {cause}");
        source = cause.source();
    }
    Cause::Unreachable(reason)
}

/// `Retry-After` in either of its forms (RFC 9110, section 10.2.3).
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Duration::try_from(date.duration_since(jiff::Timestamp::now())).ok()
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, Bytes},
        http::StatusCode,
        response::{IntoResponse as _, Response as Answered},
    };
    use futures_util::stream;

    use super::*;
    use crate::{chain::liar::Liar, http};

    /// What comes of asking somebody who answers like this, with 300 ms for the answer.
    async fn asked(answer: impl Fn() -> Answered + Send + Sync + 'static) -> String {
        let liar = Liar::telling(move |_, _| answer()).await;
        let (client, limit) = (http::endpoint_client().unwrap(), Duration::from_millis(300));
        let door = Door { client, base: liar.url.clone(), label: String::from("https://rpc"), limit };
        let began = std::time::Instant::now();
        let fault = match door.post(String::from("{}"), "status").await {
            Ok(answer) => door.unreadable(&answer, "status", &"no answer").to_string(),
            Err(fault) => fault.to_string(),
        };
        assert!(began.elapsed() < Duration::from_secs(10) && fault.starts_with("https://rpc "), "{fault}");
        fault
    }

    #[tokio::test]
    async fn answers_of_any_size_and_slowness_end_with_a_named_fault() {
        let endless = || {
            let piece = Bytes::from(vec![b' '; 1 << 16]);
            Body::from_stream(stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()))).into_response()
        };
        let fault = asked(endless).await;
        assert!(fault.contains("more than") || fault.contains("gave no answer within"), "{fault}");
        let drop_by_drop = || {
            let drops = stream::unfold((), async |()| {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Some((Ok::<_, std::io::Error>(Bytes::from_static(b"{")), ()))
            });
            Body::from_stream(drops).into_response()
        };
        assert!(asked(drop_by_drop).await.contains("gave no answer within"));
        let redirect = |to: &'static str| move || (StatusCode::FOUND, [("location", to)]).into_response();
        assert!(asked(redirect("/")).await.contains("redirects"));
        for scheme in ["file:///etc/passwd", "ftp://host/", "gopher://host/"] {
            let fault = asked(redirect(scheme)).await;
            assert!(fault.contains("HTTP 302") || fault.contains("URL scheme is not allowed"), "{fault}");
        }
        let half = || {
            let pieces = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("cut"))];
            Body::from_stream(stream::iter(pieces)).into_response()
        };
        assert!(asked(half).await.contains("cannot be reached"));
    }
}
