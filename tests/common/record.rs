//! Records, held against their schema.

use serde_json::Value;
use std::path::Path;

/// The record in a file, after a look whether it keeps to its schema.
pub fn record(path: &Path) -> Value {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.schema.json");
    let mut schemas = boon::Schemas::new();
    let schema =
        boon::Compiler::new().compile(&schema.display().to_string(), &mut schemas).expect("a schema");
    let text = std::fs::read_to_string(path).expect("a record");
    let record: Value = serde_json::from_str(&text).unwrap();
    if let Err(faults) = schemas.validate(&record, schema) {
        panic!("{faults:#}\n{text}");
    }
    record
}
