//! Nothing in a file may panic or hang: random bytes, mutated module files, and shapes that are known to hurt parsers.
//! `PROPTEST_CASES=100000` makes a night of it.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::render::{Style, render_all};
use super::source::Source;
use super::testing::options;
use super::{LoadOptions, load_sources};

/// Reads a text as a module and shows everything there is to show.
fn read(text: &str) {
    let interpolating =
        LoadOptions { environment: Some(&|name| (name.len() == 1).then(|| "a: [b]".to_owned())), ..options() };
    let sources: [Arc<Source>; 2] = [Source::new("a.yaml", text), Source::new("b.yaml", "")];
    for options in [&options(), &interpolating] {
        let findings = match load_sources(&sources, options) {
            Ok((module, findings)) => {
                assert!(!module.describe().is_empty());
                findings.into_iter().chain(module.not_yet()).collect()
            }
            Err(findings) => {
                assert!(super::errors_only(&findings).next().is_some(), "a refusal has an error");
                findings
            }
        };
        assert!(render_all(&findings, Style::Colour).len() < 4_000_000);
    }
}

/// The module files of the tests, to be mutated.
fn corpus() -> &'static [String] {
    static CORPUS: OnceLock<Vec<String>> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/modules");
        let entries = fs::read_dir(folder).expect("the folder of modules");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        let yaml = paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        yaml.map(|path| fs::read_to_string(path).expect("a module file")).collect()
    })
}

/// One change of a text: what is put in the place of how many characters, where.
fn mutation() -> impl Strategy<Value = (prop::sample::Index, usize, String)> {
    let pieces = [
        "",
        " ",
        "\n",
        "\n  ",
        "\t",
        ":",
        ": ",
        "- ",
        "-",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\"",
        "'",
        "&a ",
        "*a",
        "!!str ",
        "!x ",
        "? ",
        "| ",
        ">-\n",
        "#",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "${A}",
        "${",
        "~",
        "null",
        "-1",
        "99999999999999999999",
        "1e999",
        "0x",
        "é",
        "\u{1F600}",
        "\u{0}",
        "\u{85}",
        "\u{2028}",
        "\r",
        "\r\n",
        "\u{feff}",
        "spec:",
        "kind:",
        "version: \"3.0\"\n",
        "/",
        "*",
        "<<: *a",
    ];
    (any::<prop::sample::Index>(), 0..20usize, prop::sample::select(pieces.map(str::to_owned).to_vec()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Random bytes, as far as they are text.
    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read(&String::from_utf8_lossy(&bytes));
    }

    /// Random text out of the characters that mean something.
    #[test]
    fn random_structure(text in "[ \\n\\ta:\\-\\[\\]{},&*!|>'\"%#?$0.~]{0,200}") {
        read(&text);
    }

    /// Module files with up to four mistakes.
    #[test]
    fn mutated_modules(
        file in any::<prop::sample::Index>(),
        mutations in prop::collection::vec(mutation(), 1..5),
    ) {
        let mut characters: Vec<char> = file.get(corpus()).chars().collect();
        for (at, length, piece) in mutations {
            let start = at.index(characters.len() + 1);
            let end = (start + length).min(characters.len());
            characters.splice(start..end, piece.chars());
        }
        read(&characters.into_iter().collect::<String>());
    }
}

/// Shapes that make careless parsers recurse, back up, or unfold. Each is read in a moment.
#[test]
fn shapes_that_hurt() {
    let n = 20_000;
    let keys: String = (0..n).map(|i| format!("k{i}: v\n")).collect();
    let topics: String = (0..n).map(|i| format!("  - {{topic: t{i}, valueType: a/b, targets: [c/d{i}]}}\n")).collect();
    let kafka = "kind: io.statefun.kafka.v1/ingress\nspec:\n  id: a/b\n  address: c\n  consumerGroupId: d\n  topics:\n";
    let endpoints: String = (0..3_000)
        .map(|i| {
            format!(
                "---\nkind: io.statefun.endpoints.v2/http\nspec: {{functions: x/e{i}, urlPathTemplate: http://f}}\n"
            )
        })
        .collect();
    for (name, text) in [
        ("open lists", "[".repeat(n)),
        ("open mappings", "{".repeat(n)),
        ("nested items", "- ".repeat(n)),
        ("nested keys", "? ".repeat(n)),
        ("colons", "a: ".repeat(n)),
        ("commas", format!("[{}]", "a,".repeat(n))),
        ("anchors", "&a ".repeat(n)),
        ("anchored items", "- &a x\n".repeat(n)),
        ("aliases", format!("- &a x\n{}", "- *a\n".repeat(n))),
        ("documents", "---\n".repeat(n)),
        ("bad documents", "--- x\n".repeat(n)),
        ("indentation", (0..500).map(|i| format!("{}a:\n", " ".repeat(i))).collect()),
        ("spaces", " ".repeat(n)),
        ("tabs", "\t".repeat(n)),
        ("one long word", "x".repeat(n)),
        ("one long line of quotes", "'".repeat(n)),
        ("open quote", format!("\"{}", "\\n".repeat(n))),
        ("comments", "#\n".repeat(n)),
        ("directives", "%YAML 1.2\n".repeat(n)),
        ("tags", "!a ".repeat(n)),
        ("block scalar", format!("a: |\n{}", "  x\n".repeat(n))),
        ("keys", keys.clone()),
        ("unknown fields", format!("kind: io.statefun.playground.v1/ingress\nspec:\n{}", keys.replace('k', "  k"))),
        ("keys given twice", "a: 1\n".repeat(n)),
        (
            "targets and endpoints that do not meet",
            format!(
                "{kafka}{}{endpoints}",
                topics.lines().take(5_000).map(|line| format!("{line}\n")).collect::<String>()
            ),
        ),
        ("targets without endpoint", format!("{kafka}{topics}")),
        (
            "dead letters to topics that are not there",
            format!(
                "kind: io.statefun.playground.v1/egress\nspec:\n  topics: [{}]\n{}",
                (0..n).map(|i| format!("t{i},")).collect::<String>(),
                endpoints
                    .replace("http://f}", "http://f, deadLetter: {egress: io.statefun.playground/egress, topic: u}}")
            ),
        ),
    ] {
        let start = Instant::now();
        read(&text);
        assert!(start.elapsed() < Duration::from_secs(20), "{name} took {:?}", start.elapsed());
    }
}
