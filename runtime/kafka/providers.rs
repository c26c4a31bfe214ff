//! Values of properties that are kept elsewhere, as Kafka's own clients read them: `${file:/run/secrets/kafka.properties:password}`.
//!
//! What comes in: the properties of a component. What goes out: the same with what the references stand for, or what is wrong
//! with one. Only a component that names its providers in `config.providers` has references; in all others `${` is text. A
//! provider is named by Java's class, and does here what that class does; files are read once, when the component is made.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::Finding;

/// Bytes of a file at most.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where names and settings of providers are.
const PROVIDERS: &str = "config.providers";

/// What Java's class of this name does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A key of a file of Java properties.
    File,
    /// A file of a folder, as a whole.
    Directory,
    /// A variable of the environment.
    Environment,
}

/// One provider.
#[derive(Debug)]
struct Provider {
    kind: Kind,
    /// Paths that it may read below; all if there are none.
    allowed: Vec<PathBuf>,
}

/// Where a variable of the environment is looked up.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The properties with what their references stand for, and what is wrong with those that stand for nothing.
pub(super) fn resolved(
    given: &BTreeMap<String, String>,
    variable: Lookup<'_>,
) -> (BTreeMap<String, String>, Vec<Finding>) {
    let mut findings = Vec::new();
    let Some(names) = given.get(PROVIDERS) else { return (given.clone(), findings) };
    let mut providers = BTreeMap::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match provider(name, given) {
            Ok(provider) => drop(providers.insert(name.to_owned(), provider)),
            Err(finding) => findings.push(finding),
        }
    }
    if !findings.is_empty() {
        return (given.clone(), findings);
    }
    let mut resolved = BTreeMap::new();
    for (property, value) in given {
        let text = match is_setting(property) {
            true => Ok(value.clone()),
            false => replaced(value, &providers, variable),
        };
        match text {
            Ok(text) => drop(resolved.insert(property.clone(), text)),
            Err(why) => findings.push(refused(
                format!("property `{property}` refers to what is not there: {why}"),
                "put it there, or write the value itself",
            )),
        }
    }
    (resolved, findings)
}

/// Whether a property is about providers.
pub(super) fn is_setting(property: &str) -> bool {
    property == PROVIDERS || property.starts_with("config.providers.")
}

fn refused(fact: String, hint: &str) -> Finding {
    Finding { refused: true, fact, hint: Some(hint.to_owned()) }
}

fn provider(name: &str, given: &BTreeMap<String, String>) -> Result<Provider, Finding> {
    const HINT: &str = "use `FileConfigProvider`, `DirectoryConfigProvider` or `EnvVarConfigProvider` of package \
                        `org.apache.kafka.common.config.provider`";
    let property = format!("{PROVIDERS}.{name}.class");
    let Some(class) = given.get(&property) else {
        return Err(refused(format!("provider `{name}` of property `{PROVIDERS}` has no `{property}`"), HINT));
    };
    let kind = match class.trim().strip_prefix("org.apache.kafka.common.config.provider.") {
        Some("FileConfigProvider") => Kind::File,
        Some("DirectoryConfigProvider") => Kind::Directory,
        Some("EnvVarConfigProvider") => Kind::Environment,
        _ => return Err(refused(format!("class `{class}` of property `{property}` cannot be honoured"), HINT)),
    };
    let settings = format!("{PROVIDERS}.{name}.param.");
    let mut allowed = Vec::new();
    for (property, value) in given.range(settings.clone()..).take_while(|(it, _)| it.starts_with(&settings)) {
        match (&property[settings.len()..], kind) {
            ("allowed.paths", Kind::File | Kind::Directory) => {
                allowed = value.split(',').map(|path| PathBuf::from(path.trim())).collect();
            }
            _ => {
                let hint = "leave it out, and keep what may not be read from the user who runs the node";
                return Err(refused(format!("property `{property}` cannot be honoured"), hint));
            }
        }
    }
    Ok(Provider { kind, allowed })
}

/// A value with what its references stand for. What is no reference to a provider that is there stays as it is.
fn replaced(value: &str, providers: &BTreeMap<String, Provider>, variable: Lookup<'_>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, behind)) = rest.split_once("${") {
        out.push_str(before);
        let reference = behind.split_once('}').and_then(|(inside, behind)| {
            let (name, what) = inside.split_once(':')?;
            Some((providers.get(name)?, what, inside, behind))
        });
        let Some((provider, what, inside, behind)) = reference else {
            out.push_str("${");
            rest = behind;
            continue;
        };
        let found = provider.value(what, variable).map_err(|why| format!("`${{{inside}}}`: {why}"))?;
        out.push_str(&found);
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

impl Provider {
    fn value(&self, what: &str, variable: Lookup<'_>) -> Result<String, String> {
        if self.kind == Kind::Environment {
            return variable(what).ok_or_else(|| format!("variable `{what}` is not set"));
        }
        let (path, key) = what.split_once(':').ok_or("it has no key behind the path")?;
        let path = Path::new(path);
        let climbs = |path: &Path| path.components().any(|part| part == Component::ParentDir);
        if !self.allowed.is_empty() && (climbs(path) || !self.allowed.iter().any(|allowed| path.starts_with(allowed))) {
            return Err("`allowed.paths` does not allow that path".to_owned());
        }
        if self.kind == Kind::Directory {
            if Path::new(key).components().count() != 1 || climbs(Path::new(key)) {
                return Err(format!("`{key}` is not the name of a file in a folder"));
            }
            // Editors end a file with a line end, which is no part of a secret.
            return Ok(read(&path.join(key))?.trim_end_matches(['\n', '\r']).to_owned());
        }
        let mut properties = java_properties(&read(path)?);
        properties.remove(key).ok_or_else(|| format!("file `{}` has no key `{key}`", path.display()))
    }
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| format!("file `{}` cannot be read: {error}", path.display());
    let bytes = crate::credentials::file::read(path, FILE_BYTES_MAX).map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|_| failed(&"it is not UTF-8 text"))
}

/// A file of Java properties: `key=value`, `key: value` or `key value`, with `#` and `!` for comments, lines that go on behind a
/// backslash, and escapes. The last one of two with one key counts.
fn java_properties(text: &str) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut line = line.trim_start().to_owned();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        while goes_on(&line) {
            line.pop();
            line.push_str(lines.next().unwrap_or_default().trim_start());
        }
        let mut escaped = false;
        let end = line.find(|c: char| {
            let ends = !escaped && (c == '=' || c == ':' || c.is_ascii_whitespace());
            escaped = c == '\\' && !escaped;
            ends
        });
        let (key, value) = line.split_at(end.unwrap_or(line.len()));
        let value = value.trim_start();
        let value = value.strip_prefix(['=', ':']).unwrap_or(value).trim_start();
        properties.insert(unescaped(key), unescaped(value));
    }
    properties
}

/// A line ends with a backslash that is not escaped itself.
fn goes_on(line: &str) -> bool {
    (line.len() - line.trim_end_matches('\\').len()) % 2 == 1
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match rest.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let digits: String = rest.clone().take(4).collect();
                match u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32) {
                    Some(character) if digits.len() == 4 => {
                        out.push(character);
                        rest.nth(3);
                    }
                    _ => out.push('u'),
                }
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::{java_properties, resolved};
    use crate::kafka::{Role, Settings};

    const PACKAGE: &str = "org.apache.kafka.common.config.provider";

    fn given(properties: &[(&str, &str)]) -> BTreeMap<String, String> {
        properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// Without `config.providers` a value is what it is, as upstream; with it, only what names a provider is a reference.
    #[test]
    fn only_who_names_providers_has_references() {
        let plain = given(&[("client.id", "${file:/etc/passwd:root}")]);
        assert_eq!(resolved(&plain, &|_| None), (plain, Vec::new()));
        let class = format!("{PACKAGE}.EnvVarConfigProvider");
        let some = |value: &str| {
            let all =
                given(&[("config.providers", "env"), ("config.providers.env.class", &class), ("client.id", value)]);
            let (mut resolved, findings) = resolved(&all, &|name| (name == "NAME").then(|| "${env:NAME}$".to_owned()));
            assert!(findings.is_empty(), "{findings:?}");
            resolved.remove("client.id").expect("it is there")
        };
        for (value, expected) in [
            ("a${env:NAME}b${env:NAME}", "a${env:NAME}$b${env:NAME}$"),
            ("${other:NAME} $${} ${env ${}", "${other:NAME} $${} ${env ${}"),
            ("${", "${"),
        ] {
            assert_eq!(some(value), expected);
        }
    }

    /// A key of a file and a file of a folder, in the middle of a value, too; a secret comes through to the client.
    #[test]
    fn files() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kafka.properties");
        fs::write(&path, "user = ada\npass\\u0077ord=c:r\\\\ct \n").expect("a file");
        fs::write(folder.path().join("password"), "correct horse\n").expect("a file");
        let (file, directory) = (format!("{PACKAGE}.FileConfigProvider"), format!("{PACKAGE}.DirectoryConfigProvider"));
        let (path, folder) = (path.display().to_string(), folder.path().display().to_string());
        let jaas = format!(
            "a.b.PlainLoginModule required username=\"${{file:{path}:user}}\" password=\"${{secrets:{folder}:password}}\";"
        );
        let properties = given(&[
            ("config.providers", "file, secrets"),
            ("config.providers.file.class", &file),
            ("config.providers.secrets.class", &directory),
            ("config.providers.secrets.param.allowed.paths", &folder),
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.jaas.config", &jaas),
            ("client.id", &format!("${{file:{path}:password}}")),
        ]);
        let (settings, findings) = Settings::new(Role::Consumer, "localhost:9092", &properties);
        assert!(findings.is_empty(), "{findings:?}");
        let found = ["sasl.username", "sasl.password", "client.id"].map(|name| settings.get(name));
        assert_eq!(found, [Some("ada"), Some("correct horse"), Some("c:r\\ct ")]);
    }

    /// MP0065: what a reference stands for must be there, and a provider must be one that is known; no secret is shown.
    #[test]
    fn refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kafka.properties");
        fs::write(&path, "password=correct horse\n").expect("a file");
        let path = path.display().to_string();
        for (class, more, value, words) in [
            ("FileConfigProvider", ("a", "b"), format!("${{p:{path}:user}}"), "has no key `user`"),
            ("FileConfigProvider", ("a", "b"), "${p:/no/such:file}".to_owned(), "file `/no/such` cannot be read"),
            ("FileConfigProvider", ("a", "b"), "${p:file}".to_owned(), "it has no key behind the path"),
            (
                "FileConfigProvider",
                ("config.providers.p.param.allowed.paths", "/etc"),
                format!("${{p:{path}:password}}"),
                "does not allow",
            ),
            (
                "FileConfigProvider",
                ("config.providers.p.param.allowed.paths", "/etc"),
                "${p:/etc/../tmp/x:y}".to_owned(),
                "does not allow",
            ),
            ("DirectoryConfigProvider", ("a", "b"), "${p:/etc:../etc/passwd}".to_owned(), "is not the name of a file"),
            ("EnvVarConfigProvider", ("a", "b"), "${p:NAME}".to_owned(), "variable `NAME` is not set"),
            (
                "EnvVarConfigProvider",
                ("config.providers.p.param.allowlist.pattern", ".*"),
                String::new(),
                "cannot be honoured",
            ),
            ("VaultConfigProvider", ("a", "b"), String::new(), "cannot be honoured"),
        ] {
            let class = format!("{PACKAGE}.{class}");
            let all = given(&[
                ("config.providers", "p"),
                ("config.providers.p.class", &class),
                more,
                ("sasl.password", &value),
            ]);
            let (_, findings) = resolved(&all, &|_| None);
            assert!(findings.len() == 1 && findings[0].refused && findings[0].hint.is_some(), "{class}: {findings:?}");
            let fact = &findings[0].fact;
            assert!(fact.contains(words) && !fact.contains("correct horse"), "{class}: {fact}");
        }
        let (_, findings) = resolved(&given(&[("config.providers", "p")]), &|_| None);
        assert!(findings.len() == 1 && findings[0].fact.contains("config.providers.p.class"), "{findings:?}");
    }

    /// The form of the file, as Java has it.
    #[test]
    fn the_form_of_properties() {
        let text = "# comment\n! comment\n\n  a = 1\nb:2\nc 3\n d\\ e\\=f = \\u00e9\\n\ng = one \\\n   two\nh\ni=x\\\\\nj=k=l\na=4";
        let expected = [
            ("a", "4"),
            ("b", "2"),
            ("c", "3"),
            ("d e=f", "\u{e9}\n"),
            ("g", "one two"),
            ("h", ""),
            ("i", "x\\"),
            ("j", "k=l"),
        ];
        assert_eq!(java_properties(text), given(&expected));
        // Nothing that somebody writes is a panic.
        for odd in ["\\", "a\\", "\\u12", "=\\u\u{fc}\u{fc}", "a=\\\n", "\u{0}:"] {
            java_properties(odd);
        }
    }
}
