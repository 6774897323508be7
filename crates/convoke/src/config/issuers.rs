//! Issuers of JWTs, checked: who each is, and where its keys are.

use super::ConfigError;
use super::checked::Checker;
use super::raw::JwtIssuer;
use accounts::jwt::IssuerRules;
use reqwest::Url;
use signalling::topics::INSTANCE;
use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;

const KEY: &str = "jwt.issuers";
const ISSUERS_MAX: usize = 32;
const LEEWAY_S_MAX: u64 = 60;

/// One issuer. Its files are not read yet.
#[derive(Clone, Debug)]
pub struct JwtIssuerConfig {
    pub rules: IssuerRules,
    /// Where its JWK set is.
    pub jwks: Option<Url>,
    /// The authority that it is trusted by; `None`: those of the system.
    pub jwks_ca: Option<PathBuf>,
    /// Files of public keys, with their names.
    pub keys: Vec<(String, PathBuf)>,
    pub secret: Option<PathBuf>,
}

impl Checker<'_> {
    pub(super) fn jwt_issuers(&self, issuers: Vec<JwtIssuer>) -> Result<Vec<JwtIssuerConfig>, ConfigError> {
        if issuers.len() > ISSUERS_MAX {
            let cause = format!("{} issuers are too many", issuers.len());
            return Err(self.refuse(KEY, cause, format!("name {ISSUERS_MAX} at most")));
        }
        let mut names = HashSet::new();
        if let Some(twice) = issuers.iter().find(|issuer| !names.insert(issuer.name.clone())) {
            return Err(self.refuse(KEY, format!("two have the name `{}`", twice.name), "give each a name of its own"));
        }
        issuers.into_iter().map(|issuer| self.jwt_issuer(issuer)).collect()
    }

    fn jwt_issuer(&self, issuer: JwtIssuer) -> Result<JwtIssuerConfig, ConfigError> {
        let JwtIssuer {
            name,
            issuer,
            audience,
            user_claim,
            client_id_claim,
            jwks_url,
            jwks_ca,
            keys,
            hs256_secret,
            leeway_s,
        } = issuer;
        let refuse =
            |cause: &str, remedy: &str| Err(self.refuse(KEY, format!("of the issuer `{name}`, {cause}"), remedy));
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_word) {
            return refuse("the name cannot stand in a user name", "give 1 to 64 letters, digits, -, _ or .");
        }
        let needed = [
            ("issuer", &issuer),
            ("audience", &audience),
            ("user_claim", &user_claim),
            ("client_id_claim", &client_id_claim),
        ];
        if let Some((key, _)) = needed.iter().find(|(_, value)| value.is_empty()) {
            return refuse(&format!("{key} is empty"), "give it as the issuer's JWTs have it");
        }
        if issuer == INSTANCE {
            return refuse("issuer is the name of this server", "give what the issuer's JWTs have");
        }
        if leeway_s > LEEWAY_S_MAX {
            return refuse(&format!("leeway_s is {leeway_s}"), "give 0 to 60, and set the clocks");
        }
        if jwks_url.is_empty() && keys.is_empty() && hs256_secret.is_empty() {
            return refuse("there is no key", "give jwks_url, keys or hs256_secret");
        }
        let jwks = match jwks_url.as_str() {
            "" => None,
            text => match Url::parse(text).ok().filter(is_safe) {
                Some(url) => Some(url),
                None => {
                    return refuse("jwks_url cannot be used", "give https://host/path, or http on 127.0.0.1 or ::1");
                }
            },
        };
        let file = |path: String| (!path.is_empty()).then(|| PathBuf::from(path));
        let leeway_ms = leeway_s * 1_000;
        Ok(JwtIssuerConfig {
            rules: IssuerRules { name, issuer, audience, user_claim, client_id_claim, leeway_ms },
            jwks,
            jwks_ca: file(jwks_ca),
            keys: keys.into_iter().map(|(kid, path)| (kid, path.into())).collect(),
            secret: file(hs256_secret),
        })
    }
}

/// Nobody on the way can put keys of their own into it.
fn is_safe(url: &Url) -> bool {
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    let is_bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    has_host && is_bare && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
}

/// By its address: a name may lead elsewhere.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
