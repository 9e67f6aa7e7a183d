//! A walk over all that can happen: every state that a few options and events can reach, and beyond
//! them at random. What must hold everywhere stands in the model; what must hold from everywhere here.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use servicedir::options::{Autorestart, Options, Ready};
use servicedir::signal::Signal;
use servicedir::status::{End, State, Status, Want};

use super::super::Machine;
use super::super::journal::Journal;
use super::world::{Role, World, killed};
use super::{At, options};
use crate::event::{Event, Notice, Unread};

/// What may happen next, whatever the state is.
#[derive(Clone, Copy, Debug)]
enum Stimulus {
    Say(&'static str),
    Terminate,
    /// The clock comes to the deadline.
    Passed,
    Executed,
    Refused,
    /// A process of that role ends.
    End(Role, End),
    Ready,
    /// Another supervise goes on.
    Replaced,
}

/// What is wrong with the world meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trouble {
    None,
    NoFork,
    BadOptions,
}

const TROUBLES: [Trouble; 3] = [Trouble::None, Trouble::NoFork, Trouble::BadOptions];

const SAID: [&str; 9] = ["u", "d", "o", "r", "x", "p", "t", "k", "?"];

/// All that can happen here.
fn possible(world: &World) -> Vec<Stimulus> {
    // Each command may start one more script; one at a time is enough.
    let scripted = world
        .alive
        .iter()
        .any(|(_, role)| matches!(role, Role::Script(_)));
    let said: &[&str] = match (scripted, world.check) {
        (true, _) => &["u", "x"],
        (false, true) => &["u", "d", "x"],
        (false, false) => &SAID,
    };
    let says_ready = matches!(
        world.files,
        Ok(Options {
            ready: Ready::Fd(_),
            ..
        })
    );
    let mut all: Vec<_> = said.iter().copied().map(Stimulus::Say).collect();
    all.push(Stimulus::Replaced);
    if !scripted {
        all.push(Stimulus::Terminate);
    }
    if world.deadline().is_some() {
        all.push(Stimulus::Passed);
    }
    for (_, role) in &world.alive {
        let ends: &[End] = match role {
            Role::Run if !world.decided => &[End::Exited(111)],
            Role::Run => &[End::Exited(0), End::Exited(3), End::Unknown],
            Role::Finish => &[End::Exited(0), End::Exited(125)],
            Role::Check | Role::Script(_) => &[End::Exited(0), End::Exited(1)],
        };
        all.extend(ends.iter().map(|end| Stimulus::End(*role, *end)));
    }
    if world.pid(Role::Run).is_some() && says_ready {
        all.push(Stimulus::Ready);
    }
    if world.pid(Role::Run).is_some() && !world.decided {
        all.extend([Stimulus::Executed, Stimulus::Refused]);
    }
    all
}

/// Lets it happen, and checks what every single step must keep.
fn apply(world: &mut World, stimulus: Stimulus, trouble: Trouble) {
    let (before, files) = (world.record().state, world.files.clone());
    let restarting = world.record().restarting;
    match trouble {
        Trouble::None => {}
        Trouble::NoFork => world.fork = Some(libc::EAGAIN),
        Trouble::BadOptions => {
            world.files = Err(Unread::Fault("options/x: unknown option".to_owned()));
        }
    }
    match stimulus {
        Stimulus::Say(bytes) => drop(world.play(&At::Say(bytes))),
        Stimulus::Terminate => drop(world.play(&At::Terminate)),
        Stimulus::Passed => {
            world.now = world.deadline().unwrap().max(world.now);
            drop(world.play(&At::Passed));
        }
        Stimulus::Executed => drop(world.play(&At::Executed)),
        Stimulus::Refused => drop(world.play(&At::Refused(libc::ENOENT))),
        Stimulus::End(role, end) => drop(world.end(role, end)),
        Stimulus::Ready => drop(world.step(Event::Notice(Notice::Ready))),
        Stimulus::Replaced => drop(world.replace()),
    }
    world.fork = None;
    world.files = files;
    // A finish that the system refused is tried again.
    if world.finish_waits() {
        world.now = world.deadline().unwrap().max(world.now);
        world.play(&At::Passed);
    }
    // A check that was killed with its run ends before long.
    while world
        .alive
        .iter()
        .filter(|(_, role)| *role == Role::Check)
        .count()
        > 1
    {
        world.end(Role::Check, killed(Signal::KILL));
    }
    let asked = matches!(stimulus, Stimulus::Say("u" | "o" | "r"));
    let after = world.record().state;
    if before == State::Fatal && after != State::Fatal {
        assert!(asked, "FATAL was left by {stimulus:?} for {after:?}");
    }
    if matches!(stimulus, Stimulus::End(Role::Run, _))
        && before == State::Stopping
        && !world.wanted
        && !restarting
    {
        let expected = if world.pid(Role::Finish).is_some() {
            State::Stopping
        } else {
            State::Stopped
        };
        assert_eq!(after, expected, "a stop has ended");
    }
    check_state(world);
}

/// What must hold in every state.
fn check_state(world: &World) {
    let status = world.status();
    let record = world.record();
    let run = world.pid(Role::Run);
    let process = run.or(world.pid(Role::Finish));
    assert_eq!(status.pid, process, "the pid in the record: {record:?}");
    assert_eq!(Status::unpack(&status.pack()), Ok(status.clone()));
    match record.state {
        State::Running => assert!(run.is_some()),
        State::Stopping => assert!(process.is_some()),
        State::Starting => assert!(!world.alive.is_empty(), "a start without end"),
        State::Stopped => assert!(process.is_none() && world.deadline().is_none()),
        State::Fatal => {
            assert!(run.is_none() && world.deadline().is_none());
            assert_ne!(record.reason, "", "no reason for FATAL");
            assert_eq!(status.want, Want::Down);
        }
        State::Backoff => assert!(process.is_some() || world.deadline().is_some()),
        State::Exited => {
            assert!(process.is_some() || world.deadline().is_some() || status.want == Want::Down)
        }
    }
    if !world.wanted {
        assert_eq!(status.want, Want::Down, "{record:?}");
    }
    assert_eq!(world.left, record.left);
}

/// From here `d` and `x` lead out as soon as the processes end.
fn check_leaves(world: &World) {
    let mut world = world.clone();
    world.play(&At::Say("dx"));
    for _ in 0..4 {
        let mut living = world.alive.clone();
        living.retain(|(_, role)| matches!(role, Role::Run | Role::Finish | Role::Script(b'u')));
        let Some((_, role)) = living.first() else {
            break;
        };
        world.end(*role, killed(Signal::KILL));
    }
    assert!(world.left, "d and x do not lead out: {:?}", world.machine);
}

/// From here `u` leads to a run, if its processes end and its options are sound.
fn check_comes_up(world: &World) {
    if world.exiting {
        return;
    }
    let mut world = world.clone();
    world.play(&At::Say("u"));
    for _ in 0..6 {
        let stopping = world.record().state == State::Stopping;
        let living = |role| world.pid(role).map(|_| role);
        if living(Role::Run).is_some() && !stopping {
            return;
        }
        let next = [Role::Run, Role::Finish, Role::Script(b'u')];
        match next.into_iter().find_map(living) {
            Some(role) => drop(world.end(role, End::Exited(0))),
            None => {
                world.now = world.deadline().unwrap();
                drop(world.play(&At::Passed));
            }
        }
    }
    panic!("u leads nowhere: {:?}", world.machine);
}

/// The state as a text in which only what decides about the future stands, and times are relative.
fn canonical(world: &World) -> String {
    let mut machine: Machine = world.machine.clone();
    let history = &mut machine.history;
    // Without a limit they are only counted; and they can be counted again under a limit.
    history.failed_starts = history.failed_starts.min(3);
    history.total_starts = 0;
    history.commands = 0;
    history.last_end = None;
    history.group = None;
    history.run_started = None;
    history.run_ended = None;
    history.reason.clear();
    history.refusal.clear();
    machine.journal = Journal::new();
    if Ok(&machine.options) == world.files.as_ref() {
        machine.options = Options::default();
    }
    let text = format!("{machine:?}");
    let mut words = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("Instant { ") {
        let (instant, after) = after.split_once('}').unwrap();
        words.push_str(before);
        words.push_str(&relative(world, instant).to_string());
        rest = after;
    }
    words.push_str(rest);
    let mut known = String::new();
    let mut rest = words.as_str();
    while let Some((before, after)) = rest.split_once("Tai64n([") {
        known.push_str(before);
        rest = after.split_once("])").unwrap().1;
    }
    known.push_str(rest);
    // More failures of checks than count are as many as count.
    for failures in 3..12 {
        known = known.replace(&format!("failures: {failures}"), "failures: 2");
    }
    let model = (
        &world.alive,
        world.decided,
        world.wanted,
        world.exiting,
        world.left,
    );
    with_pids_in_order(&format!("{known} {model:?}"))
}

/// The text with its pids numbered as they come: which numbers they have decides nothing.
fn with_pids_in_order(text: &str) -> String {
    let mut pids = Vec::new();
    let mut ordered = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("70") {
        let (digits, after) = after.split_at(2);
        let at = pids
            .iter()
            .position(|pid| *pid == digits)
            .unwrap_or_else(|| {
                pids.push(digits);
                pids.len() - 1
            });
        ordered.push_str(before);
        ordered.push('#');
        ordered.push_str(&at.to_string());
        rest = after;
    }
    ordered.push_str(rest);
    ordered
}

/// Milliseconds from now on; what is two seconds ago is long ago.
fn relative(world: &World, instant: &str) -> i64 {
    let number = |name: &str| -> i64 {
        let (_, text) = instant.split_once(name).unwrap();
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    };
    let millis = |seconds: i64, nanos: i64| seconds * 1000 + nanos / 1_000_000;
    let then = millis(number("tv_sec: "), number("tv_nsec: "));
    let zero = format!("{:?}", world.zero());
    let of_zero = |name: &str| -> i64 {
        let (_, text) = zero.split_once(name).unwrap();
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    };
    let zero = millis(of_zero("tv_sec: "), of_zero("tv_nsec: "));
    (then - zero - i64::try_from(world.now).unwrap()).max(-2000)
}

/// Goes everywhere from a service that was not started yet.
fn walk(first: World) -> usize {
    let mut known = HashSet::new();
    let mut ahead = VecDeque::from([(first, Vec::new())]);
    let mut begun = ahead[0].0.clone();
    begun.play(&At::Begin);
    ahead.push_back((begun, Vec::new()));
    while let Some((world, path)) = ahead.pop_front() {
        if !known.insert(canonical(&world)) {
            continue;
        }
        assert!(known.len() < 20_000, "the walk has no end");
        PATH.with_borrow_mut(|known: &mut Vec<(Stimulus, Trouble)>| known.clone_from(&path));
        check_leaves(&world);
        check_comes_up(&world);
        for stimulus in possible(&world) {
            let mut troubles = vec![Trouble::None];
            while let Some(trouble) = troubles.pop() {
                let mut next = world.clone();
                let mut path = path.clone();
                path.push((stimulus, trouble));
                PATH.with_borrow_mut(|known| known.clone_from(&path));
                apply(&mut next, stimulus, trouble);
                if trouble == Trouble::None && next.forks > world.forks {
                    troubles.push(Trouble::NoFork);
                }
                if trouble == Trouble::None && next.reads > world.reads {
                    troubles.push(Trouble::BadOptions);
                }
                if !next.left {
                    ahead.push_back((next, path));
                }
            }
        }
    }
    known.len()
}

thread_local! {
    /// The way to where the walk is now, for the message of its failure.
    static PATH: std::cell::RefCell<Vec<(Stimulus, Trouble)>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Tells the way of a walk that fails.
struct Telling;

impl Drop for Telling {
    fn drop(&mut self) {
        if std::thread::panicking() {
            PATH.with_borrow(|path| eprintln!("the way there: {path:?}"));
        }
    }
}

/// Walks, and expects to have seen more states than a handful.
fn walk_from(world: World) {
    let _telling = Telling;
    let states = walk(world);
    assert!(states > 40, "only {states} states");
}

#[test]
fn everywhere_with_no_options() {
    walk_from(World::new(Options::default()));
}

#[test]
fn everywhere_with_finish_and_limits() {
    let limited = options(|options| {
        options.startretries = Some(1);
        options.stopwaitsecs = Some(Duration::from_secs(3));
        options.finishsecs = Some(Duration::from_secs(2));
        options.stopasgroup = true;
        options.killasgroup = true;
    });
    walk_from(World::new(limited).with_finish());
}

#[test]
fn everywhere_with_control_scripts() {
    let never = options(|options| options.autorestart = Autorestart::Unexpected);
    walk_from(World::new(never.clone()).with_scripts("u"));
    walk_from(World::new(never).with_scripts("t"));
}

#[test]
fn everywhere_without_startsecs() {
    let at_once = options(|options| options.startsecs = Duration::ZERO);
    walk_from(World::new(at_once).with_finish());
}

#[test]
fn everywhere_with_readiness_by_descriptor() {
    let ready = options(|options| {
        options.ready = Ready::Fd(3);
        options.readysecs = Some(Duration::from_secs(2));
        options.startretries = Some(1);
        options.autorestart = Autorestart::Never;
    });
    walk_from(World::new(ready));
}

#[test]
fn everywhere_with_checks() {
    let checked = options(|options| {
        options.startsecs = Duration::ZERO;
        options.ready = Ready::Check;
        options.check_interval = Some(Duration::from_secs(1));
        options.check_failures = 2;
    });
    walk_from(World::new(checked).with_check());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn at_random_for_a_long_time(
        choices in prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, 0..700_u64), 1..120),
        startsecs in 0..3_u64,
        startretries in prop::option::of(0..3_u32),
        waits in prop::option::of(0..3_u64),
        ready in 0..3_usize,
        group in any::<bool>(),
        scripts in prop::sample::select(vec!["", "u", "t", "utdxkp"]),
        files in any::<(bool, bool)>(),
    ) {
        let _telling = Telling;
        let mut world = World::new(options(|options| {
            options.startsecs = Duration::from_secs(startsecs);
            options.startretries = startretries;
            options.stopwaitsecs = waits.map(Duration::from_secs);
            options.finishsecs = waits.map(Duration::from_secs);
            options.readysecs = waits.map(Duration::from_secs);
            options.check_interval = waits.map(|wait| Duration::from_secs(wait + 1));
            options.ready = [Ready::Startsecs, Ready::Fd(3), Ready::Check][ready];
            options.killasgroup = group;
        }))
        .with_scripts(scripts);
        (world.finish, world.check) = files;
        world.play(&At::Begin);
        let mut path = Vec::new();
        for (choice, trouble, wait) in choices {
            let all = possible(&world);
            let stimulus = *choice.get(&all);
            let trouble = *TROUBLES.get(trouble).unwrap_or(&Trouble::None);
            path.push((stimulus, trouble));
            PATH.with_borrow_mut(|known| known.clone_from(&path));
            world.now = world.deadline().map_or(world.now + wait, |due| {
                (world.now + wait).min(due.max(world.now))
            });
            apply(&mut world, stimulus, trouble);
            check_leaves(&world);
            check_comes_up(&world);
            if world.left {
                break;
            }
        }
    }
}
