//! What a wrong configuration is answered with.

use std::fmt::Write as _;
use std::path::Path;

use oneport_switch::{Config, StorePlace};

#[test]
fn with_tables_of_peers_routes_may_lead_to_names_that_the_file_does_not_have() {
    let text = "[realtime]\nurl = \"sqlite:/x\"\n[[routes]]\nnumber = \"1\"\nfrom = [\"ann\"]\n\
                to = [\"peer:bob\"]\n[[limits]]\nname = \"l\"\nmax_calls = 1\npeers = [\"bob\"]\n";
    Config::parse(Path::new("test.toml"), text).expect("rows may have them");
    let carrier = text.replace("peer:bob", "carrier:bob");
    Config::parse(Path::new("test.toml"), &carrier).expect_err("no row is a carrier");
}

#[test]
fn every_mistake_is_placed_named_and_mended() {
    let cases = [
        "[servr]",
        "[server]\nlisten = [\"0.0.0.0:x\"]",
        "[server]\nlisten = \"0.0.0.0\"",
        "[server]\nmax_calls = \"many\"",
        "[server]\ncall_token_optional = [\"10.0.0.0/33\"]",
        "[peers.media]\nsecrt = \"a\"",
        "[peers.media]",
        "[peers.media]\nsecret = \"\"",
        "[peers.media]\nsecret_file = \"/nonexistent/secret\"",
        "[peers.media]\nsecret_env = \"ONEPORT_TEST_NO_SUCH_VARIABLE\"",
        "[peers.media]\nsecret = \"a\"\ncodecs = [\"ulaw\", \"alwa\"]",
        "[peers.media]\nsecret = \"a\"\ncodecs = [\"ulaw\", \"h264\"]",
        "[peers.media]\nsecret = \"a\"\nvideo = [\"h265\"]",
        "[peers.media]\nsecret = \"a\"\nconnected_line = \"sends\"",
        "[peers.media]\nsecret = \"a\"\ncodec_priority = \"callr\"",
        "[peers.media]\nsecret = \"a\"\ncall_token = \"no\"",
        "[peers.media]\nsecret = \"a\"\nauth = [\"rsa\"]",
        "[peers.media]\nsecret = \"a\"\nauth = [\"rsb\"]",
        "[peers.media]\nsecret = \"a\"\nencryption = \"yes\"",
        "[server]\nencryption = \"requird\"",
        "[peers.media]\nsecret = \"a\"\ntrunk_max_datagram = 65536",
        "[peers.media]\nsecret = \"a\"\nqualify_seconds = 0",
        "[peers.media]\nsecret = \"a\"\nqualify_seconds = 60",
        "[peers.media]\naddress = \"192.0.2.1\"\nqualify_seconds = 3601",
        "[peers.media]\nsecret = \"a\"\nautokill_ms = 2",
        "[peers.media]\nsecret = \"a\"\nacl = [\"offcie\"]\n[acls.office]\npermit = [\"10.0.0.0/8\"]",
        "[peers.media]\nsecret = \"a\"\nacl = [\"office\"]",
        "[acls.office]\ndeny = [\"10.0.0.0/40\"]",
        "[peers.media]\nsecret = \"a\"\nmin_refresh = 1",
        "[server]\nmax_challenges_per_user = 0",
        "[timers]\nping_seconds = 0",
        "[timers]\nlag_second = 10",
        "[timers]\nlag_seconds = \"10 s\"",
        "[timers]\nkeep_alive_seconds = 60",
        "[timers]\nqualify_seconds = 30",
        "[server]\nbusy_poll_us = 1001",
        "[server]\ngather_us = 5001",
        "[timers]\ncall_token_seconds = 301",
        "[timers]\ngive_up_seconds = -1",
        "[timers]\nleast_retransmission_ms = 20000",
        "[timers]\nfirst_retransmission_ms = 3000\ngive_up_seconds = 2",
        "[timers]\nregistration_retry_seconds = 90",
        "[timers]\nmin_refresh_seconds = 300\nmax_refresh_seconds = 60",
        "[peers.media]\nsecret = \"a\"\ntransfer = \"mediaonly\"",
        "[peers.media]\nsecret = \"a\"\ntrunk_interval_ms = 0",
        "[peers.media]\nsecret = \"a\"\ntrunk_gather_ms = 21",
        "[peers.media]\naddress = \"192.0.2.1\"\nencryption = \"required\"",
        "[peers.media]\ninkeys = [\"/nonexistent/site.pub\"]",
        "[peers.media]\nsecret = \"a\"\noutkey = \"/etc/hostname\"",
        "[peers.media]\nsecret = \"a\"\npermit = [\"all\"]",
        "[peers.media]\nsecret = \"a\"\nmin_refresh = 100\nmax_refresh = 50",
        "[peers.media]\naddress = \"192.0.2.1:port\"",
        "[realtime]\npoll_seconds = 10",
        "[realtime]\nurl = \"sqlite:\"",
        "[realtime]\nurl = \"odbc://asterisk\"",
        "[realtime]\nurl = \"mysql://asterisk:secret@db/asterisk\"",
        "[realtime]\nurl = \"sqlite:/x\"\npeers = \"iax friends\"",
        "[realtime]\nurl = \"sqlite:/x\"\npoll_seconds = 0",
        "[peers.media]\nsecret = \"a\"\n[[routes]]\nnumber = \"1\"\nto = [\"peer:medai\"]",
        "[[routes]]\nnumber = \"1\"\nto = [\"builtin:ecko\"]",
        "[[routes]]\nnumber = \"1\"\nto = [\"somewhere\"]",
        "[[routes]]\nnumber = \"1\"\nto = []",
        "[[routes]]\nto = [\"builtin:echo\"]",
        "[[routes]]\nnumber = \"1\"\nfrom = [\"x\"]\nto = [\"builtin:echo\"]",
        "[[routes]]\nnumber = \"1\"\nto = [\"builtin:echo\"]\n[[routes]]\nnumber = \"1\"\nto = [\"builtin:record\"]",
        "[server]\ntimezone = \"Mars/Olympus\"",
        "[peers.media]\nsecret = \"a\"\ncontexts = []",
        "[[routes]]\npattern = \"9XX\"\nto = [\"builtin:echo\"]",
        "[[routes]]\npattern = \"_[9-1]\"\nto = [\"builtin:echo\"]",
        "[[routes]]\nregex = \"(\"\nto = [\"builtin:echo\"]",
        "[[routes]]\nnumber = \"1\"\nprefix = \"1\"\nto = [\"builtin:echo\"]",
        "[[routes]]\nnumber = \"1\"\nhours = [\"9-17\"]\nto = [\"builtin:echo\"]",
        "[peers.a]\nsecret = \"a\"\n[[routes]]\nprefix = \"1\"\nto = [\"peer:a/{1}\"]",
        "[peers.a]\nsecret = \"a\"\n[[routes]]\nprefix = \"1\"\nto = [\"peer:a/{number\"]",
        "[[routes]]\nnumber = \"1\"\nto = [\"busy\"]\nstrategy = \"weighted\"",
        "[[routes]]\nnumber = \"1\"\nto = [\"busy\"]\nweights = [1]",
        "[[routes]]\nnumber = \"1\"\nto = [\"busy\"]\nstrategy = \"weighted\"\nweights = [1, 2]",
        "[[routes]]\nnumber = \"1\"\nto = [\"busy\"]\nstrategy = \"least_cost\"",
        "[[routes]]\nnumber = \"1\"\nto = [\"busy\"]\ncosts = [1]",
        "[[routes]]\nnumber = \"1\"\nto = [\"busy\"]\nstrategy = \"least_cost\"\ncosts = [-0.1]",
        "[[routes]]\nnumber = \"1\"\nto = [\"busy\"]\nstrategy = \"al\"",
        "[[routes]]\nnumber = \"1\"\nto = [\"busy\"]\nstrategy = \"all\"",
        "[[routes]]\nnumber = \"1\"\nto = [\"hangup:congested\"]",
        "[[routes]]\nnumber = \"1\"\nto = [\"busy\"]\ntimeout_seconds = 0",
        "[[routes]]\nnumber = \"1\"\nto = [\"busy\"]\ncontinue_on = [\"bussy\"]",
        "[[limits]]\nname = \"all\"",
        "[[limits]]\nname = \"all\"\nmax_calls = 1\n[[limits]]\nname = \"all\"\nmax_calls = 2",
        "[[limits]]\nname = \"media\"\npeers = [\"media\"]\nmax_calls = 1",
        "[[limits]]\nname = \"media\"\npeers = []\nmax_calls = 1",
        "[[limits]]\nname = \"did\"\neach_number = true\nmax_calls = 1",
        "[[limits]]\nname = \"did\"\nnumbers = \"_[\"\nmax_calls = 1",
        "[[limits]]\nname = \"r\"\nroute = \"out\"\nmax_calls = 1",
        "[[limits]]\nname = \"r\"\nnumbers = \"1\"\npeers = []\nmax_calls = 1",
        "[[limits]]\nname = \"r\"\ndirection = \"up\"\nmax_calls = 1",
        "[[limits]]\nname = \"r\"\nmax_calls_per_second = 0",
        "[[limits]]\nname = \"r\"\nmax_calls = 9\nreserve_inbound = 2",
        "[[limits]]\nname = \"r\"\ndirection = \"out\"\nmax_calls = 1",
        "[peers.a]\nsecret = \"a\"\n[[limits]]\nname = \"r\"\npeers = [\"a\"]\nmax_calls = 1\nreserve_inbound = 2",
        "[[limits]]\nname = \"r\"\nmax_calls = 1\nwarn_percent = 0",
        "[[limits]]\nname = \"r\"\nmax_calls = 1\ncause = \"ful\"",
        "[[registrations]]\nusername = \"site\"",
        "[audio]\nplayback = \"/nonexistent/sounds\"",
        "[server]\nfirmware = \"/nonexistent/firmware\"",
        "[peers.media]\nsecret = \"a\"\n[peers.media.provision]\nserver = \"192.0.2.1\"",
        "[peers.media]\nsecret = \"a\"\n[peers.media.provision]\nservice_ident = \"1\"\nflags = [\"registr\"]",
        "[peers.media]\nsecret = \"a\"\nmax_duration_seconds = 2592001",
        "[peers.media]\nsecret = \"a\"\nno_media_timeout_seconds = 1",
        "[[routes]]\nnumber = \"1\"\nto = [\"busy\"]\nno_media_timeout_seconds = 1",
        "[peers.media]\nsecret = \"a\"\nhold_music = \"jazz\"",
        "[music.jazz]\nfolder = \"/nonexistent/music\"",
        "[music.\"a b\"]\nfolder = \"/\"",
        "[peers.media]\nsecret = \"a\"\nforward_always = \"peer:media\"",
        "[peers.media]\nsecret = \"a\"\nforward_busy = \"peer:medai\"",
        "[peers.media]\nsecret = \"a\"\nforward_no_answer = \"peer:media/{1}\"",
        "[peers.media]\nsecret = \"a\"\nrings_seconds = 601",
        "[[routes]]\nnumber = \"1\"\nto = [\"builtin:playback/../x\"]",
        "[conferences.a]\npin = \"47x1\"",
        "[conferences.a]\nmax_members = 501",
        "[conferences.\"a/b\"]",
        "[parking]\nslots = 10001",
        "[parking]\ntimeout_seconds = 0",
        "[parking]\nmusic = \"jazz\"",
        "[[routes]]\nnumber = \"1\"\nto = [\"busy\"]\non_congestion = \"playback/full\"",
        "[[limits]]\nname = \"all\"\nmax_calls = 1\non_congestion = \"echo\"",
        "[peers.a]\nsecret = \"a\"\n[peers.a.caller_id]\nallow = [\"_[\"]",
        "[peers.a]\nsecret = \"a\"\n[peers.a.caller_id]\npresentation = \"hidden\"",
        "[peers.a]\nsecret = \"a\"\nextensions = [\"1\"]\n[peers.b]\nsecret = \"b\"\nextensions = [\"1\"]",
        "[peers.a]\nsecret = \"a\"\ndtmf = \"in-band\"",
        "[peers.a]\nsecret = \"a\"\nearly_tones = [\"ringing\"]",
        "[peers.a]\nsecret = \"a\"\ntones = \"uk\"",
        "[server]\ntones = \"atlantis\"",
        "[sip]\nudp = [\"0.0.0.0:x\"]",
        "[sip]\npublic_address = \"203.0.113.5:5060\"",
        "[sip]\nrtp_ports = \"10000\"",
        "[sip]\nrtp_gather_ms = 11",
        "[sip]\ntls = [\"0.0.0.0\"]",
        "[sip]\ncertificate = \"/nonexistent/sip.crt\"",
        "[sip]\nmax_invites_per_second = 0",
        "[carriers.acme]",
        "[carriers.\"a b\"]\nhost = \"192.0.2.1\"",
        "[carriers.acme]\nhost = \"sip:192.0.2.1\"",
        "[carriers.acme]\nhost = \"192.0.2.1\"\ntransport = \"upd\"",
        "[carriers.acme]\nhost = \"192.0.2.1\"\nregister = true",
        "[carriers.acme]\nhost = \"192.0.2.1\"\nusername = \"us\"",
        "[carriers.acme]\nhost = \"192.0.2.1\"\nsecret = \"s\"",
        "[carriers.acme]\nhost = \"192.0.2.1\"\noptions_seconds = 3601",
        "[carriers.acme]\nhost = \"192.0.2.1\"\ncountry_code = \"+49\"",
        "[carriers.acme]\nhost = \"192.0.2.1\"\nnumber_format = \"e614\"",
        "[carriers.acme]\nhost = \"192.0.2.1\"\ndtmf = \"rfc2833\"",
        "[carriers.acme]\nhost = \"192.0.2.1\"\nidentity = \"pai\"",
        "[carriers.acme]\nhost = \"192.0.2.1\"\nheaders = [\"via = VIA\"]",
        "[carriers.acme]\nhost = \"192.0.2.1\"\nheaders = [\"X-Account\"]",
        "[carriers.acme]\nhost = \"192.0.2.1\"\ncontexts = []",
        "[carriers.acme]\nhost = \"192.0.2.1\"\nmax_calls_per_second = 0",
        "[carriers.acme]\nhost = \"192.0.2.1\"\n[[routes]]\nnumber = \"1\"\nto = [\"carrier:amce\"]",
        "[peers.\"carrier:acme\"]\nsecret = \"a\"",
        "[server]\nprofile = \"amateur\"",
        "[server]\nprofile = \"amateur-radio\"\nencryption = \"allowed\"",
        "[server]\nprofile = \"amateur-radio\"\ncall_token_optional = [\"192.0.2.0/24\"]",
        "[allstar]\nzone = \"nodes..org\"",
        "[allstar]\nname_servers = [\"ns.example.org\"]",
        "[allstar]\ntimeout_ms = 60000",
        "[peers.radio]\nallstar = true\naddress = \"192.0.2.1\"",
        "[peers.radio]\nallstar = true\nallstar_check = false",
        "[peers.radio]\nsecret = \"a\"\nallstar_check = false",
        "[peers.ann]\nsecret = \"a\"\n[[routes]]\nnumber = \"1\"\nto = [\"allstar:ann\"]",
        "[peers.\"switch:bonn\"]\nsecret = \"a\"",
        "[store]\nmax_waiting = 0",
        "[store]\nurl = \"postgres://oneport@db/oneport\"\nmax_queued = 0",
        "[store]\nurl = \"db.example.org\"",
        "[store]\nurl = \"sqlite:///var/lib/oneport.db\"",
        "[store]\nurl = \"postgres://oneport:hush@db.example.org/oneport\"",
        "[store]\nurl = \"mysql://oneport@/oneport\"",
        "[store]\nurl = \"postgres://oneport@db.example.org\"",
        "[store]\nurl = \"postgres://oneport@db/oneport\"\nsecret_file = \"/nonexistent/secret\"",
        "[cluster]\nname = \"berlin\"\nsecret = \"s\"\naddress = \"192.0.2.1\"",
        &clustered("name = \"ber lin\"\nsecret = \"s\"\naddress = \"192.0.2.1\""),
        &clustered("secret = \"s\"\naddress = \"192.0.2.1\""),
        &clustered("name = \"berlin\"\naddress = \"192.0.2.1\""),
        &clustered("name = \"berlin\"\nsecret = \"s\""),
        &clustered("name = \"berlin\"\nsecret = \"s\"\naddress = \"berlin.example.org\""),
        &clustered("name = \"berlin\"\nsecret = \"s\"\naddress = \"0.0.0.0\""),
        &clustered(
            "name = \"berlin\"\nsecret = \"s\"\naddress = \"192.0.2.1\"\nheartbeat_ms = 2000",
        ),
        "[hep]\nsecret = \"s\"",
        "[hep]\nto = \"homer:x\"",
        "[hep]\nto = \"\"",
        "[hep]\nto = \"192.0.2.1:0\"",
        "[hep]\nto = \"homer\"\ntransport = \"sctp\"",
        "[hep]\nto = \"homer\"\nframes = \"binary\"",
        "[hep]\nto = \"homer\"\ncapture_id = -1",
        "[hep]\nto = \"homer\"\nsecret_file = \"/nonexistent/secret\"",
        "[traces]\nsecret = \"s\"",
        "[traces]\nto = \"collector:4318\"",
        "[traces]\nto = \"collector\"",
        "[traces]\nto = \"https://ann:secret@192.0.2.1\"",
        "[traces]\nto = \"http://192.0.2.1:4318\"\none_in = 0",
        "[traces]\nto = \"http://192.0.2.1:4318\"\nservice = \"\"",
        "[traces]\nto = \"http://192.0.2.1:4318\"\nheaders = [\"telephony\"]",
        "[traces]\nto = \"http://192.0.2.1:4318\"\nheaders = [\"Host: x\"]",
        "[traces]\nto = \"http://192.0.2.1:4318\"\nsecret = \"correct horse\"",
        "[server\n",
    ];
    let mut answers = String::new();
    for text in cases {
        let error = Config::parse(Path::new("oneport.toml"), text).expect_err(text);
        let _ = writeln!(answers, "{}\n=> {error}", text.trim_end());
        let _ = writeln!(answers, "   {}\n", error.help.as_deref().unwrap_or("-"));
    }
    insta::assert_snapshot!(answers);
}

/// A switch on PostgreSQL with these keys of `[cluster]`.
fn clustered(keys: &str) -> String {
    format!("[store]\nurl = \"postgres://oneport@db/oneport\"\n[cluster]\n{keys}")
}

#[test]
fn a_password_in_a_url_is_refused_and_not_shown() {
    let text = "[store]\nurl = \"postgres://oneport:hush/@db.example.org/oneport\"";
    let error = Config::parse(Path::new("oneport.toml"), text).expect_err("seen by everybody");
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    let text = "[store]\nurl = \"postgres://oneport@db.example.org/oneport\"\nsecret = \"hu/sh\"";
    let config = Config::parse(Path::new("oneport.toml"), text).expect("it is well");
    let shown = format!("{:?} {}", config.store, config.summary());
    assert!(shown.contains("postgres://oneport@db.example.org/oneport"), "{shown}");
    assert!(!shown.contains("sh\""), "{shown}");
    let StorePlace::Server { url, .. } = config.store.place else { panic!("it is on a server") };
    assert_eq!(url.with_secret().as_str(), "postgres://oneport:hu%2Fsh@db.example.org/oneport");
}

#[test]
fn the_documented_configuration_is_accepted() {
    let document = include_str!("../../../docs/configuration.md");
    let (_, rest) = document.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    // Without the two keys that need something outside of the file.
    let usable: String = example
        .lines()
        .filter(|line| {
            ![
                "secret_",
                "playback",
                "inkeys",
                "outkey",
                "firmware",
                "[music",
                "folder",
                "shuffle",
                "hold_music",
                "music =",
                "on_congestion = \"playback",
                "certificate",
                "authorities",
                "tls =",
            ]
            .iter()
            .any(|key| line.starts_with(key))
        })
        .map(|line| line.replace(", \"rsa\"]", "]"))
        .map(|line| format!("{line}\n"))
        .collect();
    Config::parse(Path::new("oneport.toml"), &usable).expect("the example is right");
}

#[test]
fn a_mistake_is_shown_without_the_secrets_beside_it() {
    let text = "[peers.a]\nsecret = \"hush hush\"\nsecret='sœcret'\ncodec = 1\n";
    let error = Config::parse(Path::new("oneport.toml"), text).expect_err("no such key");
    assert_eq!(error.source_text.len(), text.len(), "places stay right");
    assert!(!error.source_text.contains("hush") && !error.source_text.contains("cret'"));
    assert!(error.source_text.contains("secret = \"*********\""), "{}", error.source_text);
}
