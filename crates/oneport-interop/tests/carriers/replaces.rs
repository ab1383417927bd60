//! Calls that are to take the place of another (RFC 3891), where there is none to be taken.

use crate::script::{Script, VOICE};
use crate::shared::{calling, carrier, gateway, loopback};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_would_take_the_place_of_none_is_refused() {
    let named = "Replaces: nobody@nowhere;to-tag=1;from-tag=2";
    for (headers, status) in [
        (vec!["Require: replaces", named], 481),
        (vec!["Require: replaces", "Replaces: nobody@nowhere;to-tag=1"], 400),
        (vec!["Require: replaces", named, "Replaces: another@nowhere;to-tag=1;from-tag=2"], 400),
    ] {
        let from = loopback();
        let system = gateway(&format!(
            "{}[[routes]]\nnumber = \"600\"\nto = [\"builtin:echo\"]\n",
            carrier("acme", from, "")
        ));
        let script = Script::calls(&headers, Some(VOICE)).may_hear(100).hears(status);
        calling(script.acks_refusal(1), from, system.sip, "600").finished();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_to_a_call_that_is_malformed_or_not_there_leaves_the_call_as_it_is() {
    for (to, word, told) in [
        ("<sip:700@host?Replaces=nobody%40nowhere%3Bto-tag%3D1%3Bfrom-tag%3D2>", 202, Some(481)),
        ("<sip:700@host?Replaces=nobody%40nowhere>", 400, None),
    ] {
        let from = loopback();
        let system = gateway(&format!(
            "{}[[routes]]\nnumber = \"600\"\nto = [\"builtin:echo\"]\n",
            carrier("acme", from, "")
        ));
        let refer = format!("Refer-To: {to}");
        let mut script = Script::calls(&[], Some(VOICE)).may_hear(100).hears(200).acks(1);
        script = script.asks("REFER", 2, &[&refer], None).hears(word);
        if let Some(told) = told {
            let fragment = format!("SIP/2.0 {told} ");
            script = script.receives_with("NOTIFY", &["Event: refer", &fragment]).agrees();
        }
        calling(script.hangs_up(3), from, system.sip, "600").finished();
    }
}
