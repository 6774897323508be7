#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use super::*;
use catalog::{AccessKey, Grant, Grantee, Group, Key, ParentTopic, Rights, Scopes, SqliteCatalog, Topics};
use std::sync::Arc;

fn group(group: &str) -> Group {
    Group { group: group.to_owned() }
}

fn parent(parent: &str, rule: Rule) -> ParentTopic {
    ParentTopic::new(parent, rule)
}

fn grant(grantee: Grantee, parent: &str, rights: &str) -> Grant {
    Grant { grantee, parent: parent.to_owned(), rights: Rights::parse(rights).unwrap() }
}

fn access() -> Access {
    let snapshot = AccessSnapshot {
        revision: 7,
        groups: vec![group("GID_test"), group("GID_none"), group("bad name")],
        parents: vec![
            parent("meeting-up", Rule::ToQueue),
            parent("meeting-down", Rule::FromQueue),
            parent(&"p".repeat(64), Rule::None),
        ],
        keys: vec![
            key("LTAItest", Scopes::of_service()),
            key("narrow", [Scope::Devices].into_iter().collect()),
            Key { is_narrowed: true, ..key("granted", Scopes::of_service()) },
            Key { is_narrowed: true, ..key("nothing", Scopes::of_service()) },
        ],
        narrowed_keys: ["granted", "nothing", "disabled"].map(str::to_owned).into(),
        grants: vec![
            Grant::to_publish("GID_test", "meeting-up"),
            Grant::to_publish("GID_test", "not-made"),
            grant(Grantee::Group("GID_read".to_owned()), "meeting-up", "subscribe"),
            grant(Grantee::User("bob".to_owned()), "meeting-down", "p2p"),
            grant(Grantee::User("bob".to_owned()), "meeting-up", "subscribe"),
            grant(Grantee::Key("granted".to_owned()), "meeting-up", "subscribe"),
            grant(Grantee::Key("granted".to_owned()), "meeting-down", "publish p2p"),
        ],
        revoked_tokens: Vec::new(),
    };
    Access::new(AccessConfig::default(), snapshot)
}

fn key(key_id: &str, scopes: Scopes) -> Key {
    let (key_id, secret, instance) = (key_id.to_owned(), "secret".to_owned(), "convoke".to_owned());
    Key { scopes, ..AccessKey { key_id, secret, instance, created_at_ms: 0 }.into() }
}

fn service() -> Identity {
    service_of("LTAItest")
}

fn service_of(key_id: &str) -> Identity {
    Identity::Service { key_id: key_id.to_owned(), instance: "convoke".to_owned() }
}

fn device(group: &str) -> Identity {
    device_of("ann", group, None)
}

fn device_of(user: &str, group: &str, narrowed_to: Option<&[&str]>) -> Identity {
    let (client_id, user) = (format!("{group}@@@a"), user.to_owned());
    let publishes = narrowed_to.map(|named| named.iter().map(|one| (*one).to_owned()).collect());
    Identity::Device { client_id, user, group: group.to_owned(), publishes }
}

#[test]
fn a_service_does_what_the_scopes_of_its_key_name_and_nothing_once_the_key_is_gone() {
    for key_id in ["narrow", "gone"] {
        let service = service_of(key_id);
        assert_eq!(access().may_publish(&service, "meeting-up/create"), Err(PublishRefusal::Scope), "{key_id}");
        assert_eq!(access().may_subscribe(&service, "meeting-up/#"), Err(SubscribeRefusal::Scope), "{key_id}");
    }
}

#[test]
fn client_ids_have_a_group_and_a_device_and_at_most_64_characters() {
    let longest = format!("GID_TEST@@@{}", "d".repeat(53));
    let too_long = format!("{longest}d");
    let table = [
        ("GID_Test@@@0001", Ok(("GID_Test", "0001"))),
        ("GID-web@@@alice_phone-1", Ok(("GID-web", "alice_phone-1"))),
        (longest.as_str(), Ok(("GID_TEST", &longest[11..]))),
        (too_long.as_str(), Err(NameError::TooLong)),
        ("GID_Test", Err(NameError::NoSeparator)),
        ("GID_Test@@0001", Err(NameError::NoSeparator)),
        ("GID_Test@@@", Err(NameError::Device)),
        ("GID_Test@@@a@@@b", Err(NameError::Device)),
        ("GID_Test@@@a b", Err(NameError::Device)),
        ("GID_Test@@@ä", Err(NameError::Device)),
        ("GID_Test@@@a\u{200b}", Err(NameError::Device)),
        ("GID_12@@@a", Err(NameError::Group)),
        ("GID_123@@@a", Ok(("GID_123", "a"))),
        ("gid_test@@@a", Err(NameError::Group)),
        ("GIDtest@@@a", Err(NameError::Group)),
        ("@@@a", Err(NameError::Group)),
        ("", Err(NameError::NoSeparator)),
    ];
    for (text, expected) in table {
        let parsed = ClientId::parse(text).map(|id| (id.group(), id.device()));
        assert_eq!(parsed, expected, "{text}");
    }
}

#[test]
fn parents_and_groups_keep_their_lengths() {
    for (text, good) in [("ab", false), ("abc", true), ("a/c", false), ("a:c", false), ("", false), ("A_9-", true)] {
        assert_eq!(check_parent(text).is_ok(), good, "{text}");
    }
    assert!(check_parent(&"p".repeat(64)).is_ok() && check_parent(&"p".repeat(65)).is_err());
    let group = format!("GID_{}", "g".repeat(60));
    assert!(check_parent(&format!("{group}_MQTT")).is_ok() && check_parent(&format!("{group}_QTTM")).is_err());
    assert!(check_group_id(&format!("GID-{}", "g".repeat(60))).is_ok());
    assert!(check_group_id(&format!("GID-{}", "g".repeat(61))).is_err());
}

#[test]
fn p2p_topics_are_taken_apart() {
    let parts = |topic| P2pTopic::parse(topic).map(|p2p| (p2p.parent, p2p.receiver.as_str().to_owned(), p2p.more));
    let receiver = || "GID_test@@@1".to_owned();
    let table = [
        ("meeting-down/p2p/GID_test@@@1", Some(("meeting-down", receiver(), None))),
        ("meeting-down/p2p/GID_test@@@1/invitation", Some(("meeting-down", receiver(), Some("invitation")))),
        ("meeting-down/p2p/GID_test@@@1/a/b", Some(("meeting-down", receiver(), Some("a/b")))),
        ("meeting-down/p2p/GID_test@@@1/", Some(("meeting-down", receiver(), Some("")))),
        ("meeting-down/p2p/other", None),
        ("meeting-down/p2p/", None),
        ("meeting-down/p2p", None),
        ("meeting-down/P2P/GID_test@@@1", None),
        ("meeting-down/p2px/GID_test@@@1", None),
        ("meeting-down/x/p2p/GID_test@@@1", None),
        ("p2p/GID_test@@@1", None),
        ("ab/p2p/GID_test@@@1", None),
    ];
    for (topic, expected) in table {
        assert_eq!(parts(topic), expected, "{topic}");
    }
    assert!(P2pTopic::is_p2p("meeting-down/p2p") && !P2pTopic::is_p2p("p2p/meeting-down"));
}

#[test]
fn a_device_publishes_to_the_granted_parents_of_its_group_only() {
    let access = access();
    let allowed = |group, topic| access.may_publish(&device(group), topic);
    assert_eq!(allowed("GID_test", "meeting-up/create"), Ok(()));
    assert_eq!(allowed("GID_test", "meeting-up"), Ok(()));
    let forbidden =
        ["meeting-down/x", "meeting-down/p2p/GID_test@@@b/x", "meeting-up/p2p/GID_test@@@b", "not-made/x", "unknown/x"];
    for topic in forbidden {
        assert_eq!(allowed("GID_test", topic), Err(PublishRefusal::NotGranted), "{topic}");
    }
    assert_eq!(allowed("GID_none", "meeting-up/create"), Err(PublishRefusal::NotGranted));
    assert_eq!(allowed("GID_test", "$SYS/uploadToken"), Err(PublishRefusal::Reserved));
}

#[test]
fn a_service_publishes_to_every_parent_that_exists() {
    let access = access();
    let allowed = |topic| access.may_publish(&service(), topic);
    assert_eq!(allowed("meeting-up/create"), Ok(()));
    assert_eq!(allowed("meeting-down/p2p/GID_test@@@b/invitation"), Ok(()));
    assert_eq!(allowed("unknown/x"), Err(PublishRefusal::UnknownParent));
    assert_eq!(allowed("MEETING-UP/x"), Err(PublishRefusal::UnknownParent));
    assert_eq!(allowed("meeting-down/p2p/nobody"), Err(PublishRefusal::BadReceiver));
    for bad in ["meeting-up//x", "meeting-up/", "meeting-up/a:b", "meeting-up/ä", "meeting-down/p2p/GID_test@@@b/"] {
        assert_eq!(allowed(bad), Err(PublishRefusal::BadLevel), "{bad}");
    }
}

#[test]
fn a_whole_topic_is_limited_and_a_p2p_topic_by_its_parts() {
    let topic = |chars: usize| format!("meeting-up/{}", "x".repeat(chars - 11));
    let wide = Access {
        config: AccessConfig { topic_limit: TopicLimit::new(128).unwrap(), ..Default::default() },
        ..access()
    };
    assert_eq!(access().may_publish(&service(), &topic(64)), Ok(()));
    assert_eq!(access().may_publish(&service(), &topic(65)), Err(PublishRefusal::TooLong));
    assert_eq!(wide.may_publish(&service(), &topic(128)), Ok(()));
    assert_eq!(wide.may_publish(&service(), &topic(129)), Err(PublishRefusal::TooLong));
    let p2p = format!("{}/p2p/GID_TEST@@@{}/{}", "p".repeat(64), "d".repeat(53), "m".repeat(64));
    assert_eq!(access().may_publish(&service(), &p2p), Ok(()));
    assert_eq!(access().may_publish(&service(), &format!("{p2p}m")), Err(PublishRefusal::TooLong));
    assert_eq!((TopicLimit::new(63), TopicLimit::new(129)), (None, None));
}

#[test]
fn wildcards_stay_inside_a_parent_and_nobody_subscribes_to_p2p() {
    let access = access();
    let allowed = |filter: &str| access.may_subscribe(&service(), filter);
    for good in ["meeting-up", "meeting-up/#", "meeting-up/+", "meeting-up/+/x", "$share/all/meeting-up/#"] {
        assert_eq!(allowed(good), Ok(()), "{good}");
    }
    for everything in ["#", "+", "+/x", "+/#", "$share/all/#"] {
        assert_eq!(allowed(everything), Err(SubscribeRefusal::WildcardParent), "{everything}");
    }
    for p2p in ["meeting-down/p2p/GID_test@@@b", "meeting-down/p2p/+", "meeting-down/p2p/#", "meeting-down/p2p"] {
        assert_eq!(allowed(p2p), Err(SubscribeRefusal::P2p), "{p2p}");
    }
    assert_eq!(allowed("unknown/#"), Err(SubscribeRefusal::UnknownParent));
    assert_eq!(allowed("$SYS/#"), Err(SubscribeRefusal::Reserved));
    assert_eq!(allowed("meeting-up//#"), Err(SubscribeRefusal::BadLevel));
    assert_eq!(allowed(&format!("meeting-up/{}", "x".repeat(54))), Err(SubscribeRefusal::TooLong));
    let long = format!("GID_{}_MQTT", "g".repeat(60));
    assert_eq!(allowed(&format!("{long}/#")), Err(SubscribeRefusal::UnknownParent));
    assert_eq!(allowed(&format!("{long}/x/#")), Err(SubscribeRefusal::TooLong));
}

/// Who, what it may publish, and what it may subscribe to, of the topics below.
#[test]
fn each_right_is_one_of_its_own_and_a_device_has_those_of_its_group_and_of_its_user() {
    const UP: &str = "meeting-up/create";
    const P2P: &str = "meeting-down/p2p/GID_test@@@b/x";
    const P2P_UP: &str = "meeting-up/p2p/GID_test@@@b";
    let publishes = [UP, "meeting-down/x", P2P, P2P_UP, "not-made/x"];
    let filters = ["meeting-up/#", "meeting-up/+/x", "$share/all/meeting-up", "meeting-down/#"];
    let inside = ["meeting-up/#", "meeting-up/+/x", "$share/all/meeting-up"];
    let table: [(Identity, &[&str], &[&str]); 10] = [
        (device_of("ann", "GID_none", None), &[], &[]),
        (device_of("ann", "GID_test", None), &[UP], &[]),
        (device_of("ann", "GID_read", None), &[], &inside),
        (device_of("bob", "GID_none", None), &[P2P], &inside),
        (device_of("bob", "GID_test", None), &[UP, P2P], &inside),
        // A JWT narrows all three rights, and gives none.
        (device_of("bob", "GID_test", Some(&["meeting-up/#"])), &[UP], &inside),
        (device_of("bob", "GID_test", Some(&["meeting-up/+/x", "meeting-down/p2p/#"])), &[P2P], &["meeting-up/+/x"]),
        (device_of("bob", "GID_test", Some(&[])), &[], &[]),
        (service_of("granted"), &["meeting-down/x", P2P], &inside),
        (service_of("nothing"), &[], &[]),
    ];
    let access = access();
    for (who, may_publish, may_subscribe) in table {
        let published: Vec<_> = publishes.into_iter().filter(|topic| access.may_publish(&who, topic).is_ok()).collect();
        let subscribed: Vec<_> =
            filters.into_iter().filter(|filter| access.may_subscribe(&who, filter).is_ok()).collect();
        assert_eq!((published.as_slice(), subscribed.as_slice()), (may_publish, may_subscribe), "{who:?}");
    }
}

#[test]
fn no_grant_gives_another_ones_p2p_or_more_than_one_parent() {
    let refused = [
        ("meeting-up/p2p/#", SubscribeRefusal::P2p),
        ("meeting-up/p2p/GID_test@@@b", SubscribeRefusal::P2p),
        ("#", SubscribeRefusal::NotGranted),
        ("+/create", SubscribeRefusal::NotGranted),
        ("$SYS/#", SubscribeRefusal::NotGranted),
        ("unknown/#", SubscribeRefusal::NotGranted),
        ("meeting-up//#", SubscribeRefusal::BadLevel),
    ];
    for who in [device_of("bob", "GID_test", None), service_of("granted")] {
        for (filter, expected) in refused {
            assert_eq!(access().may_subscribe(&who, filter), Err(expected), "{filter} {who:?}");
        }
        assert_eq!(access().may_publish(&who, "unknown/x"), Err(PublishRefusal::NotGranted));
        assert_eq!(access().may_publish(&who, "meeting-down/p2p/nobody"), Err(PublishRefusal::BadReceiver));
    }
}

#[test]
fn a_narrowed_key_has_an_account_of_its_own_and_others_take_over_nothing_of_it() {
    let access = access();
    let (whole, granted, nothing) = (service(), service_of("granted"), service_of("nothing"));
    let before = "service:convoke".to_owned();
    let takes = |who: &Identity| {
        [before.clone(), whole.account(), granted.account(), nothing.account(), "user:ann".to_owned()]
            .map(|holder| access.takes_over(who, &holder))
    };
    assert_eq!(takes(&whole), [true, true, true, true, false]);
    assert_eq!(takes(&granted), [false, false, true, false, false]);
    assert_eq!(takes(&nothing), [false, false, false, true, false]);
    assert!(!access.takes_over(&whole, "service:convoke2/LTAItest"), "another instance");
    assert_eq!([&whole, &granted, &device("GID_test")].map(|who| access.ends_tokens(who)), [true, false, true]);
    assert!(is_account_of_service(&granted.account()));
}

#[test]
fn a_session_without_a_connection_is_of_whom_its_account_says() {
    let access = access();
    for who in [device("GID_test"), service_of("granted"), service()] {
        assert_eq!(Identity::of_session(&who.account(), "GID_test@@@a"), Some(who.clone()));
    }
    for account in ["service:convoke", "tokens:convoke", "bound-tokens:convoke"] {
        assert_eq!(Identity::of_session(account, "GID_test@@@a"), None, "{account}");
    }
    let by_grants = |who: &Identity| access.lives_by_grants(who);
    assert_eq!([device("GID_none"), service_of("nothing"), service()].each_ref().map(by_grants), [true, true, false]);
}

#[test]
fn a_device_without_the_right_subscribes_to_nothing() {
    for filter in ["meeting-up/#", "meeting-down/p2p/GID_test@@@a/#", "#", "unknown", "$share/x/meeting-up/#", "$SYS/#"]
    {
        assert_eq!(access().may_subscribe(&device("GID_test"), filter), Err(SubscribeRefusal::NotGranted), "{filter}");
    }
}

#[test]
fn names_without_their_grammar_do_not_exist() {
    assert!(access().has_group("GID_test") && !access().has_group("bad name"));
}

#[tokio::test]
async fn the_view_follows_the_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Arc::new(SqliteCatalog::open(folder.path().join("catalog.db")).await.unwrap());
    let view = AccessView::follow(catalog.clone(), AccessConfig::default()).await.unwrap();
    assert!(!view.load().has_group("GID_test"));
    catalog.put_group(group("GID_test")).await.unwrap();
    catalog.put_parent(parent("meeting-up", Rule::Both)).await.unwrap();
    catalog.put_grant(Grant::to_publish("GID_test", "meeting-up")).await.unwrap();
    view.reached(catalog.access().await.unwrap().revision).await;
    assert_eq!(view.load().may_publish(&device("GID_test"), "meeting-up/create"), Ok(()));
    assert_eq!(view.load().rule_of("meeting-up"), Some(Rule::Both));
}

#[tokio::test]
async fn a_view_whose_task_has_died_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Arc::new(SqliteCatalog::open(folder.path().join("catalog.db")).await.unwrap());
    let view = AccessView::follow(catalog, AccessConfig::default()).await.unwrap();
    view.abort();
    view.ended().await;
}

#[test]
fn what_nobody_knows_to_be_whole_takes_no_other_session_over() {
    let access = access();
    let service = |key_id: &str| Identity::Service { key_id: key_id.to_owned(), instance: "convoke".to_owned() };
    let another = service("LTAIother").account();
    assert!(access.takes_over(&service("LTAItest"), &another) && access.ends_tokens(&service("LTAItest")));
    for key_id in ["granted", "nothing", "disabled", "gone"] {
        assert!(!access.takes_over(&service(key_id), &another) && !access.ends_tokens(&service(key_id)), "{key_id}");
        assert!(access.takes_over(&service(key_id), &service(key_id).account()), "{key_id}");
    }
}

#[test]
fn a_session_that_is_away_keeps_what_grants_let_it_subscribe() {
    let access = access();
    let service = |key_id: &str| Identity::Service { key_id: key_id.to_owned(), instance: "convoke".to_owned() };
    assert!(access.lives_by_grants(&service("disabled")) && !access.lives_by_grants(&service("LTAItest")));
    assert!(access.keeps_while_away(&service("granted"), "meeting-up/#"));
    assert!(!access.keeps_while_away(&service("granted"), "meeting-down/#"));
    assert!(!access.keeps_while_away(&service("disabled"), "meeting-up/#"));
}

#[test]
fn a_number_sign_ends_a_filter() {
    let who = Identity::Service { key_id: "LTAItest".to_owned(), instance: "convoke".to_owned() };
    let may = |filter| access().may_subscribe(&who, filter);
    assert_eq!((may("meeting-up/#"), may("meeting-up/+/x")), (Ok(()), Ok(())));
    for filter in ["meeting-up/#/x", "meeting-up/#/#", "meeting-up/x#"] {
        assert_eq!(may(filter), Err(SubscribeRefusal::BadLevel), "{filter}");
    }
}

fn topic_of_calls(parent: &'static str, closed: Rights) -> TopicOfCalls {
    TopicOfCalls { parent: parent.to_owned(), rule: Some(Rule::ToQueue), closed }
}

#[test]
fn no_grant_opens_what_is_closed_to_devices() {
    let up = Rights::parse("subscribe p2p").unwrap();
    let closed = AccessConfig { calls: vec![topic_of_calls("meeting-up", up)], ..AccessConfig::default() };
    let parents = vec![parent("meeting-up", Rule::ToQueue)];
    let all = grant(Grantee::Group("GID_test".to_owned()), "meeting-up", "publish subscribe p2p");
    let snapshot = || AccessSnapshot {
        groups: vec![group("GID_test")],
        parents: parents.clone(),
        grants: vec![all.clone()],
        ..AccessSnapshot::default()
    };
    let device = Identity::Device {
        client_id: "GID_test@@@d".to_owned(),
        user: "ann".to_owned(),
        group: "GID_test".to_owned(),
        publishes: None,
    };
    let [open, closed] = [AccessConfig::default(), closed].map(|config| Access::new(config, snapshot()));
    let p2p = "meeting-up/p2p/GID_test@@@e";
    for access in [&open, &closed] {
        assert_eq!(access.may_publish(&device, "meeting-up/create"), Ok(()));
    }
    assert_eq!((open.may_subscribe(&device, "meeting-up/#"), open.may_publish(&device, p2p)), (Ok(()), Ok(())));
    assert_eq!(closed.may_subscribe(&device, "meeting-up/#"), Err(SubscribeRefusal::NotGranted));
    assert_eq!(closed.may_publish(&device, p2p), Err(PublishRefusal::NotGranted));
}
