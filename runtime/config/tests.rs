//! Whole modules: every file of `tests/modules/` gives the result that its table says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

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
