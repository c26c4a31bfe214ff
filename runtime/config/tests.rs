//! Whole modules: every file of `tests/modules/` gives the result that its table says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use millpond_protocol::TypeName;

use super::diagnostic::Diagnostic;
use super::model::{Egress, Module};
use super::source::Source;
use super::testing::options;
use super::{LoadOptions, load_sources};
use crate::cli::tests::{Run, millpond};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/modules")
}

/// One line of the table: the file and its result.
fn table() -> Vec<(String, String)> {
    let readme = fs::read_to_string(folder().join("README.md")).expect("the table");
    let rows = readme.lines().filter(|line| line.starts_with("| ") && line.contains("| `"));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').rsplitn(3, " | ").collect();
        (cells[1].trim_matches('`').to_owned(), cells[0].trim().to_owned())
    })
    .collect()
}

/// Runs `check` as a user would, in the folder of the crate.
fn check(file: &str) -> Run {
    let text = fs::read_to_string(folder().join(file)).unwrap_or_default();
    let options = text.lines().find_map(|line| line.strip_prefix("#! "));
    let path = format!("tests/modules/{file}");
    let mut args = vec!["check", "--describe", path.as_str()];
    args.extend(options.into_iter().flat_map(str::split_whitespace));
    millpond(&args)
}

/// The result in the words of the table.
fn result(run: &Run) -> String {
    let heads = run.err.lines().filter(|line| line.starts_with("error[") || line.starts_with("warning["));
    let codes: BTreeSet<&str> = heads.filter_map(|line| line.split(['[', ']']).nth(1)).collect();
    let codes = codes.into_iter().collect::<Vec<_>>().join(", ");
    match (run.exit, codes.as_str()) {
        (0, "") => "accepted".to_owned(),
        (0, _) => format!("accepted, {codes}"),
        _ => format!("refused: {codes}"),
    }
}

/// Every file is in the table, and every line of the table has a file.
#[test]
fn table_lists_every_file() {
    let entries = fs::read_dir(folder()).expect("the folder of modules");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let files: BTreeSet<String> = names.filter(|name| !["README.md", "snapshots"].contains(&name.as_str())).collect();
    let table = table();
    let listed: BTreeSet<String> = table.iter().map(|(file, _)| file.clone()).collect();
    assert_eq!(files, listed);
    assert_eq!(listed.len(), table.len(), "no file is listed twice");
}

/// Every file gives the result of the table, and the exact words of its snapshot.
#[test]
fn files_give_the_result_of_the_table() {
    let mut wrong = Vec::new();
    for (file, expected) in table() {
        let run = check(&file);
        let actual = result(&run);
        if actual != expected {
            wrong.push(format!("{file}: {actual} instead of {expected}"));
        }
        let text = format!("exit {}\n\nstandard output:\n{}\nstandard error:\n{}", run.exit, run.out, run.err);
        let name = file.trim_end_matches(".yaml");
        insta::with_settings!({
            snapshot_path => "../tests/modules/snapshots",
            prepend_module_to_snapshot => false,
            omit_expression => true,
            filters => vec![(r"digest [0-9a-f]{12}", "digest ...")],
        }, { insta::assert_snapshot!(name, text) });
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const INGRESS: &str = "kind: io.statefun.playground.v1/ingress\nspec:\n  port: 8090\n";

fn endpoint(functions: &str, more: &str) -> String {
    format!(
        "kind: io.statefun.endpoints.v2/http\nspec:\n  functions: {functions}\n  \
         urlPathTemplate: http://{{function.name}}\n{more}"
    )
}

fn module(texts: &[&str], options: &LoadOptions<'_>) -> Result<Module, Vec<Diagnostic>> {
    let sources: Vec<_> = texts.iter().map(|text| Source::new("test.yaml", *text)).collect();
    load_sources(&sources, options).map(|(module, _)| module)
}

fn codes(result: Result<Module, Vec<Diagnostic>>) -> Vec<&'static str> {
    let findings = result.err().unwrap_or_default();
    super::errors_only(&findings).map(|finding| finding.code.name()).collect()
}

/// The exact endpoint goes before the one of the namespace, and namespaces match as a whole.
#[test]
fn exact_beats_namespace() {
    let texts = [endpoint("a.b/*", ""), endpoint("a.b/c", ""), INGRESS.to_owned()].join("---\n");
    let module = module(&[&texts], &options()).expect("a module");
    for (namespace, name, expected) in [
        ("a.b", "c", Some("a.b/c")),
        ("a.b", "d", Some("a.b/*")),
        ("a.b", "", Some("a.b/*")),
        ("a", "b", None),
        ("a.b.c", "d", None),
        ("A.B", "c", None),
    ] {
        let found = module.endpoint(&TypeName::new(namespace, name));
        let pattern = found.map(|endpoint| endpoint.functions.to_string());
        assert_eq!(pattern.as_deref(), expected, "{namespace}/{name}");
    }
}

/// The digest says what a module means: not its layout, order or files, and nothing of its secrets.
#[test]
fn digest_is_of_the_meaning() {
    let kafka = |secret: &str, group: &str| {
        format!(
            "kind: io.statefun.kafka.v1/egress\nspec:\n  id: a/out\n  address: b:1\n  properties:\n    \
             - sasl.password: {secret}\n    - client.id: {group}\n"
        )
    };
    let digest = |texts: &[&str]| module(texts, &options()).expect("a module").digest().to_string();
    let (endpoint, egress) = (endpoint("a/*", ""), kafka("one", "x"));
    let first = digest(&[&[&endpoint, INGRESS, &egress].join("---\n")]);
    assert_eq!(first.len(), 64);
    assert_eq!(first, digest(&[&egress, INGRESS, &format!("# comment\n{endpoint}")]), "files and order");
    assert_eq!(first, digest(&[&endpoint.replace("a/*", "'a/*'"), INGRESS, &egress]), "layout");
    assert_eq!(first, digest(&[&endpoint, INGRESS, &kafka("two", "x")]), "secrets");
    assert_ne!(first, digest(&[&endpoint, INGRESS, &kafka("one", "y")]), "properties");
    assert_ne!(first, digest(&[&endpoint, &INGRESS.replace("8090", "8091"), &egress]), "ports");
}

/// The other digest says which files these were, byte for byte: what `cat FILES | sha256sum` says.
#[test]
fn bytes_digest_is_of_the_files() {
    let digest = |texts: &[&str]| module(texts, &options()).expect("a module").bytes_digest().to_string();
    let endpoint = endpoint("a/*", "");
    let both = digest(&[&format!("{endpoint}---\n"), INGRESS]);
    assert_eq!(both, "f9d107f909054f3d16a2552f5dbac1ccc35066a7c2f8e8b6051ac1b96d77206f");
    assert_eq!(both, digest(&[&[&endpoint, INGRESS].join("---\n")]), "one file behind the other");
    assert_ne!(both, digest(&[INGRESS, &format!("{endpoint}---\n")]), "order");
    assert_ne!(
        both,
        digest(&[&format!("{endpoint}---\n"), &format!("\u{feff}{INGRESS}")]),
        "a byte order mark is read too"
    );
}

/// `run` refuses what `check` only mentions: files for TLS that are not there. `/there` is there in these tests. On a URL
/// without TLS nobody needs them.
#[test]
fn missing_certificates_stop_a_run() {
    let plain = |path: &str| {
        let transport = format!("  transport:\n    trust_cacerts: {path}/version1.pem\n");
        [endpoint("a/*", &transport), INGRESS.to_owned()].join("---\n")
    };
    let texts = |path: &str| plain(path).replace("http://", "https://");
    let check = LoadOptions { for_run: false, ..options() };
    assert_eq!(codes(module(&[&texts("/gone")], &options())), ["MP0056"]);
    assert!(module(&[&texts("/gone")], &check).is_ok());
    assert!(module(&[&texts("/there")], &options()).is_ok());
    assert!(module(&[&plain("/gone")], &options()).is_ok());
}

/// The values of headers have to be there when the node starts, and nothing shows them.
#[test]
fn values_of_headers() {
    let texts = |source: &str| {
        let headers = format!("  headers:\n    x-key: {{prefix: 'Bearer ', {source}}}\n");
        [endpoint("a/*", &headers), INGRESS.to_owned()].join("---\n")
    };
    let check = LoadOptions { for_run: false, ..options() };
    for missing in ["env: OTHER", "file: /gone/token"] {
        assert_eq!(codes(module(&[&texts(missing)], &options())), ["MP0045"], "{missing}");
        assert!(module(&[&texts(missing)], &check).is_ok(), "{missing}");
    }
    let loaded = module(&[&texts("env: TOKEN")], &options()).expect("a module");
    assert_eq!(loaded.endpoints()[0].headers[0].value, "Bearer of-the-test");
    assert!(!format!("{loaded:?}{}", loaded.describe()).contains("of-the-test"));
    assert!(module(&[&texts("file: /there/password.txt")], &options()).is_ok());
    assert_eq!(codes(module(&[&texts("file: 'classpath:token'")], &check)), ["MP0045"]);
}

/// A variable is a value and nothing else: whatever it holds, the structure is that of the file.
#[test]
fn variables_are_values() {
    let environment = |name: &str| match name {
        "TOPIC" => Some("a\n  - b: [c, \"d".to_owned()),
        "PORT" => Some("0x50".to_owned()),
        "KEY" => Some("port".to_owned()),
        _ => None,
    };
    let options = LoadOptions { environment: Some(&environment), ..options() };
    let egress =
        "kind: io.statefun.playground.v1/egress\nspec:\n  port: ${PORT}\n  ${KEY}: 5\n  topics: ['${TOPIC}']\n";
    let texts = [&endpoint("a/*", ""), INGRESS, egress].join("---\n");
    let module = module(&[&texts], &options).expect("a module");
    let [Egress::Playground(egress)] = module.egresses() else { panic!("one egress") };
    assert_eq!(egress.port, 80, "a plain variable is read as if it were written there; keys are not replaced");
    assert_eq!(egress.topics, ["a\n  - b: [c, \"d"]);
}

/// A file that could not be read proves nothing about the others: no findings that follow from it alone.
#[test]
fn one_mistake_is_one_finding() {
    let kafka = "kind: io.statefun.kafka.v1/ingress\nspec:\n  id: a/in\n  address: b:1\n  consumerGroupId: g\n  topics: \
                 [{topic: t, valueType: a/b, targets: [x/y]}]\n";
    let dead_letters = |egress: &str| {
        endpoint("x/*", &format!("  failurePolicy: dead-letter\n  deadLetter: {{egress: {egress}, topic: t}}\n"))
    };
    for (text, expected) in [
        ([&endpoint("x", ""), kafka].join("---\n"), "MP0035"),
        ([&endpoint("x/*", ""), "kind: io.statefun.kafka.v1/ingress\nspec: []\n"].join("---\n"), "MP0031"),
        ([kafka, "kind: io.statefun.endpoints.v4/http\nspec: {}\n"].join("---\n"), "MP0021"),
        ([kafka, "kind: [\n"].join("---\n"), "MP0010"),
        ([&dead_letters("a/out"), INGRESS, "kind: io.statefun.kafka.v1/egress\nspec: []\n"].join("---\n"), "MP0031"),
        ([&dead_letters("out"), INGRESS].join("---\n"), "MP0035"),
    ] {
        assert_eq!(codes(module(&[&text], &options())), [expected], "{text}");
    }
}
