//! The types of events, by Supervisor's names.

use servicedir::status::State;

/// A type of event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A service has entered this state.
    ProcessState(State),
    /// A service wrote something between Supervisor's tokens.
    Communication(Channel),
    /// A service wrote something.
    Log(Channel),
    /// A message of a remote client.
    Remote,
    /// Time has passed.
    Tick(Period),
    /// svscan has begun its work.
    SupervisorRunning,
    /// svscan is about to end.
    SupervisorStopping,
    /// The scan directory has a new group.
    GroupAdded,
    /// A group has gone from the scan directory.
    GroupRemoved,
}

/// Where a service wrote to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Channel {
    Stdout,
    Stderr,
}

/// How often a tick comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Period {
    Five,
    Minute,
    Hour,
}

impl Period {
    pub(crate) const ALL: [Self; 3] = [Self::Five, Self::Minute, Self::Hour];

    pub(crate) fn seconds(self) -> u64 {
        match self {
            Self::Five => 5,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }
}

impl Channel {
    /// The token of PROCESS_LOG's payload.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl Kind {
    /// Supervisor's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ProcessState(State::Stopped) => "PROCESS_STATE_STOPPED",
            Self::ProcessState(State::Starting) => "PROCESS_STATE_STARTING",
            Self::ProcessState(State::Running) => "PROCESS_STATE_RUNNING",
            Self::ProcessState(State::Backoff) => "PROCESS_STATE_BACKOFF",
            Self::ProcessState(State::Stopping) => "PROCESS_STATE_STOPPING",
            Self::ProcessState(State::Exited) => "PROCESS_STATE_EXITED",
            Self::ProcessState(State::Fatal) => "PROCESS_STATE_FATAL",
            Self::Communication(Channel::Stdout) => "PROCESS_COMMUNICATION_STDOUT",
            Self::Communication(Channel::Stderr) => "PROCESS_COMMUNICATION_STDERR",
            Self::Log(Channel::Stdout) => "PROCESS_LOG_STDOUT",
            Self::Log(Channel::Stderr) => "PROCESS_LOG_STDERR",
            Self::Remote => "REMOTE_COMMUNICATION",
            Self::Tick(Period::Five) => "TICK_5",
            Self::Tick(Period::Minute) => "TICK_60",
            Self::Tick(Period::Hour) => "TICK_3600",
            Self::SupervisorRunning => "SUPERVISOR_STATE_CHANGE_RUNNING",
            Self::SupervisorStopping => "SUPERVISOR_STATE_CHANGE_STOPPING",
            Self::GroupAdded => "PROCESS_GROUP_ADDED",
            Self::GroupRemoved => "PROCESS_GROUP_REMOVED",
        }
    }
}

/// The names that stand for several types: each for those whose names go on from it after `_`.
const FAMILIES: [&str; 7] = [
    "EVENT",
    "PROCESS_STATE",
    "PROCESS_COMMUNICATION",
    "PROCESS_LOG",
    "PROCESS_GROUP",
    "SUPERVISOR_STATE_CHANGE",
    "TICK",
];

/// The names of single types. `PROCESS_STATE_UNKNOWN` is accepted: supervise has no such state, so the
/// event never comes.
const TYPES: [&str; 20] = [
    "PROCESS_STATE_STOPPED",
    "PROCESS_STATE_STARTING",
    "PROCESS_STATE_RUNNING",
    "PROCESS_STATE_BACKOFF",
    "PROCESS_STATE_STOPPING",
    "PROCESS_STATE_EXITED",
    "PROCESS_STATE_FATAL",
    "PROCESS_STATE_UNKNOWN",
    "PROCESS_COMMUNICATION_STDOUT",
    "PROCESS_COMMUNICATION_STDERR",
    "PROCESS_LOG_STDOUT",
    "PROCESS_LOG_STDERR",
    "REMOTE_COMMUNICATION",
    "TICK_5",
    "TICK_60",
    "TICK_3600",
    "SUPERVISOR_STATE_CHANGE_RUNNING",
    "SUPERVISOR_STATE_CHANGE_STOPPING",
    "PROCESS_GROUP_ADDED",
    "PROCESS_GROUP_REMOVED",
];

/// The types that a pool takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Subscription(Vec<String>);

impl Subscription {
    /// Reads `PROCESS_STATE,TICK_60`.
    ///
    /// # Errors
    /// The name that is not known.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let names: Vec<String> = text
            .split(',')
            .map(|name| name.trim().to_ascii_uppercase())
            .collect();
        match names.iter().find(|name| !is_known(name)) {
            Some(unknown) => Err(unknown.clone()),
            None => Ok(Self(names)),
        }
    }

    /// Whether the pool takes events of this type.
    pub(crate) fn takes(&self, kind: Kind) -> bool {
        self.0.iter().any(|name| {
            name == "EVENT"
                || kind
                    .name()
                    .strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        })
    }

    /// Whether it takes anything that svcapture offers.
    pub(crate) fn takes_captures(&self) -> bool {
        [Channel::Stdout, Channel::Stderr]
            .into_iter()
            .any(|channel| {
                self.takes(Kind::Communication(channel)) || self.takes(Kind::Log(channel))
            })
    }
}

fn is_known(name: &str) -> bool {
    FAMILIES.contains(&name) || TYPES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_takes_its_types_and_no_other() {
        let takes = |text: &str, kind| Subscription::parse(text).unwrap().takes(kind);
        assert!(takes("PROCESS_STATE", Kind::ProcessState(State::Fatal)));
        assert!(!takes("PROCESS_STATE", Kind::Log(Channel::Stdout)));
        assert!(takes("tick", Kind::Tick(Period::Hour)));
        assert!(takes("TICK_5", Kind::Tick(Period::Five)));
        assert!(!takes("TICK_5,PROCESS_LOG", Kind::Tick(Period::Minute)));
        assert!(takes("EVENT", Kind::Remote));
        assert!(takes("PROCESS_LOG, TICK_60", Kind::Tick(Period::Minute)));
        assert_eq!(
            Subscription::parse("TICK_5,TICK_6"),
            Err("TICK_6".to_owned())
        );
        assert_eq!(Subscription::parse(""), Err(String::new()));
    }

    #[test]
    fn every_type_that_can_come_can_be_asked_for() {
        let mut kinds: Vec<Kind> = State::ALL.map(Kind::ProcessState).to_vec();
        kinds.extend(Period::ALL.map(Kind::Tick));
        for channel in [Channel::Stdout, Channel::Stderr] {
            kinds.extend([Kind::Communication(channel), Kind::Log(channel)]);
        }
        kinds.extend([
            Kind::Remote,
            Kind::SupervisorRunning,
            Kind::SupervisorStopping,
            Kind::GroupAdded,
            Kind::GroupRemoved,
        ]);
        // All but PROCESS_STATE_UNKNOWN.
        assert_eq!(kinds.len() + 1, TYPES.len());
        for kind in kinds {
            assert!(TYPES.contains(&kind.name()), "{kind:?}");
        }
    }
}
