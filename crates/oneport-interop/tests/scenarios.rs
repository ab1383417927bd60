//! The scenarios that the Asterisk project tests its own IAX2 with, in our words and with Oneport at
//! either side: calls in the clear and with each proof of identity, good and bad; encrypted calls;
//! lists of who may come from where; and causes that come back over forks and detours.

use std::net::{Ipv4Addr, SocketAddr};

use oneport::{
    Call, CallError, CauseCode, EncryptionPolicy, EndReason, NewCall, Phone, PhoneConfig,
    PrivateKey,
};
use oneport_interop::{
    PATIENCE, PHONE, call_over, echo_is_exact, end_over, named, phone, speech, switch,
    wait_for_silence,
};
use oneport_testkit::peers::asterisk::Asterisk;

/// Two seconds of speech are enough to see that a call is up.
const SAMPLE: usize = 16_000;

const IAX: &str = "
requirecalltoken=yes
disallow=all
allow=ulaw
[open]
type=user
context=test
[plain]
type=user
auth=plaintext
secret=right
context=test
[md5]
type=user
auth=md5
secret=right
context=test
[sealed]
type=user
auth=md5
secret=right
context=test
encryption=yes
forceencryption=yes
[keyed]
type=user
auth=md5,rsa
inkeys=site
secret=right
context=test
encryption=yes
forceencryption=yes
";

const ECHO: &str = "[test]\nexten => echo,1,Answer()\nsame => n,Echo()\n";

async fn talks(mut call: Call, asterisk: &Asterisk) {
    call.answered().await.unwrap_or_else(|error| panic!("{error}\n{}", asterisk.log()));
    let (mut reader, speaker) = call.audio().await.expect("accepted");
    echo_is_exact(&mut reader, &speaker, &speech()[..SAMPLE]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_takes_our_calls_by_each_proof_and_refuses_wrong_ones_with_cause_50() {
    let asterisk = Asterisk::start(IAX, ECHO);
    let key = PrivateKey::generate([4; 32]).expect("a key");
    asterisk.add_key("site.pub", &key.public().to_pem().expect("PEM"));
    let (phone, _) = phone();
    let to = asterisk.address();
    let mut open = NewCall::to("echo");
    open.username = Some("open".into());
    let plain = |secret| {
        let mut call = named("echo", "plain", secret);
        call.allow_plaintext = true;
        call
    };
    let mut sealed = named("echo", "sealed", "right");
    sealed.encryption = EncryptionPolicy::Required;
    // The key of the encryption comes from the secret, the proof from the key file.
    let mut keyed = named("echo", "keyed", "right");
    keyed.encryption = EncryptionPolicy::Required;
    keyed.key = Some(key);
    for (what, good) in [
        ("nothing", open),
        ("plaintext", plain("right")),
        ("MD5", named("echo", "md5", "right")),
        ("MD5, encrypted", sealed),
        ("RSA and a secret, encrypted", keyed.clone()),
    ] {
        println!("proof by {what}");
        talks(phone.call(to, good).await.expect("placed"), &asterisk).await;
    }
    let mut other_key = keyed;
    other_key.key = Some(PrivateKey::generate([5; 32]).expect("a key"));
    other_key.encryption = EncryptionPolicy::Allowed;
    for (what, wrong) in
        [("plaintext", plain("wrong")), ("MD5", named("echo", "md5", "wrong")), ("RSA", other_key)]
    {
        let mut call = phone.call(to, wrong).await.expect("placed");
        let end = call.ended().await.expect("running");
        let said = (end.reason, end.cause);
        let refused = (EndReason::RemoteReject, CauseCode::FACILITY_NOT_SUBSCRIBED);
        assert_eq!(said, refused, "wrong {what}");
    }
    // A secret is not said in the clear unless that is allowed.
    let careful = named("echo", "plain", "right");
    let mut call = phone.call(to, careful).await.expect("placed");
    assert_eq!(call.ended().await.expect("running").reason, EndReason::CannotAuthenticate);
}

#[tokio::test(flavor = "multi_thread")]
async fn we_take_asterisk_s_calls_by_each_proof_and_refuse_wrong_ones_with_cause_50() {
    let directory = tempfile::tempdir().expect("a directory");
    let key = PrivateKey::generate([6; 32]).expect("a key");
    let public = directory.path().join("site.pub");
    std::fs::write(&public, key.public().to_pem().expect("PEM")).expect("writable");
    let (_switch, to) = switch(&format!(
        "[peers.plain]\nsecret = \"right\"\nauth = [\"plaintext\"]\n\
         [peers.md5]\nsecret = \"right\"\n\
         [peers.sealed]\nsecret = \"right\"\nencryption = \"required\"\n\
         [peers.keyed]\nsecret = \"right\"\ninkeys = [{public:?}]\nencryption = \"required\"\n"
    ));
    // The key may also stand in an entry of its own, which a dial string names.
    let iax = format!(
        "encryption=yes\ndisallow=all\nallow=ulaw\n\
         [bykey]\ntype=peer\nhost={}\nport={}\nusername=keyed\nauth=rsa\noutkey=site\nsecret=right\n\
         {PHONE}",
        to.ip(),
        to.port()
    );
    let asterisk = Asterisk::start(&iax, "[phone]\n");
    asterisk.add_key("site.key", &key.to_pem().expect("PEM"));
    asterisk.add_key(
        "other.key",
        &PrivateKey::generate([7; 32]).expect("a key").to_pem().expect("PEM"),
    );
    let (phone, _) = phone();
    for channel in [
        format!("IAX2/{to}/echo"),
        format!("IAX2/plain:right@{to}/echo"),
        format!("IAX2/md5:right@{to}/echo"),
        format!("IAX2/sealed:right@{to}/echo"),
        "IAX2/bykey/echo".into(),
        format!("IAX2/keyed:right:[site]@{to}/echo"),
    ] {
        println!("{channel}");
        let call = call_over(&phone, &asterisk, &channel).await;
        let (mut reader, speaker) = call.audio().await.expect("accepted");
        echo_is_exact(&mut reader, &speaker, &speech()[..SAMPLE]).await;
        drop(call);
        wait_for_silence(&asterisk);
    }
    // Who does not exist is asked as one of those who do; where that one must encrypt, Asterisk cannot
    // read the refusal, and waits for it in vain. Here nobody must.
    let (_open, open) = switch("[peers.md5]\nsecret = \"right\"\n");
    for channel in [
        format!("IAX2/plain:wrong@{to}/echo"),
        format!("IAX2/md5:wrong@{to}/echo"),
        format!("IAX2/nobody:right@{open}/echo"),
    ] {
        let cause = end_over(&phone, &asterisk, &channel).await;
        assert_eq!(cause, CauseCode::FACILITY_NOT_SUBSCRIBED, "{channel}");
    }
}

fn phone_at(last: u8) -> Phone {
    let listen = vec![SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0))];
    Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("the loopback is there")
}

/// Who gets through, of 127.0.0.1 to 127.0.0.4, by each list.
const MATRIX: [(&str, [bool; 4]); 5] = [
    ("anybody", [true; 4]),
    ("first", [true, false, false, false]),
    ("listed", [false, true, true, false]),
    ("both", [false, false, true, false]),
    ("nobody", [false; 4]),
];

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_s_lists_of_who_may_call_fail_closed_for_our_calls() {
    let user = |name: &str, rules: &str| {
        format!("[{name}]\ntype=user\nauth=md5\nsecret=right\ncontext=test\n{rules}\n")
    };
    let deny = "deny=0.0.0.0/0.0.0.0\n";
    let iax = [
        "requirecalltoken=yes\ndisallow=all\nallow=ulaw\n".to_string(),
        user("anybody", ""),
        user("first", &format!("{deny}permit=127.0.0.1/255.255.255.255")),
        user("listed", "acl=some"),
        user("both", &format!("acl=some\n{deny}permit=127.0.0.1/32\npermit=127.0.0.3/32")),
        // A list that does not exist lets nobody in.
        user("nobody", "acl=no-such-list"),
    ];
    let asterisk = Asterisk::start_with(
        &iax.concat(),
        ECHO,
        &[(
            "etc/acl.conf",
            format!("[some]\n{deny}permit=127.0.0.2/32\npermit=127.0.0.3/32\n").as_bytes(),
        )],
    );
    for last in 1..=4 {
        let phone = phone_at(last);
        for (name, passes) in MATRIX {
            let call = named("echo", name, "right");
            let call = phone.call(asterisk.address(), call).await.expect("placed");
            let passed = passed(call).await;
            assert_eq!(passed, passes[usize::from(last) - 1], "{name} from 127.0.0.{last}");
        }
    }
}

/// Whether a call was answered; if not, it was refused with cause 50.
async fn passed(mut call: Call) -> bool {
    match call.answered().await {
        Ok(_) => true,
        Err(CallError::Ended(end)) => {
            assert_eq!(end.cause, CauseCode::FACILITY_NOT_SUBSCRIBED, "{:?}", end.reason);
            false
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_lists_of_who_may_call_fail_closed_for_asterisk_s_calls() {
    let (_switch, to) = switch(
        "[acls.some]\npermit = [\"127.0.0.2\", \"127.0.0.3\"]\n\
         [peers.anybody]\nsecret = \"right\"\n\
         [peers.first]\nsecret = \"right\"\ndeny = [\"0.0.0.0/0\"]\npermit = [\"127.0.0.1\"]\n\
         [peers.listed]\nsecret = \"right\"\nacl = [\"some\"]\n\
         [peers.both]\nsecret = \"right\"\nacl = [\"some\"]\npermit = [\"127.0.0.1\", \"127.0.0.3\"]\n\
         [peers.nobody]\nsecret = \"right\"\npermit = []\n",
    );
    let (phone, _) = phone();
    for last in 1..=4 {
        let iax = format!("disallow=all\nallow=ulaw\n{PHONE}");
        let own = Ipv4Addr::new(127, 0, 0, last);
        let asterisk = Asterisk::start_at(own.into(), &iax, "[phone]\n");
        for (name, passes) in MATRIX {
            let channel = format!("IAX2/{name}:right@{to}/echo");
            if passes[usize::from(last) - 1] {
                drop(call_over(&phone, &asterisk, &channel).await);
                wait_for_silence(&asterisk);
            } else {
                let cause = end_over(&phone, &asterisk, &channel).await;
                let expected = CauseCode::FACILITY_NOT_SUBSCRIBED;
                assert_eq!(cause, expected, "{name} from 127.0.0.{last}");
            }
        }
    }
}

const CAUSES: [CauseCode; 2] = [CauseCode::CIRCUIT_CONGESTION, CauseCode::USER_BUSY];

/// A dial plan that hangs up with the cause that is dialled.
const END: &str = "[end]\nexten => _X.,1,Hangup(${EXTEN})\n";

/// A dial plan that calls by way of `far`, what stands before the number in a dial string, straight
/// and over detours. (In its patterns, n, x and z stand for digits.)
fn detours(far: &str) -> String {
    format!(
        "[test]\n\
         exten => _direct*.,1,Dial({far}${{EXTEN:7}},60)\nsame => n,Hangup(${{HANGUPCAUSE}})\n\
         exten => _fork*.,1,Dial({far}${{EXTEN:5}}&{far}${{EXTEN:5}},60)\n\
         same => n,Hangup(${{HANGUPCAUSE}})\n\
         exten => _relay*.,1,Dial(Local/direct*${{EXTEN:6}}@test,60)\n\
         same => n,Hangup(${{HANGUPCAUSE}})\n\
         exten => _both*.,1,Dial(Local/fork*${{EXTEN:5}}@test&Local/fork*${{EXTEN:5}}@test,60)\n\
         same => n,Hangup(${{HANGUPCAUSE}})\n"
    )
}

const WAYS: [&str; 4] = ["direct", "fork", "relay", "both"];

async fn cause_of(phone: &Phone, to: SocketAddr, number: String) -> CauseCode {
    let mut call = NewCall::to(number);
    call.username = Some("open".into());
    let mut call = phone.call(to, call).await.expect("placed");
    call.ended().await.expect("running").cause
}

#[tokio::test(flavor = "multi_thread")]
async fn causes_come_back_over_asterisk_s_forks_and_detours_from_an_end_of_ours() {
    let (end, address) = phone();
    tokio::spawn(async move {
        while let Some(incoming) = end.incoming().await {
            let number = incoming.offer().called_number.parse();
            incoming.reject(CauseCode(number.expect("a cause")));
        }
    });
    let asterisk = Asterisk::start(IAX, &detours(&format!("IAX2/{address}/")));
    let (phone, _) = phone();
    for way in WAYS {
        for cause in CAUSES {
            let number = format!("{way}*{}", cause.0);
            let said = cause_of(&phone, asterisk.address(), number.clone()).await;
            assert_eq!(said, cause, "{number}:\n{}", asterisk.log());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn causes_of_an_asterisk_come_back_through_our_switch_and_another_s_forks_and_detours() {
    let far = Asterisk::start(
        "requirecalltoken=yes\n[oneport]\ntype=user\nauth=md5\nsecret=link\ncontext=end\n",
        END,
    );
    let (_switch, to) = switch(&format!(
        "[peers.ann]\nsecret = \"right\"\n\
         [peers.far]\naddress = \"{}\"\nusername = \"oneport\"\nsecret = \"link\"\n\
         [[routes]]\nprefix = \"\"\nto = [\"peer:far\", \"peer:far\"]\n",
        far.address()
    ));
    let near = Asterisk::start(IAX, &detours(&format!("IAX2/ann:right@{to}/")));
    let (phone, _) = phone();
    for way in WAYS {
        for cause in CAUSES {
            let number = format!("{way}*{}", cause.0);
            let said = cause_of(&phone, near.address(), number.clone()).await;
            assert_eq!(said, cause, "{number}:\n{}", near.log());
        }
    }
    // And straight from the switch, which tries the second destination where the first cannot.
    for cause in CAUSES {
        let call = named(&cause.0.to_string(), "ann", "right");
        let mut call = phone.call(to, call).await.expect("placed");
        assert_eq!(call.ended().await.expect("running").cause, cause);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asterisk_that_says_busy_or_congestion_and_waits_has_refused_the_call() {
    let far = Asterisk::start(
        "requirecalltoken=yes\n[oneport]\ntype=user\nauth=md5\nsecret=link\ncontext=end\n",
        "[end]\nexten => busy,1,Busy()\nexten => full,1,Congestion()\n",
    );
    let peer =
        format!("address = \"{}\"\nusername = \"oneport\"\nsecret = \"link\"\n", far.address());
    let (_switch, to) = switch(&format!(
        "[peers.ann]\nsecret = \"right\"\n[peers.far]\n{peer}\
         [[routes]]\nnumber = \"next\"\nto = [\"peer:far/full\", \"builtin:echo\"]\n\
         [[routes]]\nprefix = \"\"\nto = [\"peer:far\"]\n"
    ));
    let (phone, _) = phone();
    for (number, cause) in [("busy", CauseCode::USER_BUSY), ("full", CauseCode::CIRCUIT_CONGESTION)]
    {
        let mut call = phone.call(to, named(number, "ann", "right")).await.expect("placed");
        let ended = tokio::time::timeout(PATIENCE, call.ended()).await;
        let end = ended.unwrap_or_else(|_| panic!("{number} goes on\n{}", far.log()));
        assert_eq!(end.expect("running").cause, cause, "{number}");
    }
    let mut call = phone.call(to, named("next", "ann", "right")).await.expect("placed");
    let answered = tokio::time::timeout(PATIENCE, call.answered()).await;
    answered.expect("the next one takes it").expect("answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_a_name_is_whoever_fits_for_asterisk_and_nobody_for_us() {
    let asterisk = Asterisk::start(
        "disallow=all\nallow=ulaw\n[ann]\ntype=user\nsecret=right\ncontext=test\n",
        "[test]\nexten => echo,1,Answer()\nsame => n,Echo()\n",
    );
    let (_switch, to) = switch("[guests]\nenabled = false\n[peers.ann]\nsecret = \"right\"\n");
    let (phone, _) = phone();
    let nameless = |secret: Option<&str>| {
        let mut call = NewCall::to("echo");
        call.secret = secret.map(Into::into);
        call
    };
    let mut call = phone.call(asterisk.address(), nameless(None)).await.expect("placed");
    let end = call.ended().await.expect("running");
    assert_eq!(end.reason, EndReason::CannotAuthenticate, "it asks for the secret of somebody");
    let mut call = phone.call(asterisk.address(), nameless(Some("right"))).await.expect("placed");
    call.answered().await.unwrap_or_else(|error| panic!("{error}\n{}", asterisk.log()));
    let mut call = phone.call(to, nameless(Some("right"))).await.expect("placed");
    let end = call.ended().await.expect("running");
    assert_eq!((end.reason, end.cause), (EndReason::RemoteReject, CauseCode::REJECTED));
}
