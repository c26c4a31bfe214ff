//! Diagnostics as text, in the manner of compilers.
//!
//! In: a [`Diagnostic`]. Out: lines for a terminal (with colour) or for a file (plain); both read the same without the
//! colour. What comes from a module file is untrusted: control characters are shown as `\u{..}` and long lines are cut,
//! so that a file cannot move the cursor, set a title or flood the screen.

use std::fmt::Write as _;

use super::diagnostic::{Diagnostic, Label, Severity};

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Plain text.
    Plain,
    /// ANSI colours.
    Colour,
}

/// Characters of a source line that are shown around the place of a finding.
const LINE_CHARS_MAX: usize = 160;

/// Characters of a message, note or hint that are shown.
const TEXT_CHARS_MAX: usize = 600;

const ERROR: &str = "\x1b[1;31m";
const WARNING: &str = "\x1b[1;33m";
const BOLD: &str = "\x1b[1m";
const FRAME: &str = "\x1b[1;34m";
const HINT: &str = "\x1b[1;36m";
const RESET: &str = "\x1b[0m";

/// All findings, an empty line between two.
pub fn render_all(diagnostics: &[Diagnostic], style: Style) -> String {
    let rendered: Vec<String> = diagnostics.iter().map(|d| render(d, style)).collect();
    rendered.join("\n")
}

/// One finding, ending with a line end.
pub fn render(diagnostic: &Diagnostic, style: Style) -> String {
    let mut out = String::new();
    let (word, colour) = match diagnostic.severity {
        Severity::Error => ("error", ERROR),
        Severity::Warning => ("warning", WARNING),
    };
    let head = format!("{word}[{}]", diagnostic.code);
    let message = format!(": {}", shown(&diagnostic.message));
    line(&mut out, &[(colour, &head), (BOLD, &message)], style);
    for cause in &diagnostic.causes {
        line(&mut out, &[("", &format!("  caused by: {}", shown(cause)))], style);
    }
    let margin = gutter_width(diagnostic);
    if let Some(label) = &diagnostic.label {
        snippet(&mut out, label, "-->", '^', colour, margin, style);
    }
    for label in &diagnostic.related {
        snippet(&mut out, label, ":::", '-', FRAME, margin, style);
    }
    for note in &diagnostic.notes {
        let gutter = format!("{:margin$} = ", "");
        line(&mut out, &[(FRAME, &gutter), ("", &shown(note))], style);
    }
    if !diagnostic.hints.is_empty() && (diagnostic.label.is_some() || !diagnostic.notes.is_empty()) {
        out.push('\n');
    }
    for hint in &diagnostic.hints {
        line(&mut out, &[(HINT, "hint"), ("", &format!(": {}", shown(hint)))], style);
    }
    out
}

/// Width of the line numbers of a finding.
fn gutter_width(diagnostic: &Diagnostic) -> usize {
    let labels = diagnostic.label.iter().chain(&diagnostic.related);
    labels.map(|label| label.place.line().to_string().len()).max().unwrap_or(1)
}

/// The file, the line, and the underline with its words.
fn snippet(out: &mut String, label: &Label, arrow: &str, mark: char, colour: &str, margin: usize, style: Style) {
    let place = &label.place;
    let at = format!(" {}", shown(&place.to_string()));
    line(out, &[(FRAME, &format!("{:margin$}{arrow}", "")), ("", &at)], style);
    let bar = format!("{:margin$} |", "");
    line(out, &[(FRAME, &bar)], style);

    let (text, column, width) = window(place.line_text(), place.column() - 1, place.width());
    let numbered = format!("{:>margin$} |", place.line());
    let text = format!(" {text}");
    line(out, &[(FRAME, &numbered), ("", text.trim_end())], style);
    let words = shown(&label.text);
    let underline = format!("{:column$}{} {words}", "", String::from(mark).repeat(width));
    line(out, &[(FRAME, &bar), (colour, &format!(" {}", underline.trim_end()))], style);
}

/// The part of a line to show, with the column and width of the place in it as they appear on the screen.
fn window(text: &str, column: usize, width: usize) -> (String, usize, usize) {
    let skip = if column + width > LINE_CHARS_MAX { column.saturating_sub(40) } else { 0 };
    let mut shown = String::new();
    let (mut shown_chars, mut shown_column, mut shown_end) = (0, 0, 0);
    if skip > 0 {
        shown.push_str("... ");
        shown_chars = 4;
    }
    for (at, c) in text.chars().enumerate().skip(skip) {
        if at == column {
            shown_column = shown_chars;
        }
        if at - skip >= LINE_CHARS_MAX {
            shown.push_str(" ...");
            break;
        }
        shown_chars += push_visible(&mut shown, c);
        if at < column + width {
            shown_end = shown_chars;
        }
    }
    if column >= text.chars().count() {
        shown_column = shown_chars;
    }
    (shown, shown_column, shown_end.saturating_sub(shown_column).max(1))
}

/// Text with nothing in it that a terminal would act on.
fn shown(text: &str) -> String {
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        if at >= TEXT_CHARS_MAX {
            out.push_str(" ...");
            break;
        }
        push_visible(&mut out, c);
    }
    out
}

/// Appends a character in visible form; how many columns it takes.
fn push_visible(out: &mut String, c: char) -> usize {
    if c == '\t' {
        out.push_str("    ");
        return 4;
    }
    if c.is_control() || is_invisible(c) {
        let escaped: String = c.escape_unicode().collect();
        out.push_str(&escaped);
        return escaped.len();
    }
    out.push(c);
    1
}

/// Characters that turn the direction of text, take no room, or end a line in some viewers: they could make a file look
/// different from what it says.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn line(out: &mut String, parts: &[(&str, &str)], style: Style) {
    for (colour, text) in parts {
        match style {
            Style::Colour if !colour.is_empty() => {
                let _ = write!(out, "{colour}{text}{RESET}");
            }
            _ => out.push_str(text),
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::diagnostic::Diagnostic;
    use super::super::source::{Place, Source};
    use super::{Style, render};
    use crate::errors;

    fn finding(text: &str, part: &str) -> Diagnostic {
        let source = Source::new("m.yaml", text);
        let at = text.find(part).expect("the part is in the text");
        let place = Place::new(&source, at..at + part.len());
        Diagnostic::error(errors::MP0031, "fact").at(place, "label")
    }

    /// Everything that a finding can have, in the order in which it is read.
    #[test]
    fn shape() {
        let whole = finding("a: 1\nb: 2\n", "2").caused_by("cause").note("note").hint("one").hint("two");
        let expected = "error[MP0031]: fact\n  caused by: cause\n --> m.yaml:2:4\n  |\n2 | b: 2\n  |    ^ label\n  = note\n\nhint: one\nhint: two\n";
        assert_eq!(render(&whole, Style::Plain), expected);
        let placeless = Diagnostic::warning(errors::MP0031, "fact").caused_by("cause").hint("fix");
        assert_eq!(render(&placeless, Style::Plain), "warning[MP0031]: fact\n  caused by: cause\nhint: fix\n");
    }

    /// Colour changes nothing but the colour.
    #[test]
    fn colour_can_be_taken_away() {
        let whole = finding("a: 1\n", "1").note("note").hint("fix");
        let mut coloured = render(&whole, Style::Colour);
        assert!(coloured.contains("\x1b[1;31merror[MP0031]\x1b[0m"), "{coloured:?}");
        while let Some(start) = coloured.find("\x1b[") {
            let end = coloured[start..].find('m').expect("the end of a colour");
            coloured.replace_range(start..=start + end, "");
        }
        assert_eq!(coloured, render(&whole, Style::Plain));
    }

    /// A file cannot act on the terminal, and the underline stays under what it means.
    #[test]
    fn hostile_lines() {
        let text = "k\u{1b}[2J: \u{202e}x\ty\n";
        let escaped = render(&finding(text, "y"), Style::Plain);
        let lines: Vec<&str> = escaped.lines().collect();
        assert_eq!(lines[3], "1 | k\\u{1b}[2J: \\u{202e}x    y");
        assert_eq!(lines[3].find('y'), lines[4].find('^'), "{escaped}");
        let long = format!("{}here{}\n", "x".repeat(50_000), "y".repeat(50_000));
        let cut = render(&finding(&long, "here"), Style::Plain);
        assert!(cut.len() < 1_000, "{} bytes", cut.len());
        let lines: Vec<&str> = cut.lines().collect();
        let (text, underline) = (lines[3], lines[4]);
        assert_eq!(text.find("here"), underline.find('^'), "{cut}");
        assert!(underline.contains("^^^^ label"), "{cut}");
    }
}
