#![allow(clippy::unwrap_used)]

use std::path::Path;

use clap::Parser as _;

use super::*;

fn from_file(text: &str) -> Result<Layer, FileError> {
    file::parse(Path::new("votenode.toml"), text)
}

fn from_flags(flags: &[&str]) -> Layer {
    LayerCommand::try_parse_from(std::iter::once(&"votenode").chain(flags))
        .unwrap()
        ._layer
}

fn home() -> Directories {
    Directories {
        home: Some("/home/ada".into()),
        ..Directories::default()
    }
}

fn resolved(layer: Layer) -> Settings {
    Settings::from_layer(layer, &home()).unwrap()
}

#[test]
fn the_layer_above_wins_where_it_speaks() {
    let file = from_file(
        "http = 'off'\nmempool_mib = 7\nno_mdns = true\nbootstrap = ['/ip4/192.0.2.1/tcp/1']",
    )
    .unwrap();
    let flags = from_flags(&["--http", "127.0.0.1:1", "--no-mdns=false"]);
    let settings = resolved(flags.over(file));
    assert_eq!(settings.http, Some(([127, 0, 0, 1], 1).into()));
    assert!(settings.mdns);
    assert_eq!(settings.mempool_bytes, 7 << 20);
    assert_eq!(settings.bootstrap.len(), 1);
    assert_eq!(settings.max_inbound_peers, 100);
    assert!(settings.mine);
}

#[test]
fn a_bare_flag_switches_on() {
    let settings = resolved(from_flags(&["--no-mine", "--no-mdns"]));
    assert!(!settings.mine && !settings.mdns);
}

#[test]
fn defaults_are_the_documented_ones() {
    let settings = resolved(Layer::default());
    assert_eq!(
        settings.data_dir,
        Path::new("/home/ada/.local/share/votenode")
    );
    assert_eq!(settings.http, Some(([127, 0, 0, 1], 7118).into()));
    let listen: Vec<_> = settings.listen.iter().map(ToString::to_string).collect();
    assert_eq!(
        listen[..2],
        ["/ip4/0.0.0.0/tcp/7117", "/ip4/0.0.0.0/udp/7117/quic-v1"]
    );
}

#[test]
fn data_follow_the_base_directories() {
    let directories = Directories {
        data_home: Some("/data".into()),
        ..home()
    };
    assert_eq!(directories.data_dir().unwrap(), Path::new("/data/votenode"));
    assert_eq!(
        directories.config_file().unwrap(),
        Path::new("/home/ada/.config/votenode/votenode.toml")
    );
    let nowhere = Settings::from_layer(Layer::default(), &Directories::default());
    assert!(matches!(nowhere, Err(ConfigError::NoHome)));
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest() {
    let error = from_file("# comment\nno_mine = true\nbotstrap = []\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "votenode.toml:3: unknown key 'botstrap', did you mean 'bootstrap'?"
    );
    let error = from_file("xyzzy = 1").unwrap_err();
    assert_eq!(error.to_string(), "votenode.toml:1: unknown key 'xyzzy'");
    let error = from_file("no-mine = true").unwrap_err();
    assert!(
        error.to_string().contains("did you mean 'no_mine'?"),
        "{error}"
    );
}

#[test]
fn wrong_values_are_errors_that_name_the_line() {
    for (text, part) in [
        ("http = '127.0.0.1'", "such as 127.0.0.1:7118"),
        ("http = 7118", "invalid type"),
        ("bootstrap = ['10.0.0.1:7117']", "/ip4/10.0.0.1/tcp/7117"),
        ("bootstrap = ['']", "not a multiaddr"),
        ("no_mine = 'yes'", "invalid type"),
        ("log_format = 'xml'", "unknown variant"),
        ("http_host = ['http://x']", "not a host name"),
        ("http = = 1", "line 1"),
        ("http = 'off'\nhttp = 'off'", "duplicate key"),
    ] {
        let error = from_file(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
        assert!(error.contains("line "), "{text}: {error}");
    }
}

#[test]
fn values_outside_their_bounds_are_refused_from_a_file_too() {
    let error = Settings::from_layer(from_file("mempool_mib = 0").unwrap(), &home()).unwrap_err();
    assert_eq!(error.to_string(), "mempool_mib: 0 is not from 1 to 16384");
    let error = Settings::from_layer(from_file("log = 'a=b=c'").unwrap(), &home()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("log: 'a=b=c' is not a filter"),
        "{error}"
    );
}

#[test]
fn a_network_is_an_id_or_a_file() {
    let id = "ab".repeat(32);
    assert!(matches!(id.parse(), Ok(Network::Id(_))));
    assert_eq!("club.toml".parse(), Ok(Network::File("club.toml".into())));
    assert!("".parse::<Network>().is_err());
}

#[test]
fn every_flag_has_a_variable_of_its_name() {
    for argument in LayerCommand::command().get_arguments() {
        let Some(name) = argument.get_long().filter(|name| *name != "help") else {
            continue;
        };
        let variable = format!("VOTENODE_{}", name.replace('-', "_").to_uppercase());
        assert_eq!(argument.get_env().unwrap().to_str().unwrap(), variable);
    }
}

#[test]
fn a_file_that_is_missing_long_or_binary_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("votenode.toml");
    assert!(matches!(read_file(&path), Err(FileError::Read { .. })));
    std::fs::write(&path, vec![b'#'; 70_000]).unwrap();
    assert!(matches!(read_file(&path), Err(FileError::NotText { .. })));
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(read_file(&path), Err(FileError::NotText { .. })));
}
