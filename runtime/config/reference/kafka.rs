//! `io.statefun.kafka.v1/ingress` and `io.statefun.kafka.v1/egress`.

use super::{Field, Mapping, Section, default, optional, required};

pub(super) static SECTION_INGRESS: Section = Section {
    heading: "io.statefun.kafka.v1/ingress",
    text: "Records of topics as messages. What can be relied on is in [Kafka](kafka.md).",
    example: "\
kind: io.statefun.kafka.v1/ingress
spec:
  id: example/in
  address: broker-1:9092,broker-2:9092
  consumerGroupId: example
  startupPosition:
    type: earliest
  topics:
    - topic: visits
      valueType: example.types/Visit
      targets:
        - example/greeter
  properties:
    - security.protocol: SSL
",
    mappings: &[&KAFKA_INGRESS, &KAFKA_TOPIC, &STARTUP_POSITION, &INVALID_RECORDS],
};

pub(super) static SECTION_EGRESS: Section = Section {
    heading: "io.statefun.kafka.v1/egress",
    text: "Records to topics. Each record names its topic.",
    example: "\
kind: io.statefun.kafka.v1/egress
spec:
  id: example/out
  address: broker-1:9092,broker-2:9092
  deliverySemantic:
    type: exactly-once
    transactionTimeout: 1min
",
    mappings: &[&KAFKA_EGRESS, &DELIVERY_SEMANTIC],
};

const FORWARD_HEADERS: Field = default(
    "forwardHeaders",
    "true or false",
    "false",
    "whether the headers of a record go along as metadata of the message",
)
.of_the_fork();
const INVALID_RECORD_HANDLING: Field =
    default("invalidRecordHandling", "mapping", "{type: skip}", "what becomes of a record that has no key or no value")
        .of_the_fork();

pub(crate) static KAFKA_INGRESS: Mapping = Mapping {
    name: "`spec`",
    title: "`spec`",
    fields: &[
        required("id", "type name", "tells the ingress from others, also in the ledger"),
        optional(
            "address",
            "text",
            "the brokers, `<host>:<port>` with commas. Required here or as property `bootstrap.servers`",
        ),
        optional(
            "consumerGroupId",
            "text",
            "the group in which positions are shown. Required here or as property `group.id`",
        ),
        required("topics", "list", "what is read, and who gets it; at least one"),
        default(
            "autoOffsetResetPosition",
            "`latest`, `earliest`",
            "latest",
            "where to go when a position is no longer there. Property `auto.offset.reset` has no effect",
        ),
        default("startupPosition", "mapping", "{type: latest}", "where to start when the ledger has no position yet"),
        optional("properties", "list of `<name>: <value>`", "settings of the Kafka consumer"),
        FORWARD_HEADERS,
        INVALID_RECORD_HANDLING,
    ],
};

pub(crate) static KAFKA_TOPIC: Mapping = Mapping {
    name: "`topics`",
    title: "one of `topics`",
    fields: &[
        required("topic", "text", "its exact name"),
        required("valueType", "text", "the typename that functions see on the value; nobody looks into it"),
        required("targets", "list of type names", "the function types that get each record; the id is its key"),
        optional("forwardHeaders", "true or false", "as that of `spec`, for this topic").of_the_fork(),
        optional("invalidRecordHandling", "mapping", "as that of `spec`, for this topic").of_the_fork(),
    ],
};

pub(crate) static STARTUP_POSITION: Mapping = Mapping {
    name: "`startupPosition`",
    title: "`startupPosition`",
    fields: &[
        required(
            "type",
            "`latest`, `earliest`, `group-offsets`, `specific-offsets`, `date`",
            "where: at the end, at the beginning, where the group stands, or as below",
        ),
        optional(
            "offsets",
            "list of `<topic>/<partition>: <offset>`",
            "the next records to read, for `specific-offsets`, and required there. Others are as `group-offsets`",
        ),
        optional(
            "date",
            "`yyyy-MM-dd HH:mm:ss.SSS Z`",
            "the time of the first record to read, for `date`, and required there. It must have been",
        ),
    ],
};

pub(crate) static INVALID_RECORDS: Mapping = Mapping {
    name: "`invalidRecordHandling`",
    title: "`invalidRecordHandling`",
    fields: &[
        required(
            "type",
            "`skip`, `fail`, `forward`, `dead-letter`",
            "what becomes of it: passed over; its partition stops; a function gets it; it becomes a dead letter. \
             The last two are ours",
        )
        .of_the_fork(),
        default("logLevel", "`debug`, `info`, `warn`, `error`", "warn", "how loud `skip` is").of_the_fork(),
        optional("target", "type name", "the function type that gets it, for `forward`, and required there").ours(),
        optional("deadLetter", "mapping", "where it goes, for `dead-letter`, and required there. It is as that of endpoints, to a Kafka egress or the playground's").ours(),
    ],
};

pub(crate) static KAFKA_EGRESS: Mapping = Mapping {
    name: "`spec`",
    title: "`spec`",
    fields: &[
        required("id", "type name", "how functions name the egress"),
        optional(
            "address",
            "text",
            "the brokers, `<host>:<port>` with commas. Required here or as property `bootstrap.servers`",
        ),
        default("deliverySemantic", "mapping", "{type: at-least-once}", "how often a record is seen"),
        optional("properties", "list of `<name>: <value>`", "settings of the Kafka producer"),
    ],
};

pub(crate) static DELIVERY_SEMANTIC: Mapping = Mapping {
    name: "`deliverySemantic`",
    title: "`deliverySemantic`",
    fields: &[
        required(
            "type",
            "`exactly-once`, `at-least-once`, `none`",
            "it: once, to readers of committed records; perhaps twice; perhaps never",
        ),
        optional(
            "transactionTimeout",
            "duration over 0",
            "how long the broker keeps a transaction open. `exactly-once` needs it",
        ),
        optional("transactionTimeoutMillis", "milliseconds", "the older name, and goes before the newer"),
    ],
};
