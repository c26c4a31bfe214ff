//! What a check found: severity, code, message, places, notes, hints.
//!
//! In: calls of the builder methods. Out: a value that [`super::render`] prints and that tests compare. A diagnostic is
//! data, so that all of them can be collected and shown together, and so that `run` may treat one as fatal that `check`
//! only mentions.

use super::source::Place;
use crate::errors::Code;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The module cannot be used.
    Error,
    /// The module can be used, and part of it does not do what it seems to.
    Warning,
}

/// A place with the words written under it.
#[derive(Debug, Clone)]
pub struct Label {
    /// Where.
    pub place: Place,
    /// The words behind the underline; may be empty.
    pub text: String,
}

/// One finding.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The code that `millpond explain` knows.
    pub code: Code,
    /// The present fact, lowercase, without a final period.
    pub message: String,
    /// Where it is, if it is in a file at all.
    pub label: Option<Label>,
    /// Other places that have a part in it: the first of two duplicates.
    pub related: Vec<Label>,
    /// Facts that help to understand it, one a line.
    pub notes: Vec<String>,
    /// What lies underneath: the message of an operating system or of a parser.
    pub causes: Vec<String>,
    /// The fix: a command or an edit.
    pub hints: Vec<String>,
}

impl Diagnostic {
    /// A finding that makes the module unusable.
    pub fn error(code: Code, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, code, message)
    }

    /// A finding that the user should know about.
    pub fn warning(code: Code, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, code, message)
    }

    fn new(severity: Severity, code: Code, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity,
            code,
            message: message.into(),
            label: None,
            related: Vec::new(),
            notes: Vec::new(),
            causes: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// Says where, with the words to write under it.
    #[must_use]
    pub fn at(mut self, place: Place, text: impl Into<String>) -> Diagnostic {
        self.label = Some(Label { place, text: text.into() });
        self
    }

    /// Adds another place that has a part in it.
    #[must_use]
    pub fn related(mut self, place: Place, text: impl Into<String>) -> Diagnostic {
        self.related.push(Label { place, text: text.into() });
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Diagnostic {
        self.notes.push(text.into());
        self
    }

    /// Adds what lies underneath.
    #[must_use]
    pub fn caused_by(mut self, text: impl ToString) -> Diagnostic {
        self.causes.push(text.to_string());
        self
    }

    /// Adds a fix.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Diagnostic {
        self.hints.push(text.into());
        self
    }

    /// Adds a fix if there is one.
    #[must_use]
    pub fn maybe_hint(mut self, text: Option<String>) -> Diagnostic {
        self.hints.extend(text);
        self
    }

    /// Whether it makes the module unusable.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The same finding as a warning: `check` mentions what only `run` must refuse.
    #[must_use]
    pub fn as_warning(mut self) -> Diagnostic {
        self.severity = Severity::Warning;
        self
    }
}

/// Says that an error has been reported, so that the reader of a component can give up on it and go on with the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported;

/// Collects findings, up to a bound: a file of garbage shall not fill the screen or the memory.
#[derive(Debug, Default)]
pub struct Report {
    findings: Vec<Diagnostic>,
    left_out: usize,
}

/// How many findings are kept; the rest is counted.
const FINDINGS_MAX: usize = 200;

impl Report {
    /// Adds a finding; gives back the token that says so.
    pub fn add(&mut self, diagnostic: Diagnostic) -> Reported {
        if self.findings.len() < FINDINGS_MAX || (diagnostic.is_error() && !self.has_errors()) {
            self.findings.push(diagnostic);
        } else {
            self.left_out += 1;
        }
        Reported
    }

    /// Whether an error was added.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(Diagnostic::is_error)
    }

    /// All findings, those of one file together and in the order of their places, those without a place last.
    pub fn into_findings(mut self, files: &[String]) -> Vec<Diagnostic> {
        let key = |finding: &Diagnostic| match &finding.label {
            Some(label) => {
                let file = files.iter().position(|name| name == label.place.file());
                (0, file.unwrap_or(files.len()), label.place.range().start)
            }
            None => (1, 0, 0),
        };
        self.findings.sort_by_key(key);
        if self.left_out > 0
            && let Some(last) = self.findings.last_mut()
        {
            last.notes.push(format!("{} more findings are not shown", self.left_out));
        }
        self.findings
    }
}
