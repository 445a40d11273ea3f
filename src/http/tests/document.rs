//! Answers held against the OpenAPI document.

use serde_json::{Value, json};

use super::Answer;

/// The document.
pub(super) fn document() -> Value {
    serde_json::from_str(include_str!("../openapi.json")).unwrap()
}

/// The part of JSON Schema that the document uses. What it does not know fails.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.strip_prefix('#').unwrap());
        return check(document, target.unwrap(), value, at);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let null = json!({ "type": "null" });
        let other = choices.iter().find(|choice| **choice != null).unwrap();
        if !value.is_null() {
            check(document, other, value, at);
        }
        return;
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().map(|name| name.as_str().unwrap()).collect(),
        name => vec![name.as_str().unwrap_or_else(|| panic!("{at} has no type"))],
    };
    assert!(
        types.contains(&kind),
        "{at}: {kind} where {types:?} is documented"
    );
    if let Some(values) = schema["enum"].as_array() {
        assert!(values.contains(value), "{at}: {value}");
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str()) {
        let hex = text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        assert!(
            hex && (pattern != "^[0-9a-f]{64}$" || text.len() == 64),
            "{at}: {text}"
        );
    }
    if let (Some(minimum), Some(number)) = (schema["minimum"].as_i64(), value.as_i64()) {
        assert!(number >= minimum, "{at}: {number}");
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(document, &schema["items"], item, &format!("{at}[{index}]"));
    }
    if let (Some(object), Some(properties)) = (value.as_object(), schema["properties"].as_object())
    {
        for required in schema["required"].as_array().unwrap() {
            assert!(
                object.contains_key(required.as_str().unwrap()),
                "{at} lacks {required}"
            );
        }
        for (name, member) in object {
            let known = properties.get(name);
            let known = known.unwrap_or_else(|| panic!("{at}.{name} is not documented"));
            check(document, known, member, &format!("{at}.{name}"));
        }
    }
}

/// Checks an answer against what the document says about it.
pub(super) fn documented(method: &str, path: &str, answer: &Answer) -> Value {
    let document = document();
    let response = &document["paths"][path][method]["responses"][answer.status.to_string()];
    assert!(
        response.is_object(),
        "{path} has no documented {}",
        answer.status
    );
    let value = answer.json();
    let schema = &response["content"]["application/json"]["schema"];
    check(&document, schema, &value, path);
    value
}
