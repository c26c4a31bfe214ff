//! Reading the fields of one mapping, and the coercions of its values.
//!
//! In: a node and the place to report to. Out: typed values, or [`Reported`]. Upstream reads most specs with Jackson, which
//! takes `"1000"` for a number and `1000` for text; the methods here do the same, and the `strict_` ones do what upstream's
//! hand-written readers do. When all known fields were asked for, [`Fields::finish`] warns about the others, which upstream
//! ignores silently.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use millpond_protocol::TypeName;

use super::LoadOptions;
use super::diagnostic::{Diagnostic, Report, Reported};
use super::duration;
use super::reference::Mapping;
use super::scalar::Scalar;
use super::source::{Place, Source};
use super::yaml::{Entry, Node, Value};
use crate::errors::{self, near_miss};

/// What the readers of a file share.
pub(crate) struct Context<'a> {
    pub(crate) source: &'a Arc<Source>,
    pub(crate) options: &'a LoadOptions<'a>,
    pub(crate) report: &'a mut Report,
}

impl Context<'_> {
    pub(crate) fn place(&self, range: &Range<usize>) -> Place {
        Place::new(self.source, range.clone())
    }

    pub(crate) fn place_of(&self, node: &Node) -> Place {
        self.place(&node.range)
    }

    pub(crate) fn add(&mut self, diagnostic: Diagnostic) -> Reported {
        self.report.add(diagnostic)
    }

    /// Reports a value of the wrong type.
    pub(crate) fn wrong_type(&mut self, node: &Node, field: &str, expected: &str) -> Reported {
        let place = self.place_of(node);
        let fact = format!("`{field}` is {} where {expected} is needed", node.description());
        self.add(Diagnostic::error(errors::MP0031, fact).at(place, format!("expected {expected}")))
    }

    /// Text; other scalars are taken as they would print, as Jackson does for strings.
    pub(crate) fn text(&mut self, node: &Node, field: &str) -> Result<String, Reported> {
        match node.scalar() {
            Some(Scalar::Null) | None => Err(self.wrong_type(node, field, "text")),
            Some(scalar) => Ok(scalar.to_text()),
        }
    }

    /// Text and nothing else: a number needs quotes.
    pub(crate) fn strict_text(&mut self, node: &Node, field: &str) -> Result<String, Reported> {
        match node.scalar() {
            Some(Scalar::Text(text)) => Ok(text.clone()),
            other => {
                let place = self.place_of(node);
                let fact = format!("`{field}` is {} where text is needed", node.description());
                let mut diagnostic = Diagnostic::error(errors::MP0031, fact).at(place, "expected text");
                if let Some(scalar) = other.filter(|scalar| **scalar != Scalar::Null) {
                    diagnostic = diagnostic.hint(format!("write it in quotes: `\"{}\"`", scalar.to_text()));
                }
                Err(self.add(diagnostic))
            }
        }
    }

    /// Text, or nothing: for fields where upstream takes null as absent.
    pub(crate) fn nullable_text(&mut self, node: &Node, field: &str) -> Result<Option<String>, Reported> {
        if node.is_null() { Ok(None) } else { self.text(node, field).map(Some) }
    }

    /// A 32-bit number as Jackson reads one: text is parsed, a fraction is cut off. Null and empty text give `None`.
    pub(crate) fn int(&mut self, node: &Node, field: &str) -> Result<Option<i32>, Reported> {
        let number = match node.scalar() {
            Some(Scalar::Null) => return Ok(None),
            Some(Scalar::Text(text)) if matches!(text.trim(), "" | "null") => return Ok(None),
            Some(Scalar::Text(text)) => text.trim().parse::<i64>().ok(),
            Some(Scalar::Int(int)) => int.to_i64().or(Some(i64::MAX)),
            Some(Scalar::Float(float)) => Some(self.cut_fraction(node, field, *float)),
            Some(Scalar::Bool(_)) | None => None,
        };
        let Some(number) = number else {
            return Err(self.wrong_type(node, field, "a whole number"));
        };
        i32::try_from(number).map(Some).map_err(|_| self.out_of_range(node, field, "-2147483648 to 2147483647"))
    }

    fn cut_fraction(&mut self, node: &Node, field: &str, float: f64) -> i64 {
        // Saturating, as every float to integer cast is; what does not fit fails the range check that follows.
        let whole = float.trunc() as i64;
        if float.fract() != 0.0 {
            let place = self.place_of(node);
            let fact = format!("`{field}` is read as {whole}");
            self.add(Diagnostic::warning(errors::MP0040, fact).at(place, "the fraction is cut off, as upstream does"));
        }
        whole
    }

    /// A whole number of YAML and nothing else.
    pub(crate) fn strict_int(&mut self, node: &Node, field: &str) -> Result<i32, Reported> {
        match node.scalar() {
            Some(Scalar::Int(int)) => int
                .to_i64()
                .and_then(|number| i32::try_from(number).ok())
                .ok_or_else(|| self.out_of_range(node, field, "-2147483648 to 2147483647")),
            _ => Err(self.wrong_type(node, field, "a whole number (without quotes)")),
        }
    }

    /// A boolean; Jackson also takes the texts `true` and `false`.
    pub(crate) fn boolean(&mut self, node: &Node, field: &str) -> Result<bool, Reported> {
        match node.scalar() {
            Some(Scalar::Bool(truth)) => Ok(*truth),
            Some(Scalar::Text(text)) if text.trim() == "true" => Ok(true),
            Some(Scalar::Text(text)) if text.trim() == "false" => Ok(false),
            _ => Err(self.wrong_type(node, field, "`true` or `false`")),
        }
    }

    pub(crate) fn out_of_range(&mut self, node: &Node, field: &str, allowed: &str) -> Reported {
        let place = self.place_of(node);
        let number = node.scalar().map_or_else(String::new, Scalar::to_text);
        let fact = format!("`{field}` is {number}, which is out of range");
        self.add(Diagnostic::error(errors::MP0034, fact).at(place, format!("allowed: {allowed}")))
    }

    /// A duration: text of the grammar, or a number of milliseconds.
    pub(crate) fn duration(&mut self, node: &Node, field: &str) -> Result<Duration, Reported> {
        let text = match node.scalar() {
            Some(Scalar::Null) | None => return Err(self.wrong_type(node, field, "a duration")),
            Some(scalar) => scalar.to_text(),
        };
        duration::parse(&text).map_err(|cause| {
            let place = self.place_of(node);
            let fact = format!("`{field}` is not a duration: `{text}`");
            self.add(Diagnostic::error(errors::MP0037, fact).at(place, cause.to_string()).maybe_hint(cause.hint(&text)))
        })
    }

    /// A type name, `namespace/name`.
    pub(crate) fn type_name(&mut self, node: &Node, field: &str) -> Result<TypeName, Reported> {
        let text = match node.scalar() {
            Some(Scalar::Null) | None => return Err(self.wrong_type(node, field, "a type name")),
            Some(scalar) => scalar.to_text(),
        };
        self.parse_type_name(&text, node, field)
    }

    /// A type name from text that was read already.
    pub(crate) fn parse_type_name(&mut self, text: &str, node: &Node, field: &str) -> Result<TypeName, Reported> {
        TypeName::parse(text).map_err(|_| {
            let place = self.place_of(node);
            let fact = format!("`{field}` is not a type name: `{text}`");
            self.add(Diagnostic::error(errors::MP0035, fact).at(place, "expected `<namespace>/<name>`"))
        })
    }

    /// One of several words.
    pub(crate) fn one_of<T: Copy>(
        &mut self,
        node: &Node,
        field: &str,
        text: &str,
        choices: &[(&str, T)],
    ) -> Result<T, Reported> {
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Ok(*choice);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let place = self.place_of(node);
        let fact = format!("`{field}` cannot be `{text}`");
        let expected = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let near = near_miss(text, words).map(|word| format!("did you mean `{word}`?"));
        Err(self
            .add(Diagnostic::error(errors::MP0036, fact).at(place, format!("possible: {expected}")).maybe_hint(near)))
    }
}

/// The fields of one mapping.
pub(crate) struct Fields<'n> {
    /// What fields it may have. Nothing else is asked for.
    mapping: &'static Mapping,
    place: Place,
    entries: &'n [Entry],
    asked: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// Opens a mapping. A key that was given twice is reported; the last one counts, as upstream.
    pub(crate) fn open(
        node: &'n Node,
        mapping: &'static Mapping,
        cx: &mut Context<'_>,
    ) -> Result<Fields<'n>, Reported> {
        let Value::Map(entries) = &node.value else {
            return Err(cx.wrong_type(node, mapping.name, "a mapping"));
        };
        let mut seen: HashMap<&str, &Entry> = HashMap::new();
        for entry in entries {
            if let Some(first) = seen.insert(&entry.key, entry) {
                let fact = format!("key `{}` is given twice, the last one counts", entry.key);
                let place = cx.place(&entry.key_range);
                let first = cx.place(&first.key_range);
                let finding = Diagnostic::warning(errors::MP0012, fact).at(place, "this one counts");
                cx.add(finding.related(first, "this one is ignored"));
            }
        }
        Ok(Fields { mapping, place: cx.place_of(node), entries, asked: Vec::new() })
    }

    /// The value of a field, null included.
    pub(crate) fn get(&mut self, field: &'static str) -> Option<&'n Rc<Node>> {
        debug_assert!(
            self.mapping.has(field),
            "the reference lists every field: {} has no `{field}`",
            self.mapping.name
        );
        #[cfg(test)]
        super::reference::tests::asked(self.mapping, field);
        self.asked.push(field);
        self.entries.iter().rev().find(|entry| entry.key == field).map(|entry| &entry.value)
    }

    /// The value of a field that must be there; null counts as missing.
    pub(crate) fn required(&mut self, field: &'static str, cx: &mut Context<'_>) -> Result<&'n Rc<Node>, Reported> {
        match self.get(field) {
            Some(node) if !node.is_null() => Ok(node),
            found => {
                let fact = format!("{} has no `{field}`", self.mapping.name);
                let (place, label) = match found {
                    Some(node) => (cx.place_of(node), format!("`{field}` has no value")),
                    None => (self.place.clone(), format!("`{field}` is required")),
                };
                Err(cx.add(Diagnostic::error(errors::MP0030, fact).at(place, label)))
            }
        }
    }

    /// The place of the mapping.
    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }

    /// The place of a key, if it is there.
    pub(crate) fn key_place(&self, field: &str, cx: &Context<'_>) -> Option<Place> {
        let entry = self.entries.iter().rev().find(|entry| entry.key == field)?;
        Some(cx.place(&entry.key_range))
    }

    /// The place of a value, if it is there, else the given one.
    pub(crate) fn value_place(&self, field: &str, otherwise: Place, cx: &Context<'_>) -> Place {
        let entry = self.entries.iter().rev().find(|entry| entry.key == field);
        entry.map_or(otherwise, |entry| cx.place_of(&entry.value))
    }

    /// Warns about a field that is known elsewhere and has no effect here.
    pub(crate) fn without_effect(&mut self, field: &'static str, hint: &str, cx: &mut Context<'_>) {
        self.asked.push(field);
        if let Some(place) = self.key_place(field, cx) {
            let fact = format!("`{field}` has no effect in {}", self.mapping.name);
            cx.add(Diagnostic::warning(errors::MP0033, fact).at(place, "ignored, as upstream does").hint(hint));
        }
    }

    /// Warns about every field that nobody asked for.
    pub(crate) fn finish(self, cx: &mut Context<'_>) {
        let present: HashSet<&str> = self.entries.iter().map(|entry| entry.key.as_str()).collect();
        let unused: Vec<&str> = self.asked.iter().copied().filter(|field| !present.contains(field)).collect();
        for entry in self.entries {
            if self.asked.contains(&entry.key.as_str()) {
                continue;
            }
            let place = cx.place(&entry.key_range);
            let fact = format!("unknown field `{}` in {}", entry.key, self.mapping.name);
            let hint = if entry.key == "<<" {
                Some("merge keys are not supported; repeat the fields, or use an alias for each value".to_owned())
            } else {
                near_miss(&entry.key, unused.iter().copied()).map(|field| format!("did you mean `{field}`?"))
            };
            cx.add(Diagnostic::warning(errors::MP0032, fact).at(place, "ignored, as upstream does").maybe_hint(hint));
        }
    }
}
