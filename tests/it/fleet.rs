//! Several Doorwards over one Redis, each with a network of its own between, asked without an Envoy.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request as Asked};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::rig::doorward::{Doorward, Setup};
use crate::rig::http1::{Reply, request, send_to_socket};
use crate::rig::proxy::Proxy;
use crate::rig::redis::Redis;
use crate::rig::wait::{eventually, until};
use crate::world::{HOUSE, setup};

/// Until when an instance may believe itself, in these tests: a tenth of the default.
pub(crate) const BOUND: Duration = Duration::from_secs(1);
/// Beyond the bound by what a busy machine may add to it.
pub(crate) const BEYOND: Duration = Duration::from_millis(1_500);

/// The name under which gRPC health tells whether checks can be answered.
const AUTHORIZATION: &str = "envoy.service.auth.v3.Authorization";

const PACE: &str = "\nrevocation: {heartbeat: 25ms, bound: 1s}\ndrain_delay: 0s\n";
pub(crate) const SECRET: &str = "1 00112233445566778899aabbccddeeff00112233445566778899aabbccddee01\n";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Dropped from the top: the instances first, the folder last.
pub(crate) struct Fleet {
    pub(crate) instances: Vec<Instance>,
    pub(crate) redis: Redis,
    pub(crate) folder: TempDir,
}

/// One Doorward, and the line between it and the store.
pub(crate) struct Instance {
    pub(crate) doorward: Doorward,
    pub(crate) proxy: Proxy,
    client: AuthorizationClient<Channel>,
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Allow,
    /// With its HTTP status.
    Deny(i32),
    /// Envoy's `error_response`: Doorward could not decide.
    Fault,
}

impl Fleet {
    /// So many instances, all ready.
    #[track_caller]
    pub(crate) fn new(instances: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let redis = Redis::start(&folder.path().join("redis"), &[]).unwrap_or_else(|error| panic!("{error}"));
        let mut fleet = Self { instances: Vec::new(), redis, folder };
        for _ in 0..instances {
            fleet.add("");
        }
        fleet
    }

    /// One more, ready, with more lines in its `store`.
    #[track_caller]
    pub(crate) fn add(&mut self, store: &str) -> usize {
        let (setup, proxy) = self.plan(store);
        let doorward = setup.start().unwrap_or_else(|message| panic!("{message}"));
        self.join(doorward, proxy)
    }

    /// A setup for one more, and its line; nothing runs yet.
    #[track_caller]
    pub(crate) fn plan(&self, store: &str) -> (Setup, Proxy) {
        let proxy = Proxy::start(self.redis.address()).unwrap();
        let url = format!("redis://{}/0", proxy.address());
        (self.plan_for(&url, store), proxy)
    }

    #[track_caller]
    pub(crate) fn plan_for(&self, url: &str, store: &str) -> Setup {
        let number = std::fs::read_dir(self.folder.path()).unwrap().count();
        let setup = setup(&self.folder.path().join(format!("doorward-{number}")));
        setup.write(&format!("{HOUSE}{PACE}store:\n  url: \"{url}\"\n{store}")).unwrap();
        secret(&setup, SECRET);
        setup
    }

    #[track_caller]
    pub(crate) fn join(&mut self, doorward: Doorward, proxy: Proxy) -> usize {
        self.instances.push(Instance::new(doorward, proxy));
        self.instances.len() - 1
    }

    /// A consumer with a key that every instance knows; the text and the id.
    #[track_caller]
    pub(crate) fn key(&self, consumer: &str) -> (String, String) {
        let _ = self.instances[0].admin("POST", "/consumers?wait=all", &json!({ "username": consumer }));
        self.instances[0].key(consumer)
    }
}

/// What an instance says of itself to whoever watches.
pub(crate) struct Health(Streaming<HealthCheckResponse>);

impl Health {
    /// What it says next: whether it serves.
    #[track_caller]
    pub(crate) fn next(&mut self) -> bool {
        let told = RUNTIME.block_on(async { timeout(Duration::from_secs(30), self.0.message()).await });
        told.expect("in time").unwrap().expect("more").status() == ServingStatus::Serving
    }
}

/// The key ring, as every instance has to have it.
#[track_caller]
pub(crate) fn secret(setup: &Setup, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = setup.folder.join("doorward.secret");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

impl Instance {
    #[track_caller]
    pub(crate) fn new(doorward: Doorward, proxy: Proxy) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", doorward.grpc())).unwrap();
        let client = {
            let _inside = RUNTIME.enter();
            AuthorizationClient::new(endpoint.connect_lazy())
        };
        Self { doorward, proxy, client }
    }

    /// `GET /orders` with this key.
    #[track_caller]
    pub(crate) fn ask(&self, key: &str) -> Answer {
        self.ask_for("/orders", key)
    }

    #[track_caller]
    pub(crate) fn ask_for(&self, path: &str, key: &str) -> Answer {
        RUNTIME.block_on(ask(self.client.clone(), path, key))
    }

    /// The same by a route that names the service.
    #[track_caller]
    pub(crate) fn ask_named(&self, service: &str, path: &str) -> Answer {
        let named = HashMap::from([("service".to_owned(), service.to_owned())]);
        RUNTIME.block_on(ask_by(self.client.clone(), path, "", named))
    }

    /// Asks until the answer is this one; how long that took.
    #[track_caller]
    pub(crate) fn becomes(&self, answer: Answer, key: &str, within: Duration) -> Duration {
        let began = Instant::now();
        let what = format!("a check comes to {answer:?}");
        let mut last = answer;
        let reached = until(&what, within, || {
            last = self.ask(key);
            (last == answer).then_some(())
        });
        reached.unwrap_or_else(|message| panic!("{message}, it is {last:?}\n{}", self.doorward.output()));
        began.elapsed()
    }

    /// Allows this for so long at most, and then denies it, be it after a moment without a lease: a disk that
    /// is busy for a second ends one.
    #[track_caller]
    pub(crate) fn comes_to_deny(&self, key: &str, within: Duration) {
        let began = Instant::now();
        let denied = until("the key is denied", Duration::from_secs(10), || {
            let answer = self.ask(key);
            let elapsed = began.elapsed();
            assert!(answer != Answer::Allow || elapsed < within, "allowed after {elapsed:?}");
            (answer == Answer::Deny(401)).then_some(())
        });
        denied.unwrap_or_else(|message| panic!("{message}\n{}", self.doorward.output()));
    }

    /// Asks for as long as this, and has every answer be one of these.
    #[track_caller]
    pub(crate) fn stays(&self, answers: &[Answer], key: &str, during: Duration) {
        let began = Instant::now();
        while began.elapsed() < during {
            let answer = self.ask(key);
            assert!(answers.contains(&answer), "{answer:?} after {:?}", began.elapsed());
        }
    }

    /// A call to the admin API over the socket.
    #[track_caller]
    pub(crate) fn admin(&self, method: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [("Content-Type", "application/json"), ("Connection", "close")];
        send_to_socket(&self.socket(), &request(method, path, &headers, body.as_bytes()))
            .unwrap_or_else(|message| panic!("{message}"))
    }

    fn socket(&self) -> PathBuf {
        self.doorward.setup().folder.join("doorward.sock")
    }

    /// Makes a key, known to every instance when this returns; the text and the id.
    #[track_caller]
    pub(crate) fn key(&self, consumer: &str) -> (String, String) {
        let reply = self.admin("POST", &format!("/consumers/{consumer}/key-auth?wait=all"), &json!({}));
        assert_eq!(reply.status, 201, "{}", reply.text());
        let made = reply.json();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("key"), text("id"))
    }

    /// Revokes a key and returns once that is acknowledged.
    #[track_caller]
    pub(crate) fn revoke(&self, id: &str) {
        let reply = self.admin("DELETE", &format!("/key-auths/{id}"), &Value::Null);
        assert!([204, 202].contains(&reply.status), "{} {}", reply.status, reply.text());
    }

    /// The value of a metric without labels.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let metrics = self.doorward.status("/metrics").unwrap().text();
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }

    #[track_caller]
    pub(crate) fn is_ready(&self) -> bool {
        self.doorward.status("/readyz").unwrap().status == 200
    }

    /// Whether gRPC health says so, which is what Envoy asks.
    #[track_caller]
    pub(crate) fn is_serving(&self) -> bool {
        self.watch_health().next()
    }

    #[track_caller]
    pub(crate) fn watch_health(&self) -> Health {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.doorward.grpc())).unwrap();
        let told = RUNTIME.block_on(async {
            let mut client = HealthClient::new(endpoint.connect().await.unwrap());
            client.watch(HealthCheckRequest { service: AUTHORIZATION.to_owned() }).await.unwrap().into_inner()
        });
        Health(told)
    }

    #[track_caller]
    pub(crate) fn becomes_ready(&self) {
        eventually("the instance is ready", || self.is_ready().then_some(()));
    }
}

/// # Panics
///
/// Over an RPC error: an Envoy that fails open takes one for an allow.
pub(crate) async fn ask(client: AuthorizationClient<Channel>, path: &str, key: &str) -> Answer {
    ask_by(client, path, key, HashMap::new()).await
}

async fn ask_by(
    mut client: AuthorizationClient<Channel>,
    path: &str,
    key: &str,
    context_extensions: HashMap<String, String>,
) -> Answer {
    let http = HttpRequest {
        method: "GET".to_owned(),
        path: path.to_owned(),
        host: "api.example".to_owned(),
        headers: [("apikey".to_owned(), key.to_owned())].into(),
        ..HttpRequest::default()
    };
    let asked = Asked { http: Some(http), ..Asked::default() };
    let attributes =
        AttributeContext { request: Some(asked), context_extensions, ..AttributeContext::default() };
    let response = client.check(CheckRequest { attributes: Some(attributes) }).await;
    answer(&response.expect("an answer, never an RPC error").into_inner())
}

fn answer(response: &CheckResponse) -> Answer {
    match (response.status.as_ref().expect("a status, always").code, &response.http_response) {
        (0, Some(HttpResponse::OkResponse(_)) | None) => Answer::Allow,
        (1.., Some(HttpResponse::DeniedResponse(denied))) => {
            Answer::Deny(denied.status.as_ref().expect("an HTTP status").code)
        }
        (1.., Some(HttpResponse::ErrorResponse(_))) => Answer::Fault,
        (code, other) => panic!("code {code} with {other:?}"),
    }
}
