//! `millpond check`: what is in the modules, and what is wrong with them.

use super::args::CheckArgs;
use super::{Console, Exit};
use crate::config::model::Module;
use crate::config::{self, Diagnostic, LoadOptions};

/// Runs the command.
pub fn execute(args: &CheckArgs, console: &mut Console<'_>) -> Exit {
    let options = LoadOptions::check().interpolate(args.module.interpolate_env);
    match config::load(&args.module.modules, &options) {
        Err(findings) => {
            console.findings(&findings);
            console.data(format!("not usable: {}", count(&findings)));
            Exit::Input
        }
        Ok((module, mut findings)) => {
            // Not an input problem: the module is right, and this version cannot run all of it.
            findings.extend(module.not_yet().into_iter().map(Diagnostic::as_warning));
            findings.extend(crate::kafka::findings(&module));
            if findings.iter().any(Diagnostic::is_error) {
                console.findings(&findings);
                console.data(format!("not usable: {}", count(&findings)));
                return Exit::Input;
            }
            console.findings(&findings);
            if args.describe {
                console.data(module.describe().trim_end());
            }
            console.data(summary(&module, &findings));
            Exit::Done
        }
    }
}

/// One line about a module that can be used.
fn summary(module: &Module, findings: &[Diagnostic]) -> String {
    let counts = [
        (module.endpoints().len(), "endpoint", "endpoints"),
        (module.ingresses().len(), "ingress", "ingresses"),
        (module.egresses().len(), "egress", "egresses"),
    ];
    let parts: Vec<String> = counts.into_iter().map(|(n, one, many)| quantity(n, one, many)).collect();
    let warnings = if findings.is_empty() { String::new() } else { format!(", {}", count(findings)) };
    let digest = module.digest().to_string();
    format!("ok: {}{warnings} (digest {})", parts.join(", "), &digest[..12])
}

/// How many errors and warnings.
pub(super) fn count(findings: &[Diagnostic]) -> String {
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    let warnings = findings.len() - errors;
    let parts = [(errors, "error", "errors"), (warnings, "warning", "warnings")];
    let parts: Vec<String> =
        parts.into_iter().filter(|(n, _, _)| *n > 0).map(|(n, one, many)| quantity(n, one, many)).collect();
    parts.join(", ")
}

fn quantity(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
