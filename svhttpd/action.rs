//! `/action`: what the page's buttons do.

use std::rc::Rc;
use std::time::Duration;

use servicedir::supervisor::fault::Fault;

use crate::rpc::{self, Command, Outcome, Target};
use crate::site::Site;

/// How long the answer to a button waits for the outcome. What takes longer goes on, and is seen on the
/// page.
const PATIENCE: Duration = Duration::from_secs(8);

/// What a button does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Starts what does not run.
    Start,
    /// Stops what runs.
    Stop,
    /// Stops what runs, and starts it again; one that does not run is started.
    Restart,
    /// Clears the logs.
    Clear,
}

impl Action {
    /// The actions with their names.
    const NAMED: [(&'static str, Self); 4] = [
        ("start", Self::Start),
        ("stop", Self::Stop),
        ("restart", Self::Restart),
        ("clear", Self::Clear),
    ];

    /// The action of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::NAMED
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, action)| *action)
    }

    /// What has been done: `started`.
    fn done(self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Stop => "stopped",
            Self::Restart => "restarted",
            Self::Clear => "cleared",
        }
    }

    /// What goes on: `starting`.
    fn going_on(self) -> &'static str {
        match self {
            Self::Start => "starting",
            Self::Stop => "stopping",
            Self::Restart => "restarting",
            Self::Clear => "clearing",
        }
    }
}

/// What came of an action.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Report {
    /// Nothing went wrong.
    pub(crate) ok: bool,
    /// What to tell.
    pub(crate) message: String,
}

/// An order as the buttons have it: `stop web`, `restart jobs:*`, `start *`.
pub(crate) fn parse(order: &str) -> Option<(Action, Target)> {
    let (action, target) = order.split_once(' ')?;
    let target = match target {
        "*" => Target::All,
        namespec => Target::of(namespec),
    };
    Some((Action::named(action)?, target))
}

/// Does what was ordered, and tells what came of it.
///
/// It is a task of its own: a restart is not left half done when its client leaves.
pub(crate) async fn perform(site: &Rc<Site>, action: Action, target: Target) -> Report {
    let what = match &target {
        Target::All => "all services".to_owned(),
        Target::Group(group) => format!("{group}:*"),
        Target::One(name) => name.clone(),
    };
    let work = tokio::task::spawn_local(run(Rc::clone(site), action, target));
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(Ok(Ok(outcomes))) => report(action, &what, &outcomes),
        Ok(Ok(Err(fault))) => Report {
            ok: false,
            message: format!("{what}: {fault}"),
        },
        Ok(Err(_)) | Err(_) => Report {
            ok: true,
            message: format!("{what}: {}, not done yet", action.going_on()),
        },
    }
}

async fn run(site: Rc<Site>, action: Action, target: Target) -> Result<Vec<Outcome>, Fault> {
    match action {
        Action::Start => Ok(rpc::outcomes(&site, Command::start(&site, &target, true)?).await),
        Action::Stop => Ok(rpc::outcomes(&site, Command::stop(&site, &target, true)?).await),
        Action::Restart => restart(&site, &target).await,
        Action::Clear => {
            let mut outcomes = Vec::new();
            for process in target.services(&site)? {
                let outcome = rpc::clear(&site, &process).await;
                outcomes.push((process, outcome));
            }
            Ok(outcomes)
        }
    }
}

/// Of a group or all, only what runs is restarted.
async fn restart(site: &Rc<Site>, target: &Target) -> Result<Vec<Outcome>, Fault> {
    let stopped = rpc::outcomes(site, Command::stop(site, target, true)?).await;
    let one = matches!(target, Target::One(_));
    let (down, mut failed): (Vec<_>, Vec<_>) = stopped
        .into_iter()
        .partition(|(_, outcome)| outcome.is_ok() || one);
    let down = down.into_iter().map(|(process, _)| process);
    failed.extend(rpc::outcomes(site, Command::start_these(down)).await);
    Ok(failed)
}

fn report(action: Action, what: &str, outcomes: &[Outcome]) -> Report {
    let done = outcomes
        .iter()
        .filter(|(_, outcome)| outcome.is_ok())
        .count();
    let failures: Vec<String> = outcomes
        .iter()
        .filter_map(|(process, outcome)| {
            Some(format!(
                "{}: {}",
                process.namespec(),
                outcome.as_ref().err()?
            ))
        })
        .collect();
    let message = match (failures.is_empty(), outcomes.len()) {
        (true, 0) => format!("{what}: nothing to do"),
        (true, 1) => format!("{what}: {}", action.done()),
        (true, _) => format!("{what}: {done} {}", action.done()),
        (false, 1) => failures.join("; "),
        (false, _) => format!("{what}: {done} {}; {}", action.done(), failures.join("; ")),
    };
    Report {
        ok: failures.is_empty(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_names_an_action_and_its_target() {
        let one = |name: &str| Target::One(name.to_owned());
        assert_eq!(parse("stop web"), Some((Action::Stop, one("web"))));
        assert_eq!(
            parse("start a b:c d"),
            Some((Action::Start, one("a b:c d")))
        );
        assert_eq!(
            parse("restart jobs:*"),
            Some((Action::Restart, Target::Group("jobs".to_owned())))
        );
        assert_eq!(parse("clear *"), Some((Action::Clear, Target::All)));
        for order in ["", "stop", "destroy web", "Stop web"] {
            assert_eq!(parse(order), None, "{order}");
        }
    }
}
