//! A Kafka broker of one's own, by `deploy/dev/kafka`: one node, free ports, a temporary folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use crate::{DEADLINE, Error};

/// A running broker. Dropping it stops it, and its folder goes with it.
#[derive(Debug)]
pub struct Broker {
    folder: tempfile::TempDir,
    address: String,
}

impl Broker {
    /// Starts one and waits until it answers. It blocks its thread.
    ///
    /// # Errors
    /// When there is no Java or no jars, or when it does not start; the script says why.
    pub fn start() -> Result<Broker, Error> {
        let failed = |source| Error::Process { what: "no temporary folder was made".to_owned(), source };
        let folder = tempfile::Builder::new().prefix("millpond-kafka-").tempdir().map_err(failed)?;
        let mut broker = Broker { folder, address: String::new() };
        let said = broker.script("start", &["1"])?;
        let address = said.lines().find_map(|line| line.strip_prefix("bootstrap="));
        broker.address =
            address.ok_or_else(|| Error::Wrong(format!("the broker did not say where it is: {said}")))?.to_owned();
        Ok(broker)
    }

    /// Makes topics.
    ///
    /// # Errors
    /// When the broker refuses one.
    pub async fn make(&self, topics: &[&str], partitions: i32) -> Result<(), Error> {
        let failed = |source| Error::Kafka { what: "no topics were made".to_owned(), source };
        let admin: AdminClient<DefaultClientContext> = self.client().create().map_err(failed)?;
        let new: Vec<_> =
            topics.iter().map(|topic| NewTopic::new(topic, partitions, TopicReplication::Fixed(1))).collect();
        let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
        for made in admin.create_topics(&new, &options).await.map_err(failed)? {
            made.map_err(|(topic, code)| Error::Wrong(format!("topic `{topic}` was not made: {code}")))?;
        }
        Ok(())
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What every client of it begins with.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address);
        config
    }

    fn script(&self, what: &str, more: &[&str]) -> Result<String, Error> {
        let failed = |source| Error::Process { what: "`deploy/dev/kafka` was not run".to_owned(), source };
        let output = Command::new(script()).arg(what).arg(self.folder.path()).args(more).output().map_err(failed)?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Error::Wrong(format!("`deploy/dev/kafka {what}` ended with {}\n{why}", output.status)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.script("stop", &[]);
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/dev/kafka")
}
