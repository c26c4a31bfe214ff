//! `io.statefun.kinesis.v1/ingress` and `io.statefun.kinesis.v1/egress`.

use super::{Field, Mapping, Section, default, optional, required};

pub(super) static SECTION_INGRESS: Section = Section {
    heading: "io.statefun.kinesis.v1/ingress",
    text: "Records of streams as messages. **Read and checked, not run yet.**",
    example: "\
kind: io.statefun.kinesis.v1/ingress
spec:
  id: example/in
  awsRegion:
    type: specific
    id: eu-west-1
  streams:
    - stream: visits
      valueType: example.types/Visit
      targets:
        - example/greeter
",
    mappings: &[&KINESIS_INGRESS, &KINESIS_STREAM, &KINESIS_STARTUP_POSITION, &AWS_REGION, &AWS_CREDENTIALS],
};

pub(super) static SECTION_EGRESS: Section = Section {
    heading: "io.statefun.kinesis.v1/egress",
    text: "Records to streams. **Read and checked, not run yet.** `awsRegion` and `awsCredentials` are as above.",
    example: "kind: io.statefun.kinesis.v1/egress\nspec:\n  id: example/out\n  maxOutstandingRecords: 500\n",
    mappings: &[&KINESIS_EGRESS],
};

const REGION: Field = default("awsRegion", "mapping", "{type: default}", "which region to talk to");
const CREDENTIALS: Field = default("awsCredentials", "mapping", "{type: default}", "who we are");

pub(crate) static KINESIS_INGRESS: Mapping = Mapping {
    name: "`spec`",
    title: "`spec`",
    fields: &[
        required("id", "type name", "tells the ingress from others, also in the ledger"),
        required("streams", "list", "what is read, and who gets it; at least one"),
        REGION,
        CREDENTIALS,
        default("startupPosition", "mapping", "{type: latest}", "where to start when the ledger has no position yet"),
        optional(
            "clientConfigProperties",
            "list of `<name>: <value>`",
            "settings of the client; names that do not begin with `flink.` or `aws.` get `aws.clientconfig.` before them",
        ),
        optional("streamArn", "text", "the ARN by which the only one of `streams` is read").of_the_fork(),
    ],
};

pub(crate) static KINESIS_STREAM: Mapping = Mapping {
    name: "`streams`",
    title: "one of `streams`",
    fields: &[
        required("stream", "text", "its exact name"),
        required("valueType", "text", "the typename that functions see on the value"),
        required("targets", "list of type names", "the function types that get each record"),
    ],
};

pub(crate) static KINESIS_STARTUP_POSITION: Mapping = Mapping {
    name: "`startupPosition`",
    title: "`startupPosition`",
    fields: &[
        required("type", "`latest`, `earliest`, `date`", "where: at the end, at the oldest record, or as below"),
        optional(
            "date",
            "`yyyy-MM-dd HH:mm:ss.SSS Z`",
            "the time of the first record to read, for `date`, and required there",
        ),
    ],
};

pub(crate) static AWS_REGION: Mapping = Mapping {
    name: "`awsRegion`",
    title: "`awsRegion`",
    fields: &[
        required("type", "`default`, `specific`, `custom-endpoint`", "where from: the environment, or below"),
        optional("id", "text", "the region, for `specific` and `custom-endpoint`, and required there"),
        optional("endpoint", "`https` URL", "a service of one's own, for `custom-endpoint`, and required there"),
    ],
};

pub(crate) static AWS_CREDENTIALS: Mapping = Mapping {
    name: "`awsCredentials`",
    title: "`awsCredentials`",
    fields: &[
        required("type", "`default`, `basic`, `profile`", "where from: the environment, or below"),
        optional("accessKeyId", "text", "for `basic`, and required there"),
        optional("secretAccessKey", "text", "for `basic`, and required there. It is never shown"),
        optional("profileName", "text", "for `profile`, and required there"),
        optional("profilePath", "path", "the file of the profile; without it that of the AWS client"),
    ],
};

pub(crate) static KINESIS_EGRESS: Mapping = Mapping {
    name: "`spec`",
    title: "`spec`",
    fields: &[
        required("id", "type name", "how functions name the egress"),
        REGION,
        CREDENTIALS,
        default(
            "maxOutstandingRecords",
            "whole number from 1",
            "1000",
            "how many records are sent and not acknowledged before the egress waits",
        ),
        optional("clientConfigProperties", "list of `<name>: <value>`", "settings of the producer, as they are"),
        optional("streamName", "text", "the stream of records that name none").of_the_fork(),
    ],
};
