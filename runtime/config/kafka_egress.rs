//! `io.statefun.kafka.v1/egress`.
//!
//! In: the `spec` of one component. Out: [`KafkaEgress`].

use std::time::Duration;

use millpond_protocol::TypeName;

use super::diagnostic::{Diagnostic, Reported};
use super::fields::{Context, Fields};
use super::kafka_ingress::setting;
use super::property_list::{self, Properties};
use super::reference;
use super::scalar::Scalar;
use super::source::Place;
use super::yaml::Node;
use crate::errors;

const BOOTSTRAP_SERVERS: &str = "bootstrap.servers";
const TRANSACTION_TIMEOUT: &str = "transaction.timeout.ms";

/// Records to Kafka topics; each record names its topic.
#[derive(Debug, Clone)]
pub struct KafkaEgress {
    /// Field `id`: how functions name the egress. Required.
    pub id: TypeName,
    /// Field `address`: brokers, comma separated. Required here or (ours: upstream wants the field) as property
    /// `bootstrap.servers`.
    pub address: String,
    /// Field `deliverySemantic`. Default `at-least-once`, as upstream.
    pub delivery_semantic: DeliverySemantic,
    /// Field `properties`: settings of the Kafka producer, without those that have fields of their own.
    pub properties: Properties,
    /// Where the component is declared.
    pub place: Place,
}

/// How often a record is seen when something breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeliverySemantic {
    /// `none`: perhaps never.
    None,
    /// `at-least-once`: perhaps twice.
    #[default]
    AtLeastOnce,
    /// `exactly-once`: once, to readers of committed records.
    ExactlyOnce {
        /// Field `transactionTimeout`, a duration, or the older `transactionTimeoutMillis`, which wins: how long the broker
        /// keeps a transaction open. Required, larger than 0; no default, as upstream.
        transaction_timeout: Duration,
    },
}

#[derive(Clone, Copy)]
enum Kind {
    AtLeastOnce,
    ExactlyOnce,
    None,
}

const KINDS: &[(&str, Kind)] =
    &[("at-least-once", Kind::AtLeastOnce), ("exactly-once", Kind::ExactlyOnce), ("none", Kind::None)];

/// Reads the spec.
pub(crate) fn read(spec: &Node, place: Place, cx: &mut Context<'_>) -> Result<KafkaEgress, Reported> {
    let mut fields = Fields::open(spec, &reference::KAFKA_EGRESS, cx)?;
    let id = fields.required("id", cx).and_then(|node| cx.type_name(node, "id"));
    let place = fields.value_place("id", place, cx);
    let properties = match fields.get("properties") {
        None => Ok(Properties::new()),
        Some(node) => property_list::read(node, "properties", cx),
    };
    let address = setting(&mut fields, "address", BOOTSTRAP_SERVERS, &properties, cx);
    let delivery_semantic = match fields.get("deliverySemantic") {
        None => Ok(DeliverySemantic::default()),
        Some(node) => read_semantic(node, cx),
    };
    fields.finish(cx);
    let (mut properties, delivery_semantic) = (properties?, delivery_semantic?);
    properties.remove(BOOTSTRAP_SERVERS);
    if matches!(delivery_semantic, DeliverySemantic::ExactlyOnce { .. }) {
        properties.remove(TRANSACTION_TIMEOUT);
    }
    Ok(KafkaEgress { id: id?, address: address?, delivery_semantic, properties, place })
}

fn read_semantic(node: &Node, cx: &mut Context<'_>) -> Result<DeliverySemantic, Reported> {
    let mut fields = Fields::open(node, &reference::DELIVERY_SEMANTIC, cx)?;
    let kind_node = fields.required("type", cx)?;
    let kind_text = cx.text(kind_node, "deliverySemantic.type")?;
    let kind = cx.one_of(kind_node, "deliverySemantic.type", &kind_text, KINDS)?;
    let semantic = match kind {
        Kind::ExactlyOnce => transaction_timeout(&mut fields, cx)
            .map(|transaction_timeout| DeliverySemantic::ExactlyOnce { transaction_timeout }),
        Kind::AtLeastOnce | Kind::None => {
            for field in ["transactionTimeout", "transactionTimeoutMillis"] {
                fields.without_effect(field, "only type `exactly-once` reads it", cx);
            }
            Ok(if matches!(kind, Kind::None) { DeliverySemantic::None } else { DeliverySemantic::AtLeastOnce })
        }
    };
    fields.finish(cx);
    semantic
}

/// The older field wins when both are there, as upstream.
fn transaction_timeout(fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Result<Duration, Reported> {
    let (node, timeout) = match fields.get("transactionTimeoutMillis") {
        Some(node) => {
            let hint = "`transactionTimeoutMillis` wins; leave one of the two out";
            fields.without_effect("transactionTimeout", hint, cx);
            (node, millis(node, cx)?)
        }
        None => {
            let node = fields.required("transactionTimeout", cx)?;
            (node, cx.duration(node, "transactionTimeout")?)
        }
    };
    if timeout.is_zero() {
        let place = cx.place_of(node);
        let finding =
            Diagnostic::error(errors::MP0053, "transaction timeout is zero").at(place, "has to be larger than 0");
        return Err(cx.add(finding));
    }
    Ok(timeout)
}

/// Upstream reads text that is not a number as 0 and then refuses 0; we say what is wrong with it.
fn millis(node: &Node, cx: &mut Context<'_>) -> Result<Duration, Reported> {
    let field = "transactionTimeoutMillis";
    let (number, as_written) = node.scalar().map_or((0, false), Scalar::to_long);
    if number == 0 && !as_written {
        let place = cx.place_of(node);
        let fact = format!("`{field}` is {} where a number of milliseconds is needed", node.description());
        let finding = Diagnostic::error(errors::MP0031, fact).at(place, "expected a whole number");
        return Err(cx.add(finding.hint("`transactionTimeout` reads durations with a unit, such as `15min`")));
    }
    if !as_written {
        let place = cx.place_of(node);
        let fact = format!("`{field}` is read as {number}");
        cx.add(Diagnostic::warning(errors::MP0040, fact).at(place, "as upstream does"));
    }
    u64::try_from(number).map(Duration::from_millis).map_err(|_| cx.out_of_range(node, field, "1 and more"))
}
