//! One module file as text, and places in it.
//!
//! In: the name the user knows the file by, and its text. Out: [`Place`]s, which diagnostics and the checked model keep
//! so that every message can show file, line and column. Nothing here reads a disk.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The text of one file and the name to show for it.
pub struct Source {
    name: String,
    /// The file begins with a byte order mark, which is not text.
    marked: bool,
    text: String,
    line_starts: Vec<usize>,
}

/// The byte order mark in UTF-8.
const MARK: &str = "\u{feff}";

/// A range of bytes in a [`Source`]. Cloning one is a reference count.
#[derive(Clone)]
pub struct Place {
    source: Arc<Source>,
    range: Range<usize>,
}

impl Source {
    /// A source from a name as the user wrote it and the text of the file; a byte order mark does not belong to the text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Source> {
        let mut text = text.into();
        let marked = text.starts_with(MARK);
        if marked {
            text.drain(..MARK.len());
        }
        let line_starts = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1))
            .collect();
        Arc::new(Source { name: name.into(), marked, text, line_starts })
    }

    /// The name to show.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of the file as they were read, in pieces.
    pub fn bytes(&self) -> [&[u8]; 2] {
        let mark = if self.marked { MARK } else { "" };
        [mark.as_bytes(), self.text.as_bytes()]
    }

    /// The number of the line that holds a byte, counted from 0.
    fn line_index(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at).saturating_sub(1)
    }

    /// The text of a line without its end.
    fn line_text(&self, index: usize) -> &str {
        let start = self.line_starts.get(index).copied().unwrap_or(self.text.len());
        let end = self.line_starts.get(index + 1).copied().unwrap_or(self.text.len());
        self.text.get(start..end).unwrap_or("").trim_end_matches(['\n', '\r'])
    }
}

impl Place {
    /// A place in a source. A range outside the text, or one that cuts a character, is moved to the nearest that does not.
    pub fn new(source: &Arc<Source>, range: Range<usize>) -> Place {
        let text = source.text();
        let floor = |mut at: usize| {
            at = at.min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = floor(range.start);
        let end = floor(range.end).max(start);
        Place { source: Arc::clone(source), range: start..end }
    }

    /// The file.
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// The bytes of the file that this place covers.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Line, counted from 1.
    pub fn line(&self) -> usize {
        self.source.line_index(self.range.start) + 1
    }

    /// Column in characters, counted from 1.
    pub fn column(&self) -> usize {
        let start = self.source.line_starts[self.line() - 1];
        self.source.text[start..self.range.start].chars().count() + 1
    }

    /// The text of the line where the place starts.
    pub fn line_text(&self) -> &str {
        self.source.line_text(self.line() - 1)
    }

    /// Characters of the first line that the place covers; at least one, so that there is something to underline.
    pub fn width(&self) -> usize {
        let first_line = self.source.text[self.range.clone()].lines().next().unwrap_or("");
        first_line.trim_end().chars().count().max(1)
    }

    /// Whether two places are in the same file.
    pub fn same_file(&self, other: &Place) -> bool {
        Arc::ptr_eq(&self.source, &other.source)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file(), self.line(), self.column())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Source};

    /// Lines and columns are counted from 1, in characters, also behind other alphabets and Windows line ends.
    #[test]
    fn line_and_column() {
        let source = Source::new("m.yaml", "a: ü\r\nβγ: x\n");
        let at = source.text().find('x').expect("the text holds an x");
        let place = Place::new(&source, at..at + 1);
        assert_eq!(place.to_string(), "m.yaml:2:5");
        assert_eq!(place.line_text(), "βγ: x");
        assert_eq!(Place::new(&source, 0..4).line_text(), "a: ü");
    }

    /// No range can make a place panic: not past the end, not inside a character.
    #[test]
    fn ranges_are_clamped() {
        let source = Source::new("m.yaml", "ü");
        for (start, end) in [(0, 9), (1, 1), (9, 3), (usize::MAX, usize::MAX)] {
            let place = Place::new(&source, start..end);
            let _ = (place.line(), place.column(), place.width(), place.line_text());
        }
        let empty = Source::new("m.yaml", "");
        assert_eq!(Place::new(&empty, 0..0).to_string(), "m.yaml:1:1");
    }
}
