//! The cookie that a session stands in, at `listen.auth`: set, read, and asked whose page sent it.

use http::HeaderValue;

use crate::domain::authentication::Cookie;
use crate::domain::cookie;
use crate::domain::origin;
use crate::domain::request::Request;
use crate::http::problem::Problem;

/// # Errors
///
/// A page of another site made the browser send it: it could log its visitors in as somebody else, or out.
pub(super) fn of_a_page_of_ours(cookie: &Cookie, request: &Request<'_>) -> Result<(), Problem> {
    if !cookie.csrf {
        return Ok(());
    }
    origin::judge_login(request, &cookie.origins).map_err(Problem::Origin)
}

/// What `Set-Cookie` says: a session's text, or that there is none any more. It lasts as long as the
/// browser runs; when it is over is for the store to know.
pub(super) fn set_cookie(cookie: &Cookie, text: Option<&str>) -> Result<HeaderValue, Problem> {
    let mut value =
        format!("{}={}; Path=/; Secure; HttpOnly; SameSite=Lax", cookie.name, text.unwrap_or_default());
    if let Some(domain) = &cookie.domain {
        value.push_str("; Domain=");
        value.push_str(domain);
    }
    if text.is_none() {
        value.push_str("; Max-Age=0");
    }
    let mut value = HeaderValue::try_from(value).map_err(|_| Problem::Internal)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Every value that stands under its name. A host below `cookie.domain` may have put some beside it, which must not
/// keep a session from being ended.
pub(super) fn shown<'r>(cookie: &Cookie, request: &Request<'r>) -> Vec<&'r [u8]> {
    cookie::every(request, &cookie.name)
}
