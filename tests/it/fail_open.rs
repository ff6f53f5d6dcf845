//! What goes wrong within Doorward is a plain denial, also to an Envoy that fails open: gotcha 4.

use std::sync::Arc;

use doorward::check::{Decision, Metadata, Outcome};
use doorward::domain::credential::Challenges;
use doorward::domain::denial::Denial;
use doorward::domain::headers::Mutations;
use doorward::domain::request::Request;
use doorward::domain::traced::Traced;
use doorward::grpc::{Decide, Health, Limits, Wire};
use doorward::server::{Listener, Settings, serve};
use tokio::runtime::Runtime;

use crate::rig::echo::Echo;
use crate::rig::http1::{Reply, request, send};
use crate::rig::wiring::Wiring;
use crate::world::start_envoy;

/// Lets all pass but what asks for a panic.
struct PanicWhenAsked;

impl Decide for PanicWhenAsked {
    fn check<T>(&self, request: &Request<'_>, render: impl FnOnce(&Decision<'_>) -> T) -> T {
        if request.target == b"/panic" {
            panic!("asked for");
        }
        decided(Outcome::Allow(Mutations::default()), render)
    }

    fn refuse<T>(&self, denial: Denial, _: Option<&Traced>, render: impl FnOnce(&Decision<'_>) -> T) -> T {
        decided(Outcome::Deny(denial.notice(), Challenges::new()), render)
    }
}

fn decided<T>(outcome: Outcome<'_>, render: impl FnOnce(&Decision<'_>) -> T) -> T {
    render(&Decision { outcome, metadata: Metadata::default(), request_id: "", grpc: false })
}

/// One request through an Envoy that fails open, to a server with these limits.
fn answered(limits: Limits, target: &str) -> Reply {
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(Listener::tcp("127.0.0.1:0".parse().unwrap())).unwrap();
    let address = listener.address().unwrap();
    let wire = Arc::new(Wire::new(PanicWhenAsked, limits, Health::default()));
    runtime.spawn(serve(vec![listener], wire, Settings::default(), std::future::pending()));

    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let wiring = Wiring { fail_open: true, ..Wiring::new(echo.address(), &[address]) };
    let envoy = start_envoy(folder.path(), &wiring);
    let reply = send(envoy.listener("main"), &request("GET", target, &[], b"")).unwrap();
    assert_eq!(envoy.stat("http.main.ext_authz.failure_mode_allowed"), 0, "{target}");
    assert_eq!(echo.requests(), usize::from(reply.status == 200), "{target}");
    reply
}

#[test]
fn r20_a_panic_or_an_overload_opens_no_envoy_that_fails_open() {
    let nothing_more = || Limits { checks_in_flight: 0, ..Limits::default() };
    let check = |reply: Reply, status: u16, code: &str| {
        assert_eq!((reply.status, reply.code().as_str()), (status, code));
    };
    assert_eq!(answered(Limits::default(), "/").status, 200, "else the others prove nothing");
    check(answered(Limits::default(), "/panic"), 500, "internal");
    check(answered(nothing_more(), "/"), 503, "overloaded");
}
