//! Module files to a checked model.
//!
//! In: MODULE arguments and [`LoadOptions`]. Out: a [`Module`] with warnings, or everything that is wrong with it, of all
//! files at once. Owner of nothing: the model is handed to the runtime and is not looked at here again.
//!
//! The way of a file: [`locate`] finds and reads it, `yaml` makes nodes with places, `component` sends each document to
//! the reader of its kind, `application` looks at all of them together. What upstream accepts is accepted with the same
//! meaning, and where that is surprising there is a warning; what upstream refuses is refused, with the place.

mod application;
mod aws;
mod component;
#[doc(hidden)]
pub mod date;
mod dead_letter;
mod describe;
pub mod diagnostic;
pub mod duration;
mod endpoint;
mod fields;
pub mod flink_conf;
mod headers;
#[cfg(test)]
mod hostile_tests;
pub mod interpolate;
mod invalid_records;
mod kafka_egress;
mod kafka_ingress;
mod kinesis;
mod legacy;
pub mod locate;
pub mod model;
mod not_yet;
mod playground;
mod property_list;
mod reference;
pub mod render;
pub mod resource;
mod routing;
mod scalar;
pub mod source;
mod startup_position;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod url_template;
pub mod yaml;

pub use diagnostic::{Diagnostic, Severity};
pub use model::Module;
pub(crate) use property_list::is_secret;
pub use source::{Place, Source};

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use component::Components;
use diagnostic::Report;
use fields::Context;
use interpolate::Lookup;
use model::Digest;

use crate::credentials;

/// What the checks need from outside: given as values and functions, so that a test decides them.
pub struct LoadOptions<'a> {
    /// Where `${NAME}` is looked up; `None` leaves it literal, as upstream.
    pub environment: Option<Lookup<'a>>,
    /// The present, in milliseconds since 1970; start dates may not be later.
    pub now_ms: i64,
    /// Reads a file with a certificate, a key or the value of a header, of so many bytes at most.
    pub read_file: &'a dyn Fn(&Path, u64) -> io::Result<Vec<u8>>,
    /// Where the variable that holds the value of a header is looked up.
    pub variable: Lookup<'a>,
    /// The module is about to run here: what must be there on this machine is an error, not a warning.
    pub for_run: bool,
}

impl LoadOptions<'static> {
    /// For `millpond check`: this machine's clock and files, `${NAME}` literal.
    pub fn check() -> LoadOptions<'static> {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        LoadOptions {
            environment: None,
            now_ms: i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX),
            read_file: &credentials::file::read,
            variable: &|name| std::env::var(name).ok(),
            for_run: false,
        }
    }

    /// For `millpond run`.
    pub fn run() -> LoadOptions<'static> {
        LoadOptions { for_run: true, ..LoadOptions::check() }
    }

    /// Replaces `${NAME}` from the environment of the process.
    #[must_use]
    pub fn interpolate(mut self, interpolate: bool) -> LoadOptions<'static> {
        self.environment = interpolate.then_some(&|name: &str| std::env::var(name).ok());
        self
    }
}

impl LoadOptions<'_> {
    fn interpolates(&self) -> bool {
        self.environment.is_some()
    }
}

/// The errors among findings.
pub fn errors_only(findings: &[Diagnostic]) -> impl Iterator<Item = &Diagnostic> {
    findings.iter().filter(|finding| finding.is_error())
}

/// Reads and checks modules.
///
/// # Errors
/// Every finding, warnings included, if at least one of them is an error.
pub fn load(modules: &[String], options: &LoadOptions<'_>) -> Result<(Module, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut report = Report::default();
    let sources = locate::read_all(modules, &mut report);
    load_from(&sources, report, options)
}

/// Checks modules that were read already.
///
/// # Errors
/// As [`load`].
pub fn load_sources(
    sources: &[Arc<Source>],
    options: &LoadOptions<'_>,
) -> Result<(Module, Vec<Diagnostic>), Vec<Diagnostic>> {
    load_from(sources, Report::default(), options)
}

fn load_from(
    sources: &[Arc<Source>],
    mut report: Report,
    options: &LoadOptions<'_>,
) -> Result<(Module, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut components = Components::default();
    if report.has_errors() {
        components.lost_something();
    }
    for source in sources {
        let documents = yaml::read(source, options.environment, &mut report);
        let mut cx = Context { source, options, report: &mut report };
        component::read_documents(&documents, &mut cx, &mut components);
    }
    application::check(&components, &mut report);
    let failed = report.has_errors();
    let files: Vec<String> = sources.iter().map(|source| source.name().to_owned()).collect();
    let bytes = Digest::of(sources.iter().flat_map(|source| source.bytes()));
    let findings = report.into_findings(&files);
    if failed {
        return Err(findings);
    }
    let Components { endpoints, ingresses, egresses, .. } = components;
    Ok((Module::new(endpoints, ingresses, egresses, bytes), findings))
}
