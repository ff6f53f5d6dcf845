//! The shape of today's open servers: keys by their text in a map behind a lock, records of strings,
//! networks looked through one by one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use envoy_types::ext_authz::v3::pb::{Authorization, CheckRequest, CheckResponse};
use envoy_types::ext_authz::v3::{CheckRequestExt as _, CheckResponseExt as _, OkHttpResponseBuilder};
use ipnet::IpNet;
use tonic::{Request, Response, Status};

pub(crate) struct Lookups {
    keys: RwLock<HashMap<String, Arc<Record>>>,
    networks: Vec<IpNet>,
}

struct Record {
    id: String,
    consumer: String,
    username: String,
    groups: Vec<String>,
    permissions: Vec<String>,
}

/// What the service asks for.
const GROUP: &str = "gold";
const PERMISSION: &str = "01968c91-8789-7288-a337-f0e398711aac";

impl Lookups {
    /// Reads `keys` (text, id, consumer, user name, groups and permissions, a line each) and
    /// `networks` of a folder.
    pub(crate) fn read(folder: &Path) -> std::io::Result<Self> {
        let list = |field: &str| field.split(',').map(str::to_owned).collect();
        let mut keys = HashMap::new();
        for line in std::fs::read_to_string(folder.join("keys"))?.lines() {
            if let [text, id, consumer, username, groups, permissions] =
                *line.split('\t').collect::<Vec<_>>().as_slice()
            {
                let record = Record {
                    id: id.to_owned(),
                    consumer: consumer.to_owned(),
                    username: username.to_owned(),
                    groups: list(groups),
                    permissions: list(permissions),
                };
                keys.insert(text.to_owned(), Arc::new(record));
            }
        }
        let networks = std::fs::read_to_string(folder.join("networks"))?;
        let networks = networks.lines().filter_map(|line| line.parse().ok()).collect();
        Ok(Self { keys: RwLock::new(keys), networks })
    }

    fn decide(&self, request: &CheckRequest) -> Result<CheckResponse, Status> {
        let headers = request.get_client_headers().ok_or_else(|| Status::invalid_argument("no headers"))?;
        let forwarded = headers.get("x-forwarded-for").and_then(|list| list.rsplit(',').next());
        let client: Option<IpAddr> = forwarded.and_then(|client| client.trim().parse().ok());
        if !client.is_some_and(|client| self.networks.iter().any(|network| network.contains(&client))) {
            return Err(Status::permission_denied("address"));
        }
        let key = headers.get("apikey").ok_or_else(|| Status::unauthenticated("no key"))?;
        let record = self.keys.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        let record = record.ok_or_else(|| Status::unauthenticated("unknown key"))?;
        if !record.groups.iter().any(|group| group == GROUP)
            || !record.permissions.iter().any(|permission| permission == PERMISSION)
        {
            return Err(Status::permission_denied("rights"));
        }
        let mut upstream = OkHttpResponseBuilder::new();
        upstream
            .add_header("x-consumer-id", &*record.consumer, None, false)
            .add_header("x-consumer-username", &*record.username, None, false)
            .add_header("x-consumer-groups", record.groups.join(", "), None, false)
            .add_header("x-permissions", record.permissions.join(", "), None, false)
            .add_header("x-credential-identifier", &*record.id, None, false);
        let mut answer = CheckResponse::with_status(Status::ok("request is valid"));
        answer.set_http_response(upstream.build());
        Ok(answer)
    }
}

#[tonic::async_trait]
impl Authorization for Lookups {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let decided = self.decide(request.get_ref());
        Ok(Response::new(decided.unwrap_or_else(CheckResponse::with_status)))
    }
}
