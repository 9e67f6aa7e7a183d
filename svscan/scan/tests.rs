//! The decisions, in a world of their own: supervises that live and die as the tests say.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::rc::Rc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Action, Cause, Ending, Event, Id, Life, Logs, SECOND, Scan, Service, Stream};

/// What a service's directory is like in the made-up world.
#[derive(Clone, Debug)]
struct Directory {
    name: u64,
    linked: bool,
    deleted: bool,
    priority: i32,
    log: Option<Id>,
}

/// The made-up world: what the machine decides is done at once, what it waits for comes when the test
/// says.
struct World {
    scan: Scan,
    now: Instant,
    directories: BTreeMap<Id, Directory>,
    next_inode: u64,
    /// The supervises that there are.
    up: BTreeSet<Id>,
    /// Those that were told to end.
    told: BTreeMap<Id, Ending>,
    /// The services that live.
    alive: BTreeSet<Id>,
    started: BTreeMap<Id, Instant>,
    /// Starts fail.
    refusing: bool,
    away: bool,
    /// What the machine was last told to be there.
    listed: BTreeSet<Id>,
    stopping: bool,
    exit: Option<u8>,
    /// All starts and ends, for the tests that know what is to come.
    history: Vec<String>,
}

impl World {
    fn new(stop_removed: bool) -> Self {
        Self {
            scan: Scan::new(stop_removed, None),
            now: Instant::now(),
            directories: BTreeMap::new(),
            next_inode: 1,
            up: BTreeSet::new(),
            told: BTreeMap::new(),
            alive: BTreeSet::new(),
            started: BTreeMap::new(),
            refusing: false,
            away: false,
            listed: BTreeSet::new(),
            stopping: false,
            exit: None,
            history: Vec::new(),
        }
    }

    fn inode(&mut self) -> Id {
        self.next_inode += 1;
        Id {
            dev: 1,
            ino: self.next_inode,
            instance: None,
        }
    }

    /// A directory is made and linked.
    fn make(&mut self, name: u64, priority: i32, logged: bool) -> Id {
        let id = self.inode();
        let log = logged.then(|| self.inode());
        let directory = Directory {
            name,
            linked: true,
            deleted: false,
            priority,
            log,
        };
        self.directories.insert(id.clone(), directory);
        id
    }

    fn current(&self, name: u64) -> Option<Id> {
        let mut found = self.directories.iter();
        found
            .find(|(_, directory)| directory.name == name && !directory.deleted)
            .map(|(id, _)| id.clone())
    }

    fn seen(&mut self) {
        if self.away {
            return self.scan.step(Event::Away, self.now);
        }
        let deleted = self
            .directories
            .iter()
            .filter(|(_, directory)| directory.deleted);
        for (id, _) in deleted {
            self.scan.step(Event::Deleted(id.clone()), self.now);
        }
        let mut seen: Vec<Rc<Service>> = self
            .directories
            .iter()
            .filter(|(_, directory)| directory.linked && !directory.deleted)
            .map(|(id, directory)| {
                Rc::new(Service {
                    name: OsString::from(directory.name.to_string()),
                    id: id.clone(),
                    priority: directory.priority,
                    essential: false,
                })
            })
            .collect();
        self.listed = seen.iter().map(|service| service.id.clone()).collect();
        seen.sort_by(|a, b| a.name.cmp(&b.name));
        self.scan.step(Event::Listed(seen), self.now);
    }

    /// Does what is decided until nothing more is.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let actions = self.scan.decide(self.now);
            if actions.is_empty() {
                let deadline = self.scan.deadline(self.now);
                assert!(
                    deadline.is_none_or(|at| at > self.now),
                    "a deadline that has passed wakes for ever"
                );
                return;
            }
            for action in actions {
                self.perform(action);
            }
            if self.exit.is_some() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Start(id) => self.start(id),
            Action::End(id, how) => self.end(id, how),
            Action::Check(id) => {
                assert!(!self.up.contains(&id), "looks for what is there");
                // What a deleted directory said of its service is gone with it.
                let deleted = self.directories.get(&id).is_some_and(|its| its.deleted);
                let alive = self.alive.contains(&id) && !deleted;
                let life = if alive { Life::Alive } else { Life::Gone };
                self.scan.step(Event::Checked(id, life), self.now);
            }
            Action::Forget(id) => {
                assert!(!self.up.contains(&id), "forgets a supervise");
                assert!(
                    !self.listed.contains(&id) || self.stopping || !self.is_main(&id),
                    "forgets a service that is listed"
                );
                // One that comes back is started at once.
                self.started.remove(&id);
            }
            Action::Exit(code) => {
                let deleted = |id: &Id| self.directories.get(id).is_some_and(|its| its.deleted);
                let alive = self.alive.iter().find(|id| !deleted(id));
                assert!(self.up.is_empty() && alive.is_none(), "leaves {alive:?}");
                self.exit = Some(code);
            }
            Action::Ready => {}
            Action::Kill(id) => {
                self.history.push(format!("kill {}", self.name(&id)));
                self.ends(&id);
            }
        }
    }

    fn start(&mut self, id: Id) {
        assert!(!self.up.contains(&id), "a second supervise");
        assert!(!self.away, "a start without a scan directory");
        let last = self.started.insert(id.clone(), self.now);
        assert!(
            last.is_none_or(|last| last + SECOND <= self.now),
            "twice within a second"
        );
        if let Some(directory) = self.directories.get(&id).cloned() {
            let others = self.directories.iter().filter(|(other, _)| **other != id);
            for (other, its) in others.filter(|(_, its)| its.name == directory.name) {
                assert!(
                    !self.up.contains(other),
                    "the old directory's supervise is there: {its:?}"
                );
            }
            let logs = Logs {
                out: directory.log,
                err: None,
            };
            self.scan.step(Event::Logs(id.clone(), logs), self.now);
        }
        if self.refusing {
            return self.scan.step(Event::StartFailed(id), self.now);
        }
        self.history.push(format!("start {}", self.name(&id)));
        self.up.insert(id.clone());
        self.alive.insert(id.clone());
        self.scan.step(Event::Started(id), self.now);
    }

    fn end(&mut self, id: Id, how: Ending) {
        assert!(self.up.contains(&id), "ends what is not there");
        self.history
            .push(format!("{how:?} {}", self.name(&id)).to_lowercase());
        match self.directories.get(&id) {
            Some(directory) if self.stopping => {
                for (other, its) in &self.directories {
                    assert!(
                        its.priority <= directory.priority || !self.up.contains(other),
                        "{its:?} is stopped before"
                    );
                }
            }
            Some(_) => {}
            // One that drains what a former service left is stopped in the end, whoever came since.
            None if how == Ending::Stop => {}
            None => {
                for (writer, directory) in &self.directories {
                    assert!(
                        directory.log.as_ref() != Some(&id) || !self.up.contains(writer),
                        "a log ends before its service"
                    );
                }
            }
        }
        self.told.insert(id, how);
    }

    fn name(&self, id: &Id) -> String {
        match self.directories.get(id) {
            Some(directory) => directory.name.to_string(),
            None => "log".to_owned(),
        }
    }

    fn is_main(&self, id: &Id) -> bool {
        self.directories.contains_key(id)
    }

    /// A supervise ends as it was told to, with its service.
    fn ends(&mut self, id: &Id) {
        if self.up.remove(id) {
            self.alive.remove(id);
            self.told.remove(id);
            self.scan.step(Event::Ended(id.clone()), self.now);
        }
    }

    /// A supervise is killed, and its service goes on.
    fn killed(&mut self, id: &Id) {
        if self.up.remove(id) {
            self.told.remove(id);
            self.scan.step(Event::Ended(id.clone()), self.now);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }
}

fn seconds(world: &mut World, count: u32) {
    for _ in 0..count {
        world.pass(SECOND);
        world.settle();
    }
}

#[test]
fn a_supervise_that_dies_is_started_again_after_a_second() {
    let mut world = World::new(false);
    let id = world.make(1, 0, false);
    world.seen();
    world.settle();
    world.pass(Duration::from_millis(300));
    world.killed(&id);
    world.settle();
    assert!(!world.up.contains(&id));
    assert_eq!(
        world.scan.deadline(world.now),
        Some(world.now + Duration::from_millis(700))
    );
    world.pass(Duration::from_millis(700));
    world.settle();
    assert!(world.up.contains(&id));
    world.pass(Duration::from_secs(5));
    world.killed(&id);
    world.settle();
    assert!(
        world.up.contains(&id),
        "one that lived longer is started at once"
    );
}

#[test]
fn a_supervise_that_fails_at_once_is_started_ever_more_rarely() {
    let mut world = World::new(false);
    let id = world.make(1, 0, false);
    world.seen();
    world.settle();
    let mut waits = Vec::new();
    for _ in 0..9 {
        world.up.remove(&id);
        world.scan.step(Event::Failed(id.clone()), world.now);
        world.settle();
        let next = world.scan.deadline(world.now).unwrap();
        waits.push(next.duration_since(world.now).as_secs());
        world.now = next;
        world.settle();
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    // One that worked for a while begins anew.
    world.pass(SECOND);
    world.up.remove(&id);
    world.scan.step(Event::Failed(id.clone()), world.now);
    world.settle();
    assert!(world.up.contains(&id));
}

#[test]
fn services_start_in_order_of_priority_and_logs_with_theirs() {
    let mut world = World::new(false);
    for (name, priority, logged) in [(1, 9, false), (2, -1, true), (3, 9, false), (4, 2, false)] {
        world.make(name, priority, logged);
    }
    world.seen();
    world.settle();
    assert_eq!(
        world.history,
        ["start 2", "start 4", "start 1", "start 3", "start log"]
    );
}

#[test]
fn ready_is_said_once_and_only_when_all_were_tried() {
    let mut world = World::new(false);
    for name in 0..100 {
        world.make(name, 0, true);
    }
    world.seen();
    let mut ready = 0;
    loop {
        let actions = world.scan.decide(world.now);
        if actions.is_empty() {
            break;
        }
        for action in actions {
            if action == Action::Ready {
                ready += 1;
                assert_eq!(world.up.len(), 200);
            }
            world.perform(action);
        }
    }
    assert_eq!(ready, 1);
}

#[test]
fn an_empty_directory_is_ready_at_once_and_ends_at_once() {
    let mut world = World::new(false);
    assert_eq!(world.scan.decide(world.now), []);
    world.seen();
    assert_eq!(world.scan.decide(world.now), [Action::Ready]);
    world
        .scan
        .step(Event::Terminate(Cause::Essential(7)), world.now);
    assert_eq!(world.scan.decide(world.now), [Action::Exit(7)]);
}

#[test]
fn a_log_is_shared_by_all_that_write_to_it() {
    let mut world = World::new(false);
    let (one, two) = (world.make(1, 0, true), world.make(2, 0, true));
    let log = world.directories[&one].log.clone().unwrap();
    world.directories.get_mut(&two).unwrap().log = Some(log.clone());
    world.seen();
    world.settle();
    assert_eq!(world.up.len(), 3);
    assert_eq!(world.scan.units().writers(&log).count(), 2);
    assert!(
        world
            .scan
            .units()
            .writers(&log)
            .all(|(_, unit)| unit.logs().any(|(stream, _)| stream == Stream::Out))
    );
    world.stopping = true;
    world.scan.step(Event::Terminate(Cause::Signal), world.now);
    world.settle();
    world.ends(&one);
    world.settle();
    assert!(!world.told.contains_key(&log));
    world.ends(&two);
    world.settle();
    assert_eq!(world.told.get(&log), Some(&Ending::Drain));
    // It does not find the end of its input.
    seconds(&mut world, 5);
    assert_eq!(world.told.get(&log), Some(&Ending::Stop));
    world.ends(&log);
    world.settle();
    assert_eq!(world.exit, Some(0));
}

/// A world that is being stopped, and that may take three seconds for that.
fn stopping_in_three_seconds(world: &mut World, cause: Cause) {
    world.scan.shutdown_timeout = Some(SECOND * 3);
    world.seen();
    world.settle();
    world.history.clear();
    world.stopping = true;
    world.scan.step(Event::Terminate(cause), world.now);
    world.settle();
}

#[test]
fn after_the_time_all_are_told_and_nothing_is_killed_before_its_grace() {
    let mut world = World::new(false);
    world.make(1, 9, false);
    world.make(2, 1, true);
    stopping_in_three_seconds(&mut world, Cause::Signal);
    assert_eq!(world.history, ["stop 1"]);
    let mut late = world.now + SECOND * 3;
    assert_eq!(world.scan.deadline(world.now), Some(late));
    world.now = late;
    world.settle();
    assert_eq!(world.history, ["stop 1", "kill 1", "stop 2"]);
    world.pass(SECOND);
    world.settle();
    // The log gets its time when its service is gone.
    assert_eq!(
        world.history,
        ["stop 1", "kill 1", "stop 2", "kill 2", "drain log"]
    );
    late = world.now + SECOND;
    assert_eq!(world.scan.deadline(world.now), Some(late));
    world.now = late;
    world.settle();
    assert_eq!(world.history.last().unwrap(), "kill log");
    assert_eq!(world.exit, Some(99));
}

#[test]
fn the_code_of_an_essential_service_stays_when_another_one_had_to_be_killed() {
    let mut world = World::new(false);
    world.make(1, 0, false);
    stopping_in_three_seconds(&mut world, Cause::Essential(0));
    world.now = world.scan.deadline(world.now).unwrap();
    world.settle();
    assert_eq!(world.history, ["stop 1", "kill 1"]);
    assert_eq!(world.exit, Some(0));
}

#[test]
fn what_cannot_be_found_out_starts_nothing_and_is_not_waited_for_without_end() {
    let mut scan = Scan::new(false, None);
    let mut now = Instant::now();
    let id = Id {
        dev: 1,
        ino: 1,
        instance: None,
    };
    let service = Service {
        name: OsString::from("a"),
        id: id.clone(),
        priority: 0,
        essential: false,
    };
    scan.step(Event::Listed(vec![Rc::new(service)]), now);
    assert_eq!(scan.decide(now), [Action::Start(id.clone())]);
    scan.step(Event::Started(id.clone()), now);
    scan.step(Event::Terminate(Cause::Signal), now);
    assert_eq!(scan.decide(now), [Action::End(id.clone(), Ending::Stop)]);
    scan.step(Event::Ended(id.clone()), now);
    let begun = now;
    loop {
        let actions = scan.decide(now);
        if actions == [Action::Forget(id.clone()), Action::Exit(0)] {
            break;
        }
        assert_eq!(actions, [Action::Check(id.clone())]);
        scan.step(Event::Checked(id.clone(), Life::Unknown), now);
        if scan.decide(now).is_empty() {
            now = scan.deadline(now).unwrap();
        } else {
            break;
        }
    }
    assert_eq!(now - begun, Duration::from_secs(10));
}

#[test]
fn the_end_of_an_adopted_supervise_is_followed_at_once() {
    let mut world = World::new(false);
    let id = world.make(1, 0, false);
    world.seen();
    world.settle();
    world.scan.step(Event::Adopted(id.clone()), world.now);
    world.up.remove(&id);
    world.started.remove(&id);
    world.scan.step(Event::Ended(id.clone()), world.now);
    world.settle();
    assert!(world.up.contains(&id));
}

#[test]
fn a_supervise_that_cannot_hear_yet_is_told_again_and_a_log_stopped_in_the_end() {
    let mut world = World::new(false);
    let id = world.make(1, 0, true);
    let log = world.directories[&id].log.clone().unwrap();
    world.seen();
    world.settle();
    world.stopping = true;
    world.scan.step(Event::Terminate(Cause::Signal), world.now);
    world.settle();
    world.ends(&id);
    world.settle();
    let begun = world.now;
    while world.told.get(&log) == Some(&Ending::Drain) {
        assert!(
            world.now < begun + Duration::from_secs(6),
            "it is waited for without end"
        );
        world
            .scan
            .step(Event::NotDelivered(log.clone(), Ending::Drain), world.now);
        world.settle();
        world.now = world.scan.deadline(world.now).unwrap();
        world.settle();
    }
    assert!(world.now >= begun + Duration::from_secs(5));
}

/// Something that happens to the made-up world.
#[derive(Clone, Debug)]
enum Happening {
    Make(u64, i32, bool),
    Link(u64),
    Unlink(u64),
    Delete(u64),
    Killed(usize),
    Exited(usize),
    Failed(usize),
    Hurry,
    Obeyed,
    Refuse(bool),
    Away(bool),
    Pass(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (0..4_u64, 0..3_i32, any::<bool>()).prop_map(|(name, priority, logged)| Happening::Make(name, priority, logged)),
        2 => (0..4_u64).prop_map(Happening::Link),
        2 => (0..4_u64).prop_map(Happening::Unlink),
        2 => (0..4_u64).prop_map(Happening::Delete),
        3 => (0..8_usize).prop_map(Happening::Killed),
        2 => (0..8_usize).prop_map(Happening::Exited),
        2 => (0..8_usize).prop_map(Happening::Failed),
        1 => Just(Happening::Hurry),
        2 => Just(Happening::Obeyed),
        1 => any::<bool>().prop_map(Happening::Refuse),
        1 => any::<bool>().prop_map(Happening::Away),
        4 => (1..3000_u64).prop_map(Happening::Pass),
    ]
}

impl World {
    fn happen(&mut self, what: &Happening) {
        match *what {
            Happening::Make(name, priority, logged) if self.current(name).is_none() => {
                self.make(name, priority, logged);
            }
            Happening::Make(..) => {}
            Happening::Link(name) => self.change(name, |directory| directory.linked = true),
            Happening::Unlink(name) => self.change(name, |directory| directory.linked = false),
            Happening::Delete(name) => self.change(name, |directory| directory.deleted = true),
            Happening::Killed(number) => {
                if let Some(id) = self.up.iter().nth(number).cloned() {
                    self.killed(&id);
                }
            }
            Happening::Exited(number) => {
                if let Some(id) = self.up.iter().nth(number).cloned() {
                    self.ends(&id);
                }
            }
            Happening::Failed(number) => {
                // One that fails has not started its service.
                if let Some(id) = self.up.iter().nth(number).cloned() {
                    self.up.remove(&id);
                    self.alive.remove(&id);
                    self.told.remove(&id);
                    self.scan.step(Event::Failed(id), self.now);
                }
            }
            Happening::Hurry => self.scan.step(Event::RetryNow, self.now),
            Happening::Obeyed => {
                let told: Vec<Id> = self.told.keys().cloned().collect();
                told.iter().for_each(|id| self.ends(id));
            }
            Happening::Refuse(refusing) => self.refusing = refusing,
            Happening::Away(away) => self.away = away,
            Happening::Pass(millis) => self.pass(Duration::from_millis(millis)),
        }
        self.seen();
        self.settle();
    }

    fn change(&mut self, name: u64, how: impl FnOnce(&mut Directory)) {
        if let Some(id) = self.current(name) {
            self.directories.get_mut(&id).map(how);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_keeps_one_supervise_each_and_stops_all(
        stop_removed in any::<bool>(),
        happenings in prop::collection::vec(happening(), 1..40),
    ) {
        let mut world = World::new(stop_removed);
        for what in &happenings {
            world.happen(what);
        }
        // With nothing in the way, all that is listed comes up and the rest goes.
        (world.refusing, world.away) = (false, false);
        world.happen(&Happening::Hurry);
        for _ in 0..8 {
            world.happen(&Happening::Obeyed);
            world.happen(&Happening::Pass(1000));
        }
        for (id, directory) in &world.directories {
            if directory.linked && !directory.deleted {
                prop_assert!(world.up.contains(id), "{directory:?} is not up");
            } else if directory.deleted || stop_removed {
                prop_assert!(!world.up.contains(id), "{directory:?} is up");
            }
        }
        world.stopping = true;
        world.scan.step(Event::Terminate(Cause::Signal), world.now);
        for _ in 0..40 {
            if world.exit.is_none() {
                world.happen(&Happening::Obeyed);
                world.pass(SECOND);
            }
        }
        prop_assert_eq!(world.exit, Some(0));
    }
}
