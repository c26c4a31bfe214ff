//! Modules of the 3.0 format: one document with `version` and `module`.

use super::{Mapping, Section, optional, required};

pub(super) static SECTION: Section = Section {
    heading: "The 3.0 format",
    text: "One document with lists of components, as the only one of its file. `spec` has the fields of the kind as above; \
           `id` stands in `meta`. Elements of `ingresses` and `egresses` \
           are `ingress` and `egress`. Kinds may have their older names: `http`, `io.statefun.kafka/ingress` and the like.",
    example: "\
version: \"3.0\"
module:
  meta:
    type: remote
  spec:
    endpoints:
      - endpoint:
          meta:
            kind: http
          spec:
            functions: example/greeter
            urlPathTemplate: http://127.0.0.1:8000/statefun
    ingresses:
      - ingress:
          meta:
            type: io.statefun.kafka/ingress
            id: example/in
          spec:
            address: 127.0.0.1:9092
            consumerGroupId: example
            topics:
              - topic: visits
                valueType: example.types/Visit
                targets:
                  - example/greeter
",
    mappings: &[
        &ROOT,
        &MODULE_SPEC,
        &ENDPOINTS.items,
        &ENDPOINTS.element,
        &ENDPOINTS.meta,
        &INGRESSES.items,
        &INGRESSES.element,
        &INGRESSES.meta,
        &EGRESSES.items,
        &EGRESSES.element,
        &EGRESSES.meta,
    ],
};

/// One of the three lists of a module: what it and its parts are called, and the fields of these parts.
pub(crate) struct LegacyList {
    pub(crate) list: &'static str,
    pub(crate) element_name: &'static str,
    /// The field of `meta` that has the kind.
    pub(crate) kind: &'static str,
    pub(crate) has_id: bool,
    pub(crate) items: Mapping,
    pub(crate) element: Mapping,
    pub(crate) meta: Mapping,
}

pub(crate) static ROOT: Mapping = Mapping {
    name: "the root",
    title: "the document",
    fields: &[
        required("version", "`\"3.0\"`", "marks this format"),
        required("module", "mapping", "has `meta: {type: remote}`, and `spec` with the lists"),
    ],
};

pub(crate) static MODULE_SPEC: Mapping = Mapping {
    name: "`module.spec`",
    title: "`module.spec`",
    fields: &[
        optional("endpoints", "list", "the endpoints"),
        optional("ingresses", "list", "the ingresses"),
        optional("egresses", "list", "the egresses"),
    ],
};

pub(crate) static ENDPOINTS: LegacyList = LegacyList {
    list: "endpoints",
    element_name: "endpoint",
    kind: "kind",
    has_id: false,
    items: Mapping {
        name: "`endpoints`",
        title: "one of `endpoints`",
        fields: &[required("endpoint", "mapping", "`meta` and `spec`")],
    },
    element: Mapping {
        name: "`endpoint`",
        title: "`endpoint`",
        fields: &[required("meta", "mapping", "what it is"), required("spec", "mapping", "the fields")],
    },
    meta: Mapping { name: "`meta`", title: "`meta` of `endpoint`", fields: &[required("kind", "text", "the kind")] },
};

pub(crate) static INGRESSES: LegacyList = LegacyList {
    list: "ingresses",
    element_name: "ingress",
    kind: "type",
    has_id: true,
    items: Mapping { name: "`ingresses`", title: "", fields: &[required("ingress", "mapping", "`meta` and `spec`")] },
    element: Mapping {
        name: "`ingress`",
        title: "",
        fields: &[required("meta", "mapping", "what it is"), required("spec", "mapping", "the fields")],
    },
    meta: Mapping {
        name: "`meta`",
        title: "`meta` of `ingress`, and of `egress`",
        fields: &[required("type", "text", "the kind"), required("id", "type name", "the id")],
    },
};

pub(crate) static EGRESSES: LegacyList = LegacyList {
    list: "egresses",
    element_name: "egress",
    kind: "type",
    has_id: true,
    items: Mapping { name: "`egresses`", title: "", fields: &[required("egress", "mapping", "`meta` and `spec`")] },
    element: Mapping {
        name: "`egress`",
        title: "",
        fields: &[required("meta", "mapping", "what it is"), required("spec", "mapping", "the fields")],
    },
    meta: Mapping {
        name: "`meta`",
        title: "",
        fields: &[required("type", "text", "the kind"), required("id", "type name", "the id")],
    },
};
