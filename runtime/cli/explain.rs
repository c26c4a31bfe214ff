//! `millpond explain`: the page of an error code, or the list of all codes.

use super::args::ExplainArgs;
use super::{Console, Exit};
use crate::config::Diagnostic;
use crate::errors::{self, Code, near_misses};

/// Runs the command.
pub fn execute(args: &ExplainArgs, console: &mut Console<'_>) -> Exit {
    let Some(name) = &args.code else {
        for code in errors::ALL {
            console.data(format!("{code}  {}", code.title()));
        }
        return Exit::Done;
    };
    let Some(code) = Code::find(name) else {
        console.findings(&[unknown(name)]);
        return Exit::Input;
    };
    console.data(code.page().trim_end());
    Exit::Done
}

fn unknown(name: &str) -> Diagnostic {
    let near = near_misses(name, errors::ALL.iter().map(|code| code.name()));
    let hint = match near.as_slice() {
        [] => "`millpond explain` lists all codes".to_owned(),
        near => {
            let words = near.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>();
            format!("did you mean {}? `millpond explain` lists all codes", words.join(" or "))
        }
    };
    Diagnostic::error(errors::MP7003, format!("there is no error code `{name}`")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::super::tests::millpond;

    /// MP7003: an unknown code is an error with the nearest ones, not an empty page.
    #[test]
    fn unknown_code() {
        let run = millpond(&["explain", "MP0099"]);
        assert_eq!(run.exit, 1);
        assert!(run.err.starts_with("error[MP7003]: there is no error code `MP0099`\nhint: did you mean `MP00"));
        let far = millpond(&["explain", "nothing of the kind"]);
        assert_eq!(
            far.err,
            "error[MP7003]: there is no error code `nothing of the kind`\nhint: `millpond explain` lists all codes\n\n"
        );
    }

    /// A code in any case gives its page on standard output; no code gives the list.
    #[test]
    fn pages_and_list() {
        let page = millpond(&["explain", "mp0030"]);
        assert_eq!((page.exit, page.err.as_str()), (0, ""));
        assert!(page.out.starts_with("# MP0030: required field is missing\n"));
        for code in crate::errors::ALL {
            assert_eq!(millpond(&["explain", code.name()]).out, code.page(), "{code}");
        }
        let list = millpond(&["explain"]);
        assert_eq!(list.exit, 0);
        assert_eq!(list.out.lines().count(), crate::errors::ALL.len());
    }
}
