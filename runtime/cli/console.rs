//! Where a command writes: standard output for what was asked for, standard error for everything else.

use std::io::{self, IsTerminal as _, Write};

use crate::config::diagnostic::Diagnostic;
use crate::config::render::{self, Style};

/// The two streams of a process, or two buffers of a test.
pub struct Console<'a> {
    out: Box<dyn Write + 'a>,
    err: Box<dyn Write + 'a>,
    style: Style,
}

impl<'a> Console<'a> {
    /// Standard output and error, in colour if standard error is a terminal that shows it and `NO_COLOR` is not set.
    pub fn process() -> Console<'static> {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = io::stderr().is_terminal() && !dumb && !no_colour;
        Console {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            style: if colour { Style::Colour } else { Style::Plain },
        }
    }

    /// Two buffers, plain.
    pub fn buffers(out: &'a mut Vec<u8>, err: &'a mut Vec<u8>) -> Console<'a> {
        Console { out: Box::new(out), err: Box::new(err), style: Style::Plain }
    }

    /// Writes a line that was asked for. A reader that has gone away (`| head`) is nobody's problem.
    pub fn data(&mut self, line: impl AsRef<str>) {
        let _ = writeln!(self.out, "{}", line.as_ref());
    }

    /// Writes findings to standard error, an empty line behind each.
    pub fn findings(&mut self, findings: &[Diagnostic]) {
        for finding in findings {
            let _ = writeln!(self.err, "{}", render::render(finding, self.style));
        }
    }
}
