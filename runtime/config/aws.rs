//! `awsRegion` and `awsCredentials` of the Kinesis components.

use std::fmt;

use url::Url;

use super::diagnostic::{Diagnostic, Reported};
use super::fields::{Context, Fields};
use super::reference;
use super::yaml::Node;
use crate::errors;

/// Field `awsRegion`: which region to talk to. Default: what the environment of the process says, as upstream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AwsRegion {
    /// `default`: the provider chain of the AWS client.
    #[default]
    FromEnvironment,
    /// `specific`: the region with this id.
    Specific(String),
    /// `custom-endpoint`: a service of one's own that speaks the protocol.
    CustomEndpoint {
        /// Field `endpoint`: its `https` URL.
        endpoint: String,
        /// Field `id`: the region to sign for.
        region: String,
    },
}

/// Field `awsCredentials`: who we are. Default: what the environment of the process says, as upstream.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum AwsCredentials {
    /// `default`: the provider chain of the AWS client.
    #[default]
    FromEnvironment,
    /// `basic`: a key written into the module.
    Basic {
        /// Field `accessKeyId`.
        access_key_id: String,
        /// Field `secretAccessKey`; never shown.
        secret_access_key: String,
    },
    /// `profile`: a profile of the AWS configuration files.
    Profile {
        /// Field `profileName`.
        name: String,
        /// Field `profilePath`: the file. Default: the one of the AWS client.
        path: Option<String>,
    },
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AwsCredentials::FromEnvironment => f.write_str("FromEnvironment"),
            AwsCredentials::Basic { .. } => f.write_str("Basic(hidden)"),
            AwsCredentials::Profile { name, path } => write!(f, "Profile({name:?}, {path:?})"),
        }
    }
}

/// Reads `awsRegion`.
pub(crate) fn read_region(node: &Node, cx: &mut Context<'_>) -> Result<AwsRegion, Reported> {
    let mut fields = Fields::open(node, &reference::AWS_REGION, cx)?;
    let kind = kind(&mut fields, "awsRegion.type", &["default", "specific", "custom-endpoint"], cx)?;
    let region = match kind {
        0 => Ok(AwsRegion::FromEnvironment),
        1 => text(&mut fields, "id", cx).map(AwsRegion::Specific),
        _ => custom_endpoint(&mut fields, cx),
    };
    fields.finish(cx);
    region
}

fn custom_endpoint(fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Result<AwsRegion, Reported> {
    let endpoint = fields.required("endpoint", cx).and_then(|node| {
        let text = cx.text(node, "endpoint")?;
        let cause = match Url::parse(&text) {
            Ok(url) if url.scheme() == "https" => return Ok(text),
            Ok(_) => "only `https` endpoints are supported".to_owned(),
            Err(error) => error.to_string(),
        };
        let place = cx.place_of(node);
        let fact = format!("`endpoint` cannot be used: `{text}`");
        Err(cx.add(Diagnostic::error(errors::MP0070, fact).at(place, cause)))
    });
    let region = text(fields, "id", cx);
    Ok(AwsRegion::CustomEndpoint { endpoint: endpoint?, region: region? })
}

/// Reads `awsCredentials`.
pub(crate) fn read_credentials(node: &Node, cx: &mut Context<'_>) -> Result<AwsCredentials, Reported> {
    let mut fields = Fields::open(node, &reference::AWS_CREDENTIALS, cx)?;
    let kind = kind(&mut fields, "awsCredentials.type", &["default", "basic", "profile"], cx)?;
    let credentials = match kind {
        0 => Ok(AwsCredentials::FromEnvironment),
        1 => {
            let access_key_id = text(&mut fields, "accessKeyId", cx);
            let secret_access_key = text(&mut fields, "secretAccessKey", cx);
            access_key_id.and_then(|access_key_id| {
                Ok(AwsCredentials::Basic { access_key_id, secret_access_key: secret_access_key? })
            })
        }
        _ => {
            let name = text(&mut fields, "profileName", cx);
            let path = match fields.get("profilePath") {
                None => Ok(None),
                Some(node) => cx.text(node, "profilePath").map(Some),
            };
            name.and_then(|name| Ok(AwsCredentials::Profile { name, path: path? }))
        }
    };
    fields.finish(cx);
    credentials
}

/// The index of the field `type` in a list of words.
fn kind(fields: &mut Fields<'_>, field: &str, words: &[&str], cx: &mut Context<'_>) -> Result<usize, Reported> {
    let node = fields.required("type", cx)?;
    let text = cx.text(node, field)?;
    let choices: Vec<(&str, usize)> = words.iter().enumerate().map(|(at, word)| (*word, at)).collect();
    cx.one_of(node, field, &text, &choices)
}

fn text(fields: &mut Fields<'_>, field: &'static str, cx: &mut Context<'_>) -> Result<String, Reported> {
    fields.required(field, cx).and_then(|node| cx.text(node, field))
}
