//! MODULE arguments to files, and files to text.
//!
//! In: what was written on the command line: a path, a `file:` URL, or a folder. Out: sources. A folder stands for every
//! `*/module.yaml` in it, as upstream's image merges `/opt/statefun/modules/<dir>/module.yaml`, and for a `module.yaml`
//! directly in it, so that the folder of a single module works too. A file that is named twice is read once.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Report};
use super::resource;
use super::source::Source;
use crate::errors;

/// Bytes of one module file.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Files of one application.
pub const FILES_MAX: usize = 1000;

/// Name of a module file in a folder.
const MODULE_FILE: &str = "module.yaml";

/// Reads all module files, in the order of the arguments and, in a folder, by name.
pub(crate) fn read_all(modules: &[String], report: &mut Report) -> Vec<Arc<Source>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for module in modules {
        match resource::path(module) {
            Ok(path) if path.is_dir() => paths.extend(in_folder(&path, report)),
            Ok(path) => paths.push(path),
            Err(cause) => {
                let finding = Diagnostic::error(errors::MP0002, format!("`{module}` does not name a module"));
                let hint = "pass the path of a module file, or of the folder that holds it";
                report.add(finding.caused_by(cause).hint(hint));
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    paths.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    if paths.len() > FILES_MAX {
        report.add(Diagnostic::error(errors::MP0005, format!("application has more than {FILES_MAX} module files")));
        paths.truncate(FILES_MAX);
    }
    paths.iter().filter_map(|path| read_one(path, report)).collect()
}

fn in_folder(folder: &Path, report: &mut Report) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut others = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            let fact = format!("folder `{}` cannot be read", folder.display());
            report.add(Diagnostic::error(errors::MP0001, fact).caused_by(error));
            return found;
        }
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            found.extend(Some(path.join(MODULE_FILE)).filter(|file| file.is_file()));
        } else if path.file_name().is_some_and(|name| name == MODULE_FILE) {
            found.push(path);
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            others.push(path);
        }
    }
    found.sort();
    others.sort();
    if found.is_empty() {
        let fact = format!("folder `{}` holds no `{MODULE_FILE}` and no `*/{MODULE_FILE}`", folder.display());
        let mut finding = Diagnostic::error(errors::MP0003, fact);
        if let Some(other) = others.first() {
            finding = finding.hint(format!("name the file itself: `{}`", other.display()));
        }
        report.add(finding);
    }
    found
}

fn read_one(path: &Path, report: &mut Report) -> Option<Arc<Source>> {
    let name = path.display().to_string();
    let bytes = match read_bounded(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let mut finding = Diagnostic::error(errors::MP0001, format!("module file `{name}` cannot be read"));
            if name.starts_with('~') {
                finding = finding.hint("the shell expands `~` only at the start of a word, and not inside quotes");
            }
            report.add(finding.caused_by(error));
            return None;
        }
    };
    if u64::try_from(bytes.len()).is_ok_and(|len| len > FILE_BYTES_MAX) {
        report.add(Diagnostic::error(errors::MP0005, format!("module file `{name}` is larger than 1 MiB")));
        return None;
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Some(Source::new(name, text)),
        Err(error) => {
            let at = error.valid_up_to();
            let line = bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
            let fact = format!("module file `{name}` is not UTF-8 text, see byte {at} in line {line}");
            let finding = Diagnostic::error(errors::MP0004, fact).hint("save the file as UTF-8");
            report.add(finding);
            None
        }
    }
}

/// The bytes of a file, and one more than allowed if it is too large.
pub(crate) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::diagnostic::{Diagnostic, Report};
    use super::{FILE_BYTES_MAX, read_all};

    fn write(path: &Path, text: impl AsRef<[u8]>) {
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// The names of what was read relative to a folder, and the codes of what went wrong.
    fn read(folder: &Path, modules: &[&str]) -> (Vec<String>, Vec<Diagnostic>) {
        let modules: Vec<String> =
            modules.iter().map(|module| module.replace("DIR", &folder.display().to_string())).collect();
        let mut report = Report::default();
        let sources = read_all(&modules, &mut report);
        let prefix = format!("{}/", folder.display());
        let names = sources.iter().map(|source| source.name().trim_start_matches(&prefix).to_owned()).collect();
        (names, report.into_findings(&[]))
    }

    fn codes(findings: &[Diagnostic]) -> Vec<&str> {
        findings.iter().map(|finding| finding.code.name()).collect()
    }

    /// A folder is its own module and those of its folders, by name; nothing deeper, no other names.
    #[test]
    fn folder_merges_modules() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b/module.yaml", "a/module.yaml", "module.yaml", "a/deeper/module.yaml", "c/other.yaml", "x.yaml"]
        {
            write(&folder.path().join(name), "");
        }
        let (names, findings) = read(folder.path(), &["DIR"]);
        assert_eq!(names, ["a/module.yaml", "b/module.yaml", "module.yaml"]);
        assert!(findings.is_empty());
        let (names, _) = read(folder.path(), &["file://DIR/b/module.yaml", "DIR/b/../b/module.yaml", "DIR/x.yaml"]);
        assert_eq!(names, ["b/module.yaml", "x.yaml"], "a file that is named twice is read once");
    }

    /// MP0001, MP0002, MP0003: what cannot be found is said with its cause, and the rest is still read.
    #[test]
    fn not_found() {
        let folder = tempfile::tempdir().expect("a folder");
        write(&folder.path().join("only.yaml"), "");
        fs::create_dir(folder.path().join("empty")).expect("a folder");
        let modules = ["DIR/none.yaml", "classpath:module.yaml", "DIR/empty", "DIR", "DIR/only.yaml"];
        let (names, findings) = read(folder.path(), &modules);
        assert_eq!(names, ["only.yaml"]);
        assert_eq!(codes(&findings), ["MP0002", "MP0003", "MP0003", "MP0001"]);
        assert!(findings[2].hints[0].ends_with("only.yaml`"), "{:?}", findings[2].hints);
        assert!(!findings[3].causes.is_empty());
    }

    /// MP0004, MP0005: text in another encoding and files past the bound are refused; a byte order mark is not text.
    #[test]
    fn contents() {
        let folder = tempfile::tempdir().expect("a folder");
        let bytes = usize::try_from(FILE_BYTES_MAX).expect("a bound that fits");
        write(&folder.path().join("utf16.yaml"), b"\xff\xfek\0i\0");
        write(&folder.path().join("latin1.yaml"), b"a: 1\nb: caf\xe9\n");
        write(&folder.path().join("full.yaml"), vec![b'#'; bytes]);
        write(&folder.path().join("over.yaml"), vec![b'#'; bytes + 1]);
        write(&folder.path().join("mark.yaml"), b"\xef\xbb\xbfkind: x");
        let modules = ["DIR/utf16.yaml", "DIR/latin1.yaml", "DIR/full.yaml", "DIR/over.yaml", "DIR/mark.yaml"];
        let (names, findings) = read(folder.path(), &modules);
        assert_eq!(names, ["full.yaml", "mark.yaml"]);
        assert_eq!(codes(&findings), ["MP0004", "MP0004", "MP0005"]);
        assert!(findings[1].message.ends_with("see byte 11 in line 2"), "{}", findings[1].message);
    }
}
