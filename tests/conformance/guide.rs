//! The README and the files in `config/` say what the programs do: commands, flags, settings, exit codes, ports, links.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Command, CommandFactory as _};
use votenode::cli::args::Arguments;
use votenode::client::command::args as ballot;
use votenode::client::election_file::{ElectionFile, Timing};
use votenode::config::{DEFAULT_HTTP_PORT, DEFAULT_PORT, Directories, Layer, Settings};
use votenode::{cli, client, genesis};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

fn programs() -> [Command; 2] {
    [Arguments::command(), ballot::command()].map(|mut command| {
        command.build();
        command
    })
}

/// Lines of the code blocks with this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut inside: Option<bool> = None;
    for line in text.lines().map(str::trim) {
        match (line.strip_prefix("```"), inside) {
            (Some(_), Some(_)) => inside = None,
            (Some(name), None) => inside = Some(name == language),
            (None, Some(true)) => lines.push(line.to_owned()),
            (None, _) => {}
        }
    }
    assert_eq!(inside, None, "a code block has no end");
    lines
}

/// What stands between backticks outside of code blocks.
fn spans(text: &str) -> Vec<String> {
    let mut inside = false;
    let prose: Vec<&str> = text
        .lines()
        .filter(|line| {
            let fence = line.trim_start().starts_with("```");
            inside ^= fence;
            !inside && !fence
        })
        .collect();
    let prose = prose.join("\n");
    prose
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The words of a command line: quotes are kept together, a comment ends it.
fn words(line: &str) -> Vec<String> {
    let line = line.split("  #").next().unwrap();
    line.split('"')
        .enumerate()
        .flat_map(|(index, part)| match index % 2 {
            1 => vec![part.to_owned()],
            _ => part.split_whitespace().map(str::to_owned).collect(),
        })
        .collect()
}

/// What a line runs of ours, if anything.
fn ours(line: &str) -> Option<Vec<String>> {
    let line = line.trim_start_matches("$ ").trim_start_matches("sudo ");
    let line = line.replace("cargo run --release --", "votenode");
    let words = words(&line);
    matches!(words.first()?.as_str(), "votenode" | "ballot").then_some(words)
}

fn subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    let real = |command: &&Command| command.get_name() != "help" && !command.is_hide_set();
    command.get_subcommands().filter(real)
}

fn has_flag(command: &Command, flag: &str) -> bool {
    let name = flag.trim_start_matches("--");
    let name = name.split('=').next().unwrap();
    name == "help"
        || command
            .get_arguments()
            .any(|argument| argument.get_long() == Some(name))
        || subcommands(command).any(|command| has_flag(command, flag))
}

#[test]
fn every_command_line_of_the_readme_is_understood() {
    let readme = read("README.md");
    let lines = ["sh", "console"].map(|language| blocks(&readme, language));
    let lines: Vec<_> = lines
        .iter()
        .flatten()
        .filter_map(|line| ours(line))
        .collect();
    assert!(lines.len() > 20, "only {} command lines", lines.len());
    for line in lines {
        let parsed = match line[0].as_str() {
            "votenode" => Arguments::command().try_get_matches_from(&line),
            _ => ballot::command().try_get_matches_from(&line),
        };
        assert!(parsed.is_ok(), "{line:?}: {}", parsed.unwrap_err());
    }
}

#[test]
fn every_command_and_flag_named_in_the_readme_exists() {
    let programs = programs();
    for span in spans(&read("README.md")) {
        for flag in span
            .split_whitespace()
            .filter(|word| word.starts_with("--"))
        {
            let cargo = span.starts_with("cargo install") || flag == "--release" || flag == "--";
            let known = programs.iter().any(|program| has_flag(program, flag));
            assert!(cargo || known, "there is no flag {flag}: {span}");
        }
        let Some(line) = ours(&span) else { continue };
        let mut command = programs
            .iter()
            .find(|program| program.get_name() == line[0])
            .unwrap();
        for word in &line[1..] {
            match command.find_subcommand(word) {
                Some(found) => command = found,
                None => break,
            }
        }
        let known = line.len() == 1 || line[1].starts_with("--") || command.get_name() != line[0];
        assert!(known, "there is no command {line:?}");
    }
}

#[test]
fn every_command_is_in_the_readme() {
    fn walk(command: &Command, name: &str, readme: &str) {
        let optional =
            command.get_subcommands().next().is_none() || !command.is_subcommand_required_set();
        if optional {
            assert!(
                readme.contains(&format!("| `{name}` |")) || name == "ballot",
                "README.md does not list {name}"
            );
        }
        for sub in subcommands(command) {
            walk(sub, &format!("{name} {}", sub.get_name()), readme);
        }
    }
    for program in programs() {
        walk(&program, program.get_name(), &read("README.md"));
    }
}

/// First and second cells of the table whose head begins so.
fn table(text: &str, head: &str) -> Vec<(String, String)> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with(head));
    lines.by_ref().take(2).for_each(drop);
    lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
        })
        .collect()
}

#[test]
fn the_exit_codes_are_those_of_the_programs() {
    let readme = read("README.md");
    let (_, section) = readme.split_once("### Exit codes").unwrap();
    let [votenode, ballot] = programs().map(|program| {
        let help = program.get_after_help().unwrap().to_string();
        let (_, codes) = help.split_once("Exit codes:\n").unwrap();
        let listed = codes.lines().map_while(|line| line.trim().split_once("  "));
        listed
            .map(|(code, text)| (code.to_owned(), text.to_owned()))
            .collect::<Vec<_>>()
    });
    assert_eq!(table(section, "| `votenode` |"), votenode);
    assert_eq!(table(section, "| `ballot` |"), ballot);
    let codes = |rows: &[(String, String)]| -> Vec<u8> {
        rows.iter().map(|(code, _)| code.parse().unwrap()).collect()
    };
    assert_eq!(codes(&votenode), cli::Exit::ALL.map(cli::Exit::code));
    assert_eq!(codes(&ballot), client::Exit::ALL.map(client::Exit::code));
}

#[test]
fn the_settings_are_those_of_a_node() {
    let readme = read("README.md");
    let listed: BTreeSet<String> = table(&readme, "| key | default |")
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(listed, Layer::keys().into_iter().collect());
    let variables: BTreeSet<String> = programs()
        .iter()
        .flat_map(|program| {
            program
                .get_arguments()
                .chain(subcommands(program).flat_map(Command::get_arguments))
        })
        .filter_map(|argument| Some(argument.get_env()?.to_str()?.to_owned()))
        .collect();
    let words = readme.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    for word in words.filter(|word| word.starts_with("VOTENODE_") && word.len() > 9) {
        // A secret is in no flag's help.
        let known = variables.contains(word) || word == cli::FINALISER_SECRET;
        assert!(known, "there is no variable {word}");
    }
    for port in [DEFAULT_PORT, DEFAULT_HTTP_PORT] {
        assert!(readme.contains(&format!("| {port} TCP")), "port {port}");
    }
}

/// The template with its settings uncommented, and with only those of its defaults.
#[test]
fn the_template_of_settings_holds_every_key_and_its_default() {
    let template = read("config/votenode.toml");
    let lines: Vec<&str> = template
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| {
            line.split_once(" = ")
                .is_some_and(|(key, _)| !key.contains(' '))
        })
        .collect();
    let keys: BTreeSet<String> = lines
        .iter()
        .map(|line| line.split_once(" = ").unwrap().0.to_owned())
        .collect();
    assert_eq!(keys, Layer::keys().into_iter().collect());

    let directory = tempfile::tempdir().unwrap();
    let directories = Directories {
        home: Some(directory.path().to_owned()),
        ..Directories::default()
    };
    let file = directory.path().join("votenode.toml");
    let settle = |lines: &[&str]| {
        std::fs::write(&file, lines.join("\n")).unwrap();
        Settings::resolve(Layer::default(), Some(file.clone()), &directories).unwrap()
    };
    settle(&lines);
    let defaults: Vec<&str> = lines
        .iter()
        .filter(|line| !line.contains("default:"))
        .copied()
        .collect();
    assert!(defaults.len() > 8);
    assert_eq!(settle(&defaults), settle(&[]));
}

#[test]
fn the_example_election_can_be_opened_in_the_trial_network() {
    let example = read("config/election-example.toml");
    let whole: Vec<&str> = example
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest
                    .split_once(" = ")
                    .is_some_and(|(key, _)| !key.contains(' ')) =>
            {
                rest
            }
            _ => line,
        })
        .collect();
    assert_ne!(whole.join("\n"), example.trim_end());
    let terms = |text: &str, timing| {
        let file = ElectionFile::parse(text).unwrap();
        file.terms(&genesis::lan(), timing, 1_800_000_000_000)
            .unwrap()
    };
    let timing = Timing {
        opens_in: None,
        closes_in: Some(Duration::from_secs(60)),
    };
    let short = terms(&example, timing);
    let whole = terms(&whole.join("\n"), Timing::default());
    assert_eq!(short.options, whole.options);
    // What is commented out is the default, but for the times.
    assert_eq!(short.method, whole.method);
    assert_eq!(short.seats, whole.seats);
    assert_eq!(short.groups, whole.groups);
    assert_eq!(short.privacy, whole.privacy);
}

fn sources(directory: &Path, text: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *text += &std::fs::read_to_string(path).unwrap();
        }
    }
}

#[test]
fn the_messages_explained_are_those_that_the_programs_print() {
    let mut source = String::new();
    sources(&path("src"), &mut source);
    // Long literals go on in the next line after a backslash.
    let mut pieces = source.split("\\\n");
    let first = pieces.next().unwrap().to_owned();
    let source = pieces.fold(first, |text, piece| text + piece.trim_start());
    let readme = read("README.md");
    let rows = table(&readme, "| it says | do |");
    assert!(rows.len() > 8);
    for message in rows.iter().flat_map(|(cell, _)| cell.split('`').step_by(2)) {
        for part in message.split('…').map(str::trim) {
            let part = part.trim_start_matches(['(', ',']).trim();
            assert!(source.contains(part), "no program says '{part}'");
        }
    }
}

#[test]
fn links_lead_somewhere() {
    for name in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let text = read(name);
        let headings: BTreeSet<String> = text
            .lines()
            .filter(|line| line.starts_with('#'))
            .map(|line| {
                let heading = line.trim_start_matches('#').trim().to_lowercase();
                let kept = heading
                    .chars()
                    .filter(|c| c.is_alphanumeric() || " -".contains(*c));
                kept.collect::<String>().replace(' ', "-")
            })
            .collect();
        for link in text.split("](").skip(1) {
            let target = link.split(')').next().unwrap();
            let exists = match target.strip_prefix('#') {
                Some(anchor) => headings.contains(anchor),
                None => target.starts_with("https://") || path(target).exists(),
            };
            assert!(exists, "{name} links to {target}, which is not there");
        }
    }
}
