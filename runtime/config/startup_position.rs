//! `startupPosition` of a Kafka ingress, and the dates that Kafka and Kinesis share.
//!
//! In: the node of the field. Out: [`StartupPosition`]. It counts on a fresh start only; afterwards positions come from the
//! ledger.

use std::collections::BTreeMap;

use super::date;
use super::diagnostic::{Diagnostic, Reported};
use super::fields::{Context, Fields};
use super::property_list;
use super::reference;
use super::scalar::Scalar;
use super::yaml::Node;
use crate::errors;

/// Where a Kafka ingress starts that has no position of its own yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StartupPosition {
    /// `group-offsets`: at the committed offset of the group, else where `auto.offset.reset` says.
    GroupOffsets,
    /// `earliest`: at the beginning.
    Earliest,
    /// `latest`: at the end. The default, as upstream.
    #[default]
    Latest,
    /// `specific-offsets`: at the next record to read, by topic and partition; others as `group-offsets`.
    SpecificOffsets(BTreeMap<(String, u32), i64>),
    /// `date`: at the first record that is not older, in milliseconds since 1970.
    Date(i64),
}

#[derive(Clone, Copy)]
enum Kind {
    GroupOffsets,
    Earliest,
    Latest,
    SpecificOffsets,
    Date,
}

const KINDS: &[(&str, Kind)] = &[
    ("group-offsets", Kind::GroupOffsets),
    ("earliest", Kind::Earliest),
    ("latest", Kind::Latest),
    ("specific-offsets", Kind::SpecificOffsets),
    ("date", Kind::Date),
];

/// Reads the field.
pub(crate) fn read(node: &Node, cx: &mut Context<'_>) -> Result<StartupPosition, Reported> {
    let mut fields = Fields::open(node, &reference::STARTUP_POSITION, cx)?;
    let kind_node = fields.required("type", cx)?;
    let kind_text = cx.text(kind_node, "startupPosition.type")?;
    let kind = cx.one_of(kind_node, "startupPosition.type", &kind_text, KINDS)?;
    let position = match kind {
        Kind::GroupOffsets => Ok(StartupPosition::GroupOffsets),
        Kind::Earliest => Ok(StartupPosition::Earliest),
        Kind::Latest => Ok(StartupPosition::Latest),
        Kind::SpecificOffsets => fields.required("offsets", cx).and_then(|node| offsets(node, cx)),
        Kind::Date => read_date(&mut fields, cx).map(StartupPosition::Date),
    };
    let unused = |kind: &str| format!("only type `{kind}` reads it");
    if !matches!(kind, Kind::SpecificOffsets) {
        fields.without_effect("offsets", &unused("specific-offsets"), cx);
    }
    if !matches!(kind, Kind::Date) {
        fields.without_effect("date", &unused("date"), cx);
    }
    fields.finish(cx);
    position
}

/// The field `date`, as milliseconds since 1970. One in the future is refused, as upstream does for Kafka.
pub(crate) fn read_date(fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Result<i64, Reported> {
    let node = fields.required("date", cx)?;
    let text = cx.text(node, "date")?;
    let place = cx.place_of(node);
    let Some(date_ms) = date::parse(&text) else {
        let fact = format!("`date` is not a date: `{text}`");
        let finding = Diagnostic::error(errors::MP0038, fact).at(place, "expected `yyyy-MM-dd HH:mm:ss.SSS Z`");
        return Err(cx.add(finding.hint("for example `2020-02-01 04:15:00.000 +0000`")));
    };
    if date_ms > cx.options.now_ms {
        let fact = format!("`date` is in the future: `{text}`");
        return Err(cx.add(Diagnostic::error(errors::MP0063, fact).at(place, "no record can be this new")));
    }
    Ok(date_ms)
}

/// `- topic/partition: offset`.
fn offsets(node: &Node, cx: &mut Context<'_>) -> Result<StartupPosition, Reported> {
    let mut offsets = BTreeMap::new();
    let mut failed = None;
    for element in property_list::elements(node, "offsets", cx)? {
        match offset(element, cx) {
            Ok((partition, offset)) => drop(offsets.insert(partition, offset)),
            Err(reported) => failed = Some(reported),
        }
    }
    if let Some(reported) = failed {
        return Err(reported);
    }
    if offsets.is_empty() {
        let place = cx.place_of(node);
        let finding = Diagnostic::error(errors::MP0062, "`offsets` is empty").at(place, "at least one is needed");
        return Err(cx.add(finding.hint("write `- <topic>/<partition>: <offset>`, or another type of position")));
    }
    Ok(StartupPosition::SpecificOffsets(offsets))
}

fn offset(element: &Node, cx: &mut Context<'_>) -> Result<((String, u32), i64), Reported> {
    let (key, value) = property_list::first_pair(element, "offsets", cx)?;
    let partition = key.rsplit_once('/').filter(|(topic, number)| !topic.is_empty() && !number.is_empty());
    let partition = partition.and_then(|(topic, number)| {
        let number = number.parse::<i32>().ok().and_then(|number| u32::try_from(number).ok())?;
        Some((topic.to_owned(), number))
    });
    let Some(partition) = partition else {
        let place = cx.place_of(element);
        let fact = format!("`{key}` is not a partition of a topic");
        let label = "expected `<topic>/<partition>`, the partition a number from 0";
        return Err(cx.add(Diagnostic::error(errors::MP0062, fact).at(place, label)));
    };
    let (number, as_written) = value.scalar().map_or((0, false), Scalar::to_long);
    let place = cx.place_of(value);
    let shown = value.scalar().map_or_else(|| value.description().to_owned(), Scalar::to_text);
    if number < 0 {
        let fact = format!("offset `{shown}` of `{key}` is negative");
        return Err(cx.add(Diagnostic::error(errors::MP0062, fact).at(place, "offsets start at 0")));
    }
    if !as_written {
        let fact = format!("offset `{shown}` of `{key}` is not a whole number and read as {number}");
        cx.add(Diagnostic::warning(errors::MP0040, fact).at(place, "as upstream does"));
    }
    Ok((partition, number))
}
