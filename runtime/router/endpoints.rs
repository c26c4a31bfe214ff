//! Which function types the module's endpoints serve, and what a misspelt one may have meant.

use millpond_engine::{EndpointConfig, FunctionPattern};
use millpond_protocol::TypeName;

use crate::errors::near_miss;

/// The function types that endpoints serve.
#[derive(Debug, Clone)]
pub struct Endpoints(Vec<FunctionPattern>);

impl Endpoints {
    /// The patterns of these endpoints.
    pub fn new(endpoints: &[EndpointConfig]) -> Endpoints {
        Endpoints(endpoints.iter().map(|endpoint| endpoint.functions.clone()).collect())
    }

    /// Whether an endpoint serves this function type. A namespace matches as a whole, never by a prefix.
    pub fn serve(&self, function: &TypeName) -> bool {
        self.0.iter().any(|pattern| match pattern {
            FunctionPattern::Exact(name) => name == function,
            FunctionPattern::Namespace(namespace) => namespace == function.namespace(),
        })
    }

    /// The served name that is nearest to one that is not, if any is near.
    pub fn near_miss(&self, function: &TypeName) -> Option<String> {
        let candidates: Vec<String> = self.0.iter().map(|pattern| served_name(pattern, function.name())).collect();
        near_miss(&function.to_string(), candidates.iter().map(String::as_str)).map(str::to_owned)
    }

    /// All patterns as a module spells them, the first `most` of them.
    pub fn listed(&self, most: usize) -> Vec<String> {
        let spelled = |pattern: &FunctionPattern| match pattern {
            FunctionPattern::Exact(name) => name.to_string(),
            FunctionPattern::Namespace(namespace) => format!("{namespace}/*"),
        };
        self.0.iter().take(most).map(spelled).collect()
    }
}

/// A name that the pattern serves: for a namespace, the one with this second part.
fn served_name(pattern: &FunctionPattern, name: &str) -> String {
    match pattern {
        FunctionPattern::Exact(name) => name.to_string(),
        FunctionPattern::Namespace(namespace) => format!("{namespace}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use millpond_engine::{EndpointConfig, FunctionPattern};
    use millpond_protocol::TypeName;

    use super::Endpoints;

    fn endpoints() -> Endpoints {
        let config = |functions| EndpointConfig {
            functions,
            max_num_batch_requests: None,
            calls_max: 1024,
            call_ms: 1000,
            failure_policy: millpond_engine::FailurePolicy::Park,
            dead_letters: None,
        };
        Endpoints::new(&[
            config(FunctionPattern::Exact(TypeName::new("com.example.fns", "greeter"))),
            config(FunctionPattern::Namespace("com.example.audit".to_owned())),
        ])
    }

    /// The lookup table of the module format, and a suggestion only for what is near.
    #[test]
    fn lookup_and_near_misses() {
        for (namespace, name, served, near) in [
            ("com.example.fns", "greeter", true, Some("com.example.fns/greeter")),
            ("com.example.fns", "greter", false, Some("com.example.fns/greeter")),
            ("com.example.fns", "Greeter", false, Some("com.example.fns/greeter")),
            ("com.example.fns", "", false, Some("com.example.audit/")),
            ("com.example.audit", "anything", true, Some("com.example.audit/anything")),
            ("com.example.audit", "", true, Some("com.example.audit/")),
            ("com.example.audit.deep", "x", false, Some("com.example.audit/x")),
            ("com.example.audti", "x", false, Some("com.example.audit/x")),
            ("org.other", "fn", false, None),
            ("", "", false, None),
        ] {
            let function = TypeName::new(namespace, name);
            assert_eq!(endpoints().serve(&function), served, "{function}");
            assert_eq!(endpoints().near_miss(&function).as_deref(), near, "{function}");
        }
        assert_eq!(endpoints().listed(9), ["com.example.fns/greeter", "com.example.audit/*"]);
    }
}
