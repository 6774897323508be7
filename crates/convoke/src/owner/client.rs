//! Requests to the server: with the key, to the one address that it is for, and with answers of bounded size.

use super::call::Call;
use super::failure::Failure;
use super::profile::{Credential, Target, is_loopback};
use anyhow::{Context, Result, anyhow, bail};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::sleep;
use uuid::Uuid;

/// A request with an idempotency key, whose answer was lost, is sent again for so long: a server comes back within it.
const AGAIN_WITHIN: Duration = Duration::from_secs(90);
/// Before it is sent again; each pause is twice as long as the one before, up to the other.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(4);
const CONNECTS_WITHIN: Duration = Duration::from_secs(10);
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// Of one that can be sent again: a lost answer is not waited for until there is no time left. A server answers changes within
/// 10 s, and what they wait for.
const ANSWERS_ONCE_WITHIN: Duration = Duration::from_secs(20);
/// Far more than a page of the API's longest list.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// The longest page that the API gives.
const PAGE: u32 = 200;

pub(super) struct Server {
    http: Client,
    url: Url,
    key: Credential,
    /// Where the key is from.
    key_from: String,
}

impl Server {
    pub(super) fn open(target: &Target) -> Result<Self> {
        let mut http = Client::builder().connect_timeout(CONNECTS_WITHIN).timeout(ANSWERS_WITHIN);
        // A key is for the server that was named and for no other.
        http = http.redirect(reqwest::redirect::Policy::none());
        if is_loopback(&target.url) {
            http = http.no_proxy();
        }
        http = match target.authority()? {
            Some(certificates) => http.tls_certs_only(certificates),
            // Where no TLS is spoken the system need not trust anybody.
            None if target.url.scheme() == "http" => http.tls_certs_only([]),
            None => http,
        };
        let remedy = "remedy: install the certificates that the system trusts, or name an authority with --ca";
        let http = http.build().with_context(|| format!("cannot start the HTTP client\n  {remedy}"))?;
        let (key, key_from) = target.key()?;
        Ok(Self { http, url: target.url.clone(), key, key_from })
    }

    /// `null` for an answer without a body.
    pub(super) async fn send(&self, call: &Call) -> Result<Value> {
        self.page(call, &[]).await
    }

    /// All pages in one, up to `limit` items; it has a `next` if there are more.
    pub(super) async fn list(&self, call: &Call, limit: u32) -> Result<Value> {
        let (mut items, mut next) = (Vec::new(), None);
        loop {
            let left = limit - u32::try_from(items.len()).unwrap_or(limit).min(limit);
            if left == 0 {
                break;
            }
            let mut query = vec![("limit", left.min(PAGE).to_string())];
            query.extend(next.take().map(|next| ("after", next)));
            let mut page = self.page(call, &query).await?;
            let Value::Array(more) = page["items"].take() else { bail!("{} answers with no list", self.url) };
            next = page["next"].as_str().map(str::to_owned);
            let is_end = next.is_none() || more.is_empty();
            items.extend(more);
            if is_end {
                break;
            }
        }
        let mut whole = json!({ "items": items });
        if let Some(next) = next {
            whole["next"] = next.into();
        }
        Ok(whole)
    }

    async fn page(&self, call: &Call, more: &[(&str, String)]) -> Result<Value> {
        // In an address they stand for something else, and would name another thing than is meant.
        if let Some(id) = call.path.iter().find(|id| matches!(id.as_str(), "" | "." | "..")) {
            bail!(Failure::Usage(format!("{id:?} is no id of anything\n  remedy: name one that the list shows")));
        }
        let url = address(&self.url, call, more);
        let mut request = self.http.request(call.method.clone(), url);
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let answer = if call.is_once { self.answered_once(request).await } else { self.answered(request).await };
        answer.with_context(|| format!("cannot {}", call.what))
    }

    /// The server does it once, however often it is sent.
    async fn answered_once(&self, request: RequestBuilder) -> Result<Value> {
        let request = request.header("Idempotency-Key", format!("\"{}\"", Uuid::now_v7())).timeout(ANSWERS_ONCE_WITHIN);
        let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
        let mut is_first = true;
        while let Some(copy) = request.try_clone() {
            let error = match self.answered(copy).await {
                Err(error) if may_be_done(&error, is_first) => error,
                answer => return answer,
            };
            if begun.elapsed() + pause > AGAIN_WITHIN {
                return Err(error.context(MAY_BE_DONE));
            }
            sleep(pause).await;
            (pause, is_first) = ((pause * 2).min(PAUSE_MAX), false);
        }
        self.answered(request).await
    }

    async fn answered(&self, request: RequestBuilder) -> Result<Value> {
        let request = match &self.key {
            Credential::Api(key) => request.bearer_auth(key),
            Credential::Access { key, secret } => request.basic_auth(key, Some(secret)),
        };
        let lost =
            |cause: reqwest::Error| Failure::Unreachable { url: self.url.to_string(), cause: cause.without_url() };
        let mut response = request.send().await.map_err(lost)?;
        let status = response.status();
        let body = body(&mut response)
            .await
            .map_err(|cause| cause.map_or_else(|| anyhow!(TOO_LONG), |cause| lost(cause).into()))?;
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let answer: Option<Value> = serde_json::from_slice(&body).ok();
        match answer {
            Some(answer) if status.is_success() => Ok(answer),
            Some(problem) if problem["detail"].is_string() => Err(self.refused(status, &problem).into()),
            _ => Err(Foreign { url: self.url.to_string(), status }.into()),
        }
    }

    fn refused(&self, status: StatusCode, problem: &Value) -> Refused {
        let mut words = super::table::text(&problem["detail"]);
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            words = format!("{words}\n  server: {}\n  key: {}", self.url, self.key_from);
        }
        // Not of what no force removes: the topics of calls, the key of the request.
        if problem["code"] == "in_use" && words.contains("force=true") {
            words.push_str("\n  remedy: with --force it goes together with what uses it");
        }
        Refused { code: super::table::text(&problem["code"]), words }
    }

    /// Whether the server knows the key. What the key may do is not asked.
    pub(super) async fn check(&self) -> Result<()> {
        let mut url = self.url.clone();
        append(&mut url, ["keys"]);
        match self.answered(self.http.get(url)).await {
            // The key of a service lacks the scope; that it is told so shows that it is known.
            Err(error) if error.downcast_ref::<Refused>().is_some_and(|refused| refused.code == "forbidden") => Ok(()),
            answer => answer.map(drop),
        }
    }
}

/// In the words of the server.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
struct Refused {
    code: String,
    words: String,
}

/// Not as Convoke answers: of something that stands before it, or that is none.
#[derive(Debug, thiserror::Error)]
#[error(
    "{url} answered {status}, and not as this version of Convoke does\n  remedy: see whether --url names a Convoke server of this \
     version"
)]
struct Foreign {
    url: String,
    status: StatusCode,
}

const MAY_BE_DONE: &str = "no answer came, and it may be done all the same: see what is there before you do it again";

/// Whether the request may be done though it failed so, or will be.
fn may_be_done(error: &anyhow::Error, is_first: bool) -> bool {
    if let Some(Failure::Unreachable { cause, .. }) = error.downcast_ref() {
        return !(is_first && cause.is_connect());
    }
    // A gateway says so of a server that it does not reach, or that does not answer it in time.
    if let Some(Foreign { status, .. }) = error.downcast_ref() {
        return status.is_server_error();
    }
    let refused = error.downcast_ref::<Refused>();
    refused.is_some_and(|refused| matches!(refused.code.as_str(), "idempotency_key_busy" | "unavailable"))
}

const TOO_LONG: &str = "the answer has more than 8 MiB, which no answer of Convoke has\n  remedy: see whether --url names a \
                        Convoke server";

/// `None` as error: too long.
async fn body(response: &mut Response) -> Result<Vec<u8>, Option<reqwest::Error>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Some)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn address(base: &Url, call: &Call, more: &[(&str, String)]) -> Url {
    let mut url = base.clone();
    append(&mut url, call.path.iter().map(String::as_str));
    if !call.query.is_empty() || !more.is_empty() {
        url.query_pairs_mut().extend_pairs(&call.query).extend_pairs(more);
    }
    url
}

/// Below `/api/v1`, each segment encoded.
fn append<'a>(url: &mut Url, path: impl IntoIterator<Item = &'a str>) {
    // HTTP addresses always have segments.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(["api", "v1"]).extend(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_gateway_says_of_a_lost_server_is_no_answer() {
        let foreign = |status| anyhow::Error::from(Foreign { url: "https://calls.example.org/".into(), status });
        assert!(may_be_done(&foreign(StatusCode::BAD_GATEWAY), true));
        assert!(may_be_done(&foreign(StatusCode::GATEWAY_TIMEOUT), false));
        assert!(!may_be_done(&foreign(StatusCode::OK), true) && !may_be_done(&foreign(StatusCode::NOT_FOUND), true));
        let refused = |code: &str| anyhow::Error::from(Refused { code: code.into(), words: String::new() });
        assert!(may_be_done(&refused("unavailable"), true) && !may_be_done(&refused("invalid_key"), true));
    }

    #[test]
    fn ids_are_encoded_in_paths_and_queries() -> Result<()> {
        let base = Url::parse("https://calls.example.org/below/")?;
        let call = Call::show("x".into(), &["users", "a/b c"], &[]).with("search", Some("ä&b"));
        let address = address(&base, &call, &[("limit", "5".into())]);
        let expected = "https://calls.example.org/below/api/v1/users/a%2Fb%20c?search=%C3%A4%26b&limit=5";
        assert_eq!(address.as_str(), expected);
        Ok(())
    }
}
