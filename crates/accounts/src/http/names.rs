//! Users and names in requests, with words for what breaks their grammar.

use super::Api;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use problem::{Code, Problem};
use std::sync::Arc;

/// The user in the path.
pub(super) struct UserPath(pub(super) String);

impl FromRequestParts<Arc<Api>> for UserPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let Path(user) = Path::<String>::from_request_parts(parts, api)
            .await
            .map_err(|_| Problem::new(Code::InvalidUser, "the user in the path is no UTF-8 text; encode it anew"))?;
        check_user(&user)?;
        Ok(Self(user))
    }
}

pub(super) fn check_user(user: &str) -> Result<(), Problem> {
    if catalog::User::may_be_called(user) {
        return Ok(());
    }
    let words = "the user's id must have 1 to 64 characters of A-Z a-z 0-9 - _ . @ +; use the id that the application \
                 keeps, and give what people read as name";
    Err(Problem::new(Code::InvalidUser, words))
}

/// The name without white space around it.
pub(super) fn check_name(name: &str) -> Result<&str, Problem> {
    let name = name.trim();
    match catalog::text::check_name(name) {
        Ok(()) => Ok(name),
        Err(error) => Err(Problem::new(Code::InvalidName, format!("the name {error}"))),
    }
}
