//! The figures, and what was promised about them.

/// Promises that were looked at.
#[derive(Debug, Default)]
pub struct Findings {
    lines: Vec<String>,
    broken: Vec<String>,
}

impl Findings {
    /// A figure that nothing is promised about.
    pub fn figure(&mut self, what: &str, found: impl std::fmt::Display) {
        self.lines.push(format!("|      | {what} | {found} | |"));
    }

    /// A promise, kept or not.
    pub fn promise(&mut self, what: &str, found: impl std::fmt::Display, promised: &str, kept: bool) {
        let line = format!("| {} | {what} | {found} | {promised} |", if kept { "PASS" } else { "FAIL" });
        if !kept {
            self.broken.push(line.clone());
        }
        self.lines.push(line);
    }

    /// The table.
    pub fn table(&self) -> String {
        format!("|      | what | found | promised |\n|---|---|---|---|\n{}", self.lines.join("\n"))
    }

    /// The promises that are broken, a line each.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }
}

/// A line for whoever waits. It is not part of the result, so a closed stderr is no reason to fail.
pub fn say(line: impl std::fmt::Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}
