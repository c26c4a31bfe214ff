//! The page `docs/module.md`, from the table.

use std::fmt::Write as _;

use super::{COMPONENT, Field, Mapping, Need, Origin, SECTIONS, Section};

const HEAD: &str = "\
# module.yaml

<!-- Written by `make module-reference` from runtime/config/reference. Changes belong there; a test compares. -->

A module is one file or several, each with documents between lines of `---`. A document declares a component. The order does
not matter. `millpond check FILE` says what is wrong, with the line; `millpond check --describe FILE` says what a module means,
every default filled in.

The format is Apache StateFun's. Fields that it does not have are marked *ours*, or *fork* where they come from the fork of
StateFun whose modules are read, too. A field that nobody knows is ignored, as upstream does, and said.

| value | how it is written |
|---|---|
| text | a number, true and false are taken as they would print, except where upstream wants quotes; the error says so |
| type name | `<namespace>/<name>` |
| duration | a number with `ns`, `us`, `ms`, `s`, `min`, `h` or `d`, such as `1min`; without a unit, milliseconds |
| path | a path on the machine that runs, or a `file:` URL |
| `${NAME}` | is text, as upstream; `millpond run --interpolate-env` puts the variable of the environment there |
";

/// The whole page.
pub(crate) fn page() -> String {
    let mut page = HEAD.to_owned();
    mapping(&mut page, &COMPONENT);
    for section in SECTIONS {
        write_section(&mut page, section);
    }
    page
}

fn write_section(page: &mut String, section: &Section) {
    let Section { heading, text, example, mappings } = section;
    // Writing to a string does not fail.
    let _ = write!(page, "\n## {heading}\n\n{text}\n\n```yaml\n{example}```\n");
    for found in mappings.iter().filter(|mapping| !mapping.fields.is_empty() && !mapping.title.is_empty()) {
        mapping(page, found);
    }
}

fn mapping(page: &mut String, mapping: &Mapping) {
    let _ = write!(page, "\nFields of {}:\n\n| field | value | default | |\n|---|---|---|---|\n", mapping.title);
    for Field { name, value, need, from, text } in mapping.fields {
        let need = match need {
            Need::Required => "required".to_owned(),
            Need::Default(default) => format!("`{default}`"),
            Need::Optional => String::new(),
        };
        let from = match from {
            Origin::Upstream => "",
            Origin::Fork => " *(fork)*",
            Origin::Ours => " *(ours)*",
        };
        let _ = writeln!(page, "| `{name}` | {value} | {need} | {text}{from} |");
    }
}
