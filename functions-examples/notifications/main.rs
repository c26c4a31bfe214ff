//! The notification functions, as a server. It keeps nothing; the runtime does.

use std::time::Duration;

use clap::Parser;
use millpond_notifications::{Times, functions};
use tokio::net::TcpListener;

/// Serves notifications/notification and notifications/platform
#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 takes any free one, the first line printed says which
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: String,
    /// A platform that says nothing for so many milliseconds has refused
    #[arg(long, default_value_t = 60_000)]
    answer_ms: u64,
    /// Milliseconds before the first retry; twice as many before each further one
    #[arg(long, default_value_t = 5_000)]
    retry_ms: u64,
}

#[tokio::main]
#[allow(clippy::print_stdout)]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let times =
        Times { answer: Duration::from_millis(arguments.answer_ms), retry: Duration::from_millis(arguments.retry_ms) };
    let listener = TcpListener::bind(&arguments.listen).await?;
    println!("ready http://{}/statefun", listener.local_addr()?);
    let stopped = async { tokio::signal::ctrl_c().await.unwrap_or(()) };
    millpond_sdk::serve(listener, functions(times)).with_graceful_shutdown(stopped).await?;
    Ok(())
}
