//! `flink-conf.yaml` and `-D key=value`: the settings of upstream that mean something here; the rest is named and ignored.
//!
//! In: a file and pairs of the command line, which go before the file. Out: [`FlinkConf`] with warnings, or what is wrong.
//! The file is read as Flink reads it (`GlobalConfiguration`): line by line, `key: value`, with `#` for comments; it is YAML
//! only by its name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostic;
use super::locate;
use super::source::{Place, Source};
use crate::errors::{self, near_miss};

/// What is taken from Flink's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlinkConf {
    /// `statefun.remote.module-name`: where the module is.
    pub module: Option<String>,
    /// `statefun.flink-job-name`, unless it is one of the names that upstream gives every application.
    pub job_name: Option<String>,
    /// `statefun.async.max-per-task`: calls in flight at most; 0 or less is no limit.
    pub calls_in_flight: Option<usize>,
}

/// Names of the file in a folder: Flink's, and where there is none, that of Flink 2.
const FILES: [&str; 2] = ["flink-conf.yaml", "config.yaml"];

/// What upstream calls an application that nobody named: the default, and that of the official image.
const NO_NAMES: [&str; 2] = ["StatefulFunctions", "Statefun Application"];

const MODULE: &str = "statefun.remote.module-name";
const JOB_NAME: &str = "statefun.flink-job-name";
const MAX_PER_TASK: &str = "statefun.async.max-per-task";

/// Settings of StateFun that have no effect in upstream either with modules like ours, or only inside a JVM.
const SILENT: [&str; 4] = [
    "statefun.embedded",
    "statefun.message.custom-payload-serializer-class",
    "statefun.message.serializer",
    "statefun.feedback.memory.size",
];

/// What all settings for embedded modules begin with.
const GLOBAL_CONFIG: &str = "statefun.module.global-config.";

/// Settings that are listed in one warning.
const LISTED_MAX: usize = 50;

/// A setting, and where it is when it is in the file.
struct Setting {
    value: String,
    place: Option<Place>,
}

/// Reads a file, or the file in a folder, and the pairs that go before it.
///
/// # Errors
/// Every finding, warnings included, if at least one of them is an error.
pub fn load(file: Option<&Path>, pairs: &[(String, String)]) -> Result<(FlinkConf, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut findings = Vec::new();
    let source = match file.map(read).transpose() {
        Ok(source) => source,
        Err(finding) => return Err(vec![*finding]),
    };
    let mut settings = source.as_ref().map(|source| lines(source, &mut findings)).unwrap_or_default();
    for (key, value) in pairs {
        settings.insert(key.clone(), Setting { value: value.clone(), place: None });
    }
    let conf = understand(&settings, &mut findings);
    match findings.iter().any(Diagnostic::is_error) {
        true => Err(findings),
        false => Ok((conf, findings)),
    }
}

fn read(path: &Path) -> Result<std::sync::Arc<Source>, Box<Diagnostic>> {
    let path: PathBuf = match path.is_dir() {
        true => FILES.map(|name| path.join(name)).into_iter().find(|file| file.exists()).unwrap_or(path.join(FILES[0])),
        false => path.to_owned(),
    };
    let name = path.display().to_string();
    let failed = |cause: String| {
        let finding = Diagnostic::error(errors::MP0100, format!("Flink configuration `{name}` cannot be read"));
        Box::new(finding.caused_by(cause).hint("name the file, or the folder that holds `flink-conf.yaml`"))
    };
    let bytes = locate::read_bounded(&path).map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > locate::FILE_BYTES_MAX {
        return Err(failed("it is larger than 1 MiB".to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8 text".to_owned()))?;
    Ok(Source::new(name, text))
}

/// The settings of a file; of a key that is there twice the last one counts.
fn lines(source: &std::sync::Arc<Source>, findings: &mut Vec<Diagnostic>) -> BTreeMap<String, Setting> {
    let mut settings = BTreeMap::new();
    let mut unread = Vec::new();
    let mut start = 0;
    for line in source.text().split_inclusive('\n') {
        let place = Place::new(source, start..start + line.trim_end().len());
        start += line.len();
        let text = line.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        match text.split_once(": ").map(|(key, value)| (key.trim(), value.trim())) {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                settings.insert(key.to_owned(), Setting { value: value.to_owned(), place: Some(place) });
            }
            _ => unread.push(place),
        }
    }
    if let Some(first) = unread.first() {
        let fact =
            format!("{} of the Flink configuration have no `key: value` and are ignored", lines_word(unread.len()));
        let hint = "write every key in full, such as `statefun.flink-job-name: orders`; nested YAML is not read";
        findings.push(Diagnostic::warning(errors::MP0101, fact).at(first.clone(), "the first one").hint(hint));
    }
    settings
}

fn lines_word(count: usize) -> String {
    if count == 1 { "1 line".to_owned() } else { format!("{count} lines") }
}

fn understand(settings: &BTreeMap<String, Setting>, findings: &mut Vec<Diagnostic>) -> FlinkConf {
    let mut conf = FlinkConf::default();
    let mut ignored = Vec::new();
    for (key, setting) in settings {
        let value = &setting.value;
        match key.as_str() {
            MODULE => conf.module = Some(value.clone()),
            JOB_NAME if NO_NAMES.contains(&value.as_str()) => {}
            JOB_NAME => conf.job_name = Some(value.clone()),
            MAX_PER_TASK => match value.parse::<i64>() {
                Ok(calls) => {
                    conf.calls_in_flight =
                        Some(usize::try_from(calls).ok().filter(|calls| *calls > 0).unwrap_or(usize::MAX))
                }
                Err(_) => findings.push(unusable(key, setting, "a number of calls; 0 is no limit")),
            },
            silent if SILENT.contains(&silent) || silent.starts_with(GLOBAL_CONFIG) => {}
            _ => ignored.push(key.as_str()),
        }
    }
    if !ignored.is_empty() {
        findings.push(without_effect(&ignored));
    }
    conf
}

fn unusable(key: &str, setting: &Setting, wanted: &str) -> Diagnostic {
    let finding =
        Diagnostic::error(errors::MP0102, format!("`{key}` is `{}`", setting.value)).hint(format!("give it {wanted}"));
    match &setting.place {
        Some(place) => finding.at(place.clone(), "here"),
        None => finding,
    }
}

/// One warning for all that means nothing here.
fn without_effect(ignored: &[&str]) -> Diagnostic {
    let mut listed: Vec<String> = ignored.iter().take(LISTED_MAX).map(|key| format!("`{key}`")).collect();
    if ignored.len() > LISTED_MAX {
        listed.push(format!("{} more", ignored.len() - LISTED_MAX));
    }
    let finding =
        Diagnostic::warning(errors::MP0101, "Flink settings without effect in Millpond").note(listed.join(", "));
    let known = [MODULE, JOB_NAME, MAX_PER_TASK];
    let meant = ignored.iter().filter(|key| key.starts_with("statefun.")).find_map(|key| near_miss(key, known));
    match meant {
        Some(meant) => finding.hint(format!("did you mean `{meant}`?")),
        None => finding
            .hint("state is kept without them: nothing is to be configured for checkpoints, restarts or backends"),
    }
}

#[cfg(test)]
mod tests {
    use super::{FlinkConf, load};
    use crate::config::Diagnostic;

    fn conf(text: &str, pairs: &[(&str, &str)]) -> Result<(FlinkConf, Vec<Diagnostic>), Vec<Diagnostic>> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("flink-conf.yaml"), text).expect("a file");
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        load(Some(folder.path()), &pairs)
    }

    fn codes(findings: &[Diagnostic]) -> Vec<&str> {
        findings.iter().map(|finding| finding.code.name()).collect()
    }

    /// The keys of StateFun mean here what they mean there; comments, repetitions and `-D` are read as Flink reads them.
    #[test]
    fn what_is_understood() {
        let text = "# StateFun\nstatefun.flink-job-name: orders # ours\nstatefun.remote.module-name: file:///m.yaml\n\
                    statefun.async.max-per-task: 10\nstatefun.async.max-per-task:   64  \n\
                    statefun.module.global-config.KEY: x\nstatefun.message.serializer: WITH_RAW_PAYLOADS\n\
                    statefun.feedback.memory.size: 64 MB\nstatefun.embedded: true\n";
        let (found, findings) = conf(text, &[]).expect("it is right");
        let expected = FlinkConf {
            module: Some("file:///m.yaml".to_owned()),
            job_name: Some("orders".to_owned()),
            calls_in_flight: Some(64),
        };
        assert_eq!((found, codes(&findings)), (expected, vec![]));
        let (found, _) =
            conf(text, &[("statefun.flink-job-name", "others"), ("statefun.async.max-per-task", "-1")]).expect("right");
        assert_eq!((found.job_name.as_deref(), found.calls_in_flight), (Some("others"), Some(usize::MAX)));
        for name in ["StatefulFunctions", "Statefun Application"] {
            let (found, _) = conf(&format!("statefun.flink-job-name: {name}\n"), &[]).expect("it is right");
            assert_eq!(found.job_name, None, "every application is called that");
        }
        assert_eq!(load(None, &[]).expect("nothing is wrong").0, FlinkConf::default());
    }

    /// MP0101: what has no effect is named, once, and a typing error is seen.
    #[test]
    fn what_is_ignored() {
        let text = "restart-strategy: fixed-delay\nexecution.checkpointing.interval: 5sec\n";
        let (found, findings) = conf(text, &[]).expect("it is right");
        assert_eq!((found, codes(&findings)), (FlinkConf::default(), vec!["MP0101"]));
        assert_eq!(findings[0].notes, ["`execution.checkpointing.interval`, `restart-strategy`"]);
        let (_, findings) = conf("statefun.async.max-per-tasks: 7\n", &[]).expect("it is right");
        assert_eq!(findings[0].hints, ["did you mean `statefun.async.max-per-task`?"]);
        let nested = "statefun:\n  flink-job-name: orders\nno separator\nkey:value\nempty: \n";
        let (_, findings) = conf(nested, &[]).expect("it is right");
        assert_eq!(codes(&findings), ["MP0101", "MP0101"]);
        assert!(findings[0].message.starts_with("4 lines"), "{}", findings[0].message);
    }

    /// MP0100, MP0102: a file that is not there and a value that is none are errors.
    #[test]
    fn what_is_wrong() {
        let wrong = conf("a: b\nstatefun.async.max-per-task: many\n", &[]).expect_err("it is no number");
        assert_eq!(codes(&wrong), ["MP0102", "MP0101"]);
        assert_eq!(wrong[0].label.as_ref().map(|label| label.place.line()), Some(2));
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(codes(&load(Some(folder.path()), &[]).expect_err("nothing is there")), ["MP0100"]);
        std::fs::write(folder.path().join("config.yaml"), b"\xff").expect("a file");
        assert_eq!(codes(&load(Some(folder.path()), &[]).expect_err("it is no text")), ["MP0100"]);
        std::fs::write(folder.path().join("config.yaml"), "# \n".repeat(400_000)).expect("a file");
        assert_eq!(codes(&load(Some(folder.path()), &[]).expect_err("it is too large")), ["MP0100"]);
    }
}
