// A file of Asterisk, imported: the examples of the documentation include this.

use std::collections::BTreeSet;

use oneport_switch::import::{Files, Imported, Options, SecretPlace, import};

/// Secrets stay in the configuration, and there are no keys, no music and no sounds.
pub fn options() -> Options {
    Options {
        secrets: SecretPlace::Inline,
        trusted: Vec::new(),
        key_directory: "/var/lib/asterisk/keys".into(),
        keys: BTreeSet::new(),
        data_directory: "/var/lib/asterisk".into(),
        music: BTreeSet::new(),
        sound_directory: "/var/lib/asterisk/sounds/en".into(),
        sounds: BTreeSet::new(),
    }
}

/// What becomes of this `iax.conf`.
pub fn imported(iax: &str, options: &Options) -> Imported {
    import(&Files::from([("iax.conf".into(), iax.into())]), options)
}
