//! TLS, passwords and certificates: what is right works in both directions, what is wrong is said by its name.

use std::sync::Arc;

use super::broker::Broker;
use super::{Counting, EARLIEST, EXACTLY_ONCE, module};
use crate::functions::Functions;
use crate::wait::eventually;

/// MP1020 says which of them is wrong: the password, the CA, or a certificate that is over.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said() {
    let Some(broker) = Broker::secure() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let broker = Arc::new(broker);
    let topics = broker.topics(1);
    let counting = Counting::with(functions, broker.clone(), topics, EARLIEST);
    let tls = |name: &str| broker.path(&format!("tls/{name}")).display().to_string();
    let scram = |password: &str, ca: &str| {
        let login = "org.apache.kafka.common.security.scram.ScramLoginModule required username=ada password=";
        properties(&[
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.jaas.config", &format!("'{login}\"{password}\";'")),
            ("ssl.truststore.location", &tls(ca)),
            ("ssl.endpoint.identification.algorithm", "https"),
        ])
    };
    let mutual = |certificate: &str| {
        properties(&[
            ("security.protocol", "SSL"),
            ("ssl.truststore.location", &tls("ca.pem")),
            ("ssl.keystore.location", &tls(certificate)),
        ])
    };
    let (secure, both) = (broker.file("secure"), broker.file("mutual"));
    for (address, properties, words) in [
        (&secure, scram("wrong", "ca.pem"), "SASL authentication error"),
        (&secure, scram("correct horse", "other-ca.pem"), "certificate verify failed"),
        (&both, mutual("expired.pem"), "certificate"),
    ] {
        rewrite(&counting, address, &properties);
        let runtime = counting.installation.start();
        eventually(words, async || {
            let log = runtime.log();
            log.lines().any(|line| line.contains("MP1020") && line.contains(words)).then_some(())
        })
        .await;
        runtime.kill();
    }
    let key = counting.key("k");
    for (address, properties, last) in
        [(&secure, scram("correct horse", "ca.pem"), 3), (&both, mutual("client.pem"), 6)]
    {
        rewrite(&counting, address, &properties);
        let runtime = counting.installation.start();
        counting.send(&key, last - 2..=last);
        let expected: Vec<String> = (1..=last).map(|number| format!("{number}:{number}")).collect();
        assert_eq!(counting.counted(&key, last as usize), expected);
        runtime.terminate();
    }
}

fn properties(pairs: &[(&str, &str)]) -> String {
    let lines = pairs.iter().map(|(name, value)| format!("    - {name}: {value}\n"));
    format!("  properties:\n{}", lines.collect::<String>())
}

/// The same application over this address, with these properties.
fn rewrite(counting: &Counting, address: &str, properties: &str) {
    let ingress = format!("{EARLIEST}{properties}");
    let egress = format!("{EXACTLY_ONCE}{properties}");
    let module = module(&counting.functions, &counting.broker, &counting.topics, &ingress, &egress);
    counting.installation.rewrite(&module.replace(counting.broker.address(), address));
}
