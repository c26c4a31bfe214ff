//! TLS, passwords and certificates: what is right works in both directions, what is wrong is said by its name.

use std::sync::Arc;

use super::broker::Broker;
use super::{Counting, EARLIEST, EXACTLY_ONCE, module};
use crate::functions::Functions;
use crate::wait::eventually;

/// Properties of an ingress or an egress.
struct Properties<'a> {
    broker: &'a Broker,
}

impl Properties<'_> {
    fn tls(&self, name: &str) -> String {
        self.broker.path(&format!("tls/{name}")).display().to_string()
    }

    fn scram(&self, password: &str, ca: &str) -> String {
        let login = "org.apache.kafka.common.security.scram.ScramLoginModule required username=ada password=";
        properties(&[
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.jaas.config", &format!("'{login}\"{password}\";'")),
            ("ssl.truststore.location", &self.tls(ca)),
            ("ssl.endpoint.identification.algorithm", "https"),
        ])
    }

    fn mutual(&self, certificate: &str, ca: &str) -> String {
        properties(&[
            ("security.protocol", "SSL"),
            ("ssl.truststore.location", &self.tls(ca)),
            ("ssl.keystore.location", &self.tls(certificate)),
        ])
    }
}

fn properties(pairs: &[(&str, &str)]) -> String {
    let lines = pairs.iter().map(|(name, value)| format!("    - {name}: {value}\n"));
    format!("  properties:\n{}", lines.collect::<String>())
}

/// What is right works: SCRAM behind TLS, and certificates of both sides.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_right_works() {
    let Some(broker) = Broker::secure() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let broker = Arc::new(broker);
    let counting = Counting::with(functions, broker.clone(), broker.topics(1), EARLIEST);
    let (secure, both) = (broker.file("secure"), broker.file("mutual"));
    let of = Properties { broker: &broker };
    let key = counting.key("k");
    for (address, properties, last) in
        [(&secure, of.scram("correct horse", "ca.pem"), 3), (&both, of.mutual("client.pem", "ca.pem"), 6)]
    {
        rewrite(&counting, Some((address, &properties)), Some((address, &properties)));
        let runtime = counting.installation.start();
        counting.send(&key, last - 2..=last);
        let expected: Vec<String> = (1..=last).map(|number| format!("{number}:{number}")).collect();
        assert_eq!(counting.counted(&key, last as usize), expected);
        runtime.terminate();
    }
}

/// MP1020, MP6030: the line says which of them is wrong: a password, a CA, or a certificate that is over; of an ingress, and
/// of an egress.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said() {
    let Some(broker) = Broker::secure() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let broker = Arc::new(broker);
    let counting = Counting::with(functions, broker.clone(), broker.topics(1), EARLIEST);
    let (secure, both) = (broker.file("secure"), broker.file("mutual"));
    let of = Properties { broker: &broker };
    for (address, properties, words) in [
        (&secure, of.scram("wrong", "ca.pem"), "invalid credentials"),
        (&secure, of.scram("correct horse", "other-ca.pem"), "is signed by no authority of"),
        (&both, of.mutual("client.pem", "other-ca.pem"), "is signed by no authority of"),
        (&both, of.mutual("stranger.pem", "ca.pem"), "stranger.pem`, `CN=stranger`, signed by `CN=stranger`"),
        (&both, of.mutual("expired.pem", "ca.pem"), "expired.pem`, `CN=expired`, has expired: it ended"),
    ] {
        is_said(&counting, (address, &properties), words).await;
    }
}

/// MP1020, MP6030: the broker's own certificate is over.
#[tokio::test(flavor = "multi_thread")]
async fn certificate_of_a_broker_that_is_over_is_said() {
    let Some(broker) = Broker::secure_but_over() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let broker = Arc::new(broker);
    let counting = Counting::with(functions, broker.clone(), broker.topics(1), EARLIEST);
    let of = Properties { broker: &broker };
    is_said(
        &counting,
        (&broker.file("secure"), &of.scram("correct horse", "ca.pem")),
        "of broker `127.0.0.1` has expired",
    )
    .await;
    is_said(
        &counting,
        (&broker.file("mutual"), &of.mutual("client.pem", "ca.pem")),
        "of broker `127.0.0.1` has expired",
    )
    .await;
}

/// With this for the ingress, then for the egress, the log says what is wrong.
async fn is_said(counting: &Counting, wrong: (&str, &str), words: &str) {
    for (code, ingress, egress) in [("MP1020", Some(wrong), None), ("MP6030", None, Some(wrong))] {
        rewrite(counting, ingress, egress);
        let runtime = counting.installation.start();
        let before = runtime.log().len();
        eventually(&format!("{code} with `{words}`"), async || {
            let log = runtime.log();
            log[before..].lines().any(|line| line.contains(code) && line.contains(words)).then_some(())
        })
        .await;
        runtime.kill();
    }
}

/// The same application, with other addresses and properties.
fn rewrite(counting: &Counting, ingress: Option<(&str, &str)>, egress: Option<(&str, &str)>) {
    let plain = counting.broker.address();
    let ((from, reading), (to, writing)) = (ingress.unwrap_or((plain, "")), egress.unwrap_or((plain, "")));
    let (reading, writing) = (format!("{EARLIEST}{reading}"), format!("{EXACTLY_ONCE}{writing}"));
    let text = module(&counting.functions, &counting.broker, &counting.topics, &reading, &writing);
    let (before, behind) = text.split_once("kind: io.statefun.kafka.v1/egress").expect("there is one");
    let (before, behind) = (before.replace(plain, from), behind.replace(plain, to));
    counting.installation.rewrite(&format!("{before}kind: io.statefun.kafka.v1/egress{behind}"));
}
