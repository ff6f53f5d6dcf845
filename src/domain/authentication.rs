//! What a deployment accepts as proof, and where it looks for it.

use super::consumer::ConsumerId;
use super::token;

/// What a deployment demands of a request before anything else is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Authentication {
    /// Public: everybody passes, unnamed.
    None,
    Required {
        combine: Combine,
        methods: Vec<Method>,
        /// The consumer that a request without proof becomes.
        anonymous: Option<ConsumerId>,
    },
}

impl Authentication {
    /// In their order.
    pub fn methods(&self) -> &[Method] {
        match self {
            Self::None => &[],
            Self::Required { methods, .. } => methods,
        }
    }
}

/// How several methods make one proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Combine {
    /// The first that proves wins; where none does, the first presented names the denial.
    Any,
    /// Every one must prove; the last one's identity stands.
    All,
}

impl Combine {
    /// As it is written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::All => "all",
        }
    }
}

/// One way to prove who is calling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    ApiKey(ApiKey),
    StaticToken(StaticToken),
    Token(Token),
    Jwt(Jwt),
    Basic(Basic),
    Cookie(Cookie),
}

impl Method {
    /// As it is written in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ApiKey(_) => "api_key",
            Self::StaticToken(_) => "static_token",
            Self::Token(_) => "token",
            Self::Jwt(_) => "jwt",
            Self::Basic(_) => "basic",
            Self::Cookie(_) => "cookie",
        }
    }
}

/// Kuroco's static access token: a key that names this service, in a header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StaticToken {
    /// Lower case, looked through in this order. In `authorization` the token follows `Bearer`.
    pub headers: Vec<String>,
}

/// A name with a password, as RFC 7617 has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Basic {
    /// The `realm` of the challenge, which always has one.
    pub realm: String,
    /// Whether name and password are kept from the upstream.
    pub hide: bool,
}

/// An opaque token of ours, in a header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// Lower case, looked through in this order. In `authorization` the token follows `Bearer`.
    pub headers: Vec<String>,
    /// Those that are taken.
    pub kinds: Vec<token::Kind>,
}

/// A session of ours, in a cookie.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cookie {
    /// As it is sent: `__Host-doorward_session`.
    pub name: String,
    /// Whose hosts share it; `None`: each has its own.
    pub domain: Option<String>,
    /// Whether it is asked from where a browser was made to send the request.
    pub csrf: bool,
    /// Whose pages may make browsers send requests, besides the service's own:
    /// `https://app.example.com`, lower case.
    pub origins: Vec<String>,
}

/// A signed token of one issuer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Jwt {
    /// By its name.
    pub issuer: String,
    /// Whether `Authorization: Bearer` is read, before anything else.
    pub bearer: bool,
    /// Looked through in this order, and then the query parameters in theirs.
    pub cookies: Vec<String>,
    pub query: Vec<String>,
    /// Whether the token is kept from the upstream.
    pub hide: bool,
    pub claims: Claims,
}

/// Which claims say more about the caller, each by the names that lead to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Claims {
    /// Which consumer the caller is; `None`: one that nobody declared.
    pub consumer: Option<(Vec<String>, ConsumerBy)>,
    pub groups: Option<Vec<String>>,
    pub permissions: Option<Vec<String>>,
    pub roles: Option<Vec<String>>,
    /// What the upstream is told besides: each header's name, in lower case, and the claim.
    pub headers: Vec<(String, Vec<String>)>,
}

/// What of a consumer a claim is equal to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConsumerBy {
    Id,
    Username,
    CustomId,
}

/// Kong's `key-auth`, with Kala's names among the defaults.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApiKey {
    /// Looked through in this order; the first place of the first name that yields anything decides.
    pub names: Vec<KeyName>,
    /// Whether `Authorization: Bearer <key>` is read after the names.
    pub bearer: bool,
    /// Whether the credential is kept from the upstream.
    pub hide: bool,
    /// The `realm` of the challenge.
    pub realm: Option<String>,
    /// Whether OPTIONS requests are checked too.
    pub preflight: bool,
}

/// A name that a key goes by, and the places where it may stand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyName {
    /// As configured: query, form, JSON and cookie names compare by case.
    pub name: String,
    /// Lower case: header names do not.
    pub header: String,
    pub places: Vec<Place>,
}

/// Where in a request a credential may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Header,
    Query,
    Body,
    Cookie,
}

impl Place {
    pub fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Query => "query",
            Self::Body => "body",
            Self::Cookie => "cookie",
        }
    }
}
