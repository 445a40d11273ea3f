//! `proto/README.md` names what the code has: every hash context, every rule and its code, every topic and protocol.

use votenode::chain::invalid::RULES;
use votenode::crypto::Context;
use votenode::crypto::code::Kind;
use votenode::protocol::export::MAGIC;
use votenode::protocol::names::{self, Topic};

use crate::{samples, schema, vectors};

fn readme() -> String {
    std::fs::read_to_string(schema::directory().join("README.md")).unwrap()
}

#[track_caller]
fn names(readme: &str, words: &str) {
    assert!(
        readme.contains(words),
        "proto/README.md does not have {words}"
    );
}

#[test]
fn every_context_rule_and_code_is_named() {
    let readme = readme();
    for context in Context::ALL {
        // Two never enter anything that others see.
        if matches!(
            context,
            Context::BatchCoefficients | Context::RingProofNonce
        ) {
            continue;
        }
        let name = context.name().strip_prefix("votenode 2026-11 v1 ").unwrap();
        names(&readme, &format!("`{name}`"));
    }
    for (code, name) in RULES {
        names(&readme, &format!("`{name}`"));
        let listed = readme.lines().any(|line| {
            let numbers: Vec<_> = line.split(['|', ',', ' ']).collect();
            line.contains(&format!("`{name}`")) && numbers.contains(&code.to_string().as_str())
        });
        assert!(
            listed,
            "proto/README.md does not give {name} the code {code}"
        );
    }
    for kind in Kind::ALL {
        names(&readme, &format!("`{}`", kind.prefix()));
    }
}

#[test]
fn every_name_on_the_wire_is_named() {
    let readme = readme();
    let network = samples::network();
    let general = |name: String| name.replace(&network.to_string(), "<network>");
    for topic in Topic::ALL {
        names(&readme, &format!("`{}`", topic.name()));
        let pattern =
            general(topic.full_name(&network)).replace(&format!("/{}/1", topic.name()), "/…/1");
        names(&readme, &pattern);
    }
    names(&readme, &general(names::sync_protocol(&network)));
    names(&readme, &general(names::submit_protocol(&network)));
    names(&readme, &general(names::kademlia_protocol(&network)));
    names(&readme, names::GENESIS_PROTOCOL);
    names(&readme, &format!("`{}`", names::IDENTIFY_PROTOCOL));
    names(&readme, std::str::from_utf8(MAGIC).unwrap().trim_end());
}

#[test]
fn every_vector_file_is_named() {
    let readme = readme();
    for entry in std::fs::read_dir(vectors::path("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        names(&readme, &format!("`{name}`"));
    }
}
