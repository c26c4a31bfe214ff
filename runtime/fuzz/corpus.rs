//! What mutation starts from. Read from the checkout, in an order that does not depend on the disk.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The bytes of the golden vectors in a file, requests and values included.
pub fn vectors(file: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(checkout().join("protocol/vectors").join(file)).expect("a file of vectors");
    let vectors: Vec<Value> = serde_json::from_str(&text).expect("vectors are JSON");
    vectors.iter().flat_map(|vector| [&vector["bytes"], &vector["request"]]).filter_map(bytes).collect()
}

/// The vectors of a file in which this field is that value.
pub fn vectors_where(file: &str, field: &str, holds: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(checkout().join("protocol/vectors").join(file)).expect("a file of vectors");
    let vectors: Vec<Value> = serde_json::from_str(&text).expect("vectors are JSON");
    let wanted = vectors.iter().filter(|vector| holds(vector[field].as_str().unwrap_or_default()));
    wanted.filter_map(|vector| bytes(&vector["bytes"])).collect()
}

/// The module files of the tests.
pub fn modules() -> Vec<Vec<u8>> {
    let folder = checkout().join("runtime/tests/modules");
    let entries = fs::read_dir(&folder).expect("the folder of modules");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a module file")).collect()
}

/// These texts.
pub fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Bytes without any sense, for targets that read decisions out of them.
pub fn decisions() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut some = |length: usize| (0..length).map(|_| random.u8(..)).collect();
    (1..=32).map(|place| some(place * 40)).collect()
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Hex bytes and 'quoted' text, one string or several; none when absent.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    let lines = match value {
        Value::Null => return None,
        Value::Array(lines) => lines.as_slice(),
        line => std::slice::from_ref(line),
    };
    let mut bytes = Vec::new();
    for line in lines {
        for (place, part) in line.as_str().expect("bytes are text").split('\'').enumerate() {
            match place % 2 {
                0 => bytes.extend(part.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("hex"))),
                _ => bytes.extend_from_slice(part.as_bytes()),
            }
        }
    }
    Some(bytes)
}
