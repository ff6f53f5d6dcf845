//! The image, the compose file, the chart and the manifests: what can be tried of them without a cluster.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::envoy::Envoy;
use crate::rig::http1::{request, send};
use crate::rig::redis::Redis;
use crate::rig::sample::fill;
use crate::rig::tools;
use crate::world::{command, key, said, setup, start_hardened, started};

const MANIFESTS: &str = include_str!("../../deploy/kubernetes/doorward.yaml");
const COMPOSE: &str = include_str!("../../docker-compose.yml");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What the chart makes of values that differ from its own.
fn rendered(values: &Value) -> Output {
    let mut child = Command::new(tools::program("helm").unwrap())
        .arg(root().join("deploy/helm/doorward"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(values.to_string().as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Holds Kubernetes objects against the published schemas of their kinds.
fn check_objects(files: &[&Path]) -> Output {
    Command::new(tools::program("kubernetes").unwrap()).args(files).output().unwrap()
}

#[test]
fn the_manifests_are_what_the_chart_makes() {
    let render = tools::program("helm").unwrap();
    let made = Command::new(root().join("deploy/kubernetes/manifests.sh"))
        .arg(render)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    assert!(String::from_utf8(made.stdout).unwrap() == MANIFESTS, "run `make manifests`");
}

#[test]
fn samples_and_manifests_fit_the_schemas_of_their_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let everything = folder.path().join("everything.yaml");
    let values = json!({
        "replicaCount": 1,
        "secret": {"existingSecret": "ours"},
        "persistence": {"enabled": true, "storageClass": "fast"},
        "networkPolicy": {"enabled": true, "proxies": [{"podSelector": {}}]},
        "podMonitor": {"enabled": true, "labels": {"release": "prometheus"}},
        "config": {"store": {"url": "redb:doorward.redb"}, "listen": {"tls": {"grpc": {"certificate": "a", "key": "b"}}}},
        "livenessProbe": {"grpc": null, "httpGet": {"path": "/livez", "port": "status"}},
        "extraArgs": ["--log-level", "debug"],
        "extraEnv": [{"name": "DOORWARD_REDIS_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "redis", "key": "password"}}}],
        "envFrom": [{"secretRef": {"name": "more"}}],
        "extraVolumes": [{"name": "tls", "secret": {"secretName": "tls"}}],
        "extraVolumeMounts": [{"name": "tls", "mountPath": "/tls", "readOnly": true}],
        "podAnnotations": {"a": "b"},
        "podLabels": {"c": "d"},
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "topologySpreadConstraints": [],
        "priorityClassName": "high",
        "serviceAccount": {"name": "theirs"},
    });
    let scaled = folder.path().join("scaled.yaml");
    let with_redis = json!({"secret": {"existingSecret": "ours"}, "autoscaling": {"enabled": true}});
    for (file, values) in [(&everything, values), (&scaled, with_redis)] {
        let made = rendered(&values);
        assert!(made.status.success(), "{}", said(&made));
        fs::write(file, made.stdout).unwrap();
    }
    assert!(fs::read_to_string(&scaled).unwrap().contains("HorizontalPodAutoscaler"));
    let samples = ["istio", "envoy-gateway", "contour"].map(|name| root().join(format!("envoy/{name}.yaml")));
    let manifests = root().join("deploy/kubernetes/doorward.yaml");
    let mut files: Vec<&Path> = samples.iter().map(std::path::PathBuf::as_path).collect();
    files.extend([manifests.as_path(), everything.as_path(), scaled.as_path()]);
    let checked = check_objects(&files);
    assert!(checked.status.success(), "{}", said(&checked));

    // And would not, with a field that is unknown or has the wrong form.
    let wrong = folder.path().join("wrong.yaml");
    for (from, to) in [("failOpen: false", "failOpenn: false"), ("failOpen: false", "failOpen: never")] {
        let text = fs::read_to_string(&samples[1]).unwrap().replacen(from, to, 1);
        fs::write(&wrong, text).unwrap();
        let checked = check_objects(&[&wrong]);
        assert!(!checked.status.success() && said(&checked).contains("SecurityPolicy orders"), "{to}");
    }
}

#[test]
fn a_chart_without_the_secret_or_with_two_holders_of_a_store_is_refused() {
    let refused = |values: Value, expected: &str| {
        let made = rendered(&values);
        assert!(!made.status.success() && said(&made).contains(expected), "{values}: {}", said(&made));
    };
    refused(json!({}), "secret.existingSecret is required");
    let with = |values: Value| {
        let mut all = json!({"secret": {"existingSecret": "ours"}});
        all.as_object_mut().unwrap().extend(values.as_object().unwrap().clone());
        all
    };
    let (redb, kept) = (json!({"store": {"url": "redb:doorward.redb"}}), json!({"enabled": true}));
    let ends = "an embedded store, which ends with its pod";
    refused(with(json!({"config": redb})), ends);
    refused(with(json!({"config": redb, "replicaCount": 1})), ends);
    let unnamed =
        "DOORWARD_STORE__URL in extraEnv names a store, and Doorward's own is an embedded one, which ends";
    refused(with(json!({"config": {"store": {"url": ""}}})), unnamed);
    refused(with(json!({"config": {"store": null}})), unnamed);
    // By the environment, which comes first.
    let by_environment = |mut store: Value| {
        store["name"] = json!("DOORWARD_STORE__URL");
        json!({"config": {"store": null}, "extraEnv": [store]})
    };
    for store in [
        json!({"value": "redis://redis:6379/0"}),
        json!({"valueFrom": {"secretKeyRef": {"name": "redis", "key": "url"}}}),
    ] {
        let made = rendered(&with(by_environment(store)));
        assert!(made.status.success(), "{}", said(&made));
    }
    refused(with(by_environment(json!({"value": "redb:doorward.redb"}))), ends);
    let alone = "which one replica has alone: set replicaCount to 1 and no autoscaling";
    refused(with(json!({"persistence": kept})), alone);
    refused(with(json!({"config": redb, "persistence": kept})), alone);
    refused(
        with(json!({"config": redb, "persistence": kept, "replicaCount": 1, "autoscaling": kept})),
        alone,
    );
    refused(
        json!({"secret": {"existingSecret": "ours"}, "networkPolicy": {"enabled": true}}),
        "networkPolicy.proxies is required",
    );
}

#[test]
fn what_istio_asks_nobody_about_leads_to_doorward_alone() {
    let sample = fs::read_to_string(root().join("envoy/istio.yaml")).unwrap();
    let objects: Vec<Value> =
        sample.split("\n---\n").map(|text| serde_saphyr::from_str(text).unwrap()).collect();
    let of = |kind: &str| objects.iter().find(|object| object["kind"] == kind).unwrap();
    let rules: Vec<&Value> = of("AuthorizationPolicy")["spec"]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| &rule["to"][0]["operation"])
        .collect();
    let service = &of("VirtualService")["spec"];
    let route = &service["http"][0];
    assert_eq!(rules.len(), 2);
    assert_eq!((&rules[0]["notHosts"], &rules[1]["hosts"]), (&service["hosts"], &service["hosts"]));
    assert_eq!(rules[0].get("notPaths"), None, "other hosts are asked about as a whole");
    let left_out: Vec<String> = rules[1]["notPaths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| path.as_str().unwrap().trim_end_matches('*').to_owned())
        .collect();
    let routed: Vec<String> = route["match"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["uri"]["prefix"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(left_out, routed);
    assert_eq!(route["route"][0]["destination"]["port"]["number"], 8002);
}

#[test]
fn the_settings_in_the_manifests_are_valid() {
    let (_, block) = MANIFESTS.split_once("  doorward.yaml: |\n").unwrap();
    let lines = block.lines().take_while(|line| line.starts_with("    "));
    let settings: String = lines.map(|line| format!("{}\n", &line[4..])).collect();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("mounted.secret");
    fs::write(&secret, format!("1 {}\n", "1f2e".repeat(16))).unwrap();
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let setup = setup(folder.path()).with("DOORWARD_SECRET_FILE", secret.to_str().unwrap());
    setup.write(&settings).unwrap();
    let output = setup.run(&["validate"]).unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

/// Systemd's own tool reads it; that it runs under systemd is not tried.
#[test]
fn the_unit_is_one_and_shuts_in_what_it_starts() {
    let analyze = tools::program("systemd").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("doorward.service");
    let text = fs::read_to_string(root().join("deploy/systemd/doorward.service")).unwrap();
    let started = "/usr/local/bin/doorward serve\n";
    assert!(text.contains(started));
    fs::write(&unit, text.replace(started, concat!(env!("CARGO_BIN_EXE_doorward"), " serve\n"))).unwrap();
    for arguments in [&["verify"][..], &["security", "--offline=true", "--no-pager", "--threshold=15"]] {
        let output = Command::new(&analyze).args(arguments).arg(&unit).output().unwrap();
        // What it does not know it says, and goes on.
        let faultless = output.status.success() && output.stderr.is_empty();
        assert!(faultless, "{arguments:?}: {}", said(&output));
    }
    let stop = text.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    let settings = doorward::server::Settings::default();
    let longest = settings.drain_delay + settings.drain_limit;
    assert!(Duration::from_secs(stop.parse().unwrap()) >= longest, "{stop} s is less than {longest:?}");
}

#[test]
fn a_bare_machine_is_told_at_once_of_all_that_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    for program in ["sed", "sort", "head", "dirname"] {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|folder| folder.join(program))
            .find(|path| path.exists())
            .unwrap();
        std::os::unix::fs::symlink(found, folder.path().join(program)).unwrap();
    }
    let old = folder.path().join("cargo");
    fs::write(&old, "#!/bin/sh\necho 'cargo 1.63.0 (fd9c4297c 2022-07-01)'\n").unwrap();
    fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let asked = || {
        let script = root().join("tests/tools.sh");
        Command::new("/bin/bash").arg(script).arg("machine").env("PATH", folder.path()).output().unwrap()
    };
    let told = asked();
    assert_eq!(told.status.code(), Some(1));
    for lack in
        [concat!("Rust ", env!("CARGO_PKG_RUST_VERSION"), " or later"), "1.63.0", "C compiler", "C++", "venv"]
    {
        assert!(said(&told).contains(lack), "{lack}: {}", said(&told));
    }
    fs::remove_file(old).unwrap();
    assert!(said(&asked()).contains("cargo, of Rust"));
}

/// `docker compose up` without Docker: the same files, commands and programs.
#[test]
fn the_compose_files_parts_work_together() {
    let compose: Value = serde_saphyr::from_str(COMPOSE).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();

    let script = compose["services"]["secret"]["command"][0].as_str().unwrap();
    let script = script
        .replace("$$", "$")
        .replace("/run/doorward", &at("secret"))
        .replace("chown 65532:65532", "chown \"$(id -u)\"");
    fs::create_dir(at("secret")).unwrap();
    for _ in 0..2 {
        let made = Command::new("sh").args(["-euc", &script]).output().unwrap();
        assert!(made.status.success(), "{}", said(&made));
    }

    let words = compose["services"]["redis"]["command"].as_array().unwrap();
    let options: Vec<&str> = words.iter().skip(1).map(|word| word.as_str().unwrap()).collect();
    let redis = Redis::start(Path::new(&at("redis")), &options).unwrap();

    let parts = &compose["services"]["doorward"];
    let file = parts["volumes"][0].as_str().unwrap().split(':').next().unwrap();
    let settings = fs::read_to_string(root().join(file)).unwrap();
    let doorward = |name: &str| {
        let mut setup = setup(Path::new(&at(name)));
        for variable in parts["environment"].as_array().unwrap() {
            let Some((variable, value)) = variable.as_str().unwrap().split_once('=') else { continue };
            let value = match value {
                "0.0.0.0:50051" | "0.0.0.0:8100" => "127.0.0.1:0".to_owned(),
                "/var/lib/doorward" => at(name),
                "redis://redis:6379/0" => redis.url(),
                "/run/doorward/doorward.secret" => at("secret/doorward.secret"),
                _ => panic!("{variable} is {value}"),
            };
            setup = setup.with(variable, &value);
        }
        setup.write(&settings).unwrap();
        started(&setup)
    };
    let (one, other) = (doorward("one"), doorward("other"));

    let local = "127.0.0.1".to_owned();
    let sample = fs::read_to_string(root().join("deploy/compose/upstream.yaml")).unwrap();
    let values = [("listener_host", local), ("listener", "0".to_owned()), ("admin", "0".to_owned())];
    fs::create_dir(at("upstream")).unwrap();
    let upstream = Envoy::start(Path::new(&at("upstream")), &fill(&sample, &values).unwrap(), 1).unwrap();
    let envoy = start_hardened(folder.path(), &one, upstream.listener("upstream"));

    let get = |target: &str, headers: &[(&str, &str)]| {
        send(envoy.listener("main"), &request("GET", target, headers, b"")).unwrap()
    };
    command(&other, &["consumer", "create", "alice"]);
    let (alice, _) = key(&other, "alice", &[]);
    crate::rig::wait::eventually("a key of one Doorward opens at the other", || {
        (get("/orders", &[("apikey", &alice)]).status == 200).then_some(())
    });
    let seen = String::from_utf8(get("/orders", &[("apikey", &alice)]).body).unwrap();
    assert!(seen.contains("x-consumer-username: alice") && !seen.contains(&alice), "{seen}");
    assert_eq!(get("/orders", &[]).status, 401);
    // The demo's other services, by their paths.
    assert_eq!(get("/hello", &[]).status, 200);
    assert_eq!(get("/reports", &[("apikey", &alice)]).status, 200);
    assert_eq!(get("/users", &[("apikey", &alice)]).code(), "permission_denied");
    assert_eq!(get("/members", &[]).status, 401);
    assert_eq!(get("/elsewhere", &[]).code(), "unknown_service");
    let words = "four words of alice";
    other.set_password("alice", words).unwrap();
    let body = json!({"username": "alice", "password": words}).to_string();
    let log_in = request("POST", "/api/auth/access-token", &[], body.as_bytes());
    crate::rig::wait::eventually("a password set at one Doorward is right at the other", || {
        (send(envoy.listener("main"), &log_in).unwrap().status == 200).then_some(())
    });
}

#[test]
fn the_image_holds_what_doorward_needs_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let made = Command::new(root().join("deploy/image/root.sh"))
        .args([Path::new(env!("CARGO_BIN_EXE_doorward")), &image])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    fs::write(image.join("etc/doorward/doorward.yaml"), "services: []\n").unwrap();
    let inside = |arguments: &[&str]| {
        // Whoever is not root becomes it in a namespace of its own.
        let mut command = match rustix::process::geteuid().is_root() {
            true => Command::new("chroot"),
            false => {
                let mut command = Command::new("unshare");
                command.args(["--map-root-user", "chroot"]);
                command
            }
        };
        command.arg(&image).args(arguments).env("DOORWARD_CONFIG", "/etc/doorward/doorward.yaml");
        command.output().unwrap()
    };
    for program in ["/usr/local/bin/doorward", "/usr/local/bin/apinode-admin"] {
        let output = inside(&[program, "version"]);
        assert!(
            output.status.success() && said(&output).contains(env!("CARGO_PKG_VERSION")),
            "{}",
            said(&output)
        );
    }
    let output = inside(&["/usr/local/bin/doorward", "validate"]);
    assert!(output.status.success(), "{}", said(&output));
    // Nobody listens, and the question is asked.
    assert_eq!(inside(&["/usr/local/bin/doorward", "health"]).status.code(), Some(3));

    let mut found = Vec::new();
    walk(&image, &mut found);
    let expected = |path: &str| {
        let known = ["/usr/local/bin/doorward", "/usr/local/bin/apinode-admin", "/etc/passwd", "/etc/group"];
        known.contains(&path)
            || path.contains("/lib") && path.contains(".so")
            || path.starts_with("/etc/ssl/certs/")
            || path.starts_with("/etc/doorward/")
    };
    let more: Vec<&String> = found.iter().filter(|path| !expected(path)).collect();
    assert!(more.is_empty() && found.len() > 6, "{more:?} {found:?}");

    let read =
        Command::new(tools::program("hadolint").unwrap()).arg(root().join("Dockerfile")).output().unwrap();
    assert!(read.status.success(), "{}", said(&read));
}

/// Every file below `folder`, by its path in the image.
fn walk(image: &Path, found: &mut Vec<String>) {
    let mut folders = vec![image.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.push(format!("/{}", entry.path().strip_prefix(image).unwrap().display())),
            }
        }
    }
}
