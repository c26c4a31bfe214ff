//! Properties, row by row.

use std::collections::BTreeMap;

use super::{Finding, Role, Settings};

fn read(role: Role, properties: &[(&str, &str)]) -> (Settings, Vec<Finding>) {
    let properties: BTreeMap<String, String> =
        properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Settings::new(role, "localhost:9092", &properties)
}

/// Names of Java's client that are others here, and librdkafka's own.
#[test]
fn names() {
    for (role, property, value, name, becomes) in [
        (Role::Consumer, "fetch.max.wait.ms", "50", "fetch.wait.max.ms", "50"),
        (Role::Consumer, "request.timeout.ms", "5000", "socket.timeout.ms", "5000"),
        (Role::Consumer, "isolation.level", "read_committed", "isolation.level", "read_committed"),
        (Role::Consumer, "fetch.queue.backoff.ms", "10", "fetch.queue.backoff.ms", "10"),
        (Role::Producer, "max.request.size", "2000000", "message.max.bytes", "2000000"),
        (Role::Producer, "buffer.memory", "33554432", "queue.buffering.max.kbytes", "32768"),
        (Role::Producer, "acks", "all", "acks", "all"),
        (Role::Producer, "compression.type", "zstd", "compression.type", "zstd"),
        (Role::Producer, "request.timeout.ms", "5000", "request.timeout.ms", "5000"),
        (Role::Producer, "send.buffer.bytes", "65536", "socket.send.buffer.bytes", "65536"),
    ] {
        let (settings, findings) = read(role, &[(property, value)]);
        assert_eq!((settings.get(name), &findings[..]), (Some(becomes), &[][..]), "{property}");
        settings.config().create_native_config().unwrap_or_else(|error| panic!("{property}: {error}"));
    }
}

/// MP0066: properties without effect: those that nobody misses are silent, others are named.
#[test]
fn without_effect() {
    for (property, said) in [
        ("key.deserializer", false),
        ("enable.auto.commit", false),
        ("flink.poll-timeout", false),
        ("interceptor.classes", true),
        ("ssl.protocol", true),
        ("no.such.thing", true),
    ] {
        let (_, findings) = read(Role::Consumer, &[(property, "x")]);
        assert_eq!(findings.len(), usize::from(said), "{property}: {findings:?}");
        assert!(findings.iter().all(|finding| !finding.refused && finding.fact.contains(property)), "{property}");
    }
}

/// MP0065: a value that the client does not take, and security that cannot be honoured, are refused with the way out.
#[test]
fn refused() {
    for (properties, words) in [
        (&[("fetch.min.bytes", "many")][..], "property `fetch.min.bytes` cannot be `many`"),
        (&[("security.protocol", "TLS")], "property `security.protocol` cannot be `tls`"),
        (&[("security.protocol", "SASL_SSL")], "means GSSAPI"),
        (&[("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "GSSAPI")], "GSSAPI (Kerberos)"),
        (&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "OAUTHBEARER")], "`OAUTHBEARER` cannot be honoured"),
        (&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "PLAIN")], "needs a user and a password"),
        (
            &[
                ("security.protocol", "SASL_SSL"),
                ("sasl.mechanism", "PLAIN"),
                ("sasl.jaas.config", "x.Krb5LoginModule required a=b;"),
            ],
            "login module `Krb5LoginModule`",
        ),
        (&[("sasl.login.callback.handler.class", "a.B")], "cannot be honoured"),
        (&[("ssl.cipher.suites", "TLS_RSA_WITH_NULL_MD5")], "cannot be honoured"),
        (&[("security.protocol", "SSL"), ("ssl.truststore.location", "/no/such/file")], "cannot be read"),
    ] {
        let (_, findings) = read(Role::Consumer, properties);
        let refused: Vec<&Finding> = findings.iter().filter(|finding| finding.refused).collect();
        assert_eq!(refused.len(), 1, "{properties:?}: {findings:?}");
        assert!(refused[0].fact.contains(words) && refused[0].hint.is_some(), "{properties:?}: {refused:?}");
    }
}

/// Users of SASL, in Java's words and in librdkafka's.
#[test]
fn users() {
    let jaas = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"ada\" password=\"l0ve\";";
    for properties in [
        [("sasl.jaas.config", jaas), ("sasl.mechanism", "SCRAM-SHA-512"), ("x", "")],
        [("sasl.username", "ada"), ("sasl.password", "l0ve"), ("sasl.mechanism", "SCRAM-SHA-512")],
    ] {
        let (settings, findings) =
            read(Role::Producer, &[&properties[..], &[("security.protocol", "SASL_PLAINTEXT")]].concat());
        assert!(findings.iter().all(|finding| !finding.refused), "{findings:?}");
        assert_eq!((settings.get("sasl.username"), settings.get("sasl.password")), (Some("ada"), Some("l0ve")));
        assert_eq!(settings.get("security.protocol"), Some("sasl_plaintext"));
        settings.config().create_native_config().expect("librdkafka takes it");
        let connection = settings.connection_only();
        assert_eq!(connection.get("sasl.password"), Some("l0ve"));
    }
}

/// Stores: PEM and PKCS#12 keys are taken, Java's own are refused with the command that converts them.
#[test]
fn stores() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("it can be written");
        path.display().to_string()
    };
    let pem = file("a.pem", b"# ours\n-----BEGIN CERTIFICATE-----\n");
    let jks = file("a.jks", &[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]);
    let p12 = file("a.p12", &[0x30, 0x82, 1, 1]);
    let with = |property: &str, path: &str| read(Role::Consumer, &[("security.protocol", "SSL"), (property, path)]);
    let (settings, findings) = with("ssl.truststore.location", &pem);
    assert_eq!((settings.get("ssl.ca.location"), findings.len()), (Some(pem.as_str()), 0));
    let (settings, _) = with("ssl.keystore.location", &pem);
    assert_eq!(
        (settings.get("ssl.key.location"), settings.get("ssl.certificate.location")),
        (Some(pem.as_str()), Some(pem.as_str()))
    );
    let (settings, _) = with("ssl.keystore.location", &p12);
    assert_eq!(settings.get("ssl.keystore.location"), Some(p12.as_str()));
    for (property, path, words) in [
        ("ssl.truststore.location", &jks, "keytool -exportcert"),
        ("ssl.truststore.location", &p12, "openssl pkcs12"),
        ("ssl.keystore.location", &jks, "keytool -importkeystore"),
    ] {
        let (_, findings) = with(property, path);
        assert!(
            findings[0].refused && findings[0].hint.as_ref().is_some_and(|hint| hint.contains(words)),
            "{findings:?}"
        );
    }
}

/// A certificate of ours that is over is named; what has nothing to do with certificates is left as it is.
#[test]
fn complaints_are_explained() {
    let expired = concat!(env!("CARGO_MANIFEST_DIR"), "/credentials/testdata/expired.pem");
    let (mut settings, _) = read(Role::Consumer, &[]);
    settings.set("ssl.certificate.location", expired);
    let said = settings.explained("ssl://broker:9093/1: SSL handshake failed: alert certificate unknown".to_owned());
    assert!(said.starts_with(&format!("the certificate in `{expired}`, ")), "{said}");
    assert!(said.contains(" has expired: it ended ") && said.contains("alert certificate unknown"), "{said}");
    assert_eq!(settings.explained("connection refused".to_owned()), "connection refused");
    // Nobody can be asked there, and the complaint names nobody.
    for complaint in
        ["ssl://127.0.0.1:1/1: broker certificate could not be verified", "certificate could not be verified"]
    {
        assert_eq!(settings.explained(complaint.to_owned()), complaint);
    }
}
