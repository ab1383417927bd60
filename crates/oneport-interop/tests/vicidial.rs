//! Boxes in the manner of VICIdial: their own configuration is imported, real Asterisks play the
//! boxes, and no relay stands beside them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use oneport::{Format, NewCall};
use oneport_interop::{
    PATIENCE, PHONE, echo_is_exact_from, phone, serve, speech, wait_for_silence,
};
use oneport_switch::import::{Files, Options, SecretPlace, import};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::{free_port, wait_for};

/// Bytes of speech in the beginning that are not compared: half a second.
const JOINING: usize = 4_000;

/// A section as VICIdial writes it.
fn friend(name: &str, secret: &str) -> String {
    format!(
        "[{name}]\naccountcode={name}\nsecret={secret}\ntype=friend\nrequirecalltoken=no\n\
         context=default\nauth=plaintext\nhost=dynamic\npermit=0.0.0.0/0.0.0.0\ndisallow=all\n\
         allow=ulaw\nqualify=yes\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_mesh_serves_its_loops_and_dial_strings_without_a_relay() {
    let [main, looped, blind] = [(); 3].map(|()| free_port());
    let box2 = Asterisk::start(
        &format!("disallow=all\nallow=ulaw\n{}{PHONE}", friend("box1", "boxtwo")),
        &format!(
            "[default]\nexten => 9001,1,Answer()\nsame => n,Echo()\n\
             [phone]\nexten => 0,1,Dial(IAX2/box2:boxone@127.0.0.1:{main}/8600054,60)\n"
        ),
    );
    let there = box2.address().port();
    let iax = format!(
        "disallow=all\nallow=ulaw\n\
         register => ASTloop:boxone@127.0.0.1:{looped}\n\
         register => ASTblind:boxone@127.0.0.1:{blind}\n{}{}{}",
        friend("ASTloop", "boxone"),
        friend("ASTblind", "boxone"),
        friend("box2", "boxone"),
    );
    // What only the box can do is not simple, so that it stays there.
    let extensions = format!(
        "[globals]\nTRUNKloop = IAX2/ASTloop:boxone@127.0.0.1:{looped}\n\
         TRUNKblind = IAX2/ASTblind:boxone@127.0.0.1:{blind}\n\
         TRUNKbox2 = IAX2/box1:boxtwo@127.0.0.1:{there}\n\
         [default]\ninclude => internal\n\
         exten => _8600XXX,1,GotoIf($[1]?go)\nsame => n(go),Answer()\nsame => n,Echo()\n\
         [internal]\n\
         exten => _127*000*000*001*.,1,Goto(default,${{EXTEN:16}},1)\n\
         exten => _127*000*000*002*.,1,Dial(${{TRUNKbox2}}/${{EXTEN:16}},55,o)\n\
         exten => _08600XXX,1,Dial(${{TRUNKblind}}/${{EXTEN:1}},55,o)\n"
    );
    let general = format!("[general]\nbindport={main}\nbindaddr=127.0.0.1\n");
    let mesh = format!("register => box1:boxtwo@127.0.0.1:{there}\n");
    let files = Files::from([
        ("iax.conf".into(), format!("{general}{mesh}{iax}")),
        ("extensions.conf".into(), extensions.clone()),
    ]);
    let options = Options {
        secrets: SecretPlace::Inline,
        trusted: vec!["127.0.0.0/8".parse().expect("a network")],
        key_directory: PathBuf::new(),
        keys: BTreeSet::new(),
        data_directory: PathBuf::new(),
        music: BTreeSet::new(),
        sound_directory: PathBuf::new(),
        sounds: BTreeSet::new(),
    };
    let imported = import(&files, &options);
    let _switch = serve(&imported.config);
    // The box keeps its configuration; a telephone on it dials.
    let calls = [
        ("through a loop, back to the box", "${TRUNKloop}/8600051"),
        ("to the box, by its address", "${TRUNKloop}/127*000*000*001*8600052"),
        ("to another box, by its address", "${TRUNKloop}/127*000*000*002*9001"),
        ("through one loop into the other", "${TRUNKblind}/08600053"),
    ];
    let mut dialled = String::from("[phone]\n");
    for (number, (_, channel)) in calls.iter().enumerate() {
        dialled.push_str(&format!("exten => {number},1,Dial({channel},60)\n"));
    }
    let box1 = Asterisk::start(&format!("{iax}{PHONE}"), &format!("{extensions}{dialled}"));
    wait_for("the box to register at its loops", PATIENCE, || {
        box1.cli("iax2 show registry").matches("Registered").count() == 2
    });
    wait_for("oneport to register at the other box", PATIENCE, || {
        box2.cli("iax2 show peers").contains(&main.to_string())
    });
    let calls = calls.iter().enumerate().map(|(number, (what, _))| (&box1, number, *what));
    for (asterisk, number, what) in calls.chain([(&box2, 0, "from the other box")]) {
        let (phone, _) = phone();
        let mut call = NewCall::to(number.to_string());
        call.username = Some("phone".into());
        call.formats = vec![Format::ULAW];
        let mut call = phone.call(asterisk.address(), call).await.expect("placed");
        if let Err(error) = call.answered().await {
            let (config, log) = (&imported.config, asterisk.log());
            panic!("{what}: {error}\n{config}\nAsterisk's log:\n{log}");
        }
        let (mut reader, speaker) = call.audio().await.expect("accepted");
        // The beginning does not count, while Asterisk joins its bridges on either side.
        echo_is_exact_from(JOINING, &mut reader, &speaker, &speech()).await;
        drop(call);
        wait_for_silence(&box1);
    }
}
