//! YAML text to a tree of nodes that know their place.
//!
//! In: one [`Source`]. Out: the documents of the stream. The parser's events are turned into nodes with an explicit
//! stack, so that no file can exhaust ours; aliases share the node that they name and are counted in full, so that a
//! file of a few hundred bytes cannot unfold into gigabytes. Every limit is named here and is an error of its own.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::diagnostic::{Diagnostic, Report, Reported};
use super::interpolate::{self, Lookup};
use super::scalar::Scalar;
use super::source::{Place, Source};
use crate::errors;

/// Nested lists and mappings.
pub const DEPTH_MAX: usize = 64;

/// Nodes of one file, aliases counted as often as they are used.
pub const NODES_MAX: usize = 100_000;

/// A node and its place.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) range: Range<usize>,
    pub(crate) value: Value,
    /// Nodes in it, itself included.
    size: usize,
    /// Levels below it, itself included.
    height: usize,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_range: Range<usize>,
    pub(crate) value: Rc<Node>,
}

impl Node {
    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Scalar(Scalar::Null))
    }

    /// The value of a key; the last one wins if it was given twice, as upstream.
    pub(crate) fn get(&self, key: &str) -> Option<&Rc<Node>> {
        match &self.value {
            Value::Map(entries) => entries.iter().rev().find(|entry| entry.key == key).map(|entry| &entry.value),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    /// The same mapping with one more entry at its end, which therefore wins.
    pub(crate) fn with_entry(&self, key: &str, value: &Rc<Node>) -> Node {
        let mut entries = match &self.value {
            Value::Map(entries) => entries.clone(),
            Value::Scalar(_) | Value::List(_) => Vec::new(),
        };
        entries.retain(|entry| entry.key != key);
        entries.push(Entry { key: key.to_owned(), key_range: value.range.clone(), value: Rc::clone(value) });
        Node {
            range: self.range.clone(),
            value: Value::Map(entries),
            size: self.size + value.size,
            height: self.height.max(value.height + 1),
        }
    }

    /// What it is, for messages.
    pub(crate) fn description(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) => scalar.description(),
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// The documents of a file, and whether all of it was read.
pub(crate) struct Documents {
    pub(crate) roots: Vec<Rc<Node>>,
    pub(crate) complete: bool,
}

/// Reads all documents. After an error the documents before it are still given, so that their findings can be shown too.
pub(crate) fn read(source: &Arc<Source>, environment: Option<Lookup<'_>>, report: &mut Report) -> Documents {
    let mut builder = Builder {
        source,
        environment,
        report,
        offsets: byte_offsets(source.text()),
        open: Vec::new(),
        anchors: HashMap::new(),
        roots: Vec::new(),
        nodes: 0,
    };
    let mut parser = Parser::new_from_str(source.text());
    let complete = loop {
        match parser.next_event() {
            None => break true,
            Some(Ok((event, span))) => {
                if builder.take(event, span).is_err() {
                    break false;
                }
            }
            Some(Err(error)) => {
                builder.syntax_error(&error);
                break false;
            }
        }
    };
    Documents { roots: builder.roots, complete }
}

/// The byte of every character, for texts where the two differ.
fn byte_offsets(text: &str) -> Option<Vec<u32>> {
    let offset = |(at, _)| u32::try_from(at).unwrap_or(u32::MAX);
    (!text.is_ascii()).then(|| text.char_indices().map(offset).collect())
}

/// A list or mapping that is not closed yet.
struct Open {
    start: usize,
    anchor: usize,
    value: OpenValue,
    size: usize,
    height: usize,
}

enum OpenValue {
    List(Vec<Rc<Node>>),
    Map { entries: Vec<Entry>, key: Option<(String, Range<usize>)> },
}

struct Builder<'a> {
    source: &'a Arc<Source>,
    environment: Option<Lookup<'a>>,
    report: &'a mut Report,
    offsets: Option<Vec<u32>>,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    roots: Vec<Rc<Node>>,
    nodes: usize,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Reported> {
        let range = self.range(span);
        match event {
            Event::Scalar(raw, _, anchor, _) if self.is_key() => {
                self.scalar(Scalar::Text(raw.into_owned()), range, anchor)
            }
            Event::Scalar(raw, style, anchor, tag) => {
                if let Some(tag) = tag.as_deref() {
                    let core = tag.is_yaml_core_schema().then_some(tag.suffix.as_str());
                    let scalar = Scalar::tagged(&self.expand(&raw, &range)?, core.unwrap_or(""));
                    return self.scalar(scalar, range, anchor);
                }
                let text = self.expand(&raw, &range)?;
                let scalar = match style {
                    ScalarStyle::Plain => Scalar::plain(&text),
                    _ => Scalar::Text(text),
                };
                self.scalar(scalar, range, anchor)
            }
            Event::Alias(anchor) => self.alias(anchor, range),
            Event::SequenceStart(anchor, _) => self.start(OpenValue::List(Vec::new()), anchor, range),
            Event::MappingStart(anchor, _) => {
                let value = OpenValue::Map { entries: Vec::new(), key: None };
                self.start(value, anchor, range)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(range),
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            Event::DocumentStart(_) | Event::StreamStart | Event::StreamEnd | Event::Nothing => Ok(()),
        }
    }

    fn scalar(&mut self, scalar: Scalar, range: Range<usize>, anchor: usize) -> Result<(), Reported> {
        let node = Rc::new(Node { range, value: Value::Scalar(scalar), size: 1, height: 1 });
        self.remember(anchor, &node);
        self.count(1, &node.range)?;
        self.place(node)
    }

    fn alias(&mut self, anchor: usize, range: Range<usize>) -> Result<(), Reported> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            let fact = "alias stands inside the node that it names";
            return Err(self.refuse(errors::MP0011, fact, range, "this would never end"));
        };
        if self.open.len() + node.height > DEPTH_MAX {
            return Err(self.too_deep(range));
        }
        self.count(node.size, &range)?;
        self.place(node)
    }

    fn start(&mut self, value: OpenValue, anchor: usize, range: Range<usize>) -> Result<(), Reported> {
        if self.open.len() >= DEPTH_MAX {
            return Err(self.too_deep(range));
        }
        self.count(1, &range)?;
        self.open.push(Open { start: range.start, anchor, value, size: 1, height: 1 });
        Ok(())
    }

    fn end(&mut self, range: Range<usize>) -> Result<(), Reported> {
        // The parser pairs starts and ends; an end too many would be its fault and is ignored.
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let value = match open.value {
            OpenValue::List(items) => Value::List(items),
            OpenValue::Map { entries, .. } => Value::Map(entries),
        };
        let node =
            Rc::new(Node { range: open.start..range.end.max(open.start), value, size: open.size, height: open.height });
        self.remember(open.anchor, &node);
        self.place(node)
    }

    fn count(&mut self, nodes: usize, range: &Range<usize>) -> Result<(), Reported> {
        self.nodes += nodes;
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        let fact = format!("module file has more than {NODES_MAX} values");
        Err(self.refuse(errors::MP0005, fact, range.clone(), "aliases count as often as they are used"))
    }

    /// Puts a finished node where it belongs: under the open parent, or among the documents.
    fn place(&mut self, node: Rc<Node>) -> Result<(), Reported> {
        let Some(parent) = self.open.last_mut() else {
            self.roots.push(node);
            return Ok(());
        };
        parent.size += node.size;
        parent.height = parent.height.max(node.height + 1);
        match &mut parent.value {
            OpenValue::List(items) => items.push(node),
            OpenValue::Map { entries, key } => match key.take() {
                Some((key, key_range)) => entries.push(Entry { key, key_range, value: node }),
                None => match node.scalar() {
                    Some(scalar) => *key = Some((scalar.to_text(), node.range.clone())),
                    None => {
                        let fact = "key of a mapping is not a scalar";
                        let range = node.range.clone();
                        return Err(self.refuse(errors::MP0011, fact, range, node.description()));
                    }
                },
            },
        }
        Ok(())
    }

    fn remember(&mut self, anchor: usize, node: &Rc<Node>) {
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(node));
        }
    }

    /// Whether the next scalar is a key. Keys are structure: text as written, and no variables in them.
    fn is_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { value: OpenValue::Map { key: None, .. }, .. }))
    }

    /// Replaces variables in a value.
    fn expand(&mut self, raw: &str, range: &Range<usize>) -> Result<String, Reported> {
        let Some(lookup) = self.environment else {
            return Ok(raw.to_owned());
        };
        let place = Place::new(self.source, range.clone());
        interpolate::expand(raw, lookup).map_err(|failure| {
            self.report.add(match failure {
                interpolate::Failure::Unset(name) => {
                    Diagnostic::error(errors::MP0013, format!("environment variable `{name}` is not set"))
                        .at(place, "needed here")
                        .hint(format!("set `{name}`, or write `${{{name}:-default}}`"))
                }
                interpolate::Failure::Malformed(text) => {
                    Diagnostic::error(errors::MP0014, format!("`{text}` does not name a variable"))
                        .at(place, "expected `${NAME}` or `${NAME:-default}`")
                        .hint("write `$${` for a literal `${`")
                }
                interpolate::Failure::TooLong => {
                    Diagnostic::error(errors::MP0005, "value is longer than 64 KiB with its variables replaced")
                        .at(place, "")
                }
            })
        })
    }

    fn too_deep(&mut self, range: Range<usize>) -> Reported {
        let fact = format!("module file nests more than {DEPTH_MAX} lists and mappings");
        self.refuse(errors::MP0005, fact, range, "one level too many")
    }

    fn refuse(&mut self, code: errors::Code, fact: impl Into<String>, range: Range<usize>, label: &str) -> Reported {
        let place = Place::new(self.source, range);
        self.report.add(Diagnostic::error(code, fact).at(place, label))
    }

    fn syntax_error(&mut self, error: &saphyr_parser::ScanError) {
        let at = self.byte(error.marker().index());
        let place = Place::new(self.source, at..at + 1);
        let mut diagnostic = Diagnostic::error(errors::MP0010, "file is not YAML").at(place.clone(), error.info());
        if place.line_text().contains('\t') {
            diagnostic = diagnostic.hint("YAML is indented with spaces; this line has a tab");
        }
        if place.line_text().contains("${") {
            diagnostic = diagnostic.hint("inside `[..]` and `{..}`, text with `${` needs quotes");
        }
        self.report.add(diagnostic);
    }

    fn range(&self, span: Span) -> Range<usize> {
        self.byte(span.start.index())..self.byte(span.end.index())
    }

    fn byte(&self, character: usize) -> usize {
        match &self.offsets {
            None => character,
            Some(offsets) => offsets.get(character).map_or(self.source.text().len(), |at| *at as usize),
        }
    }
}
