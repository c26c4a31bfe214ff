//! `io.statefun.playground.v1/ingress` and `io.statefun.playground.v1/egress`.

use super::{Mapping, Section, default, required};

pub(super) static SECTION_INGRESS: Section = Section {
    heading: "io.statefun.playground.v1/ingress",
    text: "Messages over HTTP ([HTTP in and out](http.md)). A module has at most one, of id `io.statefun.playground/ingress`.",
    example: "kind: io.statefun.playground.v1/ingress\nspec:\n  port: 8090\n",
    mappings: &[&PLAYGROUND_INGRESS],
};

pub(super) static SECTION_EGRESS: Section = Section {
    heading: "io.statefun.playground.v1/egress",
    text: "Records over HTTP. A module has at most one, of id `io.statefun.playground/egress`.",
    example: "kind: io.statefun.playground.v1/egress\nspec:\n  port: 8091\n  topics:\n    - greetings\n    - dead-letters\n",
    mappings: &[&PLAYGROUND_EGRESS],
};

pub(crate) static PLAYGROUND_INGRESS: Mapping = Mapping {
    name: "`spec`",
    title: "`spec`",
    fields: &[default(
        "port",
        "0 to 65535",
        "0",
        "where it listens. 0 takes any free one; the `ready` line says which",
    )],
};

pub(crate) static PLAYGROUND_EGRESS: Mapping = Mapping {
    name: "`spec`",
    title: "`spec`",
    fields: &[
        default("port", "0 to 65535", "0", "as that of the ingress"),
        required("topics", "list of text", "the topics that functions may write to"),
    ],
};
