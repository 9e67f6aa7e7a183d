use super::*;
use proptest::prelude::*;

fn os(text: &str) -> &OsStr {
    OsStr::new(text)
}

#[test]
fn exit_codes_are_numbers_and_names_of_signals() {
    let set = exit_codes(ExitCodes::default(), os("0 2,255\tSIGTERM int")).unwrap();
    let killed = |signal| End::Killed {
        signal,
        core: false,
    };
    for end in [
        End::Exited(0),
        End::Exited(2),
        End::Exited(255),
        killed(Signal::TERM),
        killed(Signal::INT),
    ] {
        assert!(set.contains(end), "{end}");
    }
    for end in [
        End::Exited(1),
        End::Exited(15),
        killed(Signal::KILL),
        End::NotStarted(2),
        End::Unknown,
    ] {
        assert!(!set.contains(end), "{end}");
    }
    for text in [
        "256",
        "-1",
        "0 2x",
        "SIGNOTHING",
        "+1",
        "SIG",
        "SIG0",
        "SIG65",
        "SIG-1",
    ] {
        assert_eq!(exit_codes(ExitCodes::default(), os(text)), None, "{text}");
    }
}

#[test]
fn every_code_and_every_signal_has_a_place_of_its_own() {
    let mut ends: Vec<End> = (0..=255).map(End::Exited).collect();
    ends.extend(
        (1..=64)
            .filter_map(Signal::from_number)
            .map(|signal| End::Killed { signal, core: true }),
    );
    for expected in &ends {
        let word = match expected {
            End::Killed { signal, .. } => signal.to_string(),
            End::Exited(code) => code.to_string(),
            End::NotStarted(_) | End::Unknown => continue,
        };
        let set = exit_codes(ExitCodes::default(), os(&word)).unwrap();
        let found: Vec<&End> = ends.iter().filter(|end| set.contains(**end)).collect();
        assert_eq!(found, [expected], "{word}");
    }
    let all = ExitCodes {
        codes: [u64::MAX; 4],
        signals: u64::MAX,
    };
    assert!(ends.iter().all(|end| all.contains(*end)));
}

#[test]
fn the_wait_before_a_retry_grows_as_it_says() {
    for (text, waits) in [
        ("constant 2s", [2000, 2000, 2000, 2000]),
        ("linear 1s", [1000, 2000, 3000, 4000]),
        ("linear 1m 30s max 4m", [90_000, 180_000, 240_000, 240_000]),
        ("exponential 250ms max 1s", [250, 500, 1000, 1000]),
        ("exponential 0.5", [500, 1000, 2000, 4000]),
        ("linear 10 max 5", [5000, 5000, 5000, 5000]),
    ] {
        let backoff = backoff(os(text)).unwrap();
        let found: Vec<u128> = (1..=4).map(|n| backoff.wait(n).as_millis()).collect();
        assert_eq!(found, waits, "{text}");
    }
}

#[test]
fn what_is_no_backoff_is_refused() {
    for text in [
        "",
        "constant",
        "linear",
        "1s",
        "linear 1s max",
        "linear max 3s",
        "constant 1s max 3s",
        "square 1s",
        "linear 0",
        "exponential 1us",
        "linear 1s max 0",
        "linear 1s min 3s",
    ] {
        assert_eq!(backoff(os(text)), None, "{text}");
    }
}

#[test]
fn readiness_has_four_sources() {
    for (text, expected) in [
        ("startsecs", Some(Ready::Startsecs)),
        ("fd 3", Some(Ready::Fd(3))),
        ("fd\t 1", Some(Ready::Fd(1))),
        ("notify", Some(Ready::Notify)),
        ("check", Some(Ready::Check)),
        ("fd", None),
        ("fd 0", None),
        ("fd 1024", None),
        ("fd +3", None),
        ("fd 3 4", None),
        ("fd 99999999999", None),
        ("", None),
    ] {
        assert_eq!(ready(os(text)), expected, "{text}");
    }
}

#[test]
fn a_user_is_a_name_or_has_a_group() {
    let name = |name: &str| Account::Name(name.to_owned());
    for (text, who, group) in [
        ("www-data", name("www-data"), None),
        ("web:log", name("web"), Some(name("log"))),
        (
            "1000:1000",
            Account::Number(1000),
            Some(Account::Number(1000)),
        ),
        ("web:0", name("web"), Some(Account::Number(0))),
        ("1000", name("1000"), None),
    ] {
        assert_eq!(user(os(text)), Some(User { user: who, group }), "{text}");
        assert_eq!(user(os(text)).unwrap().to_string(), text);
    }
}

#[test]
fn what_could_keep_more_rights_than_asked_is_no_user() {
    for text in [
        "",
        ":",
        "web:",
        ":web",
        "a:b:c",
        "4294967295:0",
        "0:4294967295",
        "99999999999:0",
        "-1:-1",
        "--help",
        "a b",
        "a,b",
        "../a",
        "a\u{7}",
    ] {
        assert_eq!(user(os(text)), None, "{text}");
    }
}

#[test]
fn numbers_have_their_ranges() {
    assert_eq!(
        [umask(os("022")), umask(os("0")), umask(os("0777"))],
        [Some(0o22), Some(0), Some(0o777)]
    );
    for text in ["", "8", "1777", "+22", "-1", "00022"] {
        assert_eq!(umask(os(text)), None, "{text}");
    }
    assert_eq!(
        [nice(os("-20")), nice(os("19")), nice(os("+5"))],
        [Some(-20), Some(19), Some(5)]
    );
    assert_eq!([nice(os("-21")), nice(os("20"))], [None, None]);
    assert_eq!(
        [failures(os("0")), failures(os("1")), failures(os("+1"))],
        [None, Some(1), None]
    );
    assert_eq!(
        [retries(os("0")), retries(os("unlimited"))],
        [Some(Some(0)), Some(None)]
    );
    assert_eq!(
        [
            retries(os("-1")),
            retries(os("4294967296")),
            retries(os(""))
        ],
        [None; 3]
    );
    assert_eq!(
        [interval(os("0")), interval(os("unlimited"))],
        [None, Some(None)]
    );
}

#[test]
fn booleans_are_three_pairs_of_words() {
    for text in ["yes", "true", "1", "Yes"] {
        assert_eq!(boolean(os(text)), Some(true), "{text}");
    }
    for text in ["no", "false", "0", "NO"] {
        assert_eq!(boolean(os(text)), Some(false), "{text}");
    }
    for text in ["", "on", "off", "2", "y", "yes no"] {
        assert_eq!(boolean(os(text)), None, "{text}");
    }
    assert_eq!(autorestart(os("false")), Some(Autorestart::Never));
    assert_eq!(autorestart(os("sometimes")), None);
}

fn growth() -> impl Strategy<Value = Growth> {
    prop_oneof![
        Just(Growth::Constant),
        Just(Growth::Linear),
        Just(Growth::Exponential)
    ]
}

proptest! {
    #[test]
    fn a_wait_never_shrinks_and_never_passes_its_end(
        growth in growth(), first in 1..u64::MAX, max in proptest::option::of(1..u64::MAX), n in 1..u32::MAX,
    ) {
        let first = Duration::from_millis(first).min(LONGEST);
        let max = max.map(|max| Duration::from_millis(max).min(LONGEST));
        let backoff = Backoff { growth, first, max };
        prop_assert!(backoff.wait(n) <= backoff.wait(n + 1));
        prop_assert!(backoff.wait(n) <= max.unwrap_or(LONGEST));
        prop_assert_eq!(backoff.wait(1), first.min(max.unwrap_or(LONGEST)));
        prop_assert_eq!(backoff.wait(0), backoff.wait(1));
    }

    #[test]
    fn a_user_that_is_shown_reads_back(text in "[a-z0-9_-]{1,9}(:[a-z0-9_-]{1,9})?") {
        if let Some(parsed) = user(os(&text)) {
            prop_assert_eq!(user(os(&parsed.to_string())), Some(parsed));
        }
    }
}
