//! Every mistake that is looked for, the worst first.

mod admitting;
mod failing;

pub(super) use admitting::*;
pub(super) use failing::*;

use super::finding::Ill;

/// All of them.
pub static ILLS: [&Ill; 52] = [
    &NOT_ASKED,
    &OTHER_ASKED,
    &FAIL_OPEN,
    &NOT_EVERY_REQUEST,
    &TOLD_ONLY,
    &UNSEEN,
    &HEADERS_HIDDEN,
    &RAW_HEADERS,
    &VALIDATE_MUTATIONS,
    &MUTATION_RULES,
    &UPSTREAM_HEADERS,
    &ROUTE_CACHE,
    &NORMALIZE_PATH,
    &MERGE_SLASHES,
    &ESCAPED_SLASHES,
    &UNDERSCORES,
    &REMOTE_ADDRESS,
    &HOPS,
    &IDENTITY_HEADERS,
    &ROUTE_HEADERS,
    &ROUTE_FILTER_NAME,
    &UNVERIFIED,
    &ADMIN_OPEN,
    &STATUS_ON_ERROR,
    &API_VERSION,
    &CONNECTIONS,
    &TIMEOUT_SHORT,
    &CONNECT_TIMEOUT,
    &NO_RETRY,
    &RETRY_SAME_HOST,
    &RETRY_LATE,
    &RETRY_CUTS,
    &NO_BODY,
    &HEADERS_MISSING,
    &BODY_TOO_LARGE,
    &BODY_BUFFER,
    &CORS_LATE,
    &RATE_LIMIT_EARLY,
    &METADATA,
    &NO_CLUSTER,
    &HTTP2,
    &HEALTH_CHECK,
    &HEALTH_SERVICE,
    &HEALTH_INTERVAL,
    &HEALTH_IDLE,
    &PANIC,
    &OUTLIERS,
    &BREAKERS,
    &TIMEOUT_LONG,
    &GOOGLE_GRPC,
    &OVER_HTTP,
    &ONE_ADDRESS,
];
