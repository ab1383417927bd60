//! Asterisk's options that have no counterpart, and why.

/// Where an option stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scope {
    /// In `[general]`.
    General,
    /// In the section of a user, peer or friend.
    Entry,
}

const BUFFER: &str = "voice is relayed with its timestamps, so the far end's buffer does the work";
const REALTIME: &str = "tables of peers are read as [realtime] says (docs/realtime.md)";
const THREADS: &str = "there are no helper threads to count";

/// Options, where they may stand (`G`: `[general]`, `E`: an entry), and why they are left out.
const LEFT_OUT: &[(&str, &str, &str)] = &[
    ("tos", "G", "packets are not marked"),
    ("cos", "G", "packets are not marked"),
    ("nochecksums", "G", "checksums stay on"),
    ("iaxthreadcount", "G", THREADS),
    ("iaxmaxthreadcount", "G", THREADS),
    ("jitterbuffer", "GE", BUFFER),
    ("maxjitterbuffer", "G", BUFFER),
    ("resyncthreshold", "G", BUFFER),
    ("maxjitterinterps", "G", BUFFER),
    ("jittertargetextra", "G", BUFFER),
    ("authdebug", "G", "refusals are always in the log"),
    (
        "maxauthreq",
        "GE",
        "64 proofs may be awaited under one name (server.max_challenges_per_user)",
    ),
    ("srvlookup", "G", "SRV records lead to registrars alone; write host and port of a peer"),
    ("regcontext", "G", "it is empty"),
    ("trunkmaxsize", "G", "voice never waits in such a queue"),
    ("maxcallnumbers_nonvalidated", "G", "server.max_calls counts them with all others"),
    ("maxcallnumbers", "E", "one limit holds for all addresses: server.max_calls_per_address"),
    ("iaxcompat", "G", "nothing waits for the dialplan of others"),
    ("adsi", "GE", "ADSI is not spoken"),
    ("language", "GE", "the caller's language passes on"),
    ("amaflags", "GE", "call records have no flags for billing"),
    ("parkinglot", "GE", "there is one parking lot for all"),
    ("shrinkcallerid", "G", "numbers pass as they come"),
    ("allowfwdownload", "G", "firmware is served out of the directory that server.firmware names"),
    ("subscribe_network_change_event", "G", "registrations are polled and renewed anyway"),
    ("rtcachefriends", "G", REALTIME),
    ("rtupdate", "G", REALTIME),
    ("rtautoclear", "G", REALTIME),
    ("rtsavesysname", "G", REALTIME),
    ("rtignoreregexpire", "G", REALTIME),
    ("dbsecret", "E", "Asterisk's database is not read; write the secret"),
    ("sendani", "E", "the caller's ANI always passes on"),
    ("setvar", "E", "variables that a caller sends pass on; none is set here"),
    ("immediate", "E", "a number is dialled before anything answers"),
    ("defaultip", "E", "a peer that registers is called when it has registered"),
    ("mask", "E", "a peer has one address; use permit for networks"),
    ("sourceaddress", "E", "answers leave where requests came in"),
    ("peercontext", "E", "calls to a peer name no context"),
    ("regexten", "E", "it is empty"),
    ("hasvoicemail", "E", "a mailbox is its directory: mailbox"),
    ("timezone", "E", "the time we tell is UTC"),
];

/// Options handled elsewhere, to tell those in the wrong place from those that do not exist.
const HANDLED: &[(&str, &str)] = &[
    ("bindport", "G"),
    ("bindaddr", "G"),
    ("bandwidth", "G"),
    ("register", "G"),
    ("pingtime", "G"),
    ("lagrqtime", "G"),
    ("calltokenexpiration", "G"),
    ("autokill", "G"),
    ("qualifyfreqnotok", "E"),
    ("minregexpire", "G"),
    ("maxregexpire", "G"),
    ("trunkfreq", "G"),
    ("trunkmtu", "G"),
    ("trunktimestamps", "G"),
    ("calltokenoptional", "G"),
    ("delayreject", "G"),
    ("type", "E"),
    ("host", "E"),
    ("port", "E"),
    ("username", "E"),
    ("secret", "E"),
    ("context", "E"),
    ("auth", "E"),
    ("inkeys", "E"),
    ("outkey", "E"),
    ("permit", "E"),
    ("deny", "E"),
    ("acl", "E"),
    ("requirecalltoken", "E"),
    ("qualify", "E"),
    ("qualifyfreqok", "E"),
    ("qualifysmoothing", "E"),
    ("trunk", "E"),
    ("transfer", "E"),
    ("description", "E"),
    ("accountcode", "GE"),
    ("mohinterpret", "GE"),
    ("mohsuggest", "GE"),
    ("connectedline", "GE"),
    ("callerid", "E"),
    ("fullname", "E"),
    ("cid_number", "E"),
    ("mailbox", "E"),
];

/// Old names that Asterisk reads no more.
const NOT_READ: &[&str] = &[
    "keyrotate",
    "forcejitterbuffer",
    "dropcount",
    "minexcessbuffer",
    "maxexcessbuffer",
    "jittershrinkrate",
    "notransfer",
    "mailboxdetail",
    "ignoreregexpire",
];

/// Why an option that stands there has no counterpart.
///
/// # Errors
/// Asterisk does not know it there; then what is to be said of it.
pub(super) fn why_not(scope: Scope, key: &str) -> Result<&'static str, &'static str> {
    let letter = match scope {
        Scope::General => 'G',
        Scope::Entry => 'E',
    };
    if let Some((_, scopes, why)) =
        LEFT_OUT.iter().find(|(name, scopes, _)| *name == key && scopes.contains(letter))
    {
        debug_assert!(!scopes.is_empty(), "it may stand somewhere");
        return Ok(why);
    }
    if NOT_READ.contains(&key) {
        return Err("Asterisk 22 does not read it any more");
    }
    let elsewhere = LEFT_OUT.iter().any(|(name, ..)| *name == key)
        || HANDLED.iter().any(|(name, _)| *name == key);
    Err(match (elsewhere, scope) {
        (false, _) => "Asterisk does not know it, and passes over it",
        (true, Scope::General) => "Asterisk reads it in the sections of users and peers only",
        (true, Scope::Entry) => "Asterisk reads it in [general] only",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_in_the_wrong_place_are_told_from_unknown_ones() {
        assert_eq!(why_not(Scope::General, "tos"), Ok("packets are not marked"));
        for (scope, key, part) in [
            (Scope::Entry, "tos", "[general] only"),
            (Scope::General, "requirecalltoken", "users and peers only"),
            (Scope::Entry, "keyrotate", "any more"),
            (Scope::Entry, "qualifi", "does not know"),
        ] {
            let what = why_not(scope, key).unwrap_err();
            assert!(what.contains(part), "{key}: {what}");
        }
    }
}
