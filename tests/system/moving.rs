//! Moving here from daemontools, runit and Supervisor: the lines of the README, run as they are written there, and
//! then the same services on a system without the older packages.
//!
//! Each test has a system of its own, see `support/world.rs`.

use crate::support;

use std::fs;

use support::peer;
use support::world::{line, world};

/// The indented lines of a section of the README, which are what a reader types.
fn commands(section: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = fs::read_to_string(path).unwrap();
    let (_, rest) = readme.split_once(&format!("## {section}\n")).unwrap();
    let text = rest.split("\n## ").next().unwrap();
    let lines: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect();
    assert!(
        (5..=6).contains(&lines.len()),
        "five lines or six: {lines:?}"
    );
    lines.join("\n")
}

/// A release in /opt/release, whose install script builds nothing, and services of three kinds.
const START: &str = r#"
    mkdir -p /opt/release/bin
    cd /opt/project
    cp -R install links man svscanboot openrc /opt/release/
    mkdir /opt/release/examples
    cp -R examples/systemd /opt/release/examples/
    for name in $(sed -n '/^\[\[bin\]\]/,/^name/s/^name = "\(.*\)"/\1/p' Cargo.toml); do
        ln -s "/opt/servicedir/$name" "/opt/release/bin/$name"
    done
    cd /opt/release
    # service DIR NAME COMMAND
    directory() {
        mkdir -p "$1/$2/log/main" "$1/$2/env"
        chown nobody "$1/$2/log/main"
        echo "from $2" >"$1/$2/env/WORD"
        printf '#!/bin/sh\nexec 2>&1\nexec %s sh -c "echo \$WORD; exec sleep 1000"\n' "$3" >"$1/$2/run"
        printf '#!/bin/sh\nexec %s\n' "$4" >"$1/$2/log/run"
        chmod +x "$1/$2/run" "$1/$2/log/run"
    }
"#;

#[test]
fn from_daemontools() {
    peer("svscanboot");
    let lines = commands("Moving from daemontools");
    let said = world(&format!(
        r#"
        {START}
        directory /service one "setuidgid nobody envdir ./env" "setuidgid nobody svlogd ./main"
        directory /service two "envuidgid daemon softlimit -o 60 setlock lock pgrphack envdir ./env" "svlogd ./main"
        /usr/bin/svscan /service & old=$!
        await svok /service/one; await svok /service/two/log
        await grep -q 'from one' /service/one/log/main/current
        {lines}
        await svstat -q /service/one /service/two /service/one/log /service/two/log
        echo "gone: $(test -e /proc/$old || echo yes)"
        echo "program: $(readlink /proc/$(cat /service/one/supervise/lock)/exe)"
        without_older_suites
        svc -w -T 20s -r /service/one /service/two
        await sh -c 'test $(grep -c "from one" /service/one/log/main/current) = 3'
        await sh -c 'test $(grep -c "from two" /service/two/log/main/current) -ge 3'
        echo "user: $(stat -c %U /proc/$(cat /service/one/supervise/pid))"
        echo "variables: $(tr '\0' ' ' </proc/$(cat /service/two/supervise/pid)/environ | grep -o 'UID=[0-9]*')"
        pkill -TERM -xf 'svscan /service'
        wait
        "#
    ));
    assert_eq!(line(&said, "gone"), "yes");
    assert!(
        line(&said, "program").ends_with("/usr/local/bin/supervise"),
        "{said}"
    );
    assert_eq!(line(&said, "user"), "nobody");
    assert_eq!(line(&said, "variables"), "UID=1");
}

#[test]
fn from_runit() {
    peer("runsvdir");
    let lines = commands("Moving from runit");
    let said = world(&format!(
        r#"
        {START}
        directory /etc/service one "chpst -u nobody -e ./env" "chpst -u nobody svlogd ./main"
        directory /etc/service two "chpst -U daemon -o 60 -P -L lock -n 3 -e ./env" "svlogd ./main"
        rmdir /service
        /usr/bin/runsvdir -P /etc/service & old=$!
        await grep -q 'from one' /etc/service/one/log/main/current
        await grep -q 'from two' /etc/service/two/log/main/current
        {lines}
        await svstat -q one two
        echo "gone: $(test -e /proc/$old || echo yes)"
        echo "program: $(readlink /proc/$(cat /etc/service/one/supervise/lock)/exe)"
        without_older_suites
        svc -w -T 20s -r one two
        await sh -c 'test $(grep -c "from one" /etc/service/one/log/main/current) = 3'
        echo "user: $(stat -c %U /proc/$(cat /etc/service/one/supervise/pid))"
        echo "nice: $(cut -d' ' -f19 /proc/$(cat /etc/service/two/supervise/pid)/stat)"
        pkill -TERM -xf 'svscan --stop-removed /etc/service'
        wait
        "#
    ));
    assert_eq!(line(&said, "gone"), "yes");
    assert!(
        line(&said, "program").ends_with("/usr/local/bin/supervise"),
        "{said}"
    );
    assert_eq!(line(&said, "user"), "nobody");
    assert_eq!(line(&said, "nice"), "3");
}

#[test]
#[cfg(feature = "supervisor")]
fn from_supervisor() {
    let lines = commands("Moving from Supervisor");
    // A person types the last line when the services are up.
    let (lines, last) = lines.rsplit_once('\n').unwrap();
    let said = world(&format!(
        r#"
        {START}
        mkdir -p /etc/supervisor/conf.d /run/test
        cat >/etc/supervisor/supervisord.conf <<'END'
[unix_http_server]
file=/run/test/sock
[supervisord]
logfile=/run/test/log
pidfile=/run/test/pid
nodaemon=true
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix:///run/test/sock
[include]
files = conf.d/*.conf
END
        cat >/etc/supervisor/conf.d/worker.conf <<'END'
[program:worker]
process_name=%(program_name)s_%(process_num)02d
command=/bin/sh -c "echo from $WORD; exec sleep 1000"
environment=WORD="worker"
numprocs=2
user=nobody
redirect_stderr=true
stdout_logfile=/run/test/worker_%(process_num)d.log
END
        supervisord -c /etc/supervisor/supervisord.conf >/dev/null 2>&1 & old=$!
        await grep -q 'from worker' /run/test/worker_1.log
        rm /run/test/worker_*.log
        {lines}
        await {last}
        await sh -c "svctl status worker:* | grep -c RUNNING | grep -qx 2"
        echo "gone: $(test -e /proc/$old || echo yes)"
        echo "status: $(svctl status worker:worker_01 | cut -c1-43)"
        echo "user: $(stat -c %U /proc/$(svctl pid worker:worker_00))"
        await grep -q 'from worker' /run/test/worker_1.log
        echo "log: $(svctl tail worker:worker_01 | head -1)"
        svctl shutdown
        wait
        "#
    ));
    assert_eq!(line(&said, "gone"), "yes");
    assert_eq!(
        line(&said, "status").trim_end(),
        "worker:worker_01                 RUNNING"
    );
    assert_eq!(line(&said, "user"), "nobody");
    assert_eq!(line(&said, "log"), "from worker");
}
