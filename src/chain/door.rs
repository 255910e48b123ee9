//! One HTTP question, one bounded answer: the way in which every endpoint is asked, whatever it speaks.

use std::{error::Error, fmt::Write as _, time::Duration};

use reqwest::{Client, RequestBuilder, Response, StatusCode, header};
use url::Url;

use super::fault::{Cause, Fault, excerpt};

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
        Fault { endpoint: self.label.clone(), question: question.to_owned(), cause }
    }

    /// The fault for an answer that could not be read: the status explains more than the body where it is an error.
    pub(super) fn unreadable(&self, answer: &Answer, question: &str, reason: &dyn ToString) -> Fault {
        let cause = match answer.status.as_u16() {
            status @ (404 | 501) => Cause::Unknown(format!("HTTP {status}, {:?}", excerpt(&answer.body))),
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
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Err(Cause::Throttled(retry_after(&response)));
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
