//! A real broker for tests, and what goes in and comes out of it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Message, OwnedHeaders, ToBytes};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::wait::DEADLINE;

/// A cluster of one node in a folder of its own. It ends with the value.
pub struct Broker {
    folder: tempfile::TempDir,
    address: String,
}

/// Names that no other test has.
#[derive(Debug, Clone)]
pub struct Topics {
    pub numbers: String,
    pub counts: String,
}

impl Broker {
    /// The one that tests share who do it no harm. `None` when there is no Java or Maven, which is a failure in CI.
    pub fn shared() -> Option<Arc<Broker>> {
        static SHARED: Mutex<Weak<Broker>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(broker) = shared.upgrade() {
            return Some(broker);
        }
        let broker = Arc::new(Broker::start()?);
        *shared = Arc::downgrade(&broker);
        Some(broker)
    }

    /// One of a test's own, that speaks TLS, too.
    pub fn secure() -> Option<Broker> {
        Broker::start_behind(|folder| {
            let made = Command::new(script()).arg("tls").arg(folder).status().expect("the script can be run");
            assert!(made.success(), "certificates can be made");
        })
    }

    /// The same, whose own certificate is over.
    pub fn secure_but_over() -> Option<Broker> {
        Broker::start_behind(|folder| {
            let made = Command::new(script()).arg("tls").arg(folder).status().expect("the script can be run");
            assert!(made.success(), "certificates can be made");
            let tls = folder.join("tls");
            std::fs::copy(tls.join("expired.p12"), tls.join("server.p12")).expect("both are there");
        })
    }

    /// One of a test's own, that speaks TLS, and whose user `ada` has no right until some are given.
    pub fn strict() -> Option<Broker> {
        Broker::start_behind(|folder| {
            for command in ["tls", "acl"] {
                let made = Command::new(script()).arg(command).arg(folder).status().expect("the script can be run");
                assert!(made.success(), "`{command}` can be done");
            }
        })
    }

    /// Gives `ada` rights: what Kafka's own tool takes behind `--add --allow-principal User:ada`.
    pub fn allow(&self, rights: &[&str]) {
        let given = Command::new(script())
            .args(["tool".as_ref(), self.folder.path().as_os_str(), "acls".as_ref()])
            .args(["--add", "--allow-principal", "User:ada"])
            .args(rights)
            .stdout(Stdio::null())
            .status();
        assert!(given.expect("the script can be run").success(), "rights can be given");
    }

    /// One of a test's own.
    pub fn start() -> Option<Broker> {
        Broker::start_behind(|_| {})
    }

    fn start_behind(prepare: impl FnOnce(&Path)) -> Option<Broker> {
        let has = |program: &str| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
        if !has("java") || !has("mvn") {
            assert!(std::env::var_os("CI").is_none(), "there is no Java or no Maven, and CI skips nothing");
            crate::report("skipped: a Kafka broker needs the Java and Maven that `make setup` installs");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        prepare(folder.path());
        let mut broker = Broker { folder, address: String::new() };
        broker.start_again();
        Some(broker)
    }

    /// Starts it where it was, with the data that it has.
    pub fn start_again(&mut self) {
        let output =
            Command::new(script()).arg("start").arg(self.folder.path()).output().expect("the script can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        let address = text.lines().find_map(|line| line.strip_prefix("bootstrap="));
        self.address = address.expect("the script says where it listens").to_owned();
    }

    /// `kill -9`, or another signal.
    pub fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.folder.path().join("node1/pid")).expect("it was started");
        let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {}", pid.trim())]).status();
        assert!(sent.expect("a shell can be started").success(), "the broker is gone already");
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// What a file in its folder says.
    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file of the script's").trim().to_owned()
    }

    /// Where a file in its folder is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Two new topics with so many partitions.
    pub fn topics(&self, partitions: i32) -> Topics {
        let topics = Broker::names();
        self.make(&topics.numbers, partitions);
        self.make(&topics.counts, partitions);
        topics
    }

    /// Names of two topics that are not there.
    pub fn names() -> Topics {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Topics { numbers: format!("numbers-{number}"), counts: format!("counts-{number}") }
    }

    /// Makes a topic.
    pub fn make(&self, topic: &str, partitions: i32) {
        self.make_with(topic, partitions, &[]);
    }

    /// Makes a topic with settings.
    pub fn make_with(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("a client");
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let topic = settings.iter().fold(new, |topic, (name, value)| topic.set(name, value));
        let made = admin.create_topics([&topic], &AdminOptions::new().operation_timeout(Some(DEADLINE)));
        let made = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(made));
        for result in made.expect("the broker answers") {
            result.expect("the topic is new");
        }
    }

    /// Removes a topic, and returns when it is gone.
    pub fn remove_topic(&self, topic: &str) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("a client");
        let removed = admin.delete_topics(&[topic], &AdminOptions::new().operation_timeout(Some(DEADLINE)));
        let removed = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(removed));
        for result in removed.expect("the broker answers") {
            result.expect("the topic is there");
        }
    }

    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address);
        config
    }

    /// Adds partitions to a topic, up to this number.
    pub fn grow(&self, topic: &str, partitions: usize) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("a client");
        let more = NewPartitions::new(topic, partitions);
        let grown = admin.create_partitions([&more], &AdminOptions::new().operation_timeout(Some(DEADLINE)));
        let grown = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(grown));
        for result in grown.expect("the broker answers") {
            result.expect("a topic with fewer partitions");
        }
        let consumer: BaseConsumer = self.config().create().expect("a client");
        let deadline = Instant::now() + DEADLINE;
        let there = || consumer.fetch_metadata(Some(topic), DEADLINE).expect("the broker answers");
        while there().topics()[0].partitions().len() < partitions {
            assert!(Instant::now() < deadline, "the partitions do not come");
        }
    }

    /// Removes the records of a topic's first partition below an offset.
    pub fn remove(&self, topic: &str, below: i64) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("a client");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Offset(below)).expect("an offset");
        let removed = admin.delete_records(&list, &AdminOptions::new().operation_timeout(Some(DEADLINE)));
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(removed))
            .expect("the broker answers");
    }

    /// Has the group of this name stand at an offset of a topic's first partition.
    pub fn commit(&self, group: &str, topic: &str, offset: i64) {
        let consumer: BaseConsumer = self.config().set("group.id", group).create().expect("a client");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Offset(offset)).expect("an offset");
        consumer.commit(&list, CommitMode::Sync).expect("the broker takes it");
    }

    /// Sends lines `<key>=<value>` with Kafka's own producer for the console, which is Java's client.
    pub fn send_with_java(&self, topic: &str, lines: &str) {
        let mut child = Command::new(script())
            .args(["tool".as_ref(), self.folder.path().as_os_str(), "console-producer".as_ref()])
            .args(["--topic", topic, "--reader-property", "parse.key=true", "--reader-property", "key.separator=="])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the script can be run");
        child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("somebody reads it");
        assert!(child.wait().expect("our own child").success());
    }

    /// Which partition each key of a topic is in, once there are so many records.
    pub fn places(&self, topic: &str, count: usize) -> BTreeMap<String, i32> {
        let mut reader = Reader::new(self, topic);
        reader.read_until(count);
        reader.places
    }

    /// Key and partition of each record of a topic, once there are so many.
    pub fn placed(&self, topic: &str, count: usize) -> Vec<(Option<String>, i32)> {
        let mut reader = Reader::new(self, topic);
        reader.read_until(count);
        reader.placed
    }

    /// One of Kafka's own tools: what it says on standard output.
    pub fn tool(&self, arguments: &[&str]) -> String {
        let output = Command::new(script())
            .args(["tool".as_ref(), self.folder.path().as_os_str()])
            .args(arguments)
            .output()
            .expect("the script can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Somebody who sends records, each once also when the broker dies meanwhile.
    pub fn sender(&self) -> Sender {
        let producer = self
            .config()
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5")
            .set("enable.idempotence", "true")
            .create();
        Sender(producer.expect("a client"))
    }

    /// Everything on a topic that a reader of committed records sees, by key, in order, once there are `count` records.
    pub fn read(&self, topic: &str, count: usize) -> BTreeMap<String, Vec<String>> {
        let mut reader = Reader::new(self, topic);
        reader.read_until(count);
        reader.by_key
    }

    /// What the group of this name says of a topic's partitions, all of them together.
    pub fn committed(&self, group: &str, topic: &str, partitions: i32) -> i64 {
        let consumer: BaseConsumer = self.config().set("group.id", group).create().expect("a client");
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, partitions - 1);
        let offsets = consumer.committed_offsets(list, DEADLINE).expect("the broker answers");
        offsets.elements().iter().filter_map(|element| element.offset().to_raw()).filter(|offset| *offset >= 0).sum()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // One that is paused hears nothing else.
        let _ = Command::new(script()).arg("stop").arg(self.folder.path()).status();
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/dev/kafka")
}

/// A producer that counts what the broker has.
pub struct Sender(BaseProducer);

impl Sender {
    /// Sends one; `flush` waits for it.
    pub fn send(&self, topic: &str, key: &str, value: &str) {
        self.queue(BaseRecord::to(topic).key(key).payload(value));
    }

    /// Sends one with this time.
    pub fn send_at(&self, topic: &str, key: &str, value: &str, time: i64) {
        self.queue(BaseRecord::to(topic).key(key).payload(value).timestamp(time));
    }

    /// Sends one without a key, or without a value.
    pub fn send_odd(&self, topic: &str, key: Option<&str>, value: Option<&str>) {
        let mut record = BaseRecord::to(topic);
        (record.key, record.payload) = (key, value);
        self.queue(record);
    }

    /// Sends one to a partition, with headers, and any bytes or none as key and value.
    pub fn send_bytes(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        let mut all = OwnedHeaders::new();
        for (key, value) in headers {
            all = all.insert(Header { key, value: *value });
        }
        let mut record = BaseRecord::to(topic).partition(partition).headers(all);
        (record.key, record.payload) = (key, value);
        self.queue(record);
    }

    fn queue<K: ToBytes + ?Sized>(&self, mut record: BaseRecord<'_, K, K>) {
        let deadline = Instant::now() + DEADLINE;
        while let Err((error, back)) = self.0.send(record) {
            assert!(Instant::now() < deadline, "{error}");
            self.0.poll(Duration::from_millis(5));
            record = back;
        }
        self.0.poll(Duration::ZERO);
    }

    /// Waits until the broker has everything.
    pub fn flush(&self) {
        self.0.flush(DEADLINE).expect("the broker takes everything");
    }
}

/// Reads a topic from its beginning.
struct Reader {
    consumer: BaseConsumer,
    by_key: BTreeMap<String, Vec<String>>,
    places: BTreeMap<String, i32>,
    placed: Vec<(Option<String>, i32)>,
    count: usize,
    partitions: usize,
}

impl Reader {
    fn new(broker: &Broker, topic: &str) -> Reader {
        let consumer: BaseConsumer = broker
            .config()
            .set("group.id", "reader")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .create()
            .expect("a client");
        let metadata = consumer.fetch_metadata(Some(topic), DEADLINE).expect("the broker answers");
        let partitions = metadata.topics()[0].partitions().len();
        let mut list = TopicPartitionList::new();
        for number in 0..partitions {
            list.add_partition_offset(topic, number as i32, Offset::Beginning).expect("an offset");
        }
        consumer.assign(&list).expect("partitions of a topic");
        Reader { consumer, by_key: BTreeMap::new(), places: BTreeMap::new(), placed: Vec::new(), count: 0, partitions }
    }

    /// Until there are so many, and the ends of all partitions were seen behind them: one record too many would be there.
    fn read_until(&mut self, count: usize) {
        let mut deadline = Instant::now() + DEADLINE;
        let mut ends = 0;
        while self.count < count || ends < self.partitions {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
                    self.placed.push((message.key().map(|key| text(Some(key))), message.partition()));
                    self.places.insert(text(message.key()), message.partition());
                    self.by_key.entry(text(message.key())).or_default().push(text(message.payload()));
                    self.count += 1;
                    deadline = Instant::now() + DEADLINE;
                    ends = 0;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
                Some(Err(error)) => crate::report(format_args!("reader: {error}")),
                None if self.count >= count => ends += 1,
                None => {}
            }
            assert!(Instant::now() < deadline, "{} of {count} records are there, and no more come", self.count);
        }
    }
}
