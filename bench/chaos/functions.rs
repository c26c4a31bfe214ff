//! The functions, and a process that serves them, which can be killed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use millpond_sdk::{Context, Functions, Json, KafkaRecord, Message, Result, Value, ValueSpec};
use millpond_stage::Process;
use serde::{Deserialize, Serialize};

use crate::{BURSTS, COUNTS, QUARTERS};

/// How many numbers an instance has seen.
pub const SEEN: ValueSpec<i64> = ValueSpec::new("seen");
/// Of so many numbers one goes on to the second function.
pub const EACH: u64 = 4;
/// So many records come of one number that `chaos/burst` gets.
pub const BURST: u64 = 200;
/// The egress of all.
const EGRESS: &str = "chaos/out";

/// A number: its text is JSON.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Number(u64);

impl Value for Number {
    const TYPENAME: &str = "chaos.types/Number";
    type Format = Json;
}

/// All functions; the module says which of them a server is asked for.
fn functions() -> Functions {
    Functions::new().bind("chaos/counter", SEEN, counter).bind("chaos/quarter", SEEN, quarter).bind(
        "chaos/burst",
        SEEN,
        burst,
    )
}

async fn counter(context: &mut Context, message: Message) -> Result {
    let Number(number) = message.value()?;
    count(context, COUNTS, number)?;
    if number.is_multiple_of(EACH) {
        let id = context.id();
        context.send(("chaos/quarter", &id), &Number(number))?;
    }
    Ok(())
}

async fn quarter(context: &mut Context, message: Message) -> Result {
    let Number(number) = message.value()?;
    count(context, QUARTERS, number)
}

/// Many records for one message: those of number `n` are numbered from `(n - 1) * BURST + 1` on.
async fn burst(context: &mut Context, message: Message) -> Result {
    let Number(number) = message.value()?;
    let seen = context.get(SEEN)?.unwrap_or(0) + 1;
    context.set(SEEN, &seen)?;
    let key = context.id();
    for record in (number - 1) * BURST + 1..=number * BURST {
        context.send_egress(EGRESS, KafkaRecord::new(BURSTS, record.to_string()).key(&*key))?;
    }
    Ok(())
}

/// `<number>:<how many so far>` under the id.
fn count(context: &mut Context, topic: &str, number: u64) -> Result {
    let seen = context.get(SEEN)?.unwrap_or(0) + 1;
    context.set(SEEN, &seen)?;
    let key = context.id();
    Ok(context.send_egress(EGRESS, KafkaRecord::new(topic, format!("{number}:{seen}")).key(&*key))?)
}

/// Serves the functions on a port of the loopback until the process ends. The first line printed says where.
///
/// # Errors
/// When the port is somebody else's.
#[expect(clippy::print_stdout, reason = "the ready line is how a process says that it serves")]
pub async fn serve(port: u16) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).await?;
    println!("ready http://{}/statefun", listener.local_addr()?);
    Ok(millpond_sdk::serve(listener, functions()).await?)
}

/// A function server; `None` while it is dead.
pub struct Server {
    program: PathBuf,
    log: PathBuf,
    port: u16,
    process: Option<Process>,
}

impl Server {
    /// `program serve --port PORT` on a port that nobody has. Its log goes to a file.
    pub fn start(program: &Path, log: PathBuf) -> anyhow::Result<Server> {
        let mut server = Server { program: program.to_owned(), log, port: 0, process: None };
        let started = (0..50).find_map(|_| {
            server.port = next_port();
            std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, server.port)).ok()
        });
        drop(started.context("no port is free")?);
        server.start_again()?;
        Ok(server)
    }

    /// Where its functions are called.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/statefun", self.port)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// It is back, where it was.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        command.args(["serve", "--port", &self.port.to_string()]);
        self.process = Some(Process::start("a function server", command, &self.log)?);
        Ok(())
    }
}

/// A port below those that the system gives to outgoing connections, so that it is still free after a kill.
fn next_port() -> u16 {
    static USED: AtomicU32 = AtomicU32::new(0);
    let offset = std::process::id().wrapping_mul(97).wrapping_add(USED.fetch_add(1, Ordering::Relaxed));
    20_000 + u16::try_from(offset % 10_000).expect("a number below 10,000")
}
