//! Which right a cluster denies: what its error codes say, with the thing that they are about. Pure.

use rdkafka::error::RDKafkaErrorCode;

/// What a client was doing when it was refused.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Doing<'a> {
    /// With which topic, if that is known.
    pub(crate) topic: Option<&'a str>,
    /// What it does with topics: operations, as Kafka calls them.
    pub(crate) with_topic: &'a str,
    /// Under which transactional id.
    pub(crate) transactional_id: Option<&'a str>,
    /// For which group.
    pub(crate) group: Option<&'a str>,
}

/// The right that is missing, in words; `None` for an error about anything else.
pub(crate) fn denied(code: RDKafkaErrorCode, user: Option<&str>, doing: &Doing<'_>) -> Option<String> {
    let named = |what: &str, name: Option<&str>| match name {
        Some(name) => format!("{what} `{name}`"),
        None => format!("the {what}"),
    };
    let (operations, resource) = match code {
        RDKafkaErrorCode::TopicAuthorizationFailed => (doing.with_topic, named("topic", doing.topic)),
        RDKafkaErrorCode::GroupAuthorizationFailed => ("READ", named("group", doing.group)),
        RDKafkaErrorCode::TransactionalIdAuthorizationFailed => {
            ("DESCRIBE and WRITE", named("transactional id", doing.transactional_id))
        }
        RDKafkaErrorCode::ClusterAuthorizationFailed => ("IDEMPOTENT_WRITE", "the cluster".to_owned()),
        _ => return None,
    };
    let user = user.map(|user| format!("user `{user}` ")).unwrap_or_else(|| "the user ".to_owned());
    Some(format!("{user}lacks a right in the cluster: {operations} on {resource}"))
}

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode;

    use super::{Doing, denied};

    /// Operation and resource are named as Kafka's own tools name them.
    #[test]
    fn rights() {
        let doing = Doing {
            topic: Some("counts"),
            with_topic: "DESCRIBE and WRITE",
            transactional_id: Some("app-1"),
            group: Some("g"),
        };
        let words = |code, user| denied(code, user, &doing);
        assert_eq!(
            words(RDKafkaErrorCode::TopicAuthorizationFailed, Some("ada")).as_deref(),
            Some("user `ada` lacks a right in the cluster: DESCRIBE and WRITE on topic `counts`")
        );
        assert_eq!(
            words(RDKafkaErrorCode::TransactionalIdAuthorizationFailed, None).as_deref(),
            Some("the user lacks a right in the cluster: DESCRIBE and WRITE on transactional id `app-1`")
        );
        assert!(
            words(RDKafkaErrorCode::GroupAuthorizationFailed, None).is_some_and(|it| it.contains("READ on group `g`"))
        );
        assert!(words(RDKafkaErrorCode::ClusterAuthorizationFailed, None).is_some());
        assert_eq!(words(RDKafkaErrorCode::AllBrokersDown, Some("ada")), None);
    }
}
