//! The fraud functions, as a server. It keeps nothing; the runtime does.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use millpond_fraud::{Model, Out, functions};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Serves fraud/account, fraud/scorer and fraud/notifier
#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 takes any free one, the first line printed says which
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: String,
    /// The weights of the model
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/model.json"))]
    model: PathBuf,
    /// Id of a Kafka egress for the records; without it they go to the playground's egress
    #[arg(long, value_name = "NAMESPACE/NAME")]
    kafka_egress: Option<String>,
}

#[tokio::main]
#[allow(clippy::print_stdout)]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let path = arguments.model.display();
    let text = std::fs::read(&arguments.model).with_context(|| format!("the model `{path}` cannot be read"))?;
    let model: Model = serde_json::from_slice(&text).with_context(|| format!("`{path}` is no model"))?;
    let out = arguments.kafka_egress.map_or(Out::Playground, Out::Kafka);

    let listener = TcpListener::bind(&arguments.listen).await.with_context(|| arguments.listen.clone())?;
    println!("ready http://{}/statefun", listener.local_addr()?);
    let mut stop = signal(SignalKind::terminate())?;
    let stopped = async move {
        tokio::select! {
            _ = stop.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    millpond_sdk::serve(listener, functions(model, out)).with_graceful_shutdown(stopped).await?;
    Ok(())
}
