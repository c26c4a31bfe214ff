//! The checked model: what the stages of the runtime receive instead of YAML.
//!
//! A value of these types has passed every check that needs nothing but the module files, so that a stage never checks
//! again. Fields say their unit, their default and the reason for it. What a person reads of them is in `reference/`, which the parser
//! reads by and the reference page is made from.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

use millpond_protocol::TypeName;

pub use super::aws::{AwsCredentials, AwsRegion};
pub use super::dead_letter::DeadLetterTarget;
use super::diagnostic::Diagnostic;
pub use super::invalid_records::{InvalidRecords, LogLevel};
pub use super::kafka_egress::{DeliverySemantic, KafkaEgress};
pub use super::kafka_ingress::{AutoOffsetReset, KafkaIngress, KafkaTopic};
pub use super::kinesis::{KinesisEgress, KinesisIngress, KinesisStartupPosition};
pub use super::playground::{PlaygroundEgress, PlaygroundIngress};
pub use super::property_list::Properties;
pub use super::routing::Route;
use super::source::Place;
pub use super::startup_position::StartupPosition;
pub use super::tls::{ClientCertificate, Tls};
pub use super::transport::{AsyncTransport, OkHttpTransport, Transport};
pub use super::url_template::{EndpointUrl, InvalidUrl, UrlTemplate};
pub use crate::credentials::header::HeaderSource;

/// One application: everything that all module files together declare.
#[derive(Debug, Clone)]
pub struct Module {
    endpoints: Vec<Endpoint>,
    ingresses: Vec<Ingress>,
    egresses: Vec<Egress>,
    exact: BTreeMap<TypeName, usize>,
    namespaces: BTreeMap<String, usize>,
    digest: Digest,
    bytes_digest: Digest,
}

/// A SHA-256, shown in hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

/// Where a set of function types is served.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Field `functions`: one function type, or all of a namespace. Required.
    pub functions: FunctionPattern,
    /// Field `urlPathTemplate`: the URL to call, `{function.name}` standing for the name of the function type. Required.
    pub url: UrlTemplate,
    /// Field `maxNumBatchRequests`: invocations of one address that may wait before its producers wait, too. Default 1000, as
    /// upstream. `None` (0 or less in the file) is no limit.
    pub max_num_batch_requests: Option<NonZeroU32>,
    /// Field `transport`: how requests travel. Default: the async transport with its own defaults.
    pub transport: Transport,
    /// Field `failurePolicy` (ours): what happens to an invocation that the function rejects for good. Default `park`,
    /// because nothing is lost by it.
    pub failure_policy: FailurePolicy,
    /// Field `deadLetter` (ours), `{egress: <namespace>/<name>, topic: <topic>}`: where dead letters go, by policy or by an
    /// operator's decision. No default; required by `failurePolicy: dead-letter`, and allowed with every policy.
    pub dead_letters: Option<DeadLetterTarget>,
    /// Field `headers` (ours): what every request carries beside upstream's headers.
    pub headers: Vec<HeaderSource>,
    /// Where the component is declared.
    pub place: Place,
}

/// Invocations of one address that may wait before its producers do, when the file does not say.
pub(crate) const MAX_NUM_BATCH_REQUESTS_DEFAULT: NonZeroU32 = NonZeroU32::new(1000).unwrap();

/// Which function types an endpoint serves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FunctionPattern {
    /// `namespace/name`: this one.
    Exact(TypeName),
    /// `namespace/*`: every one of the namespace that has no endpoint of its own.
    Namespace(String),
}

/// What happens to an invocation that its function rejects for good. An unreachable function is never a reason to give
/// an invocation up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailurePolicy {
    /// `park`: it stays at the head of its address until the function takes it or an operator decides.
    #[default]
    Park,
    /// `drop`: it is logged, counted and forgotten.
    Drop,
    /// `dead-letter`: it goes to the egress and topic of `deadLetter`, with all that is known of why.
    DeadLetter,
}

impl FailurePolicy {
    /// The words of the module format.
    pub const WORDS: &'static [(&'static str, FailurePolicy)] =
        &[("park", FailurePolicy::Park), ("drop", FailurePolicy::Drop), ("dead-letter", FailurePolicy::DeadLetter)];
}

/// Where events come in.
#[derive(Debug, Clone)]
pub enum Ingress {
    /// `io.statefun.kafka.v1/ingress`.
    Kafka(KafkaIngress),
    /// `io.statefun.kinesis.v1/ingress`.
    Kinesis(KinesisIngress),
    /// `io.statefun.playground.v1/ingress`.
    Playground(PlaygroundIngress),
}

/// Where records go out.
#[derive(Debug, Clone)]
pub enum Egress {
    /// `io.statefun.kafka.v1/egress`.
    Kafka(KafkaEgress),
    /// `io.statefun.kinesis.v1/egress`.
    Kinesis(KinesisEgress),
    /// `io.statefun.playground.v1/egress`.
    Playground(PlaygroundEgress),
}

impl Module {
    /// A module of checked components; patterns and ids are unique, which the checks before have made sure of.
    pub(crate) fn new(
        endpoints: Vec<Endpoint>,
        ingresses: Vec<Ingress>,
        egresses: Vec<Egress>,
        bytes_digest: Digest,
    ) -> Module {
        let mut exact = BTreeMap::new();
        let mut namespaces = BTreeMap::new();
        for (at, endpoint) in endpoints.iter().enumerate() {
            match &endpoint.functions {
                FunctionPattern::Exact(function) => _ = exact.insert(function.clone(), at),
                FunctionPattern::Namespace(namespace) => _ = namespaces.insert(namespace.clone(), at),
            }
        }
        let digest = Digest([0; 32]);
        let mut module = Module { endpoints, ingresses, egresses, exact, namespaces, digest, bytes_digest };
        module.digest = Digest::of([module.describe().as_bytes()]);
        module
    }

    /// All endpoints, in the order of the files.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// All ingresses, in the order of the files.
    pub fn ingresses(&self) -> &[Ingress] {
        &self.ingresses
    }

    /// All egresses, in the order of the files.
    pub fn egresses(&self) -> &[Egress] {
        &self.egresses
    }

    /// The endpoint of a function type: the exact one, else the one of its namespace, else none. Namespaces match as a
    /// whole, never by prefix.
    pub fn endpoint(&self, function: &TypeName) -> Option<&Endpoint> {
        let at = self.exact.get(function).or_else(|| self.namespaces.get(function.namespace()))?;
        self.endpoints.get(*at)
    }

    /// The egress with an id.
    pub fn egress(&self, id: &TypeName) -> Option<&Egress> {
        self.egresses.iter().find(|egress| egress.id() == *id)
    }

    /// Identifies what the module means: the same for any order of documents and files, any layout, any comments.
    /// Passwords and keys are left out, so that it may be shown and stored.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Identifies the files of the module: their bytes as they were read, one file behind the other in the order in which
    /// they were read, so that `cat FILES | sha256sum` says the same.
    pub fn bytes_digest(&self) -> Digest {
        self.bytes_digest
    }

    /// What is declared and checked, and cannot run in this version: errors for `run`.
    pub fn not_yet(&self) -> Vec<Diagnostic> {
        super::not_yet::find(self)
    }

    /// The module as text: one line a value, components sorted, secrets hidden. This is what the digest is made of.
    pub fn describe(&self) -> String {
        super::describe::module(self)
    }
}

impl Ingress {
    /// The id that the module gives it; fixed for the playground.
    pub fn id(&self) -> TypeName {
        match self {
            Ingress::Kafka(kafka) => kafka.id.clone(),
            Ingress::Kinesis(kinesis) => kinesis.id.clone(),
            Ingress::Playground(_) => TypeName::new("io.statefun.playground", "ingress"),
        }
    }

    /// The kind in the module format.
    pub fn kind(&self) -> &'static str {
        match self {
            Ingress::Kafka(_) => "io.statefun.kafka.v1/ingress",
            Ingress::Kinesis(_) => "io.statefun.kinesis.v1/ingress",
            Ingress::Playground(_) => "io.statefun.playground.v1/ingress",
        }
    }

    /// Where it is declared.
    pub fn place(&self) -> &Place {
        match self {
            Ingress::Kafka(kafka) => &kafka.place,
            Ingress::Kinesis(kinesis) => &kinesis.place,
            Ingress::Playground(playground) => &playground.place,
        }
    }

    /// Its routes: none for the playground, whose requests name their target themselves.
    pub fn routes(&self) -> Vec<&Route> {
        match self {
            Ingress::Kafka(kafka) => kafka.topics.iter().map(|topic| &topic.route).collect(),
            Ingress::Kinesis(kinesis) => kinesis.streams.iter().collect(),
            Ingress::Playground(_) => Vec::new(),
        }
    }
}

impl Egress {
    /// The id by which functions name it; fixed for the playground.
    pub fn id(&self) -> TypeName {
        match self {
            Egress::Kafka(kafka) => kafka.id.clone(),
            Egress::Kinesis(kinesis) => kinesis.id.clone(),
            Egress::Playground(_) => TypeName::new("io.statefun.playground", "egress"),
        }
    }

    /// The kind in the module format.
    pub fn kind(&self) -> &'static str {
        match self {
            Egress::Kafka(_) => "io.statefun.kafka.v1/egress",
            Egress::Kinesis(_) => "io.statefun.kinesis.v1/egress",
            Egress::Playground(_) => "io.statefun.playground.v1/egress",
        }
    }

    /// Where it is declared.
    pub fn place(&self) -> &Place {
        match self {
            Egress::Kafka(kafka) => &kafka.place,
            Egress::Kinesis(kinesis) => &kinesis.place,
            Egress::Playground(playground) => &playground.place,
        }
    }
}

impl FunctionPattern {
    /// Whether a function type is served, leaving aside that an exact pattern goes before.
    pub fn matches(&self, function: &TypeName) -> bool {
        match self {
            FunctionPattern::Exact(exact) => exact == function,
            FunctionPattern::Namespace(namespace) => namespace == function.namespace(),
        }
    }
}

impl fmt::Display for FunctionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FunctionPattern::Exact(function) => fmt::Display::fmt(function, f),
            FunctionPattern::Namespace(namespace) => write!(f, "{namespace}/*"),
        }
    }
}

impl Digest {
    /// The digest of pieces, one behind the other.
    pub(crate) fn of<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> Digest {
        use sha2::Digest as _;
        let mut hash = sha2::Sha256::new();
        pieces.into_iter().for_each(|piece| hash.update(piece));
        Digest(hash.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes or counts that must not be zero, shown as plain numbers.
pub(crate) fn limit(limit: Option<NonZeroU64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}
