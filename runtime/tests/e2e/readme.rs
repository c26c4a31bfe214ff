//! The README's own blocks, run in their order in an empty folder, as somebody who reads it would.
//!
//! Of the section "Your own function", `sh` blocks are run in one bash, a block with a file name behind its language is
//! written to that file, and a `text` block is what the block before it prints last. Two things are the test's own: where
//! the clone is, which the first block says, and the ports, because others may use those that the README names.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SECTION: &str = "## Your own function";
/// Compiling the SDK for the first time is in it.
const DEADLINE: Duration = Duration::from_secs(1200);

/// A fenced block: what stands behind the fence, and what is in it.
struct Block {
    info: String,
    text: String,
}

/// Somebody who follows the README has a function of an own that answers, in Python and in Rust.
#[test]
fn the_blocks_of_the_readme_lead_to_a_function_that_answers() {
    let Some(_) = crate::functions::python("readme") else { return };
    let clone = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the runtime has a folder in the clone");
    let readme = std::fs::read_to_string(clone.join("README.md")).expect("there is one");
    let mut blocks = blocks(&with_free_ports(section(&readme)));
    let first = blocks.remove(0);
    assert!(first.text.starts_with("CLONE=~/millpond ") && first.text.lines().count() == 2, "{}", first.text);
    assert!(blocks.iter().filter(|block| block.info == "text").count() >= 3, "what to expect is shown");

    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
    remove_binaries(&target.join("debug/deps"));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let outputs = tempfile::tempdir().expect("a temporary folder can be made");
    let mut command = Command::new("bash");
    command
        .args(["-c", &script(&blocks, outputs.path())])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .process_group(0)
        .env("CLONE", clone)
        .env("PATH", path_with_binary())
        // What the reader compiles is kept for the next run, but for the reader's own; nothing is asked of a registry.
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_NET_OFFLINE", "true");
    // The reader's cargo is not the one that runs this test.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR")
    {
        command.env_remove(name);
    }
    let mut shell = Shell(command.spawn().expect("there is a bash"));
    let ended = shell.wait();
    let file = |name: String| std::fs::read_to_string(outputs.path().join(name)).unwrap_or_default();
    let output = |number: usize| file(number.to_string());
    let all: String = (0..blocks.len()).map(|number| output(number) + &file(format!("errors-{number}"))).collect();
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}; what it printed:\n{all}");
    for (number, pair) in blocks.windows(2).enumerate().filter(|(_, pair)| pair[1].info == "text") {
        let expected = pair[1].text.trim_end();
        assert!(
            output(number).trim_end().ends_with(expected),
            "not {expected}, but:\n{}\nof {}",
            output(number),
            pair[0].text
        );
    }
}

/// What stands below a heading, up to the next one of its level.
fn section(readme: &str) -> &str {
    let begin = readme.find(SECTION).expect("the README has the section");
    let rest = &readme[begin + SECTION.len()..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

fn with_free_ports(text: &str) -> String {
    let ports = ["8000", "8090", "8091", "8099"];
    // Held together, so that they differ.
    let held = ports.map(|_| TcpListener::bind("127.0.0.1:0").expect("there is a free port"));
    ports.iter().zip(&held).fold(text.to_owned(), |text, (port, free)| {
        assert!(text.contains(port), "the README uses port {port}");
        text.replace(port, &free.local_addr().expect("it is bound").port().to_string())
    })
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let inside = lines.by_ref().take_while(|line| *line != "```");
            let text = inside.fold(String::new(), |text, line| text + line + "\n");
            blocks.push(Block { info: info.to_owned(), text });
        }
    }
    blocks
}

/// One script of all: what each block prints goes into a file with its number.
fn script(blocks: &[Block], outputs: &Path) -> String {
    let mut script = String::from("set -e\n");
    for (number, block) in blocks.iter().enumerate() {
        let written = match block.info.split_once(' ') {
            Some((_, file)) => writeln!(script, "cat >{file} <<'END-OF-BLOCK'\n{}END-OF-BLOCK", block.text),
            None if block.info == "sh" => {
                writeln!(script, "exec >{0}/{number} 2>{0}/errors-{number}\n{1}", outputs.display(), block.text)
            }
            None => {
                assert_eq!(block.info, "text", "a block is `sh`, `text`, or has the name of a file");
                Ok(())
            }
        };
        written.expect("memory takes everything");
    }
    script
}

/// Those of earlier readers, each of whom had a folder of an own.
fn remove_binaries(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("hello-")) {
        // What cannot be removed takes room, and no more.
        let _ = std::fs::remove_file(entry.path());
    }
}

/// What a search for `millpond` finds is the binary that is tested.
fn path_with_binary() -> std::ffi::OsString {
    let folder = Path::new(env!("CARGO_BIN_EXE_millpond")).parent().expect("a binary is in a folder").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path))).expect("folders without colons")
}

/// The reader's shell; what it started ends with it.
struct Shell(Child);

impl Shell {
    fn wait(&mut self) -> Option<std::process::ExitStatus> {
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait().expect("our own child") {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The whole group, which has the number of its first process. It may be gone already.
        let kill = format!("kill -KILL -- -{}", self.0.id());
        let _ = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}
