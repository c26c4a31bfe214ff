//! Small helpers of the tests of this folder.

use std::path::Path;

use super::LoadOptions;
use super::diagnostic::Report;
use super::fields::Context;
use super::source::Source;
use super::yaml::{self, Node};

/// 2024-01-01T00:00Z: the present of the tests.
pub(crate) const NOW_MS: i64 = 1_704_067_200_000;

/// Options that depend on nothing outside the test.
pub(crate) fn options() -> LoadOptions<'static> {
    LoadOptions {
        environment: None,
        now_ms: NOW_MS,
        read_file: &|path, bytes_max| match path.strip_prefix("/there") {
            Ok(name) => crate::credentials::file::read(&Path::new("credentials/testdata").join(name), bytes_max),
            Err(_) => Err(std::io::Error::new(std::io::ErrorKind::NotFound, "No such file or directory (os error 2)")),
        },
        variable: &|name| (name == "TOKEN").then(|| "of-the-test".to_owned()),
        for_run: true,
    }
}

/// Parses one document and reads it; gives the result and the codes of all findings.
pub(crate) fn read_value<T>(text: &str, read: impl FnOnce(&Node, &mut Context<'_>) -> T) -> (T, Vec<&'static str>) {
    let source = Source::new("test.yaml", text);
    let mut report = Report::default();
    let documents = yaml::read(&source, None, &mut report);
    let root = documents.roots.first().unwrap_or_else(|| panic!("one document in {text:?}"));
    let options = options();
    let mut cx = Context { source: &source, options: &options, report: &mut report };
    let value = read(root, &mut cx);
    let codes = report.into_findings(&[]).iter().map(|finding| finding.code.name()).collect();
    (value, codes)
}
