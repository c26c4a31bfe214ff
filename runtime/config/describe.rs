//! A module as text: one value a line, sorted, secrets hidden.
//!
//! In: a checked module. Out: text that says what the module means and nothing about how it was written. The digest is
//! made of it, and snapshots show it.

use std::fmt::{Display, Write as _};

use super::aws::{AwsCredentials, AwsRegion};
use super::duration;
use super::invalid_records::InvalidRecords;
use super::model::{Egress, Endpoint, FailurePolicy, Ingress, Module, limit};
use super::property_list::{Properties, is_secret};
use super::routing::Route;
use super::startup_position::StartupPosition;
use super::transport::Transport;
use super::{kafka_egress, kafka_ingress, kinesis};

/// What stands in the place of a secret.
const HIDDEN: &str = "(hidden)";

/// The text of a module.
pub(crate) fn module(module: &Module) -> String {
    let mut parts: Vec<String> = module.endpoints().iter().map(endpoint).collect();
    parts.sort();
    let mut ingresses: Vec<String> = module.ingresses().iter().map(ingress).collect();
    ingresses.sort();
    let mut egresses: Vec<String> = module.egresses().iter().map(egress).collect();
    egresses.sort();
    parts.extend(ingresses);
    parts.extend(egresses);
    parts.concat()
}

/// Lines under a heading.
struct Block(String);

impl Block {
    fn new(heading: impl Display) -> Block {
        Block(format!("{heading}\n"))
    }

    fn line(&mut self, name: &str, value: impl Display) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "  {name}: {value}");
    }

    fn properties(&mut self, properties: &Properties) {
        for (key, value) in properties {
            let shown = if is_secret(key) { HIDDEN.to_owned() } else { format!("{value:?}") };
            self.line(&format!("property {key:?}"), shown);
        }
    }
}

fn endpoint(endpoint: &Endpoint) -> String {
    let mut block = Block::new(format!("endpoint {}", endpoint.functions));
    block.line("url", format!("{:?}", endpoint.url.as_str()));
    block.line("max batch", limit(endpoint.max_num_batch_requests.map(Into::into)));
    match &endpoint.transport {
        Transport::Async(transport) => {
            block.line("transport", "async");
            block.line("call", duration::display(transport.call));
            block.line("connect", duration::display(transport.connect));
            block.line("pool ttl", duration::display(transport.pool_ttl));
            block.line("pool size", transport.pool_size);
            block.line("payload max bytes", transport.payload_max_bytes);
            if transport.http2 {
                block.line("http2", true);
            }
            if !transport.tls.verify_hostname {
                block.line("verify hostname", false);
            }
            if let Some(path) = &transport.tls.trust_cacerts {
                block.line("trust cacerts", format!("{path:?}"));
            }
            if let Some(client) = &transport.tls.client {
                block.line("client cert", format!("{:?}", client.cert));
                block.line("client key", format!("{:?}", client.key));
                if let Some(path) = &client.key_password {
                    block.line("client key password", format!("{path:?}"));
                }
            }
        }
        Transport::OkHttp(transport) => {
            block.line("transport", "okhttp");
            block.line("call", duration::display(transport.call));
            block.line("connect", duration::display(transport.connect));
            block.line("read", duration::display(transport.read));
            block.line("write", duration::display(transport.write));
            if let Some(http2) = transport.http2 {
                block.line("http2", http2);
            }
            if !transport.verify_hostname {
                block.line("verify hostname", false);
            }
        }
    }
    for header in &endpoint.headers {
        let value = match &header.file {
            Some(path) => format!("file {path:?}"),
            None => HIDDEN.to_owned(),
        };
        block.line(&format!("header {:?}", header.name.as_str()), value);
    }
    let policy = FailurePolicy::WORDS.iter().find(|(_, policy)| *policy == endpoint.failure_policy);
    block.line("failure policy", policy.map_or("", |(word, _)| word));
    if let Some(target) = &endpoint.dead_letters {
        block.line("dead letters", format!("topic {:?} of egress {}", target.topic, target.egress));
    }
    block.0
}

fn ingress(ingress: &Ingress) -> String {
    let mut block = Block::new(format!("ingress {} ({})", ingress.id(), ingress.kind()));
    match ingress {
        Ingress::Playground(playground) => block.line("port", playground.port),
        Ingress::Kafka(kafka) => kafka_ingress(&mut block, kafka),
        Ingress::Kinesis(kinesis) => kinesis_ingress(&mut block, kinesis),
    }
    block.0
}

fn kafka_ingress(block: &mut Block, kafka: &kafka_ingress::KafkaIngress) {
    block.line("address", format!("{:?}", kafka.address));
    block.line("group", format!("{:?}", kafka.consumer_group_id));
    let mut topics: Vec<_> = kafka.topics.iter().collect();
    topics.sort_by(|a, b| a.route.name.cmp(&b.route.name));
    for topic in topics {
        route(block, "topic", &topic.route);
        block.line("  forward headers", topic.forward_headers);
        let invalid = match &topic.invalid_records {
            InvalidRecords::Skip { log_level } => format!("skip, log {log_level:?}"),
            InvalidRecords::Fail => "fail".to_owned(),
            InvalidRecords::Forward { target } => format!("forward to {target}"),
            InvalidRecords::DeadLetter(target) => {
                format!("dead letters to topic {:?} of egress {}", target.topic, target.egress)
            }
        };
        block.line("  invalid records", invalid);
    }
    block.line("auto offset reset", kafka.auto_offset_reset.as_str());
    block.line("start", startup_position(&kafka.startup_position));
    block.properties(&kafka.properties);
}

fn startup_position(position: &StartupPosition) -> String {
    match position {
        StartupPosition::GroupOffsets => "group-offsets".to_owned(),
        StartupPosition::Earliest => "earliest".to_owned(),
        StartupPosition::Latest => "latest".to_owned(),
        StartupPosition::Date(date_ms) => format!("{date_ms} ms since 1970"),
        StartupPosition::SpecificOffsets(offsets) => {
            let offsets =
                offsets.iter().map(|((topic, partition), offset)| format!("{topic:?}/{partition} = {offset}"));
            offsets.collect::<Vec<_>>().join(", ")
        }
    }
}

fn route(block: &mut Block, what: &str, route: &Route) {
    block.line(what, format!("{:?}", route.name));
    block.line("  value type", format!("{:?}", route.value_type));
    let targets: Vec<String> = route.targets.iter().map(|target| target.function.to_string()).collect();
    block.line("  targets", targets.join(", "));
}

fn kinesis_ingress(block: &mut Block, kinesis: &kinesis::KinesisIngress) {
    let mut streams: Vec<_> = kinesis.streams.iter().collect();
    streams.sort_by(|a, b| a.name.cmp(&b.name));
    for stream in streams {
        route(block, "stream", stream);
    }
    if let Some(arn) = &kinesis.stream_arn {
        block.line("stream arn", format!("{arn:?}"));
    }
    aws(block, &kinesis.region, &kinesis.credentials);
    let start = match kinesis.startup_position {
        kinesis::KinesisStartupPosition::Earliest => "earliest".to_owned(),
        kinesis::KinesisStartupPosition::Latest => "latest".to_owned(),
        kinesis::KinesisStartupPosition::Date(date_ms) => format!("{date_ms} ms since 1970"),
    };
    block.line("start", start);
    block.properties(&kinesis.properties);
}

fn aws(block: &mut Block, region: &AwsRegion, credentials: &AwsCredentials) {
    block.line("region", format!("{region:?}"));
    block.line("credentials", format!("{credentials:?}"));
}

fn egress(egress: &Egress) -> String {
    let mut block = Block::new(format!("egress {} ({})", egress.id(), egress.kind()));
    match egress {
        Egress::Playground(playground) => {
            block.line("port", playground.port);
            let mut topics: Vec<String> = playground.topics.iter().map(|topic| format!("{topic:?}")).collect();
            topics.sort();
            block.line("topics", topics.join(", "));
        }
        Egress::Kafka(kafka) => {
            block.line("address", format!("{:?}", kafka.address));
            let semantic = match kafka.delivery_semantic {
                kafka_egress::DeliverySemantic::None => "none".to_owned(),
                kafka_egress::DeliverySemantic::AtLeastOnce => "at-least-once".to_owned(),
                kafka_egress::DeliverySemantic::ExactlyOnce { transaction_timeout } => {
                    format!("exactly-once, transaction timeout {}", duration::display(transaction_timeout))
                }
            };
            block.line("delivery", semantic);
            block.properties(&kafka.properties);
        }
        Egress::Kinesis(kinesis) => {
            aws(&mut block, &kinesis.region, &kinesis.credentials);
            block.line("max outstanding records", kinesis.max_outstanding_records);
            if let Some(name) = &kinesis.stream_name {
                block.line("stream name", format!("{name:?}"));
            }
            block.properties(&kinesis.properties);
        }
    }
    block.0
}
