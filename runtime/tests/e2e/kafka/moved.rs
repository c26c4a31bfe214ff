//! The `module.yaml` of a StateFun application with Kafka runs as it is, in both of upstream's formats.

use super::broker::{Broker, Topics};
use crate::functions::Functions;
use crate::runtime::Installation;

/// The format of StateFun 3.0, as its documentation has it.
const LEGACY: &str = r#"version: "3.0"

module:
  meta:
    type: remote
  spec:
    endpoints:
      - endpoint:
          meta:
            kind: http
          spec:
            functions: com.example.fns/*
            urlPathTemplate: FUNCTIONS
            maxNumBatchRequests: 10000
            timeouts:
              call: 2min
    ingresses:
      - ingress:
          meta:
            type: io.statefun.kafka/ingress
            id: com.example/in
          spec:
            address: BROKER
            consumerGroupId: my-group
            startupPosition:
              type: earliest
            topics:
              - topic: NUMBERS
                valueType: com.example.types/Number
                targets:
                  - com.example.fns/counter
            properties:
              - auto.commit.interval.ms: 500
              - fetch.min.bytes: 1
    egresses:
      - egress:
          meta:
            type: io.statefun.kafka/egress
            id: com.example/out
          spec:
            address: BROKER
            deliverySemantic:
              type: exactly-once
              transactionTimeoutMillis: 100000
            properties:
              - request.timeout.ms: 20000
              - compression.type: gzip
"#;

/// The format from StateFun 3.1 on: a document for each component.
const DOCUMENTS: &str = "\
kind: io.statefun.endpoints.v2/http
spec:
  functions: com.example.fns/*
  urlPathTemplate: FUNCTIONS
  maxNumBatchRequests: 10000
  transport:
    type: io.statefun.transports.v1/async
    call: 2min
---
kind: io.statefun.kafka.v1/ingress
spec:
  id: com.example/in
  address: BROKER
  consumerGroupId: my-group
  startupPosition:
    type: earliest
  autoOffsetResetPosition: earliest
  topics:
    - topic: NUMBERS
      valueType: com.example.types/Number
      targets:
        - com.example.fns/counter
---
kind: io.statefun.kafka.v1/egress
spec:
  id: com.example/out
  address: BROKER
  deliverySemantic:
    type: exactly-once
    transactionTimeout: 15min
  properties:
    - max.request.size: 2097152
";

#[tokio::test(flavor = "multi_thread")]
async fn modules_of_upstream_run_as_they_are_through_kills() {
    for text in [LEGACY, DOCUMENTS] {
        let Some(broker) = Broker::shared() else { return };
        let Some(functions) = Functions::start_for_tests("kafka") else { return };
        let Topics { numbers, counts } = broker.topics(3);
        let module =
            text.replace("FUNCTIONS", functions.url()).replace("BROKER", broker.address()).replace("NUMBERS", &numbers);
        let installation = Installation::new(&module);
        let sender = broker.sender();
        let mut count = 0;
        for part in 0..3u64 {
            let runtime = installation.start();
            for number in part * 20 + 1..=part * 20 + 20 {
                for key in 0..5 {
                    sender.send(&numbers, &format!("{key}>{counts}"), &number.to_string());
                    count += 1;
                }
            }
            sender.flush();
            if part == 1 {
                // Some of them are on their way.
                runtime.kill();
                continue;
            }
            let found = tokio::task::block_in_place(|| broker.read(&counts, count));
            let expected: Vec<String> = (1..=part * 20 + 20).map(|number| format!("{number}:{number}")).collect();
            assert!(found.len() == 5 && found.values().all(|counts| *counts == expected), "{found:?}");
            runtime.kill();
        }
    }
}
