//! The table says what the parser does.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::page::page;
use super::{COMPONENT, Mapping, Need, SECTIONS};
use crate::config::testing::options;
use crate::config::{Diagnostic, Module, Source, load_sources};

thread_local! {
    /// Which fields the parser asked for in this thread, by the address of their mapping.
    static ASKED: RefCell<BTreeSet<(*const Mapping, &'static str)>> = const { RefCell::new(BTreeSet::new()) };
}

/// The parser asks for a field.
pub(crate) fn asked(mapping: &'static Mapping, field: &'static str) {
    ASKED.with_borrow_mut(|asked| asked.insert((mapping, field)));
}

fn runtime() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn load(text: &str) -> Result<(Module, Vec<Diagnostic>), Vec<Diagnostic>> {
    load_sources(&[Source::new("test.yaml", text)], &options())
}

fn mappings() -> impl Iterator<Item = &'static Mapping> {
    std::iter::once(&COMPONENT).chain(SECTIONS.iter().flat_map(|section| section.mappings).copied())
}

/// A field that is listed is read; the parser itself asks for nothing else (`Fields::get`).
#[test]
fn every_field_that_is_listed_is_read() {
    let modules = std::fs::read_dir(runtime().join("tests/modules")).expect("the folder of modules");
    for entry in modules {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            // Each may be refused: it was read until then.
            let _ = load(&std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
    for mapping in mappings() {
        for field in mapping.fields {
            let read = ASKED.with_borrow(|asked| asked.contains(&(std::ptr::from_ref(mapping), field.name)));
            assert!(read, "`{}` of {} is listed, and nothing reads it", field.name, mapping.title);
        }
    }
}

/// What the page shows as an example is a module, or the part of one, that nothing is said about.
#[test]
fn every_example_is_a_module() {
    for section in SECTIONS {
        let module = match section.heading {
            "The 3.0 format" => section.example.to_owned(),
            _ => format!("{REST}---\n{}", section.example),
        };
        // A module has one of these; the example's is the one that counts.
        let module =
            if section.example.contains("playground.v1/egress") { module.replacen(EGRESS, "", 1) } else { module };
        let findings = match load(&module) {
            Ok((_, findings)) | Err(findings) => findings,
        };
        let facts: Vec<String> =
            findings.iter().map(|finding| format!("{}: {}", finding.code.name(), finding.message)).collect();
        assert!(facts.is_empty(), "{}: {facts:?}", section.heading);
    }
}

const EGRESS: &str = "---\nkind: io.statefun.playground.v1/egress\nspec:\n  topics: [dead-letters]\n";

/// What a module has to have, and what the examples refer to.
const REST: &str = "\
kind: io.statefun.kafka.v1/ingress
spec:
  id: rest/in
  address: broker:9092
  consumerGroupId: rest
  topics: [{topic: t, valueType: example/V, targets: []}]
---
kind: io.statefun.endpoints.v2/http
spec: {functions: example/greeter, urlPathTemplate: \"http://127.0.0.1:8000/\"}
---
kind: io.statefun.playground.v1/egress
spec:
  topics: [dead-letters]
";

macro_rules! endpoint {
    ($version:literal, $more:literal) => {
        concat!(
            "kind: io.statefun.endpoints.",
            $version,
            "/http\nspec: {functions: x/y, urlPathTemplate: \"https://h\"",
            $more,
            "}"
        )
    };
}

macro_rules! ingress {
    ($platform:literal, $more:literal, $list:literal, $more_of_all:literal) => {
        concat!(
            "kind: io.statefun.",
            $platform,
            ".v1/ingress\nspec: {id: x/y, ",
            $more,
            $list,
            ": t, valueType: v/v, targets: []}]",
            $more_of_all,
            "}"
        )
    };
}

/// A component with each mapping that has defaults, and a place for one more field of it.
static WITH_DEFAULTS: &[(&Mapping, &str)] = &[
    (&super::ENDPOINT_V2, endpoint!("v2", "HERE")),
    (&super::ENDPOINT_V1, endpoint!("v1", "HERE")),
    (&super::TRANSPORT, endpoint!("v2", ", transport: {zHERE}")),
    (&super::ASYNC_TIMEOUTS, endpoint!("v2", ", transport: {timeouts: {zHERE}}")),
    (&super::OKHTTP_TIMEOUTS, endpoint!("v1", ", timeouts: {zHERE}")),
    (&super::KAFKA_INGRESS, ingress!("kafka", "address: a, consumerGroupId: g, ", "topics: [{topic", "HERE")),
    (
        &super::INVALID_RECORDS,
        ingress!(
            "kafka",
            "address: a, consumerGroupId: g, ",
            "topics: [{topic",
            ", invalidRecordHandling: {type: skipHERE}"
        ),
    ),
    (&super::KAFKA_EGRESS, "kind: io.statefun.kafka.v1/egress\nspec: {id: x/y, address: aHERE}"),
    (&super::PLAYGROUND_INGRESS, "kind: io.statefun.playground.v1/ingress\nspec: {zHERE}"),
    (&super::PLAYGROUND_EGRESS, "kind: io.statefun.playground.v1/egress\nspec: {topics: [dead-letters]HERE}"),
    (&super::KINESIS_INGRESS, ingress!("kinesis", "", "streams: [{stream", "HERE")),
    (&super::KINESIS_EGRESS, "kind: io.statefun.kinesis.v1/egress\nspec: {id: x/yHERE}"),
];

/// A field with what is said to be its default means the same as none; and each default is looked at.
#[test]
fn defaults_are_what_the_parser_takes() {
    let describe = |text: &str| {
        let rest = REST.replacen(EGRESS, if text.contains("playground.v1/egress") { "" } else { EGRESS }, 1);
        let loaded = load(&format!("{rest}---\n{text}\n"));
        loaded
            .map(|(module, _)| module.describe())
            .unwrap_or_else(|findings| panic!("{text}: {:?}", findings[0].message))
    };
    for mapping in mappings() {
        for field in mapping.fields {
            let Need::Default(default) = field.need else { continue };
            let mut templates = WITH_DEFAULTS.iter().filter(|(with, _)| std::ptr::eq(*with, mapping));
            let (_, template) = templates.next_back().unwrap_or_else(|| panic!("no module with {}", mapping.title));
            let given = template.replace("HERE", &format!(", {}: {default}", field.name));
            assert_eq!(
                describe(&given),
                describe(&template.replace("HERE", "")),
                "{} of {}",
                field.name,
                mapping.title
            );
        }
    }
}

/// `docs/module.md` is the page. `MILLPOND_WRITE=1` writes it (`make module-reference`).
#[test]
fn the_page_is_current() {
    let path = runtime().join("../docs/module.md");
    if std::env::var_os("MILLPOND_WRITE").is_some() {
        std::fs::write(&path, page()).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page(), "docs/module.md is not what runtime/config/reference says; run `make module-reference`");
}
