//! `millpond check-modules DIR`: checks every module file below a folder on its own and prints a table.
//!
//! For collections of modules that belong to others: `make check-modules DIR=...`. One bad file does not end it.

use std::path::{Path, PathBuf};

use super::args::CheckModulesArgs;
use super::check::count;
use super::{Console, Exit};
use crate::config::{self, LoadOptions, errors_only};
use crate::errors;

/// Folders below each other that are entered; also what ends a loop of links.
const DEPTH_MAX: usize = 20;

/// Runs the command.
pub(super) fn execute(args: &CheckModulesArgs, console: &mut Console<'_>) -> Exit {
    let mut files = Vec::new();
    find(&args.folder, DEPTH_MAX, &mut files);
    files.sort();
    if files.is_empty() {
        let fact = format!("no YAML file below `{}`", args.folder.display());
        console.findings(&[config::Diagnostic::error(errors::MP0003, fact)]);
        return Exit::Input;
    }
    let (mut good, mut bad, mut others) = (0, 0, 0);
    for file in &files {
        let name = file.strip_prefix(&args.folder).unwrap_or(file).display();
        if !has_components(file) {
            others += 1;
            continue;
        }
        let modules = [file.display().to_string()];
        let (verdict, findings) = match config::load(&modules, &LoadOptions::check()) {
            Ok((_, findings)) => {
                good += 1;
                ("ok", findings)
            }
            Err(findings) if errors_only(&findings).all(|finding| is_about_the_whole(finding.code)) => {
                good += 1;
                ("ok, a part", findings)
            }
            Err(findings) => {
                bad += 1;
                ("refused", findings)
            }
        };
        let mut codes: Vec<&str> = findings.iter().map(|finding| finding.code.name()).collect();
        codes.sort_unstable();
        codes.dedup();
        console.data(format!("{verdict:<10}  {name}  {}  {}", count(&findings), codes.join(" ")).trim_end());
        if args.findings {
            console.findings(&findings);
        }
    }
    console.data(format!("{good} accepted, {bad} refused, {others} other YAML files left out"));
    if args.strict && bad > 0 { Exit::Input } else { Exit::Done }
}

/// A file may be a part of an application: what is missing may be in another file.
fn is_about_the_whole(code: errors::Code) -> bool {
    [errors::MP0080, errors::MP0081, errors::MP2003].contains(&code)
}

/// Whether a YAML file looks like a module at all.
fn has_components(file: &Path) -> bool {
    // A file that cannot be read as text is for the check to refuse.
    let Ok(text) = std::fs::read_to_string(file) else {
        return true;
    };
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    (has("kind:") && !has("apiVersion:")) || (has("version:") && has("module:"))
}

fn find(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            if depth > 0 {
                find(&path, depth - 1, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
}
