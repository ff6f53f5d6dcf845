//! `listen.tls`: what is said of the settings, and of the files that they name.

use std::os::unix::fs::PermissionsExt;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

use super::*;
use crate::domain::time::Timestamp;

/// A desk with a good pair, an authority, and much that is neither. Every key has mode 0600.
fn desk(yaml: &str) -> Desk {
    let desk = Desk::with(yaml);
    let (own, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut params = CertificateParams::new(["doorward.test".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2050, 2, 3);
    let own_certificate = params.self_signed(&own).unwrap().pem();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&other).unwrap().pem();
    desk.write("own.crt", &own_certificate);
    desk.write("chain.crt", &format!("{own_certificate}{authority}"));
    desk.write("reversed.crt", &format!("{authority}{own_certificate}"));
    desk.write("ca.crt", &authority);
    desk.write("cut.crt", &own_certificate[..own_certificate.len() / 2]);
    desk.write("hollow.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    desk.write("der.crt", "\u{1}0\u{1}");
    for (name, text) in [
        ("own.key", own.serialize_pem().as_str()),
        ("open.key", &own.serialize_pem()),
        ("other.key", &other.serialize_pem()),
        ("both.pem", &format!("{own_certificate}{}", own.serialize_pem())),
        ("none.pem", &own_certificate),
        ("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"),
        ("odd.key", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"),
        ("broken.key", "-----BEGIN PRIVATE KEY-----\nsecret!\n-----END PRIVATE KEY-----\n"),
    ] {
        desk.write(name, text);
        let mode = if name == "open.key" { 0o644 } else { 0o600 };
        std::fs::set_permissions(desk.0.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    desk
}

/// What is wrong with TLS of the check listener: `line:column: message` of each fault.
#[track_caller]
fn check(tls: &str, expected: &[&str]) {
    let desk = desk(&format!("listen:\n  tls:\n    grpc: {tls}\n"));
    let read = desk.load(&[], &[]).and_then(|loaded| loaded.config.read_tls());
    assert_eq!(desk.remarks(read), expected);
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn files_that_cannot_be_used_are_named_with_the_way_out() {
    check("{certificate: own.crt, key: own.key}",                      &[]);
    check("{certificate: chain.crt, key: own.key, client_ca: ca.crt}", &[]);
    check("{certificate: both.pem, key: both.pem}",                    &[]);
    check("{certificate: none.crt, key: none.key}",                    &["3:25: `none.crt` cannot be read: No such file or directory (os error 2)"]);
    check("{certificate: own.crt, key: none.key}",                     &["3:39: `none.key` cannot be read: No such file or directory (os error 2)"]);
    check("{certificate: ., key: own.key}",                            &["3:25: `.` is no regular file of at most 1 MiB; expected a file in PEM"]);
    for no_pem in ["own.key", "cut.crt", "der.crt", "empty.key"] {
        check(&format!("{{certificate: {no_pem}, key: own.key}}"),     &[&format!("3:25: `{no_pem}` holds no certificate in PEM, or a broken one; expected `-----BEGIN CERTIFICATE-----`")]);
    }
    check("{certificate: hollow.crt, key: own.key}",                   &["3:25: `hollow.crt` begins with a certificate that cannot be read; have it issued anew"]);
    for no_key in ["locked.key", "broken.key", "none.pem"] {
        check(&format!("{{certificate: own.crt, key: {no_key}}}"),     &[&format!("3:39: `{no_key}` holds no private key in PEM, or a broken one; expected `-----BEGIN PRIVATE KEY-----`, and no passphrase on it")]);
    }
    check("{certificate: own.crt, key: odd.key}",                      &["3:39: `odd.key` holds a key of another kind than expected: RSA of 2048 to 8192 bits, ECDSA over P-256, P-384 or P-521, or Ed25519"]);
    check("{certificate: own.crt, key: other.key}",                    &["3:39: `other.key` is not the key of the first certificate in `certificate`; name the pair that belongs together, the listener's own certificate first"]);
    check("{certificate: reversed.crt, key: own.key}",                 &["3:44: `own.key` is not the key of the first certificate in `certificate`; name the pair that belongs together, the listener's own certificate first"]);
    check("{certificate: own.crt, key: own.key, client_ca: own.key}",  &["3:59: `own.key` holds no certificate in PEM, or a broken one; expected `-----BEGIN CERTIFICATE-----`"]);
    check("{certificate: own.crt, key: own.key, client_ca: hollow.crt}", &["3:59: `hollow.crt` holds a certificate that is no authority's; expected those that sign"]);
    check("{certificate: cut.crt, key: own.key, client_ca: none.crt}", &["3:25: `cut.crt` holds no certificate in PEM, or a broken one; expected `-----BEGIN CERTIFICATE-----`", "3:59: `none.crt` cannot be read: No such file or directory (os error 2)"]);
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn settings_that_cannot_be_meant_are_refused() {
    check("{certificate: own.crt}",                 &["3:11: `key` is missing"]);
    check("{certificate: own.crt, key: \"\"}",      &["3:39: expected a path, found ``"]);
    check("{certificate: a, key: b, ca: c}",        &["3:36: unknown key `ca`, expected one of `certificate`, `key`, `client_ca`"]);
    check("{certificate: a, key: b}\n  grpc: unix:/run/doorward/check.sock", &["3:11: `listen.grpc` is a Unix socket, which has no TLS: nobody listens in on it, and what its folder admits may connect; leave `listen.tls.grpc` out"]);
    check("own.crt",                                &["3:11: expected a map of `certificate`, `key`, `client_ca`, found text"]);
    check("{certificate: a, key: b}\n    metrics: {}", &["4:5: unknown key `metrics`, expected one of `grpc`, `auth`, `admin`, `status`"]);
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let desk = desk("listen: {tls: {status: {certificate: own.crt, key: open.key}}}\n");
    let Err(faults) = desk.load(&[], &[]).and_then(|loaded| loaded.config.read_tls()) else {
        panic!("an open key was taken")
    };
    let told = faults.to_string();
    assert!(
        told.contains("`") && told.contains("has mode 0644, so others may use the private key"),
        "{told}"
    );
    assert_eq!((faults.remarks()[0].line, faults.remarks()[0].column), (Some(1), Some(52)));
}

#[test]
fn files_are_read_only_when_they_are_asked_for() {
    let desk = Desk::with("listen: {tls: {grpc: {certificate: none.crt, key: none.key}}}\n");
    assert!(desk.load(&[], &[]).is_ok());
}

#[test]
fn the_environment_may_name_the_files_and_what_is_shown_can_be_loaded_again() {
    let desk = desk("data_dir: below\nlisten: {tls: {grpc: {certificate: /c.crt, key: own.key}}}\n");
    let loaded = desk.load(&[("DOORWARD_LISTEN__TLS__GRPC__CLIENT_CA", "ca.crt")], &[]).ok().unwrap();
    let below = desk.0.path().join("below");
    assert_eq!(
        loaded.config.tls_files(),
        [Path::new("/c.crt"), &below.join("own.key"), &below.join("ca.crt")]
    );
    let shown = show_yaml(&loaded);
    assert!(shown.contains("client_ca: \"ca.crt\"  # DOORWARD_LISTEN__TLS__GRPC__CLIENT_CA\n"), "{shown}");
    let again = Desk::with(&shown).load(&[], &[]).ok().unwrap();
    assert_eq!(again.config.listen, loaded.config.listen);
    assert!(!show_yaml(&Desk::with("").load(&[], &[]).ok().unwrap()).contains("tls"));
}

#[test]
fn the_end_of_a_certificate_is_known_and_told_once_it_has_come() {
    let desk = desk("listen: {tls: {grpc: {certificate: chain.crt, key: own.key}}}\n");
    let config = desk.load(&[], &[]).ok().unwrap().config;
    let Ok(read) = config.read_tls() else { panic!("the pair is good") };
    // 2050-02-03T00:00:00Z, in the form that certificates have from 2050 on.
    let end = 2_527_459_200;
    assert_eq!(read[0].expires, Timestamp::from_unix(end));
    assert!(config.expired(&read, Timestamp::from_unix(end - 1)).is_empty());
    let told = config.expired(&read, Timestamp::from_unix(end));
    assert_eq!(
        desk.told(told[0].line()),
        "doorward.yaml:1:36: `chain.crt` has ended at 2050-02-03T00:00:00Z; clients refuse it, have it issued anew"
    );
}
