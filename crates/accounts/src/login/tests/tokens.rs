//! Logins by tokens, and what their holders may do.

use super::*;
use crate::access::{PublishRefusal, SubscribeRefusal, TopicOfCalls, is_account_of_tokens};
use crate::token::{Applicant, Token, TokenKey, TokenType};
use catalog::{KeyKind, ParentTopic, Rights, Rule, Scope, Scopes};
use uuid::Uuid;

const NAME: &str = "Token|app|mqtt-test-01";
const ENDS_MS: u64 = NOW + 60_000;
const OWNER_KEY: &str = "0123456789abcdef";

fn token_key() -> TokenKey {
    TokenKey::new("mqtt-test-01", &[1; 32])
}

fn applicant(key_id: &str) -> Applicant {
    Applicant::key(key_id.to_owned(), 0)
}

fn token(token_type: TokenType, resources: &[&str]) -> Token {
    Token {
        id: Uuid::from_u128(token_type as u128 + 1),
        token_type,
        resources: resources.iter().map(|resource| (*resource).to_owned()).collect(),
        expires_at_ms: ENDS_MS,
        applicant: applicant("app"),
        client_id: None,
        user: None,
        login: None,
    }
}

fn pair(token: &Token) -> String {
    format!("{}|{}", token.token_type, token_key().sign(token, NOW).unwrap())
}

fn key_of(key_id: &str, kind: KeyKind, scopes: &[Scope]) -> Key {
    Key { kind, scopes: scopes.iter().copied().collect::<Scopes>(), ..key(key_id, KEY).into() }
}

fn rules() -> AccessSnapshot {
    let parent = |name: &str| ParentTopic::new(name, Rule::None);
    AccessSnapshot {
        revision: 1,
        groups: vec![Group { group: "GID_Test".to_owned() }],
        parents: vec![parent("news"), parent("chat")],
        keys: vec![
            key_of("app", KeyKind::Access, &[Scope::Topics]),
            key_of("api", KeyKind::Api, &[Scope::Topics, Scope::Devices]),
            key_of("narrow", KeyKind::Access, &[Scope::Devices]),
        ],
        ..AccessSnapshot::default()
    }
}

fn access_of(rules: AccessSnapshot) -> Access {
    let instance = "mqtt-test-01".to_owned();
    let owner_key = OWNER_KEY.to_owned();
    Access::new(AccessConfig { instance, token_key: Some(token_key()), owner_key, ..AccessConfig::default() }, rules)
}

fn log_in(access: &Access, name: &str, password: &str, device: Option<&Device>) -> Result<Identity, LoginError> {
    match begin(access, CLIENT, Some(name), Some(password.as_bytes())) {
        LoginStep::Decided(decided) => decided.map(|login| login.identity),
        LoginStep::NeedsDevice(pending) => pending.finish(device, |at_ms| at_ms <= NOW).map(|login| login.identity),
    }
}

#[test]
fn a_token_that_is_older_than_its_topic_is_closed_opens_nothing_there() {
    let [up, all] = ["subscribe p2p", "publish subscribe p2p"].map(|rights| Rights::parse(rights).unwrap());
    let instance = "mqtt-test-01".to_owned();
    let of_calls = |(parent, closed)| TopicOfCalls { parent: String::from(parent), rule: None, closed };
    let calls = [("news", up), ("chat", all)].map(of_calls).to_vec();
    let closed = AccessConfig { instance, calls, ..AccessConfig::default() };
    let (open, closed) = (access_of(rules()), Access::new(closed, rules()));
    let who = in_with(&[token(TokenType::ReadWrite, &["news/#", "news/p2p/+", "chat/#"])]);
    let p2p = "news/p2p/GID_Test@@@0001";
    for topic in ["news/a", p2p, "chat/a"] {
        assert_eq!(open.may_publish(&who, topic), Ok(()), "{topic}");
    }
    for filter in ["news/#", "chat/a"] {
        assert_eq!(open.may_subscribe(&who, filter), Ok(()), "{filter}");
        assert_eq!(closed.may_subscribe(&who, filter), Err(SubscribeRefusal::NotInToken), "{filter}");
    }
    assert_eq!(closed.may_publish(&who, "news/a"), Ok(()));
    for topic in [p2p, "chat/a"] {
        assert_eq!(closed.may_publish(&who, topic), Err(PublishRefusal::NotInToken), "{topic}");
    }
}

fn in_with(tokens: &[Token]) -> Identity {
    let password = tokens.iter().map(pair).collect::<Vec<_>>().join("|");
    log_in(&access_of(rules()), NAME, &password, None).unwrap()
}

fn refused(access: &Access, name: &str, password: &str) -> TokenError {
    match log_in(access, name, password, None) {
        Err(LoginError::Token(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tokens_log_a_client_in_in_any_order_with_their_rights_and_no_others() {
    let (read, write) =
        (token(TokenType::Read, &["news/#"]), token(TokenType::Write, &["chat/+", "chat/p2p/GID_Test@@@2"]));
    let access = access_of(rules());
    for tokens in [[read.clone(), write.clone()], [write, read]] {
        let who = in_with(&tokens);
        assert_eq!(who.account(), "tokens:mqtt-test-01");
        assert!(is_account_of_tokens(&who.account()));
        assert!(!who.is_service());
        let publishes = [
            ("chat/a", Ok(())),
            ("chat/p2p/GID_Test@@@2", Ok(())),
            ("chat/p2p/GID_Test@@@3", Err(PublishRefusal::NotInToken)),
            ("chat/a/b", Err(PublishRefusal::NotInToken)),
            ("news/a", Err(PublishRefusal::NotInToken)),
            ("else/a", Err(PublishRefusal::NotInToken)),
            ("chat/ä", Err(PublishRefusal::BadLevel)),
            ("$SYS/uploadToken", Err(PublishRefusal::Reserved)),
        ];
        for (topic, expected) in publishes {
            assert_eq!(access.may_publish(&who, topic), expected, "{topic}");
        }
        let subscribes = [
            ("news/#", Ok(())),
            ("news/+/a", Ok(())),
            ("$share/g/news/a", Ok(())),
            ("news/p2p/GID_Test@@@0001", Err(SubscribeRefusal::P2p)),
            ("chat/a", Err(SubscribeRefusal::NotInToken)),
            ("#", Err(SubscribeRefusal::WildcardParent)),
            ("$SYS/tokenExpireNotice", Err(SubscribeRefusal::Reserved)),
        ];
        for (filter, expected) in subscribes {
            assert_eq!(access.may_subscribe(&who, filter), expected, "{filter}");
        }
    }
    let both = in_with(&[token(TokenType::ReadWrite, &["news/#"])]);
    assert!(access.may_publish(&both, "news/a").is_ok() && access.may_subscribe(&both, "news/a").is_ok());
}

#[test]
fn a_topic_whose_parent_does_not_exist_is_named_by_no_token() {
    let who = in_with(&[token(TokenType::ReadWrite, &["gone/#"])]);
    let access = access_of(rules());
    assert_eq!(access.may_publish(&who, "gone/a"), Err(PublishRefusal::NotInToken));
    assert_eq!(access.may_subscribe(&who, "gone/a"), Err(SubscribeRefusal::NotInToken));
}

#[test]
fn one_void_token_voids_all_and_its_code_says_why() {
    let access = access_of(rules());
    let good = token(TokenType::Read, &["news/#"]);
    let write = token(TokenType::Write, &["chat/a"]);
    let of = |token: Token| format!("{}|{}", pair(&good), pair(&token));
    let table = [
        ("no token", format!("{}|W|nonsense", pair(&good)), TokenError::Forged),
        ("expired", of(Token { expires_at_ms: NOW, ..write.clone() }), TokenError::Expired),
        (
            "another client's",
            of(Token { client_id: Some("GID_Test@@@2".into()), ..write.clone() }),
            TokenError::Resource,
        ),
        ("of another key", of(Token { applicant: applicant("api"), ..write.clone() }), TokenError::Account),
        (
            "of an earlier key",
            of(Token { applicant: Applicant::key("app".to_owned(), 1), ..write.clone() }),
            TokenError::Account,
        ),
        (
            "of a user whose device is gone",
            of(Token { user: Some("ann".into()), ..write.clone() }),
            TokenError::Account,
        ),
        ("not of its type", pair(&good).replacen('R', "W", 1), TokenError::Type),
        ("twice", of(good.clone()), TokenError::Type),
        ("a signature that is wrong", format!("{}AAAA", pair(&write)), TokenError::Signature),
        ("nothing", String::new(), TokenError::Type),
    ];
    for (what, password, expected) in table {
        assert_eq!(refused(&access, NAME, &password), expected, "{what}");
    }
    let not_utf8 = begin(&access, CLIENT, Some(NAME), Some(&[0xff; 40]));
    assert_eq!(not_utf8, LoginStep::Decided(Err(LoginError::Token(TokenError::Forged))));
}

#[test]
fn a_token_ends_with_the_key_that_applied_for_it() {
    let password = pair(&token(TokenType::Read, &["news/#"]));
    let with = |change: &dyn Fn(&mut AccessSnapshot)| {
        let mut rules = rules();
        change(&mut rules);
        access_of(rules)
    };
    assert!(log_in(&with(&|_| {}), NAME, &password, None).is_ok());
    let removed = with(&|rules| drop(rules.keys.remove(0)));
    assert_eq!(refused(&removed, NAME, &password), TokenError::Account);
    let narrowed = with(&|rules| rules.keys[0].scopes = [Scope::Devices].into_iter().collect());
    assert_eq!(refused(&narrowed, NAME, &password), TokenError::Account);
    let expired = with(&|rules| rules.keys[0].expires_at_ms = Some(NOW));
    assert_eq!(refused(&expired, NAME, &password), TokenError::Expired);
    let revoked = with(&|rules| rules.revoked_tokens = vec![token(TokenType::Read, &[]).id]);
    assert_eq!(refused(&revoked, NAME, &password), TokenError::Revoked);
    // Also on a connection that stands.
    let who = log_in(&with(&|_| {}), NAME, &password, None).unwrap();
    for access in [removed, narrowed, revoked] {
        assert_eq!(access.may_subscribe(&who, "news/a"), Err(SubscribeRefusal::NotInToken));
    }
}

#[test]
fn tokens_of_an_api_key_and_of_the_owner_are_as_good() {
    let access = access_of(rules());
    let of = |applicant: Applicant| pair(&Token { applicant, ..token(TokenType::Read, &["news/#"]) });
    assert!(log_in(&access, "Token|api|mqtt-test-01", &of(applicant("api")), None).is_ok());
    let owners = of(Applicant::owner(OWNER_KEY.to_owned()));
    assert!(log_in(&access, "Token|owner|mqtt-test-01", &owners, None).is_ok());
    assert_eq!(refused(&access, NAME, &owners), TokenError::Account);
    for applicant in [
        Applicant::owner("fedcba9876543210".to_owned()),
        Applicant { owner_key: None, ..Applicant::owner(String::new()) },
    ] {
        assert_eq!(
            refused(&access, "Token|owner|mqtt-test-01", &of(applicant)),
            TokenError::Account,
            "an earlier owner's key"
        );
    }
    assert_eq!(log_in(&access, "Token|owner|other", &owners, None), Err(LoginError::Refused));
    let hash_as_secret = sign(KEY, CLIENT);
    let api_key = log_in(&access, "Signature|api|mqtt-test-01", &hash_as_secret, None);
    assert_eq!(api_key, Err(LoginError::Refused), "what is kept of an API key signs nothing");
}

#[test]
fn a_token_without_a_client_id_is_for_ids_that_no_user_owns() {
    let phone = device("DC.DeviceSecretForTests0001");
    let access = access_of(rules());
    let unbound = token(TokenType::Read, &["news/#"]);
    let bound = Token { client_id: Some(CLIENT.to_owned()), ..unbound.clone() };
    for token in [&unbound, &bound] {
        assert!(log_in(&access, NAME, &pair(token), None).is_ok());
        assert_eq!(log_in(&access, NAME, &pair(token), Some(&phone)), Err(LoginError::OwnedByUser));
    }
    let login = Some(phone.key_id.clone());
    let of = |user: &str| Token {
        user: Some(user.to_owned()),
        login: login.clone(),
        applicant: applicant("api"),
        ..bound.clone()
    };
    let name = "Token|api|mqtt-test-01";
    let ann = log_in(&access, name, &pair(&of("ann")), Some(&phone)).unwrap();
    assert_eq!(ann.account(), "user:ann");
    assert!(matches!(&ann, Identity::Tokens(holder) if holder.user.as_deref() == Some("ann")));
    let bobs = log_in(&access, name, &pair(&of("bob")), Some(&phone));
    assert_eq!(bobs, Err(LoginError::Token(TokenError::Account)), "the device is another's now");
    let again = Device { key_id: "DC.DeviceKeyOfLater".to_owned(), ..phone.clone() };
    let by_earlier_login = log_in(&access, name, &pair(&of("ann")), Some(&again));
    assert_eq!(by_earlier_login, Err(LoginError::Token(TokenError::Account)), "that login of the device has ended");
    let by_topics_alone = Token { applicant: applicant("app"), ..of("ann") };
    assert_eq!(refused(&access, NAME, &pair(&by_topics_alone)), TokenError::Account, "users take the scope devices");
}

#[test]
fn without_a_key_that_signs_there_are_no_tokens() {
    let access = Access::new(AccessConfig { instance: "mqtt-test-01".to_owned(), ..AccessConfig::default() }, rules());
    assert_eq!(refused(&access, NAME, &pair(&token(TokenType::Read, &["news/#"]))), TokenError::Forged);
}

#[test]
fn a_token_takes_the_place_of_the_one_of_its_type_alone() {
    let Identity::Tokens(mut holder) =
        in_with(&[token(TokenType::Read, &["news/a"]), token(TokenType::Write, &["chat/a"])])
    else {
        panic!("no holder of tokens")
    };
    let newer = Token { id: Uuid::from_u128(9), expires_at_ms: ENDS_MS + 1, ..token(TokenType::Read, &["news/b"]) };
    assert_eq!(holder.replace(newer.clone()), Ok(()));
    assert_eq!(holder.tokens().count(), 2);
    assert_eq!(holder.first_to_end(), Some((TokenType::Write, ENDS_MS)));
    assert!(holder.tokens().any(|token| *token == newer));
    let elsewhere = Token { client_id: Some("GID_Test@@@2".to_owned()), ..newer.clone() };
    let anns = Token { user: Some("ann".to_owned()), ..newer };
    assert_eq!(holder.replace(elsewhere), Err(HolderError::Token(TokenError::Resource)));
    assert_eq!(holder.replace(anns), Err(HolderError::Token(TokenError::Account)));
    assert_eq!(holder.tokens().count(), 2);
}

#[test]
fn a_key_that_is_given_more_time_gives_it_to_tokens_that_were_judged_before() {
    let Identity::Tokens(holder) = in_with(&[token(TokenType::Read, &["news/a"])]) else { panic!("no holder") };
    let ends_with = |key_ends_ms: u64| {
        let mut rules = rules();
        rules.keys[0].expires_at_ms = Some(key_ends_ms);
        let access = access_of(rules);
        move |holder: &TokenHolder| holder.ending_by(|token| access.end_of_token(token))
    };
    let sooner = ends_with(ENDS_MS - 1)(&holder);
    assert_eq!(sooner.first_to_end(), Some((TokenType::Read, ENDS_MS - 1)));
    assert_eq!(ends_with(ENDS_MS + 1)(&sooner).first_to_end(), Some((TokenType::Read, ENDS_MS)), "its own end");
}

#[test]
fn a_client_id_that_came_to_tokens_which_name_it_is_not_for_others() {
    let unbound = token(TokenType::Read, &["news/a"]);
    let bound = Token { client_id: Some(CLIENT.to_owned()), ..token(TokenType::Write, &["chat/a"]) };
    let (open, closed) = (in_with(std::slice::from_ref(&unbound)), in_with(&[unbound, bound]));
    assert!(is_account_of_tokens(&closed.account()) && open.account() != closed.account());
    let access = access_of(rules());
    let takes_over = |who: &Identity, of: &Identity| access.takes_over(who, &of.account());
    assert!(takes_over(&open, &open) && takes_over(&closed, &closed) && takes_over(&closed, &open));
    assert!(!takes_over(&open, &closed));
    assert!(!access.takes_over(&closed, "tokens:other") && !access.takes_over(&open, "user:ann"));
}
