//! From the checked module to what each stage is built from.

use std::sync::Arc;
use std::time::Duration;

use millpond_engine::{
    DeadLetterForm, DeadLetterRoute, EgressRecord, EndpointConfig, EngineConfig, FailurePolicy, FunctionPattern,
    Limits, Rejection,
};
use millpond_protocol::response::EgressMessage;

use crate::config::model::{self, DeadLetterTarget, Egress, Ingress, Module, Transport};
use crate::egress::kafka::KafkaEgress;
use crate::egress::kafka::record::KafkaDeadLetter;
use crate::egress::{self, DeadLetterRecord, EgressTable, LetterRoute};
use crate::ingress::kafka::KafkaIngress;
use crate::invoker::{ClientFiles, Dialect, EgressResolver, EndpointTarget, TlsTarget};

/// What the module says, stage by stage. Endpoints stand in the order of the module in both lists.
pub(super) struct Stages {
    pub(super) endpoints: Vec<EndpointConfig>,
    pub(super) targets: Vec<EndpointTarget>,
    pub(super) egresses: EgressTable,
    pub(super) kafka_egresses: Vec<KafkaEgress>,
    pub(super) kafka_ingresses: Vec<KafkaIngress>,
}

impl Stages {
    pub(super) fn new(module: &Module) -> Stages {
        let egresses: Vec<egress::Egress> = module.egresses().iter().filter_map(egress).collect();
        let egresses = EgressTable::new(&egresses);
        let form = Arc::new(DeadLetterRecord::new(module.bytes_digest().to_string()));
        Stages {
            endpoints: module
                .endpoints()
                .iter()
                .map(|it| endpoint(it, dead_letters(it, module, &egresses, &form)))
                .collect(),
            targets: module.endpoints().iter().map(target).collect(),
            // What is to be said about their properties was said before.
            kafka_egresses: module.egresses().iter().filter_map(kafka_egress).collect(),
            kafka_ingresses: module.ingresses().iter().filter_map(|it| kafka_ingress(it, module, &egresses)).collect(),
            egresses,
        }
    }

    pub(super) fn engine_config(&self, hash_seed: u64) -> EngineConfig {
        EngineConfig {
            endpoints: self.endpoints.clone(),
            lanes: self.egresses.lanes().to_vec(),
            limits: Limits::default(),
            hash_seed,
        }
    }
}

/// Ports of the playground listeners that the module declares.
pub(super) fn playground_ports(module: &Module) -> (Option<u16>, Option<u16>) {
    let ingress = module.ingresses().iter().find_map(|ingress| match ingress {
        Ingress::Playground(playground) => Some(playground.port),
        _ => None,
    });
    let egress = module.egresses().iter().find_map(|egress| match egress {
        Egress::Playground(playground) => Some(playground.port),
        _ => None,
    });
    (ingress, egress)
}

/// Eight random bytes of the system, as a number.
pub(super) fn random_u64() -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(u64::from_le_bytes(bytes))
}

fn kafka_egress(egress: &Egress) -> Option<KafkaEgress> {
    match egress {
        Egress::Kafka(declared) => Some(KafkaEgress::new(declared).0),
        Egress::Playground(_) | Egress::Kinesis(_) => None,
    }
}

fn kafka_ingress(ingress: &Ingress, module: &Module, egresses: &EgressTable) -> Option<KafkaIngress> {
    let Ingress::Kafka(declared) = ingress else { return None };
    let route = |target: &DeadLetterTarget| {
        let lane = egresses.lane(&target.egress, &target.topic)?;
        let topic = match module.egress(&target.egress)? {
            Egress::Kafka(_) => Some(target.topic.clone()),
            Egress::Playground(_) | Egress::Kinesis(_) => None,
        };
        Some(LetterRoute { lane, topic, module: module.bytes_digest().to_string() })
    };
    Some(KafkaIngress::new(declared).0.with_letters(route))
}

fn egress(egress: &Egress) -> Option<egress::Egress> {
    match egress {
        Egress::Playground(playground) => Some(egress::Egress::Playground { topics: playground.topics.clone() }),
        Egress::Kafka(kafka) => Some(egress::Egress::Kafka { id: kafka.id.clone() }),
        Egress::Kinesis(_) => None,
    }
}

/// Where the dead letters of an endpoint go. The module was checked: its egress and topic are there.
fn dead_letters(
    endpoint: &model::Endpoint,
    module: &Module,
    egresses: &EgressTable,
    form: &Arc<DeadLetterRecord>,
) -> Option<DeadLetterRoute> {
    let target = endpoint.dead_letters.as_ref()?;
    let lane = egresses.lane(&target.egress, &target.topic)?;
    let form: Arc<dyn DeadLetterForm> = match module.egress(&target.egress)? {
        Egress::Kafka(_) => Arc::new(KafkaDeadLetter { topic: target.topic.clone(), form: form.clone() }),
        Egress::Playground(_) | Egress::Kinesis(_) => form.clone(),
    };
    Some(DeadLetterRoute { lane, form })
}

fn endpoint(endpoint: &model::Endpoint, dead_letters: Option<DeadLetterRoute>) -> EndpointConfig {
    let (call, calls_max) = match &endpoint.transport {
        Transport::Async(transport) => (transport.call, transport.pool_size.get() as usize),
        // okhttp has no limit of its own; the one for all function types together holds.
        Transport::OkHttp(transport) => (transport.call, Limits::default().calls_in_flight),
    };
    EndpointConfig {
        functions: match &endpoint.functions {
            model::FunctionPattern::Exact(function) => FunctionPattern::Exact(function.clone()),
            model::FunctionPattern::Namespace(namespace) => FunctionPattern::Namespace(namespace.clone()),
        },
        max_num_batch_requests: endpoint.max_num_batch_requests.map(std::num::NonZeroU32::get),
        calls_max,
        call_ms: u64::try_from(call.as_millis()).unwrap_or(u64::MAX),
        failure_policy: match endpoint.failure_policy {
            model::FailurePolicy::Park => FailurePolicy::Park,
            model::FailurePolicy::Drop => FailurePolicy::Drop,
            model::FailurePolicy::DeadLetter => FailurePolicy::DeadLetter,
        },
        dead_letters,
    }
}

/// okhttp's pool: so many idle connections, kept for so long. Upstream has one pool for all, here each function type has one.
const OKHTTP_IDLE_MAX: usize = 1024;
const OKHTTP_IDLE: Duration = Duration::from_secs(60);

/// okhttp has no limit on what an answer may hold; memory has. What one answer may set and send is far below it.
const OKHTTP_PAYLOAD_BYTES_MAX: usize = 256 << 20;

fn target(endpoint: &model::Endpoint) -> EndpointTarget {
    let url = endpoint.url.as_str().to_owned();
    let headers = endpoint.headers.clone();
    match &endpoint.transport {
        Transport::Async(transport) => EndpointTarget {
            url,
            connect: transport.connect,
            pool_ttl: transport.pool_ttl,
            pool_idle: None,
            pool_idle_max: usize::MAX,
            pool_size: transport.pool_size.get() as usize,
            payload_max_bytes: transport.payload_max_bytes as usize,
            dialect: Dialect::Async,
            http2: transport.http2,
            tls: tls(&transport.tls),
            headers,
        },
        Transport::OkHttp(transport) => EndpointTarget {
            url,
            connect: transport.connect,
            pool_ttl: Duration::ZERO,
            pool_idle: Some(OKHTTP_IDLE),
            pool_idle_max: OKHTTP_IDLE_MAX,
            pool_size: usize::MAX,
            payload_max_bytes: OKHTTP_PAYLOAD_BYTES_MAX,
            dialect: Dialect::OkHttp { read: transport.read, write: transport.write },
            // Over TLS okhttp offers it, on a plain connection it does not speak it.
            http2: transport.http2.unwrap_or(endpoint.url.is_https()),
            tls: TlsTarget { verify_hostname: transport.verify_hostname, ..TlsTarget::default() },
            headers,
        },
    }
}

fn tls(tls: &model::Tls) -> TlsTarget {
    TlsTarget {
        trust_cacerts: tls.trust_cacerts.clone(),
        client: tls.client.as_ref().map(|client| ClientFiles {
            cert: client.cert.clone(),
            key: client.key.clone(),
            key_password: client.key_password.clone(),
        }),
        verify_hostname: tls.verify_hostname,
    }
}

impl EgressResolver for EgressTable {
    fn resolve(&self, message: &EgressMessage) -> Result<EgressRecord, Rejection> {
        EgressTable::resolve(self, message)
    }
}
