//! What every field of a module means: the table that the parser reads by, and that `docs/module.md` is made from.
//!
//! A [`Mapping`] lists the fields of one mapping of YAML. Who opens a mapping names it, and asks for nothing that it does not
//! list. The tests hold the rest: each field that is listed is read, what is said to be its default is, each example is a
//! module without findings, and the page is what [`page`] writes.

// The parser needs the names; what else is here is for the page, which a test writes.
#![cfg_attr(not(test), allow(dead_code))]

mod endpoints;
mod kafka;
mod kinesis;
mod legacy;
mod page;
mod playground;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use endpoints::{
    ASYNC_TIMEOUTS, DEAD_LETTER, ENDPOINT_V1, ENDPOINT_V2, HEADER, HEADERS, OKHTTP_TIMEOUTS, TRANSPORT,
};
pub(crate) use kafka::{
    DELIVERY_SEMANTIC, INVALID_RECORDS, KAFKA_EGRESS, KAFKA_INGRESS, KAFKA_TOPIC, STARTUP_POSITION,
};
pub(crate) use kinesis::{
    AWS_CREDENTIALS, AWS_REGION, KINESIS_EGRESS, KINESIS_INGRESS, KINESIS_STARTUP_POSITION, KINESIS_STREAM,
};
pub(crate) use legacy::{EGRESSES, ENDPOINTS, INGRESSES, LegacyList, MODULE_SPEC, ROOT};
pub(crate) use playground::{PLAYGROUND_EGRESS, PLAYGROUND_INGRESS};

/// The fields of one mapping.
pub(crate) struct Mapping {
    /// What it is called in messages: `spec`, `startupPosition`.
    pub(crate) name: &'static str,
    /// What it is called on the page, where several have the same name; empty when it is not shown there.
    title: &'static str,
    fields: &'static [Field],
}

/// One field.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    /// What its value is.
    value: &'static str,
    need: Need,
    from: Origin,
    /// What it means.
    text: &'static str,
}

/// Whether it has to be there.
#[derive(Clone, Copy)]
enum Need {
    /// It has to.
    Required,
    /// It need not, and then it is as if this had been written.
    Default(&'static str),
    /// It need not; its text says what happens then.
    Optional,
}

/// Who made it.
#[derive(Clone, Copy)]
enum Origin {
    Upstream,
    /// The fork of StateFun whose modules are read, too.
    Fork,
    Ours,
}

/// A kind of component, or what else has a section of the page.
pub(crate) struct Section {
    heading: &'static str,
    text: &'static str,
    /// A module of nothing but this, and what a module has to have.
    example: &'static str,
    mappings: &'static [&'static Mapping],
}

/// A document of a module.
pub(crate) static COMPONENT: Mapping = Mapping {
    name: "component",
    title: "a document",
    fields: &[
        required("kind", "text", "what it declares: one of the kinds below"),
        required("spec", "mapping", "has the fields of that kind"),
    ],
};

static SECTIONS: [&Section; 9] = [
    &endpoints::SECTION_V2,
    &endpoints::SECTION_V1,
    &kafka::SECTION_INGRESS,
    &kafka::SECTION_EGRESS,
    &playground::SECTION_INGRESS,
    &playground::SECTION_EGRESS,
    &kinesis::SECTION_INGRESS,
    &kinesis::SECTION_EGRESS,
    &legacy::SECTION,
];

impl Mapping {
    /// Whether it has a field.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }
}

impl Field {
    const fn ours(self) -> Field {
        Field { from: Origin::Ours, ..self }
    }

    const fn of_the_fork(self) -> Field {
        Field { from: Origin::Fork, ..self }
    }
}

const fn required(name: &'static str, value: &'static str, text: &'static str) -> Field {
    Field { name, value, need: Need::Required, from: Origin::Upstream, text }
}

const fn default(name: &'static str, value: &'static str, default: &'static str, text: &'static str) -> Field {
    Field { name, value, need: Need::Default(default), from: Origin::Upstream, text }
}

const fn optional(name: &'static str, value: &'static str, text: &'static str) -> Field {
    Field { name, value, need: Need::Optional, from: Origin::Upstream, text }
}
