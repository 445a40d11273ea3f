//! The independent checker in Python: it reaches every verdict of the vectors again, and audits the exported chain.
//!
//! Its two packages go into an environment under `target/` on first use. Without Python or a way to install them the
//! tests say so and pass, except where `CI` or `VOTENODE_TESTS_NO_SKIP` is set: there they fail.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::vectors;

const REQUIREMENTS: &str = include_str!("requirements.txt");

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// Runs a program and gives its standard output, or what went wrong.
fn run(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let what = || format!("{} {}", program.display(), arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{}: {error}", what()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("{}: {}\n{error}", what(), output.status))
    }
}

/// A Python with the packages. Made beside its place and moved there, so that tests in several processes do not meet a
/// half of it.
fn interpreter() -> Result<PathBuf, String> {
    let label = blake3::hash(REQUIREMENTS.as_bytes()).to_hex();
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let home = parent.join(format!("python-{}", &label[..16]));
    let python = home.join("bin/python");
    if python.exists() {
        return Ok(python);
    }
    let base = std::env::var_os("PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let enough = "import sys; sys.exit(None if sys.version_info >= (3, 11) else 'Python 3.11 or later is needed')";
    run(&base, &["-c", enough])?;
    let draft = tempfile::tempdir_in(parent).map_err(|error| error.to_string())?;
    let path = |path: PathBuf| path.to_string_lossy().into_owned();
    run(&base, &["-m", "venv", &path(draft.path().to_owned())])?;
    let requirements = path(directory().join("requirements.txt"));
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
        &requirements,
    ];
    run(&draft.path().join("bin/python"), &install)?;
    if std::fs::rename(draft.path(), &home).is_err() && !python.exists() {
        return Err(format!("{} cannot be made", home.display()));
    }
    Ok(python)
}

/// Runs the checker; `None` if that is not possible here and need not be.
fn checker(arguments: &[&Path]) -> Option<Output> {
    let python = match interpreter() {
        Ok(python) => python,
        Err(error) => {
            assert!(
                !["CI", "VOTENODE_TESTS_NO_SKIP"]
                    .iter()
                    .any(|name| std::env::var_os(name).is_some()),
                "the checker in Python cannot run: {error}"
            );
            // To the descriptor, because the test runner hides what a passing test prints.
            let _ = writeln!(
                std::io::stderr(),
                "\nSKIPPED: the checker in Python cannot run: {error}"
            );
            return None;
        }
    };
    let output = Command::new(python)
        .arg("-B")
        .arg(directory().join("checker.py"))
        .args(arguments)
        .output()
        .unwrap();
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    Some(output)
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_checker_agrees_with_every_vector() {
    let directory = vectors::path("");
    let Some(output) = checker(&[Path::new("--vectors"), &directory]) else {
        return;
    };
    let report = report(&output);
    assert_eq!(report["disagreements"], Value::Array(Vec::new()));
    assert_eq!(output.status.code(), Some(0));
    let files = std::fs::read_dir(directory).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .path()
            .extension()
            .is_some_and(|extension| extension == "json")
    });
    assert_eq!(report["checks"].as_object().unwrap().len(), files.count());
}

#[test]
fn the_checker_audits_an_exported_chain() {
    for name in ["chain", "finality"] {
        let Some(output) = checker(&[&vectors::path(&format!("{name}.votechain"))]) else {
            return;
        };
        let found = report(&output);
        assert_eq!(
            (output.status.code(), &found["ok"]),
            (Some(0), &Value::Bool(true))
        );
        let expected = std::fs::read(vectors::path(&format!("{name}.json"))).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&found[key], value, "{name}: {key}");
        }
    }

    // One bit in the middle of the blocks.
    let mut bytes = std::fs::read(vectors::path("chain.votechain")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let output = checker(&[file.path()]).unwrap();
    assert_eq!(
        (output.status.code(), &report(&output)["ok"]),
        (Some(1), &Value::Bool(false))
    );
}

/// A checker that agrees with everything would be worth nothing.
#[test]
fn the_checker_disagrees_with_wrong_vectors() {
    let copy = tempfile::tempdir().unwrap();
    let (files, wrong) = (
        vectors::path(""),
        ["signatures.json", "chains.json", "messages.json"],
    );
    for entry in std::fs::read_dir(files).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        if wrong.contains(&name) {
            let mut file: Value = serde_json::from_slice(&bytes).unwrap();
            let first = &mut file["vectors"][0];
            first["valid"] = Value::Bool(false);
            first["rule"] = "header".into();
            bytes = serde_json::to_vec(&file).unwrap();
        }
        std::fs::write(copy.path().join(name), bytes).unwrap();
    }
    let Some(output) = checker(&[Path::new("--vectors"), copy.path()]) else {
        return;
    };
    let report = report(&output);
    assert_eq!(output.status.code(), Some(1));
    for name in wrong {
        let named = report["disagreements"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line.as_str().unwrap().starts_with(name));
        assert!(named, "nothing was wrong with {name}: {report}");
    }
}
