//! `io.statefun.kafka.v1/ingress`.
//!
//! In: the `spec` of one component. Out: [`KafkaIngress`].

use millpond_protocol::TypeName;

use super::diagnostic::{Diagnostic, Reported};
use super::fields::{Context, Fields};
use super::invalid_records::{self, InvalidRecords};
use super::property_list::{self, Properties};
use super::reference;
use super::routing::{self, Route};
use super::source::Place;
use super::startup_position::{self, StartupPosition};
use super::yaml::Node;
use crate::errors;

const BOOTSTRAP_SERVERS: &str = "bootstrap.servers";
const GROUP_ID: &str = "group.id";
const AUTO_OFFSET_RESET: &str = "auto.offset.reset";

/// Records of Kafka topics as events.
#[derive(Debug, Clone)]
pub struct KafkaIngress {
    /// Field `id`: identifies the ingress, also in the ledger. Required.
    pub id: TypeName,
    /// Field `address`: brokers, comma separated. Required here or as property `bootstrap.servers`.
    pub address: String,
    /// Field `consumerGroupId`: the group in which positions are shown. Required here or as property `group.id`.
    pub consumer_group_id: String,
    /// Field `topics`: what is read, and who gets it. Required, at least one.
    pub topics: Vec<KafkaTopic>,
    /// Field `autoOffsetResetPosition`: where to go when a position is no longer there. Default `latest`, as upstream;
    /// always overrides property `auto.offset.reset`.
    pub auto_offset_reset: AutoOffsetReset,
    /// Field `startupPosition`: where to start when there is no position yet. Default `latest`, as upstream.
    pub startup_position: StartupPosition,
    /// Field `properties`: settings of the Kafka consumer, without the three that have fields of their own.
    pub properties: Properties,
    /// Where the component is declared.
    pub place: Place,
}

/// One topic of an ingress.
#[derive(Debug, Clone)]
pub struct KafkaTopic {
    /// Fields `topic`, `valueType`, `targets`.
    pub route: Route,
    /// Field `forwardHeaders`, of the topic, else of the ingress: whether record headers go along as metadata. Default
    /// false, because functions that do not know them pay for the bytes.
    pub forward_headers: bool,
    /// Field `invalidRecordHandling`, of the topic, else of the ingress. Default: skip and warn.
    pub invalid_records: InvalidRecords,
}

/// Where to go when a position is no longer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoOffsetReset {
    /// `earliest`: the beginning.
    Earliest,
    /// `latest`: the end.
    #[default]
    Latest,
}

impl AutoOffsetReset {
    const WORDS: &'static [(&'static str, AutoOffsetReset)] =
        &[("earliest", AutoOffsetReset::Earliest), ("latest", AutoOffsetReset::Latest)];

    /// The word of Kafka's own setting.
    pub fn as_str(self) -> &'static str {
        match self {
            AutoOffsetReset::Earliest => "earliest",
            AutoOffsetReset::Latest => "latest",
        }
    }
}

/// Reads the spec.
pub(crate) fn read(spec: &Node, place: Place, cx: &mut Context<'_>) -> Result<KafkaIngress, Reported> {
    let mut fields = Fields::open(spec, &reference::KAFKA_INGRESS, cx)?;
    let id = fields.required("id", cx).and_then(|node| cx.type_name(node, "id"));
    let place = fields.value_place("id", place, cx);
    let properties_node = fields.get("properties");
    let properties = match properties_node {
        None => Ok(Properties::new()),
        Some(node) => property_list::read(node, "properties", cx),
    };
    let address = setting(&mut fields, "address", BOOTSTRAP_SERVERS, &properties, cx);
    let group = setting(&mut fields, "consumerGroupId", GROUP_ID, &properties, cx);
    let auto_offset_reset = match fields.get("autoOffsetResetPosition") {
        None => Ok(AutoOffsetReset::default()),
        Some(node) => cx
            .text(node, "autoOffsetResetPosition")
            .and_then(|text| cx.one_of(node, "autoOffsetResetPosition", &text.to_lowercase(), AutoOffsetReset::WORDS)),
    };
    let startup_position = match fields.get("startupPosition") {
        None => Ok(StartupPosition::default()),
        Some(node) => startup_position::read(node, cx),
    };
    let forward_headers = forward_headers(&mut fields, cx);
    let invalid_records = invalid_records(&mut fields, cx);
    let defaults = (forward_headers.unwrap_or(None), invalid_records.clone().unwrap_or(None));
    let topics = topics(&mut fields, &defaults, cx);
    fields.finish(cx);

    let mut properties = properties?;
    if properties.remove(AUTO_OFFSET_RESET).is_some()
        && let Some(node) = properties_node
    {
        let fact = format!("property `{AUTO_OFFSET_RESET}` has no effect, field `autoOffsetResetPosition` decides");
        let finding = Diagnostic::warning(errors::MP0033, fact).at(cx.place_of(node), "overridden, as upstream does");
        cx.add(finding.hint("write `autoOffsetResetPosition: earliest` or `latest` in `spec`"));
    }
    properties.remove(BOOTSTRAP_SERVERS);
    properties.remove(GROUP_ID);
    forward_headers?;
    invalid_records?;
    Ok(KafkaIngress {
        id: id?,
        address: address?,
        consumer_group_id: group?,
        topics: topics?,
        auto_offset_reset: auto_offset_reset?,
        startup_position: startup_position?,
        properties,
        place,
    })
}

/// A setting that is a field or a property; the field wins.
pub(crate) fn setting(
    fields: &mut Fields<'_>,
    field: &'static str,
    property: &str,
    properties: &Result<Properties, Reported>,
    cx: &mut Context<'_>,
) -> Result<String, Reported> {
    let given = match fields.get(field) {
        Some(node) => {
            let text = cx.text(node, field)?;
            (text, cx.place_of(node))
        }
        None => match properties {
            Err(reported) => return Err(*reported),
            Ok(properties) => (properties.get(property).cloned().unwrap_or_default(), fields.place()),
        },
    };
    if !given.0.trim().is_empty() {
        return Ok(given.0);
    }
    let fact = format!("neither field `{field}` nor property `{property}` is set");
    let finding = Diagnostic::error(errors::MP0061, fact).at(given.1, format!("`{field}` is required"));
    Err(cx.add(finding))
}

fn forward_headers(fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Result<Option<bool>, Reported> {
    match fields.get("forwardHeaders").filter(|node| !node.is_null()) {
        None => Ok(None),
        Some(node) => cx.boolean(node, "forwardHeaders").map(Some),
    }
}

fn invalid_records(fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Result<Option<InvalidRecords>, Reported> {
    match fields.get("invalidRecordHandling").filter(|node| !node.is_null()) {
        None => Ok(None),
        Some(node) => invalid_records::read(node, cx).map(Some),
    }
}

fn topics(
    fields: &mut Fields<'_>,
    defaults: &(Option<bool>, Option<InvalidRecords>),
    cx: &mut Context<'_>,
) -> Result<Vec<KafkaTopic>, Reported> {
    let Some(node) = fields.get("topics") else {
        return Err(nothing_to_read(fields.place(), "topics", cx));
    };
    let read_one = |node: &Node, cx: &mut Context<'_>| {
        let mut fields = Fields::open(node, &reference::KAFKA_TOPIC, cx)?;
        let route = routing::read(&mut fields, "topic", cx);
        let headers = forward_headers(&mut fields, cx);
        let invalid = invalid_records(&mut fields, cx);
        fields.finish(cx);
        Ok(KafkaTopic {
            route: route?,
            forward_headers: headers?.or(defaults.0).unwrap_or(false),
            invalid_records: invalid?.or_else(|| defaults.1.clone()).unwrap_or_default(),
        })
    };
    let topics = routing::read_list(node, "topics", cx, read_one, |topic| &topic.route.name)?;
    if topics.is_empty() {
        return Err(nothing_to_read(cx.place_of(node), "topics", cx));
    }
    Ok(topics)
}

/// An ingress without topics or streams.
pub(crate) fn nothing_to_read(place: Place, field: &str, cx: &mut Context<'_>) -> Reported {
    let fact = format!("ingress reads nothing: `{field}` is empty or missing");
    cx.add(Diagnostic::error(errors::MP0060, fact).at(place, "at least one is needed"))
}
