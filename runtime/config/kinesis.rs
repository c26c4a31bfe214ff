//! `io.statefun.kinesis.v1/ingress` and `io.statefun.kinesis.v1/egress`.
//!
//! In: the `spec` of one component. Out: [`KinesisIngress`] or [`KinesisEgress`].

use std::num::NonZeroU32;

use millpond_protocol::TypeName;

use super::aws::{self, AwsCredentials, AwsRegion};
use super::diagnostic::{Diagnostic, Reported};
use super::fields::{Context, Fields};
use super::kafka_ingress::nothing_to_read;
use super::property_list::{self, Properties};
use super::reference;
use super::routing::{self, Route};
use super::source::Place;
use super::startup_position;
use super::yaml::Node;
use crate::errors;

/// Records of Kinesis streams as events.
#[derive(Debug, Clone)]
pub struct KinesisIngress {
    /// Field `id`: identifies the ingress, also in the ledger. Required.
    pub id: TypeName,
    /// Field `streams`: what is read, and who gets it. Required, at least one.
    pub streams: Vec<Route>,
    /// Field `awsRegion`. Default: from the environment.
    pub region: AwsRegion,
    /// Field `awsCredentials`. Default: from the environment.
    pub credentials: AwsCredentials,
    /// Field `startupPosition`. Default `latest`, as upstream.
    pub startup_position: KinesisStartupPosition,
    /// Field `clientConfigProperties`: settings of the client. Names that do not start with `flink.` or `aws.` are those of
    /// the AWS client configuration and become `aws.clientconfig.` and the name with a small first letter, as upstream.
    pub properties: Properties,
    /// Field `streamArn` (of the fork): the ARN by which the single stream is read. Default: its name.
    pub stream_arn: Option<String>,
    /// Where the component is declared.
    pub place: Place,
}

/// Where a Kinesis ingress starts that has no position of its own yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KinesisStartupPosition {
    /// `earliest`: at the oldest record kept.
    Earliest,
    /// `latest`: at the end. The default, as upstream.
    #[default]
    Latest,
    /// `date`: at the first record that is not older, in milliseconds since 1970.
    Date(i64),
}

/// Records to Kinesis streams; each record names its stream.
#[derive(Debug, Clone)]
pub struct KinesisEgress {
    /// Field `id`: how functions name the egress. Required.
    pub id: TypeName,
    /// Field `awsRegion`. Default: from the environment.
    pub region: AwsRegion,
    /// Field `awsCredentials`. Default: from the environment.
    pub credentials: AwsCredentials,
    /// Field `maxOutstandingRecords`: records sent and not acknowledged before the egress waits. Default 1000, as upstream.
    pub max_outstanding_records: NonZeroU32,
    /// Field `clientConfigProperties`: settings of the producer, as they are.
    pub properties: Properties,
    /// Field `streamName` (of the fork, which requires it): the stream of records that name none. Default: none.
    pub stream_name: Option<String>,
    /// Where the component is declared.
    pub place: Place,
}

#[derive(Clone, Copy)]
enum Kind {
    Earliest,
    Latest,
    Date,
}

const KINDS: &[(&str, Kind)] = &[("earliest", Kind::Earliest), ("latest", Kind::Latest), ("date", Kind::Date)];

/// Reads the spec of the ingress.
pub(crate) fn read_ingress(spec: &Node, place: Place, cx: &mut Context<'_>) -> Result<KinesisIngress, Reported> {
    let mut fields = Fields::open(spec, &reference::KINESIS_INGRESS, cx)?;
    let id = fields.required("id", cx).and_then(|node| cx.type_name(node, "id"));
    let place = fields.value_place("id", place, cx);
    let streams = streams(&mut fields, cx);
    let (region, credentials) = region_and_credentials(&mut fields, cx);
    let startup_position = match fields.get("startupPosition") {
        None => Ok(KinesisStartupPosition::default()),
        Some(node) => read_position(node, cx),
    };
    let properties = properties(&mut fields, cx);
    let stream_arn = optional_text(&mut fields, "streamArn", cx);
    let arn_place = fields.key_place("streamArn", cx);
    fields.finish(cx);
    let (streams, stream_arn) = (streams?, stream_arn?);
    if let Some(place) = arn_place.filter(|_| stream_arn.is_some() && streams.len() != 1) {
        let fact = format!("`streamArn` names one stream, and `streams` has {}", streams.len());
        let finding = Diagnostic::error(errors::MP0071, fact).at(place, "goes with exactly one entry of `streams`");
        return Err(cx.add(finding.hint("declare one ingress for each stream that is read by ARN")));
    }
    Ok(KinesisIngress {
        id: id?,
        streams,
        region: region?,
        credentials: credentials?,
        startup_position: startup_position?,
        properties: properties?.into_iter().map(|(key, value)| (client_config_key(key), value)).collect(),
        stream_arn,
        place,
    })
}

/// Reads the spec of the egress.
pub(crate) fn read_egress(spec: &Node, place: Place, cx: &mut Context<'_>) -> Result<KinesisEgress, Reported> {
    let mut fields = Fields::open(spec, &reference::KINESIS_EGRESS, cx)?;
    let id = fields.required("id", cx).and_then(|node| cx.type_name(node, "id"));
    let place = fields.value_place("id", place, cx);
    let (region, credentials) = region_and_credentials(&mut fields, cx);
    let max_outstanding_records = max_outstanding_records(&mut fields, cx);
    let properties = properties(&mut fields, cx);
    let stream_name = optional_text(&mut fields, "streamName", cx);
    fields.finish(cx);
    Ok(KinesisEgress {
        id: id?,
        region: region?,
        credentials: credentials?,
        max_outstanding_records: max_outstanding_records?,
        properties: properties?,
        stream_name: stream_name?,
        place,
    })
}

fn region_and_credentials(
    fields: &mut Fields<'_>,
    cx: &mut Context<'_>,
) -> (Result<AwsRegion, Reported>, Result<AwsCredentials, Reported>) {
    let region = match fields.get("awsRegion") {
        None => Ok(AwsRegion::default()),
        Some(node) => aws::read_region(node, cx),
    };
    let credentials = match fields.get("awsCredentials") {
        None => Ok(AwsCredentials::default()),
        Some(node) => aws::read_credentials(node, cx),
    };
    (region, credentials)
}

fn properties(fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Result<Properties, Reported> {
    match fields.get("clientConfigProperties") {
        None => Ok(Properties::new()),
        Some(node) => property_list::read(node, "clientConfigProperties", cx),
    }
}

fn optional_text(
    fields: &mut Fields<'_>,
    field: &'static str,
    cx: &mut Context<'_>,
) -> Result<Option<String>, Reported> {
    match fields.get(field) {
        None => Ok(None),
        Some(node) => cx.nullable_text(node, field),
    }
}

fn streams(fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Result<Vec<Route>, Reported> {
    let Some(node) = fields.get("streams") else {
        return Err(nothing_to_read(fields.place(), "streams", cx));
    };
    let read_one = |node: &Node, cx: &mut Context<'_>| {
        let mut fields = Fields::open(node, &reference::KINESIS_STREAM, cx)?;
        let route = routing::read(&mut fields, "stream", cx);
        fields.finish(cx);
        route
    };
    let streams = routing::read_list(node, "streams", cx, read_one, |route| &route.name)?;
    if streams.is_empty() {
        return Err(nothing_to_read(cx.place_of(node), "streams", cx));
    }
    Ok(streams)
}

fn read_position(node: &Node, cx: &mut Context<'_>) -> Result<KinesisStartupPosition, Reported> {
    let mut fields = Fields::open(node, &reference::KINESIS_STARTUP_POSITION, cx)?;
    let kind_node = fields.required("type", cx)?;
    let kind_text = cx.text(kind_node, "startupPosition.type")?;
    let position = match cx.one_of(kind_node, "startupPosition.type", &kind_text, KINDS)? {
        Kind::Date => startup_position::read_date(&mut fields, cx).map(KinesisStartupPosition::Date),
        kind => {
            fields.without_effect("date", "only type `date` reads it", cx);
            Ok(match kind {
                Kind::Earliest => KinesisStartupPosition::Earliest,
                Kind::Latest | Kind::Date => KinesisStartupPosition::Latest,
            })
        }
    };
    fields.finish(cx);
    position
}

fn max_outstanding_records(fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Result<NonZeroU32, Reported> {
    let field = "maxOutstandingRecords";
    let Some(node) = fields.get(field) else {
        return Ok(NonZeroU32::new(1000).unwrap_or(NonZeroU32::MIN));
    };
    let number = cx.int(node, field)?.unwrap_or(0);
    let number = u32::try_from(number).ok().and_then(NonZeroU32::new);
    number.ok_or_else(|| cx.out_of_range(node, field, "1 to 2147483647"))
}

/// The name under which the client looks a setting up.
fn client_config_key(key: String) -> String {
    if key.starts_with("flink.") || key.starts_with("aws.") {
        return key;
    }
    let mut letters = key.chars();
    let first = letters.next().map(|letter| letter.to_lowercase().to_string()).unwrap_or_default();
    format!("aws.clientconfig.{first}{}", letters.as_str())
}
