//! Who a caller is, what it may say of itself, and numbers that come and go with their peers.

use std::time::Duration;

use oneport::CauseCode;

use crate::setting::*;

#[tokio::test]
async fn what_a_caller_says_of_itself_is_held_to_the_rules_of_its_peer() {
    let text = "
[peers.ann]
secret = \"a\"
[peers.ann.caller_id]
number = \"2125550100\"
allow = [\"_2125550XXX\"]
[peers.bob]
secret = \"b\"
[peers.bob.caller_id]
name = \"Bob\"
number = \"17\"
presentation = \"restricted\"
[peers.cid]
secret = \"c\"
[peers.cid.caller_id]
allow = [\"911\"]
[peers.dan]
secret = \"d\"
";
    let (_switch, to) = switch(text);
    let ((dan, _at), phone) = (registered(to, "dan").await, phone());
    let cases = [
        ("ann", Some("2125550123"), Some("2125550123"), Some("x"), 0),
        ("ann", Some("911"), Some("2125550100"), Some("x"), 0),
        ("ann", None, Some("2125550100"), Some("x"), 0),
        ("bob", Some("2125550123"), Some("17"), Some("Bob"), 0x20),
        ("cid", Some("911"), Some("911"), Some("x"), 0),
        ("cid", Some("912"), None, Some("x"), 0x43),
        ("dan", Some("912"), Some("912"), Some("x"), 0),
    ];
    for (peer, says, goes_on, name, presentation) in cases {
        let mut call = from(peer, "dan");
        call.calling_number = says.map(Into::into);
        call.calling_ani = says.map(Into::into);
        call.calling_name = Some("x".into());
        let call = phone.call(to, call).await.expect("placed");
        let at_dan = incoming(&dan).await;
        let offer = at_dan.offer();
        assert_eq!(offer.calling_number.as_deref(), goes_on, "{peer} says {says:?}");
        let ani = if says.is_some() { goes_on } else { None };
        assert_eq!(offer.calling_ani.as_deref(), ani, "{peer} says {says:?}");
        assert_eq!(offer.calling_name.as_deref(), name, "{peer}");
        assert_eq!(offer.calling_presentation.unwrap_or(0), presentation, "{peer} says {says:?}");
        drop((call, at_dan));
    }
}

#[tokio::test]
async fn an_extension_is_there_while_its_peer_is_registered_and_routes_go_before_it() {
    let text = "
[peers.ann]
secret = \"a\"
[peers.bob]
secret = \"b\"
extensions = [\"201\", \"202\"]
[peers.cid]
secret = \"c\"
extensions = [\"203\"]
extension_context = \"inside\"
[[routes]]
number = \"202\"
to = [\"busy\"]
";
    let (_switch, to) = switch(text);
    let ann = phone();
    assert_eq!(refused(&ann, to, from("ann", "201")).await.cause, CauseCode::NO_ROUTE);
    let (bob, at) = registered(to, "bob").await;
    let (_cid, _at) = registered(to, "cid").await;
    let call = ann.call(to, from("ann", "201")).await.expect("placed");
    assert_eq!(incoming(&bob).await.offer().called_number, "201");
    drop(call);
    assert_eq!(refused(&ann, to, from("ann", "202")).await.cause, CauseCode::USER_BUSY);
    let elsewhere = refused(&ann, to, from("ann", "203")).await;
    assert_eq!(elsewhere.cause, CauseCode::NO_ROUTE, "it is in a context that ann has not");
    at.unregister().await;
    let mut cause = CauseCode::NORMAL_CLEARING;
    for _ in 0..100 {
        cause = refused(&ann, to, from("ann", "201")).await.cause;
        if cause == CauseCode::NO_ROUTE {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(cause, CauseCode::NO_ROUTE, "it is gone with its peer");
}
