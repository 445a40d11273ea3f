//! What nodes ever reported as checkpoints: none may ever be reported otherwise.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::Value;

/// What nodes log when a finaliser signed two things at one place.
pub const CONVICTION: &str = "signed two conflicting messages";

/// Block and height of each checkpoint that any node reported.
#[derive(Default)]
pub struct Reported(Mutex<BTreeMap<u64, (String, u64)>>);

impl Reported {
    /// Notes what a node reports, which has to be what every other one did and does.
    pub fn note(&self, status: &Value) {
        let finality = &status["finality"];
        let number = finality["checkpoint"].as_u64().unwrap();
        let block = finality["block"].as_str().unwrap().to_owned();
        let reported = (block, finality["height"].as_u64().unwrap());
        let first = {
            let mut all = self.0.lock().unwrap();
            all.entry(number)
                .or_insert_with(|| reported.clone())
                .clone()
        };
        assert_eq!(first, reported, "checkpoint {number} is reported otherwise");
    }

    /// Number, block and height of every checkpoint reported but the genesis.
    pub fn all(&self) -> Vec<(u64, String, u64)> {
        let all = self.0.lock().unwrap();
        all.range(1..)
            .map(|(number, (block, height))| (*number, block.clone(), *height))
            .collect()
    }
}
