//! Whole Asterisk configurations, imported.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use oneport_switch::Config;
use oneport_switch::import::{Files, Imported, Options, SecretPlace, Verdict, import};

/// A set of `testdata/asterisk`.
fn files(set: &str) -> Files {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/asterisk").join(set);
    let mut files = Files::new();
    let mut left = vec![root.clone()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(&directory).expect("it is there").flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else {
                let name = path.strip_prefix(&root).expect("inside").display().to_string();
                files.insert(name, std::fs::read_to_string(&path).expect("text"));
            }
        }
    }
    assert!(!files.is_empty());
    files
}

/// Options, as if `data` held music and one file to be played.
fn options(trusted: &[&str], secrets: SecretPlace, data: &Path) -> Options {
    Options {
        secrets,
        trusted: trusted.iter().map(|network| network.parse().expect("a network")).collect(),
        key_directory: PathBuf::from("/var/lib/asterisk/keys"),
        keys: BTreeSet::new(),
        data_directory: data.into(),
        music: BTreeSet::from([data.join("moh")]),
        sound_directory: data.join("sounds"),
        sounds: BTreeSet::from(["welcome.wav".into()]),
    }
}

/// Each set, and the networks named beside it.
const SETS: [(&str, &[&str]); 4] =
    [("office", &[]), ("dialer", &["10.30.0.0/24"]), ("node", &[]), ("mesh", &["10.10.10.0/24"])];

fn imported(set: &str, trusted: &[&str], secrets: SecretPlace) -> Imported {
    import(&files(set), &options(trusted, secrets, Path::new("/var/lib/asterisk")))
}

/// The configuration, and what became of each line.
fn snapshot(set: &str) {
    let (_, trusted) = SETS.iter().find(|(name, _)| *name == set).expect("a set");
    let secrets = SecretPlace::Files("/etc/oneport/secrets".into());
    let imported = imported(set, trusted, secrets);
    let text = format!("{}\n----\n{}", imported.config, imported.report);
    insta::assert_snapshot!(set, text);
}

#[test]
fn an_office_is_imported() {
    snapshot("office");
}

#[test]
fn a_dialler_and_its_media_box_are_imported() {
    snapshot("dialer");
}

#[test]
fn a_radio_node_is_imported() {
    snapshot("node");
}

#[test]
fn a_mesh_of_boxes_is_imported() {
    snapshot("mesh");
}

/// What serve would say of it. Names that only the internet knows get an address.
fn parses(text: &str) -> Result<Config, String> {
    let text = text.replace("hub.invalid", "192.0.2.91").replace("site2.invalid", "192.0.2.92");
    Config::parse(Path::new("oneport.toml"), &text)
        .map_err(|error| format!("{error}\n{:?}\n{text}", error.help))
}

#[test]
fn every_import_is_a_good_configuration() {
    let data = tempfile::tempdir().expect("a directory");
    for (folder, file) in [("moh", "one.wav"), ("sounds", "welcome.wav")] {
        let folder = data.path().join(folder);
        std::fs::create_dir(&folder).expect("made");
        let mut wav = oneport_media::wav::Writer::create(&folder.join(file), 8000).expect("a file");
        wav.write(&[0; 800]).expect("written");
        wav.finish().expect("written");
    }
    let imported = |set: &str, trusted: &[&str], secrets: SecretPlace| {
        import(&files(set), &options(trusted, secrets, data.path()))
    };
    for (set, trusted) in SETS {
        for trusted in [trusted, &[]] {
            let inline = imported(set, trusted, SecretPlace::Inline);
            parses(&inline.config).unwrap_or_else(|error| panic!("{set}: {error}"));
            let directory = tempfile::tempdir().expect("a directory");
            let files = imported(set, trusted, SecretPlace::Files(directory.path().into()));
            for file in &files.secrets {
                assert_eq!(file.path.parent(), Some(directory.path()));
                std::fs::write(&file.path, file.secret.expose()).expect("writable");
            }
            parses(&files.config).unwrap_or_else(|error| panic!("{set}: {error}"));
        }
    }
}

#[test]
fn no_secret_is_in_a_report_or_beside_its_file() {
    for (set, trusted) in SETS {
        let imported = imported(set, trusted, SecretPlace::Files("/secrets".into()));
        assert!(!imported.secrets.is_empty(), "{set}");
        let report = serde_json::to_string(&imported.report).expect("JSON");
        for file in &imported.secrets {
            let secret = file.secret.expose();
            for text in [&imported.config, &imported.report.to_string(), &report] {
                assert!(!text.contains(secret), "{set}: {secret} in {text}");
            }
        }
    }
}

#[test]
fn every_line_has_its_fate() {
    for (set, trusted) in SETS {
        let report = imported(set, trusted, SecretPlace::Inline).report;
        let reported: BTreeSet<(&str, usize)> =
            report.lines.iter().map(|line| (&*line.file, line.line)).collect();
        assert_eq!(reported.len(), report.lines.len(), "none twice");
        let mut depth = 0;
        for (name, text) in files(set).iter().filter(|(name, _)| name.contains("iax")) {
            for (number, line) in text.lines().enumerate() {
                let line = line.trim();
                depth += usize::from(line.starts_with(";--") && !line.starts_with(";---"));
                let says = depth == 0 && !line.is_empty() && !line.starts_with([';', '[']);
                depth -= usize::from(line == "--;");
                assert_eq!(
                    says,
                    says && reported.contains(&(&**name, number + 1)),
                    "{name}:{}: {line}",
                    number + 1
                );
            }
        }
        for line in &report.lines {
            let explained = !line.notes.is_empty() || line.verdict == Verdict::Kept;
            assert!(explained, "{line:?}");
        }
    }
}
