use super::*;

fn layers(file: &str, environment: &[(&str, &str)]) -> Result<Layers, ConfigError> {
    let mut layers = Layers::default();
    layers.add_text(file, Origin::File("convoke.toml".into()))?;
    layers.add_environment(environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))?;
    Ok(layers)
}

fn refusal(result: Result<impl Sized, ConfigError>) -> String {
    result.err().expect("it is refused").to_string()
}

#[test]
fn an_environment_variable_wins_over_the_file_and_a_flag_over_both() {
    let mut layers =
        layers("[mqtt]\nlisten = \"10.0.0.1:1\"\n", &[("CONVOKE_MQTT__LISTEN", "10.0.0.2:2")]).expect("valid");
    assert_eq!(Config::check(&layers, false).expect("valid").mqtt.address.to_string(), "10.0.0.2:2");
    layers.set_text("mqtt.listen", "10.0.0.3:3", Origin::Flag("--mqtt".into())).expect("valid");
    assert_eq!(Config::check(&layers, false).expect("valid").mqtt.address.to_string(), "10.0.0.3:3");
}

#[test]
fn an_unknown_key_names_its_file_and_the_nearest_known_key() {
    let words = refusal(layers("[mqtt]\nlissten = \"1.2.3.4:5\"\n", &[]));
    assert!(words.contains("`mqtt.lissten` in the file convoke.toml"), "{words}");
    assert!(words.contains("did you mean `mqtt.listen`?"), "{words}");
}

#[test]
fn an_unknown_section_and_a_bare_key_are_refused() {
    assert!(refusal(layers("[mqqt]\nlisten = \"1.2.3.4:5\"\n", &[])).contains("mqqt.listen"));
    assert!(refusal(layers("listen = 5\n", &[])).contains("unknown key `listen`"));
}

#[test]
fn a_value_of_the_wrong_type_names_the_variable_that_set_it() {
    let layers = layers("", &[("CONVOKE_SERVER__THREADS", "many")]).expect("known key");
    let words = refusal(Config::check(&layers, false));
    assert!(words.contains("CONVOKE_SERVER__THREADS") && words.contains("integer"), "{words}");
}

#[test]
fn issuers_of_jwts_are_tables_of_a_list() {
    let one = "[[jwt.issuers]]\nname = \"app\"\nissuer = \"https://login.example.org\"\naudience = \"convoke\"\n";
    let text = format!("{one}jwks_url = \"http://127.0.0.1:9/jwks\"\n[jwt.issuers.keys]\nk1 = \"k1.pem\"\n");
    let config = Config::check(&layers(&text, &[]).expect("valid"), false).expect("valid");
    let issuer = config.jwt_issuers.first().expect("one");
    assert_eq!((issuer.rules.user_claim.as_str(), issuer.rules.leeway_ms), ("sub", 10_000));
    assert_eq!(issuer.keys, [("k1".to_owned(), "k1.pem".into())]);
    let twice = refusal(Config::check(&layers(&format!("{text}{text}"), &[]).expect("valid"), false));
    assert!(twice.contains("`app`"), "{twice}");
    let inline = [("CONVOKE_JWT__ISSUERS", r#"[{name="b",issuer="i",audience="a",hs256_secret="s"}]"#)];
    let config = Config::check(&layers(&text, &inline).expect("valid"), false).expect("valid");
    assert_eq!(config.jwt_issuers[0].rules.name, "b");
}

#[test]
fn client_certificates_need_an_authority() {
    let checked = |text: &str| Config::check(&layers(text, &[]).expect("valid"), false);
    assert!(checked("").expect("valid").client_certificates.is_none());
    let text = "[client_certificates]\nca = \"ca.pem\"\nrevocation_lists = [\"list.pem\"]\nrequired = true\n";
    let config = checked(text).expect("valid").client_certificates.expect("configured");
    assert_eq!((config.lists, config.is_required), (vec!["list.pem".into()], true));
    for key in ["required = true", "revocation_lists = [\"list.pem\"]"] {
        let words = refusal(checked(&format!("[client_certificates]\n{key}\n")));
        assert!(words.contains("set client_certificates.ca too"), "{words}");
    }
}

#[test]
fn values_out_of_range_say_the_range() {
    for (text, range) in [
        ("[meeting]\nring_s = 181\n", "5 to 180"),
        ("[meeting]\nmembers_max = 201\n", "2 to 200"),
        ("[meeting]\ntopics = [\"ring-down\"]\n", "none of those that carry answers"),
        ("[meeting]\ntopics = [\"GID_app_MQTT\"]\n", "none of those that carry answers"),
        ("[meeting]\ntopics = [\"care\", \"Care\"]\n", "each once"),
        ("[meeting]\ntopics = [\"a/b\"]\n", "letters, digits"),
        ("[mqtt]\ntopic_chars_max = 10\n", "64 to 128"),
        ("[server]\nthreads = 65\n", "0 to 64"),
        ("[media]\nlost_after_ms = 0\n", "100 to 60000"),
        ("[queue]\ndelay_max_s = 259201\n", "1 to 259200"),
        ("[jwt]\nissuers = [1]\n", "`jwt.issuers` in the file convoke.toml"),
        ("[[jwt.issuers]]\nname = \"a b\"\n", "letters, digits"),
        ("[[jwt.issuers]]\nname = \"a\"\nkid = \"1\"\n", "`jwt.issuers` in the file convoke.toml"),
        ("[[jwt.issuers]]\nname = \"a\"\naudience = \"b\"\n", "issuer"),
        ("[[jwt.issuers]]\nname = \"a\"\nissuer = \"i\"\n", "audience"),
        ("[[jwt.issuers]]\nname = \"a\"\nissuer = \"i\"\naudience = \"b\"\n", "give jwks_url, keys or hs256_secret"),
        (
            concat!(
                "[[jwt.issuers]]\nname = \"a\"\nissuer = \"i\"\naudience = \"b\"\n",
                "jwks_url = \"http://login.example.org/jwks\"\n"
            ),
            "https",
        ),
        (
            concat!(
                "[[jwt.issuers]]\nname = \"a\"\nissuer = \"i\"\naudience = \"b\"\n",
                "jwks_url = \"https://u:p@login.example.org/jwks\"\n"
            ),
            "https",
        ),
        (
            concat!(
                "[[jwt.issuers]]\nname = \"a\"\nissuer = \"i\"\naudience = \"b\"\n",
                "jwks_url = \"file:///etc/passwd\"\n"
            ),
            "https",
        ),
        (
            concat!("[[jwt.issuers]]\nname = \"a\"\nissuer = \"i\"\naudience = \"b\"\n", "jwks_url = \"/jwks\"\n"),
            "https",
        ),
        (
            concat!(
                "[[jwt.issuers]]\nname = \"a\"\nissuer = \"i\"\naudience = \"b\"\n",
                "hs256_secret = \"s\"\nleeway_s = 61\n"
            ),
            "0 to 60",
        ),
        ("[log]\nsync = \"never\"\n", "\"always\" or \"os\""),
        ("[queue]\nplaintext = \"yes\"\n", "\"loopback\", \"always\" or \"never\""),
        ("[queue]\nlisten = \"8081\"\n", "address:port"),
        ("[queue]\ntopics = [\"%DLQ%shop\"]\n", "`%DLQ%shop` is no name"),
        ("[queue]\ntopics = [\"a b\"]\n", "letters, digits"),
        ("[queue]\ntopics = [\"a:late\"]\n", "`a:late` is no name"),
        ("[queue]\ngroups = [\"convoke-meeting\"]\n", "convoke-"),
        ("[queue]\ngroups = [\"shop:delay\"]\n", "`shop:delay` is no name"),
        ("[log]\nspace_bytes_max = 402653183\n", "at least 402653184"),
        ("[tls]\nkey = \"x.pem\"\n", "set both or none"),
        ("[names]\ngroups = [\"app\"]\n", "7 to 64"),
        ("[media]\nadvertise = [\"host\"]\n", "addresses without port"),
        ("[media]\nadvertise = [\"0.0.0.0\"]\n", "addresses without port"),
        ("[media]\nadvertise = [7]\n", "`media.advertise` in the file convoke.toml"),
        ("[server]\nthreads = -1\n", "`server.threads` in the file convoke.toml"),
        ("[server]\ndata_dir = \"\"\n", "name a directory"),
        ("[tls]\nnames = [\"exa mple.org\"]\n", "host names"),
        ("[mqtt]\nmemory_bytes_max = 1\n", "16777216 to"),
        ("[mqtt]\npayload_bytes_max = 1023\n", "1024 to 262144"),
        ("[mqtt]\npayload_bytes_max = 65535\n[names]\nsignalling = true\n", "65536 to 262144"),
    ] {
        let words = refusal(Config::check(&layers(text, &[]).expect("known keys"), false));
        assert!(words.contains(range), "{text}: {words}");
    }
}

#[test]
fn a_queue_topic_and_a_group_may_say_their_types() {
    let text = "[queue]\ntopics = [\"orders\", \"later:delay\", \"steps:fifo\"]\ngroups = [\"shop\", \"line:fifo\"]\n";
    let queue = Config::check(&layers(text, &[]).expect("valid"), false).expect("valid").queue;
    let topics = queue.topics;
    let types: Vec<_> = topics.iter().map(|(name, topic_type)| (name.as_str(), topic_type.as_str())).collect();
    assert_eq!(types, [("orders", "normal"), ("later", "delay"), ("steps", "fifo")]);
    let groups: Vec<_> = queue.groups.iter().map(|(name, is_fifo)| (name.as_str(), *is_fifo)).collect();
    assert_eq!(groups, [("shop", false), ("line", true)]);
}

#[test]
fn a_machine_with_more_cores_than_can_be_numbered_gets_as_many_threads_as_can() {
    assert_eq!([(0, 2), (0, 96), (3, 96)].map(|(configured, cores)| checked::threads(configured, cores)), [2, 64, 3]);
}

#[test]
fn dev_binds_loopback_only() {
    let config = Config::check(&Layers::default(), true).expect("defaults are valid");
    let queue = config.queue.listen.expect("it is on by default");
    for address in [config.mqtt, config.mqtts, config.http, config.https, config.media, queue] {
        assert!(address.address.ip().is_loopback(), "{address}");
    }
}

#[test]
fn in_dev_a_port_that_nobody_chose_may_move_and_a_given_one_may_not() {
    for (file, environment) in
        [("[mqtt]\nlisten = \"127.0.0.1:1883\"\n", [].as_slice()), ("", &[("CONVOKE_MQTT__LISTEN", "127.0.0.1:1883")])]
    {
        let config = Config::check(&layers(file, environment).expect("valid"), true).expect("valid");
        assert_eq!((config.mqtt.may_move, config.http.may_move), (false, true));
    }
    assert!(!Config::check(&Layers::default(), false).expect("valid").http.may_move);
}

#[test]
fn a_port_that_may_move_does_so_while_it_is_in_use_and_other_failures_end_the_search() {
    let wanted = Listen { address: ([127, 0, 0, 1], 7700).into(), may_move: true };
    let open =
        |free: u16| wanted.open(|a| if a.port() < free { Err("in use") } else { Ok(a.port()) }, |e| *e == "in use");
    assert_eq!([open(7700), open(7702), open(7749), open(7750)], [Ok(7700), Ok(7702), Ok(7749), Err("in use")]);
    assert_eq!(wanted.open(|a| Err::<(), _>(a.port()), |_| false), Err(7700));
    let chosen = Listen { may_move: false, ..wanted };
    assert_eq!(chosen.open(|a| Err::<(), _>(a.port()), |_| true), Err(7700));
}

#[test]
fn a_syntax_error_names_its_origin() {
    assert!(refusal(layers("[mqtt\n", &[])).contains("the file convoke.toml is not valid TOML"));
}

#[test]
fn the_reference_describes_every_key() {
    let text = markdown();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let words = line.rsplit('|').nth(1).unwrap_or_default().trim();
        assert!(!words.is_empty(), "no description: {line}");
    }
    assert!(text.contains("| `listen` | `\"0.0.0.0:1883\"` | MQTT over TCP. |"), "{text}");
}
