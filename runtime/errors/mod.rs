//! Every error code that Millpond prints, with its page.
//!
//! A code is `MP` and four digits; the first digit is the stage: 0 module files, 1 ingress, 2 router, 4 invoker,
//! 5 ledger, 6 egress, 7 admin and command line. To add one: a line in [`codes!`] below, and a page `MPnnnn.md` beside
//! this file (what happened, why, how to fix it, an example). The last column of the line names where a test raises the
//! code, as a path under `runtime/`: a source file with its tests, or a folder that holds tests or snapshots. A test opens
//! it and looks for the code. `-` is for a code that no test raises yet; the same test keeps the list of those.

mod suggest;

pub use suggest::{near_miss, near_misses};

use std::fmt;

/// An error code. Two codes are equal when their numbers are.
#[derive(Clone, Copy)]
pub struct Code(&'static Entry);

/// What is known about a code.
struct Entry {
    code: &'static str,
    title: &'static str,
    page: &'static str,
    #[cfg_attr(not(test), allow(dead_code))]
    tested: &'static str,
}

impl Code {
    /// The code itself: `MP0001`.
    pub fn name(self) -> &'static str {
        self.0.code
    }

    /// What it is about, in a few words.
    pub fn title(self) -> &'static str {
        self.0.title
    }

    /// The page, in Markdown; `millpond explain` prints it as it is.
    pub fn page(self) -> &'static str {
        self.0.page
    }

    /// Looks a code up; `mp1` and `1` are not guessed at, but case does not matter.
    pub fn find(name: &str) -> Option<Code> {
        ALL.iter().copied().find(|code| code.name().eq_ignore_ascii_case(name.trim()))
    }
}

impl PartialEq for Code {
    fn eq(&self, other: &Code) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Code {}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Declares a constant per code, and [`ALL`].
macro_rules! codes {
    ($($name:ident $title:literal, $tested:literal;)*) => {
        $(
            #[doc = $title]
            pub const $name: Code = Code(&Entry {
                code: stringify!($name),
                title: $title,
                page: include_str!(concat!(stringify!($name), ".md")),
                tested: $tested,
            });
        )*

        /// All codes, in order.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    // 0: module files and configuration. 000x files, 001x YAML, 002x components, 003x fields, 004x credentials,
    // 005x endpoints, 006x Kafka, 007x Kinesis, 008x the application as a whole, 009x what is not there yet.
    MP0001 "module cannot be read", "config/locate.rs";
    MP0002 "module location of a kind that is not supported", "config/locate.rs";
    MP0003 "folder holds no module", "config/locate.rs";
    MP0004 "module file is not UTF-8 text", "config/locate.rs";
    MP0005 "module file exceeds a limit", "config/locate.rs";
    MP0010 "not YAML", "tests/modules/snapshots";
    MP0011 "YAML feature that modules cannot use", "tests/modules/snapshots";
    MP0012 "key given twice", "tests/modules/snapshots";
    MP0013 "environment variable is not set", "tests/modules/snapshots";
    MP0014 "`${` without a variable name", "tests/modules/snapshots";
    MP0020 "document is not a component", "tests/modules/snapshots";
    MP0021 "unknown kind of component", "tests/modules/snapshots";
    MP0022 "module of the 3.0 format cannot be used", "tests/modules/snapshots";
    MP0030 "required field is missing", "tests/modules/snapshots";
    MP0031 "value of the wrong type", "tests/modules/snapshots";
    MP0032 "unknown field, ignored", "tests/modules/snapshots";
    MP0033 "field has no effect here", "tests/modules/snapshots";
    MP0034 "number out of range", "tests/modules/snapshots";
    MP0035 "not a type name", "tests/modules/snapshots";
    MP0036 "not one of the possible values", "tests/modules/snapshots";
    MP0037 "not a duration", "tests/modules/snapshots";
    MP0038 "not a date", "tests/modules/snapshots";
    MP0039 "not a property list", "tests/modules/snapshots";
    MP0040 "value is read in an unexpected way", "tests/modules/snapshots";
    MP0041 "certificate file cannot be used", "tests/modules/snapshots";
    MP0042 "private key cannot be used", "tests/modules/snapshots";
    MP0043 "key of another certificate", "tests/modules/snapshots";
    MP0044 "header of requests cannot be sent", "tests/modules/snapshots";
    MP0045 "value of a header is not there", "tests/modules/snapshots";
    MP0046 "client certificate is not valid now", "tests/modules/snapshots";
    MP0050 "pattern of functions cannot be used", "tests/modules/snapshots";
    MP0051 "endpoint URL cannot be used", "tests/modules/snapshots";
    MP0052 "unknown transport", "tests/modules/snapshots";
    MP0053 "timeout of zero", "tests/modules/snapshots";
    MP0054 "timeout larger than the whole call", "tests/modules/snapshots";
    MP0055 "client certificate without key, or key without certificate", "tests/modules/snapshots";
    MP0056 "certificate or key file is not there", "tests/modules/snapshots";
    MP0057 "dead letters without a place to go", "tests/modules/snapshots";
    MP0058 "egress of dead letters is not declared", "tests/modules/snapshots";
    MP0059 "egress has no such topic for dead letters", "tests/modules/snapshots";
    MP0060 "ingress reads nothing", "tests/modules/snapshots";
    MP0061 "Kafka setting is missing", "tests/modules/snapshots";
    MP0062 "start offsets cannot be used", "tests/modules/snapshots";
    MP0063 "start date is in the future", "tests/modules/snapshots";
    MP0064 "policy for invalid records contradicts itself", "tests/modules/snapshots";
    MP0065 "Kafka property cannot be honoured", "kafka/tests.rs";
    MP0066 "Kafka property without effect", "kafka/tests.rs";
    MP0070 "AWS endpoint cannot be used", "tests/modules/snapshots";
    MP0071 "stream ARN with several streams", "tests/modules/snapshots";
    MP0080 "no ingress", "tests/modules/snapshots";
    MP0081 "no endpoint", "tests/modules/snapshots";
    MP0082 "declared twice", "tests/modules/snapshots";
    MP0083 "port used twice", "tests/modules/snapshots";
    MP0090 "not there yet", "tests/modules/snapshots";
    // 010x Flink's configuration.
    MP0100 "Flink configuration cannot be read", "config/flink_conf.rs";
    MP0101 "Flink settings without effect", "config/flink_conf.rs";
    MP0102 "Flink setting cannot be used", "config/flink_conf.rs";
    // 1: ingress.
    MP1001 "path names no address", "ingress/tests.rs";
    MP1002 "path cannot be decoded", "ingress/tests.rs";
    MP1003 "content type is missing or unreadable", "ingress/tests.rs";
    MP1005 "argument exceeds the limit", "ingress/tests.rs";
    MP1006 "name exceeds the limit", "ingress/tests.rs";
    MP1007 "no endpoint serves the function type", "ingress/tests.rs";
    MP1008 "idempotency key cannot be used", "ingress/tests.rs";
    MP1009 "idempotency key was used for another event", "ingress/tests.rs";
    MP1010 "intake is paused", "ingress/tests.rs";
    MP1011 "node is not ready", "ingress/tests.rs";
    MP1012 "node stopped before it answered", "ingress/tests.rs";
    MP1013 "too many connections or bodies at one time", "ingress/tests.rs";
    MP1014 "body did not arrive", "ingress/tests.rs";
    MP1015 "function type is full", "ingress/tests.rs";
    MP1016 "the disk is nearly full", "tests/e2e";
    MP1020 "Kafka ingress cannot read", "tests/e2e/kafka";
    MP1021 "invalid Kafka record", "router/kafka.rs";
    MP1022 "position in Kafka is gone", "tests/e2e/kafka";
    // 2: router.
    MP2003 "no endpoint serves a target", "tests/modules/snapshots";
    // 3: engine.
    MP3001 "no endpoint serves the function type", "engine/tests/messages.rs";
    MP3002 "state declared under two types", "engine/tests/learning.rs";
    MP3003 "stored value has another type than declared", "engine/tests/learning.rs";
    MP3005 "answer names a lane that does not exist", "engine/tests/states.rs";
    MP3006 "function asks for states again and again", "engine/tests/learning.rs";
    MP3008 "answer changes a state that was not declared", "engine/tests/states.rs";
    MP3009 "answer writes a state with another type than declared", "engine/tests/states.rs";
    MP3010 "state value exceeds the limit", "engine/tests/states.rs";
    MP3011 "cancellation token is taken", "engine/tests/delayed.rs";
    MP3012 "delay is negative", "engine/tests/delayed.rs";
    MP3013 "cancellation without a token", "engine/tests/delayed.rs";
    MP3014 "cancellation token is too long", "engine/tests/delayed.rs";
    MP3015 "answer names too many function types", "engine/tests/spilling.rs";
    MP3020 "an operator took the message out", "egress/dead_letter.rs";
    MP3099 "the engine stopped by itself", "-";
    // 4: invoker. 400x-401x the exchange, 402x the content of an answer, 403x TLS and pauses.
    MP4001 "endpoint does not accept connections", "invoker/tests/classification.rs";
    MP4002 "host name of the endpoint has no address", "invoker/tests/classification.rs";
    MP4003 "endpoint is not available", "invoker/tests/classification.rs";
    MP4004 "connection ended before the answer was complete", "invoker/tests/connections.rs";
    MP4005 "no answer in time", "invoker/tests/classification.rs";
    MP4006 "no connection within `connect`", "invoker/tests/classification.rs";
    MP4007 "all connections of the function type are busy", "invoker/tests/classification.rs";
    MP4008 "endpoint answered with an error status", "invoker/tests/connections.rs";
    MP4009 "answer has another content type", "invoker/tests/classification.rs";
    MP4010 "answer cannot be decoded", "invoker/tests/answer.rs";
    MP4011 "answer is larger than `payload_max_bytes`", "invoker/tests/classification.rs";
    MP4012 "endpoint answered with a redirect", "invoker/tests/classification.rs";
    MP4013 "content coding of the answer cannot be undone", "invoker/tests/classification.rs";
    MP4014 "endpoint does not speak HTTP as expected", "invoker/tests/classification.rs";
    MP4015 "name of the function type does not fit into the URL", "invoker/tests/classification.rs";
    MP4016 "endpoint cannot be called", "invoker/tests/classification.rs";
    MP4020 "message without a target", "invoker/tests/answer.rs";
    MP4021 "unknown kind of state change", "invoker/tests/answer.rs";
    MP4022 "typename of a state is not `<namespace>/<name>`", "invoker/tests/answer.rs";
    MP4023 "time to live of a state is not positive", "invoker/tests/answer.rs";
    MP4024 "id is too long", "invoker/tests/answer.rs";
    MP4025 "typename is too long", "invoker/tests/answer.rs";
    MP4026 "name of a state is too long", "invoker/tests/answer.rs";
    MP4027 "state value is too large", "invoker/tests/answer.rs";
    MP4028 "argument of a message is too large", "invoker/tests/answer.rs";
    MP4030 "certificate of the endpoint is not trusted", "invoker/tests/tls.rs";
    MP4031 "certificate of the endpoint is out of its time", "invoker/tests/tls.rs";
    MP4032 "certificate of the endpoint is for another host", "invoker/tests/tls.rs";
    MP4033 "endpoint does not accept our certificate", "invoker/tests/tls.rs";
    MP4034 "endpoint does not speak TLS", "invoker/tests/tls.rs";
    MP4035 "TLS handshake failed", "invoker/tests/tls.rs";
    MP4036 "nothing moved for `timeouts.read` or `timeouts.write`", "invoker/tests/okhttp.rs";
    MP4037 "endpoint does not accept the credentials of the request", "invoker/tests/classification.rs";
    // 5: ledger.
    MP5001 "ledger directory cannot be used", "ledger/tests/directory.rs";
    MP5002 "ledger is open in another process", "ledger/tests/directory.rs";
    MP5003 "ledger was written by a newer version", "ledger/tests/directory.rs";
    MP5004 "ledger storage failed", "tests/e2e";
    MP5005 "a ledger record cannot be read", "ledger/tests/damage.rs";
    MP5006 "a checkpoint does not fit the ledger", "ledger/tests/conformance.rs";
    MP5007 "ledger ends before what was confirmed", "ledger/tests/damage.rs";
    // 6: egress.
    MP6001 "no such egress", "egress/route.rs";
    MP6002 "egress cannot take the record", "egress/route.rs";
    MP6003 "no such topic in the egress", "egress/route.rs";
    MP6004 "no such topic to read", "egress/tests.rs";
    MP6006 "reader asks for something that cannot be read", "egress/tests.rs";
    MP6007 "topic cannot be read from the ledger", "egress/tests.rs";
    MP6008 "too many readers follow topics", "egress/tests.rs";
    MP6009 "node stopped while records were taken or freed", "egress/tests.rs";
    MP6010 "Kafka egress cannot take the record", "egress/kafka/record.rs";
    MP6020 "ledger is a stale copy", "publisher/tests/lineage.rs";
    MP6021 "cursor of an egress is missing", "publisher/tests/lineage.rs";
    MP6022 "cursor of an egress cannot be read", "publisher/tests/lineage.rs";
    MP6023 "another data directory has published for the application", "tests/e2e/kafka";
    MP6030 "Kafka egress cannot publish", "tests/e2e/kafka";
    MP6031 "Kafka refuses a record for good", "tests/e2e/kafka";
    MP6032 "Kafka denies an egress a right", "tests/e2e/kafka";
    // 7: admin, command line, the node as a whole.
    MP7001 "admin API does not answer", "cli/address.rs";
    MP7002 "admin API open to the network without a token", "cli/run.rs";
    MP7003 "unknown error code", "cli/explain.rs";
    MP7004 "admin token file cannot be used", "cli/run.rs";
    MP7005 "admin API and module want the same port", "cli/run.rs";
    MP7010 "admin token is missing or wrong", "admin/tests.rs";
    MP7011 "host name is not one of the admin API", "admin/tests.rs";
    MP7012 "web page of another origin", "admin/tests.rs";
    MP7013 "address in the path cannot be read", "admin/tests.rs";
    MP7014 "nothing is known of the address", "admin/tests.rs";
    MP7015 "engine does not answer the admin API", "admin/tests.rs";
    MP7016 "admin API has no such path or method", "admin/tests.rs";
    MP7017 "address cannot be read from the ledger", "admin/tests.rs";
    MP7018 "message is not first in line", "admin/tests.rs";
    MP7019 "no place for dead letters", "admin/tests.rs";
    MP7020 "message to take out is not named", "admin/tests.rs";
    MP7021 "function is being called, nothing is decided yet", "admin/tests.rs";
    MP7022 "token is for looking only", "admin/tests.rs";
    MP7023 "part of the function types cannot be read", "admin/tests.rs";
    MP7024 "no such Kafka ingress", "cli/ingress.rs";
    MP7025 "partition does not stand at the record", "cli/ingress.rs";
    MP7026 "record to pass over is not named", "cli/ingress.rs";
    MP7027 "position is not durable yet", "admin/ingresses.rs";
    MP7030 "address to listen on cannot be had", "tests/e2e";
    MP7031 "the system refused something", "-";
    MP7032 "data directory belongs to another application", "tests/e2e";
    MP7033 "name of the application cannot be used", "cli/run.rs";
    MP7034 "components were removed that the ledger holds work for", "tests/e2e";
    MP7035 "no module is named", "cli/run.rs";
    MP7036 "`--reset-cursor` names no egress with a cursor", "cli/run.rs";
    // 705x Kafka egresses in the admin API.
    MP7050 "no such Kafka egress", "cli/egress.rs";
    MP7051 "no such refused record", "cli/egress.rs";
    MP7052 "refused record cannot be removed yet", "cli/egress.rs";
    MP7053 "part of the refused records cannot be read", "cli/egress.rs";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::{ALL, Code};

    fn root() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
    }

    /// Codes are unique, well formed, and in order, so that the list of `explain` is.
    #[test]
    fn codes_are_in_order() {
        let names: Vec<&str> = ALL.iter().map(|code| code.name()).collect();
        for name in &names {
            let digits = name.strip_prefix("MP").expect("a code starts with MP");
            assert!(digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()), "{name}");
        }
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        assert_eq!(Code::find(" mp0001 "), Some(ALL[0]));
        assert_eq!(Code::find("1"), None);
    }

    /// Every page starts with its code and title, says what happened, and how to fix it; no page lacks a code.
    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        for code in ALL {
            let head = format!("# {}: {}\n\n", code.name(), code.title());
            let body = code.page().strip_prefix(&head);
            let body = body.unwrap_or_else(|| panic!("{} should start with {head:?}", code.name()));
            let fix = body.find("How to fix").unwrap_or_else(|| panic!("{} lacks `How to fix`", code.name()));
            assert!(fix > 60, "{} says too little about what happened", code.name());
        }
        let pages: BTreeSet<String> = std::fs::read_dir(root().join("errors"))
            .expect("the folder of this file")
            .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".md").map(str::to_owned))
            .filter(|name| name.starts_with("MP"))
            .collect();
        let codes: BTreeSet<String> = ALL.iter().map(|code| code.name().to_owned()).collect();
        assert_eq!(pages, codes);
    }

    /// Codes that no test raises yet. The list may only become shorter.
    const WITHOUT_TEST: &[&str] = &["MP3099", "MP7031"];

    /// Every code is raised by the test that the registry names for it.
    #[test]
    fn every_code_is_raised_by_a_test() {
        let without: Vec<&str> = ALL.iter().filter(|code| code.0.tested == "-").map(|code| code.name()).collect();
        assert_eq!(without, WITHOUT_TEST);
        for code in ALL.iter().filter(|code| code.0.tested != "-") {
            let path = root().join(code.0.tested);
            assert!(holds(&path, code.name()), "{} does not raise {}", path.display(), code.name());
        }
    }

    /// Whether a test names a code: in the tests of a source file, in a file of tests, or anywhere in a folder of them.
    fn holds(path: &Path, code: &str) -> bool {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).expect("a folder of tests");
            return entries.map(|entry| entry.expect("an entry").path()).any(|path| holds(&path, code));
        }
        let Ok(text) = std::fs::read_to_string(path) else { return false };
        match text.split_once("#[cfg(test)]") {
            Some((_, tests)) => tests.contains(code),
            None => text.contains(code) && is_a_test(path),
        }
    }

    /// Whether a file without tests inside is a file of tests.
    fn is_a_test(path: &Path) -> bool {
        let snapshot = path.extension().is_some_and(|extension| extension == "snap");
        snapshot
            || path
                .components()
                .any(|part| part.as_os_str().to_string_lossy().trim_end_matches(".rs").ends_with("tests"))
    }
}
