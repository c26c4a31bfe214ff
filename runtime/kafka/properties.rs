//! From the properties of a module, which are those of Kafka's Java client, to settings of librdkafka. Pure, but for a look at
//! the files that are named as stores.
//!
//! A property of security that cannot be honoured is an error that says how to convert what it names: connecting without it
//! would be connecting in another way than somebody decided. Any other one that librdkafka does not have is a warning.

use std::collections::BTreeMap;
use std::path::Path;

use rdkafka::config::ClientConfig;

use super::jaas;
use super::stores::{self, StoreKind};

/// Who uses the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// An ingress.
    Consumer,
    /// An egress.
    Producer,
}

/// Settings of librdkafka, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings(BTreeMap<String, String>);

/// What is to be said about a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The client must not be started.
    pub(crate) refused: bool,
    /// What is the matter.
    pub(crate) fact: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Settings {
    /// The settings for a role, and what is to be said about the properties.
    pub(crate) fn new(role: Role, address: &str, properties: &BTreeMap<String, String>) -> (Settings, Vec<Finding>) {
        let mut reading = Reading { role, given: properties, settings: Settings::default(), findings: Vec::new() };
        reading.settings.set("bootstrap.servers", address);
        for (name, value) in properties {
            reading.property(name, value);
        }
        reading.security();
        (reading.settings, reading.findings)
    }

    /// Sets one, in place of what was there.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Sets one that the module does not set.
    pub(crate) fn set_default(&mut self, name: &str, value: &str) {
        self.0.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }

    /// What one is set to.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// These settings without those of one role, for a client of the other one in the same cluster.
    pub(crate) fn connection_only(&self) -> Settings {
        const CONNECTION: [&str; 5] = ["bootstrap.servers", "client.", "security.", "sasl.", "ssl."];
        const MORE: [&str; 5] = ["socket.", "reconnect.", "connections.", "broker.", "enable.ssl."];
        let kept = |name: &str| CONNECTION.iter().chain(&MORE).any(|start| name.starts_with(start));
        Settings(self.0.iter().filter(|(name, _)| kept(name)).map(|(n, v)| (n.clone(), v.clone())).collect())
    }

    /// As librdkafka takes them.
    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.0 {
            config.set(name, value);
        }
        config
    }
}

/// What becomes of a property of Java's client.
enum Becomes {
    /// The same name and meaning.
    Same,
    /// Another name.
    Named(&'static str),
    /// The same number in units of 1024.
    Kilo(&'static str),
    /// Nothing, and nobody misses it: the runtime does that itself, or it is about Java objects.
    Nothing,
    /// Read by [`Reading::security`].
    Security,
    /// Not there: a warning.
    Lost,
    /// Not there, and a matter of security: an error, with the way out.
    Refused(&'static str),
}

fn becomes(role: Role, name: &str) -> Option<Becomes> {
    use Becomes::{Kilo, Lost, Named, Nothing, Refused, Same, Security};
    let common = match name {
        "receive.buffer.bytes" => Named("socket.receive.buffer.bytes"),
        "send.buffer.bytes" => Named("socket.send.buffer.bytes"),
        "request.timeout.ms" if role == Role::Consumer => Named("socket.timeout.ms"),
        "sasl.jaas.config" | "sasl.mechanism" | "sasl.mechanisms" | "security.protocol" | "sasl.username" => Security,
        "sasl.password" | "ssl.truststore.location" | "ssl.truststore.type" | "ssl.truststore.password" => Security,
        "ssl.keystore.location" | "ssl.keystore.type" | "ssl.keystore.password" => Security,
        "ssl.endpoint.identification.algorithm" => Security,
        "ssl.truststore.certificates" => Named("ssl.ca.pem"),
        "ssl.keystore.certificate.chain" => Named("ssl.certificate.pem"),
        "ssl.keystore.key" => Named("ssl.key.pem"),
        "ssl.key.password" => Same,
        "ssl.protocol" | "ssl.enabled.protocols" | "ssl.keymanager.algorithm" | "ssl.trustmanager.algorithm" => Lost,
        "ssl.provider" | "ssl.secure.random.implementation" => Lost,
        "ssl.cipher.suites" => Refused("name them as OpenSSL does, in property `ssl.cipher.suites.openssl`"),
        "ssl.cipher.suites.openssl" => Named("ssl.cipher.suites"),
        "ssl.engine.factory.class" | "security.providers" => {
            Refused("there is no Java here: give keys and certificates as PEM files")
        }
        "sasl.client.callback.handler.class" | "sasl.login.callback.handler.class" | "sasl.login.class" => {
            Refused("there is no Java here: use mechanism PLAIN or SCRAM with `sasl.username` and `sasl.password`")
        }
        "client.id" | "client.rack" | "client.dns.lookup" | "metadata.max.age.ms" | "connections.max.idle.ms" => Same,
        "reconnect.backoff.ms" | "reconnect.backoff.max.ms" | "retry.backoff.ms" | "retry.backoff.max.ms" => Same,
        "interceptor.classes" | "metric.reporters" | "metrics.num.samples" | "metrics.recording.level" => Lost,
        "metrics.sample.window.ms" | "enable.metrics.push" | "auto.include.jmx.reporter" => Nothing,
        "socket.connection.setup.timeout.ms" => Same,
        "socket.connection.setup.timeout.max.ms" | "default.api.timeout.ms" => Nothing,
        _ if name.starts_with("sasl.kerberos.") => Nothing,
        _ if name.starts_with("sasl.login.") => Nothing,
        _ if name.starts_with("sasl.oauthbearer.") => Security,
        _ if name.starts_with("flink.") => Nothing,
        _ => {
            return match role {
                Role::Consumer => consumer(name),
                Role::Producer => producer(name),
            };
        }
    };
    return Some(common);

    fn consumer(name: &str) -> Option<Becomes> {
        Some(match name {
            "fetch.max.wait.ms" => Named("fetch.wait.max.ms"),
            "fetch.min.bytes" | "fetch.max.bytes" | "max.partition.fetch.bytes" | "isolation.level" => Same,
            "check.crcs" | "allow.auto.create.topics" | "group.instance.id" => Same,
            "key.deserializer" | "value.deserializer" | "max.poll.records" | "max.poll.interval.ms" => Nothing,
            "session.timeout.ms" | "heartbeat.interval.ms" | "partition.assignment.strategy" => Nothing,
            "enable.auto.commit" | "auto.commit.interval.ms" | "exclude.internal.topics" | "group.protocol" => Nothing,
            "group.remote.assignor" => Nothing,
            _ => return None,
        })
    }

    fn producer(name: &str) -> Option<Becomes> {
        Some(match name {
            "buffer.memory" => Kilo("queue.buffering.max.kbytes"),
            "max.request.size" => Named("message.max.bytes"),
            "acks" | "batch.size" | "compression.type" | "linger.ms" | "retries" | "delivery.timeout.ms" => Same,
            "request.timeout.ms" | "max.in.flight.requests.per.connection" | "enable.idempotence" => Same,
            "transaction.timeout.ms" => Same,
            "key.serializer" | "value.serializer" | "max.block.ms" => Nothing,
            "transactional.id" | "metadata.max.idle.ms" | "partitioner.availability.timeout.ms" => Nothing,
            "partitioner.class" | "partitioner.ignore.keys" => Lost,
            "partitioner.adaptive.partitioning.enable" => Nothing,
            "compression.gzip.level" | "compression.lz4.level" | "compression.zstd.level" => Named("compression.level"),
            _ => return None,
        })
    }
}

/// Reads the properties of one component.
struct Reading<'a> {
    role: Role,
    given: &'a BTreeMap<String, String>,
    settings: Settings,
    findings: Vec<Finding>,
}

impl Reading<'_> {
    fn property(&mut self, name: &str, value: &str) {
        match becomes(self.role, name) {
            Some(Becomes::Same) => self.set(name, name, value),
            Some(Becomes::Named(other)) => self.set(name, other, value),
            Some(Becomes::Kilo(other)) => match value.trim().parse::<u64>() {
                Ok(number) => self.set(name, other, &(number / 1024).max(1).to_string()),
                Err(_) => self.refuse(format!("property `{name}` is `{value}`, not a number"), None),
            },
            Some(Becomes::Nothing | Becomes::Security) => {}
            Some(Becomes::Lost) => self.warn(name),
            Some(Becomes::Refused(hint)) => {
                self.refuse(format!("property `{name}` cannot be honoured"), Some(hint.to_owned()));
            }
            // One of librdkafka's own, perhaps.
            None => match known(name) {
                true => self.set(name, name, value),
                false => self.warn(name),
            },
        }
    }

    /// Sets one if librdkafka takes the value.
    fn set(&mut self, property: &str, name: &str, value: &str) {
        let mut config = ClientConfig::new();
        match config.set(name, value).create_native_config() {
            Ok(_) => self.settings.set(name, value),
            Err(error) => {
                let words = error.to_string();
                let shown = if crate::config::is_secret(property) { "…" } else { value };
                self.refuse(format!("property `{property}` cannot be `{shown}`"), Some(words));
            }
        }
    }

    fn warn(&mut self, name: &str) {
        let fact = format!("property `{name}` has no effect: the Kafka client here does not have it");
        self.findings.push(Finding { refused: false, fact, hint: None });
    }

    fn refuse(&mut self, fact: String, hint: Option<String>) {
        self.findings.push(Finding { refused: true, fact, hint });
    }

    fn given(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Protocol, user, trust and keys: properties that depend on each other.
    fn security(&mut self) {
        let protocol = self.given("security.protocol").unwrap_or("plaintext").to_ascii_lowercase();
        if self.given("security.protocol").is_some() {
            self.set("security.protocol", "security.protocol", &protocol);
        }
        if protocol.starts_with("sasl") {
            self.sasl();
        }
        if protocol.ends_with("ssl") {
            self.tls();
        }
    }

    fn sasl(&mut self) {
        const HINT: &str = "use mechanism PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 with `sasl.username` and `sasl.password`, \
                            or `SSL` with a client certificate";
        let mechanism = self.given("sasl.mechanism").or(self.given("sasl.mechanisms")).unwrap_or("GSSAPI").to_owned();
        match mechanism.as_str() {
            "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512" => self.set("sasl.mechanism", "sasl.mechanisms", &mechanism),
            "GSSAPI" => {
                let fact = match self.given("sasl.mechanism") {
                    Some(_) => "SASL mechanism GSSAPI (Kerberos) cannot be honoured",
                    None => "`security.protocol` asks for SASL without `sasl.mechanism`, which means GSSAPI (Kerberos)",
                };
                return self.refuse(fact.to_owned(), Some(HINT.to_owned()));
            }
            other => {
                let fact = format!("SASL mechanism `{other}` cannot be honoured");
                return self.refuse(fact, Some(HINT.to_owned()));
            }
        }
        let (mut user, mut password) =
            (self.given("sasl.username").map(str::to_owned), self.given("sasl.password").map(str::to_owned));
        if let Some(entry) = self.given("sasl.jaas.config").map(str::to_owned) {
            match jaas::parse(&entry) {
                Some((class, mut options)) if class == "PlainLoginModule" || class == "ScramLoginModule" => {
                    user = user.or_else(|| options.remove("username"));
                    password = password.or_else(|| options.remove("password"));
                }
                Some((class, _)) => {
                    let fact = format!("login module `{class}` of property `sasl.jaas.config` cannot be honoured");
                    return self.refuse(fact, Some(HINT.to_owned()));
                }
                None => {
                    let hint = "write `<login module> required username=\"…\" password=\"…\";`".to_owned();
                    return self.refuse("property `sasl.jaas.config` cannot be read".to_owned(), Some(hint));
                }
            }
        }
        match (user, password) {
            (Some(user), Some(password)) => {
                self.set("sasl.username", "sasl.username", &user);
                self.set("sasl.password", "sasl.password", &password);
            }
            _ => {
                let hint = "set `sasl.jaas.config`, or `sasl.username` and `sasl.password`".to_owned();
                self.refuse(format!("SASL mechanism {mechanism} needs a user and a password"), Some(hint));
            }
        }
    }

    fn tls(&mut self) {
        if let Some(path) = self.given("ssl.truststore.location").map(str::to_owned) {
            self.trust(&path);
        }
        if let Some(path) = self.given("ssl.keystore.location").map(str::to_owned) {
            self.keys(&path);
        }
        if let Some(algorithm) = self.given.get("ssl.endpoint.identification.algorithm") {
            let algorithm = if algorithm.trim().is_empty() { "none" } else { algorithm.trim() };
            let name = "ssl.endpoint.identification.algorithm";
            self.set(name, name, &algorithm.to_ascii_lowercase());
        }
    }

    fn trust(&mut self, path: &str) {
        match self.store("ssl.truststore.location", path) {
            None => {}
            Some(StoreKind::Pem) => self.set("ssl.truststore.location", "ssl.ca.location", path),
            Some(kind) => {
                let from = if kind == StoreKind::Jks {
                    "keytool -exportcert -rfc -keystore"
                } else {
                    "openssl pkcs12 -nokeys -in"
                };
                let out = if kind == StoreKind::Jks { "-alias ALIAS -file ca.pem" } else { "-out ca.pem" };
                let hint = format!("convert it to PEM: `{from} {path} {out}`, and name `ca.pem`");
                self.refuse(format!("trust store `{path}` is not PEM"), Some(hint));
            }
        }
    }

    fn keys(&mut self, path: &str) {
        let name = "ssl.keystore.location";
        let password = self.given("ssl.keystore.password").map(str::to_owned);
        match self.store(name, path) {
            None => {}
            Some(StoreKind::Pem) => {
                self.set(name, "ssl.certificate.location", path);
                self.set(name, "ssl.key.location", path);
            }
            Some(StoreKind::Pkcs12) => {
                self.set(name, "ssl.keystore.location", path);
                if let Some(password) = password {
                    self.set("ssl.keystore.password", "ssl.keystore.password", &password);
                }
            }
            Some(StoreKind::Jks) => {
                let hint = format!(
                    "convert it: `keytool -importkeystore -srckeystore {path} -destkeystore keys.p12 -deststoretype PKCS12`"
                );
                self.refuse(format!("key store `{path}` is a Java key store"), Some(hint));
            }
        }
    }

    fn store(&mut self, property: &str, path: &str) -> Option<StoreKind> {
        match stores::kind(Path::new(path)) {
            Ok(kind) => Some(kind),
            Err(error) => {
                self.refuse(format!("file `{path}` of property `{property}` cannot be read"), Some(error.to_string()));
                None
            }
        }
    }
}

/// Whether librdkafka has a setting of this name.
fn known(name: &str) -> bool {
    let Ok(config) = ClientConfig::new().create_native_config() else { return false };
    // A name that it does not know is an error, one without a value is not.
    config.get(name).is_ok()
}
