//! The suite under OpenRC: svscan as its service, and single services by `supervisor=servicedir`.
//!
//! Each test has a system of its own (`support/world.sh`): Debian's openrc and all else of this machine,
//! with every change in memory, in mount and pid namespaces that end with the test. Needs root.

use crate::support;

use support::peer;
use support::world::{line, world};

/// A script in a world with Debian's openrc.
#[track_caller]
fn openrc(script: &str) -> String {
    peer("openrc-run");
    world(script)
}

#[test]
fn svscan_is_a_service_of_openrc() {
    let said = openrc(
        r#"
        suite
        mkdir -p /etc/sv/web
        printf '#!/bin/sh\necho web talks\nexec sleep 1000\n' >/etc/sv/web/run
        chmod +x /etc/sv/web/run
        ln -s /etc/sv/web /service/web
        echo "start: $(say service svscan start)"
        await svstat -q /service/web
        await grep -q 'web talks' /var/log/svscan.log
        before=$(cat /service/web/supervise/pid)
        scanner=$(cat /run/svscan.pid)
        echo "status: $(say service svscan status)"
        echo "reload: $(say service svscan reload)"
        echo "upgrade: $(say service svscan upgrade)"
        await test -e "/proc/$(cat /run/svscan.pid)"
        [ "$(cat /run/svscan.pid)" != "$scanner" ]
        # The new one is at work: it starts what is new, and has not touched what ran.
        cp -R /etc/sv/web /etc/sv/new; rm -rf /etc/sv/new/supervise; ln -s /etc/sv/new /service/new
        await svstat -q /service/new
        echo "kept: $before $(cat /service/web/supervise/pid)"
        kill -KILL "$(cat /run/svscan.pid)"
        await test ! -e "/proc/$(cat /run/svscan.pid)"
        echo "killed: $(say service svscan status)"
        echo "stop: $(say service svscan stop)"
        echo "left: [$(left)]"
        "#,
    );
    assert!(line(&said, "start").starts_with("0 |"), "{said}");
    assert!(line(&said, "status").starts_with("0 |"), "{said}");
    assert!(line(&said, "reload").starts_with("0 |"), "{said}");
    assert!(line(&said, "upgrade").starts_with("0 |"), "{said}");
    let (before, after) = line(&said, "kept").split_once(' ').unwrap();
    assert_eq!(before, after);
    assert!(line(&said, "killed").starts_with("32 |"), "{said}");
    assert!(line(&said, "stop").starts_with("0 |"), "{said}");
    assert_eq!(line(&said, "left"), "[]");
}

/// The generic script with two services and a log, stopped; what is left of it all.
const SUPERVISION: &str = r#"
    for name in one two; do
        mkdir -p "/etc/service/$name/log"
        printf '#!/bin/sh\necho hello\nexec sleep 1000\n' >"/etc/service/$name/run"
        printf '#!/bin/sh\nexec cat >>/var/log/%s\n' "$name" >"/etc/service/$name/log/run"
        chmod +x "/etc/service/$name/run" "/etc/service/$name/log/run"
    done
    echo "start: $(say service supervision start)"
    await svok /etc/service/one
    await svok /etc/service/two
    await grep -q hello /var/log/one
    await grep -q hello /var/log/two
    echo "stop: $(say service supervision stop)"
    echo "runs: $(left | grep -c "sleep 1000")"
    echo "supervises: $(left | grep -c " supervise ")"
    echo "left: $(left | wc -l)"
"#;

#[test]
fn the_generic_script_leaves_nothing_running() {
    let said = openrc(&format!("suite\n{SUPERVISION}"));
    assert!(line(&said, "start").starts_with("0 |"), "{said}");
    assert!(line(&said, "stop").starts_with("0 |"), "{said}");
    assert_eq!(line(&said, "left"), "0");
}

#[test]
fn with_daemontools_the_same_script_leaves_everything_running() {
    peer("svscan");
    let settings = "printf 'SV_RUNDIR=/etc/service SV_CMD=svscan SVC_CMD=svc SVC_OPTS=-x\\n' >/etc/conf.d/supervision";
    let said = openrc(&format!("{settings}\n{SUPERVISION}"));
    assert!(line(&said, "stop").starts_with("0 |"), "{said}");
    // Two services, their logs, and a supervise for each of the four.
    assert_eq!(line(&said, "runs"), "2", "{said}");
    assert_eq!(line(&said, "supervises"), "4", "{said}");
    assert_eq!(line(&said, "left"), "8", "{said}");
}

/// The `svc` of daemontools answers 0 whatever becomes of a service.
#[test]
fn another_suite_earlier_on_the_path_is_not_asked() {
    let svc = peer("svc");
    let said = openrc(&format!(
        r#"
        {SERVICES}
        ln -sf {} /usr/local/sbin/svc
        ln -sf /bin/true /usr/local/sbin/svok
        PATH=/usr/local/sbin:$PATH
        echo "asked: $(command -v svc)"
        echo "bad: $(say service bad start)"
        echo "good: $(say service good start)"
        service svscan stop
        "#,
        svc.display()
    ));
    assert_eq!(line(&said, "asked"), "/usr/local/sbin/svc");
    let bad = line(&said, "bad");
    assert!(bad.starts_with("1 |") && bad.contains("exited 7"), "{said}");
    assert!(line(&said, "good").starts_with("0 |"), "{said}");
}

/// Init scripts whose services start in each way, and svscan for them.
const SERVICES: &str = r#"
    suite
    init good <<'END'
command=/bin/sleep
command_args="1000"
. /usr/share/servicedir/openrc.sh
END
    init bad <<'END'
command=/bin/sh
command_args="-c \"exit 7\""
. /usr/share/servicedir/openrc.sh
END
    init slow <<'END'
command=/bin/sh
command_args="-c \"sleep 3; echo >&5; exec sleep 1000\""
notify=fd:5
. /usr/share/servicedir/openrc.sh
END
    init never <<'END'
command=/bin/sleep
command_args="1000"
notify=fd:5
servicedir_timeout_start=2
. /usr/share/servicedir/openrc.sh
END
    service svscan start >/dev/null 2>&1
"#;

#[test]
fn a_start_says_what_became_of_it() {
    let said = openrc(&format!(
        r#"
        {SERVICES}
        echo "before: $(say service good status)"
        echo "good: $(say service good start)"
        echo "good is: $(say service good status)"
        echo "bad: $(say service bad start)"
        echo "bad is: $(say service bad status)"
        begin=$(seconds)
        echo "slow: $(say service slow start)"
        echo "slow took: $(($(seconds) - begin))"
        echo "slow is: $(svstat /run/openrc/servicedir/slow)"
        echo "never: $(say service never start)"
        echo "never is: $(say service never status)"
        echo "linked: $(echo /service/*)"
        echo "stop: $(say service good stop)"
        echo "stopped: $(say service good status)"
        service slow stop
        service svscan stop
        echo "left: [$(left)]"
        "#
    ));
    assert!(line(&said, "before").starts_with("3 |"), "{said}");
    assert!(line(&said, "good").starts_with("0 |"), "{said}");
    assert!(line(&said, "good is").starts_with("0 |"), "{said}");
    let bad = line(&said, "bad");
    assert!(bad.starts_with("1 |"), "{said}");
    assert!(
        bad.contains("Failed to start bad: not ready: exited 7"),
        "{said}"
    );
    assert!(line(&said, "bad is").starts_with("3 |"), "{said}");
    assert!(line(&said, "slow").starts_with("0 |"), "{said}");
    assert!(
        line(&said, "slow took").parse::<u32>().unwrap() >= 2,
        "{said}"
    );
    assert!(line(&said, "slow is").contains(", ready"), "{said}");
    let never = line(&said, "never");
    assert!(
        never.starts_with("1 |") && never.contains("Failed to start never: not ready"),
        "{said}"
    );
    assert!(line(&said, "never is").starts_with("3 |"), "{said}");
    assert_eq!(line(&said, "linked"), "/service/good /service/slow");
    assert!(line(&said, "stop").starts_with("0 |"), "{said}");
    assert!(line(&said, "stopped").starts_with("3 |"), "{said}");
    assert_eq!(line(&said, "left"), "[]");
}

#[test]
fn a_service_that_broke_down_is_crashed_and_restarts() {
    let said = openrc(&format!(
        r#"
        {SERVICES}
        init once <<'END'
command=/bin/sleep
command_args="1000"
servicedir_options="autorestart=never"
reload() {{ echo own; }}
extra_started_commands=reload
. /usr/share/servicedir/openrc.sh
END
        dir=/run/openrc/servicedir
        service once start
        first=$(cat $dir/once/supervise/pid)
        kill -SEGV "$first"
        await test ! -e "/proc/$first"
        echo "crashed: $(say service once status)"
        echo "again: $(say service once restart)"
        echo "runs: $(say svstat -q $dir/once)"
        echo "own: $(say service once reload)"
        service good start
        first=$(cat $dir/good/supervise/pid)
        echo "restart: $(say service good restart)"
        echo "other: $(test "$first" != "$(cat $dir/good/supervise/pid)" && echo yes)"
        first=$(cat $dir/good/supervise/pid)
        echo "reload: $(say service good reload)"
        # sleep(1) knows no HUP: it ends, and is started again.
        await test ! -e "/proc/$first"
        await svstat -q $dir/good
        "#
    ));
    let crashed = line(&said, "crashed");
    assert!(
        crashed.starts_with("32 |") && crashed.contains("SIGSEGV"),
        "{said}"
    );
    assert!(line(&said, "again").starts_with("0 |"), "{said}");
    assert!(line(&said, "runs").starts_with("0 |"), "{said}");
    assert!(line(&said, "own").ends_with("own"), "{said}");
    assert!(line(&said, "restart").starts_with("0 |"), "{said}");
    assert_eq!(line(&said, "other"), "yes");
    assert!(line(&said, "reload").starts_with("0 |"), "{said}");
}

#[test]
fn a_service_is_made_from_what_the_init_script_says() {
    let said = openrc(&format!(
        r#"
        {SERVICES}
        mkdir -m 777 /tmp/place
        cat >/tmp/place/daemon <<'END'
#!/bin/sh
trap 'echo got USR1; exit 0' USR1
echo "args: $# [$1] [$2] [$3]"
echo "user: $(id -un):$(id -gn)"
echo "place: $(pwd), mask $(umask), files $(ulimit -n)"
echo "word: $WORD"
echo trouble >&2
while :; do sleep 0.1; done
END
        chmod +x /tmp/place/daemon
        init full <<'END'
command=./daemon
command_args="one \"two words\""
command_args_foreground="it\'s"
command_user="nobody:daemon"
directory=/tmp/place
umask=027
rc_ulimit="-n 123"
stopsig=SIGUSR1
WORD="to hand on"
servicedir_env="WORD"
output_log=/tmp/place/out
error_log=/tmp/place/err
. /usr/share/servicedir/openrc.sh
END
        init logged <<'END'
command=/tmp/place/daemon
output_logger="sed -u s/^/out:/ >>/tmp/place/logged"
error_logger="sed -u s/^/err:/ >>/tmp/place/logged"
stopsig=USR1
. /usr/share/servicedir/openrc.sh
END
        echo "start: $(say service full start)"
        await grep -q word: /tmp/place/out
        await grep -q trouble /tmp/place/err
        cat /tmp/place/out
        echo "err: $(cat /tmp/place/err)"
        service full stop
        echo "last: $(tail -n 1 /tmp/place/out)"
        service logged start
        await grep -q out:word: /tmp/place/logged
        await grep -q err:trouble /tmp/place/logged
        service logged stop
        echo "logged: $(tail -n 1 /tmp/place/logged)"
        echo "loggers: $(left | grep -c 'sed -u')"
        "#
    ));
    assert!(line(&said, "start").starts_with("0 |"), "{said}");
    assert_eq!(line(&said, "args"), "3 [one] [two words] [it's]");
    assert_eq!(line(&said, "user"), "nobody:daemon");
    assert_eq!(line(&said, "place"), "/tmp/place, mask 0027, files 123");
    assert_eq!(line(&said, "word"), "to hand on");
    assert_eq!(line(&said, "err"), "trouble");
    assert_eq!(line(&said, "last"), "got USR1");
    assert_eq!(line(&said, "logged"), "out:got USR1");
    assert_eq!(line(&said, "loggers"), "0");
}

#[test]
fn a_ready_service_directory_is_used_as_it_is() {
    let said = openrc(&format!(
        r#"
        {SERVICES}
        mkdir -p /etc/sv/ready /etc/sv/broken
        printf '#!/bin/sh\nexec sleep 1000\n' >/etc/sv/ready/run
        printf '#!/bin/sh\necho run >>runs\nexit 5\n' >/etc/sv/broken/run
        chmod +x /etc/sv/*/run
        for name in ready broken; do
            init $name <<'END'
servicedir_path=/etc/sv/$RC_SVCNAME
. /usr/share/servicedir/openrc.sh
END
        done
        echo "start: $(say service ready start)"
        echo "files: $(ls /etc/sv/ready | tr '\n' ' ')"
        echo "normally: $(svstat /etc/sv/ready)"
        echo "broken: $(say service broken start)"
        echo "runs: $(wc -l </etc/sv/broken/runs)"
        echo "stop: $(say service ready stop)"
        echo "linked: $(echo /service/*)"
        "#
    ));
    assert!(line(&said, "start").starts_with("0 |"), "{said}");
    assert_eq!(line(&said, "files"), "run supervise ");
    assert!(line(&said, "normally").contains(": up (pid "), "{said}");
    let broken = line(&said, "broken");
    assert!(
        broken.starts_with("1 |") && broken.contains("exited 5"),
        "{said}"
    );
    assert_eq!(line(&said, "runs").trim(), "1");
    assert!(line(&said, "stop").starts_with("0 |"), "{said}");
    assert_eq!(line(&said, "linked"), "/service/*");
}

#[test]
fn what_does_not_stop_in_time_is_killed_and_what_cannot_be_done_is_refused() {
    let said = openrc(&format!(
        r#"
        {SERVICES}
        init stubborn <<'END'
command=/bin/sh
command_args="-c \"trap '' TERM; while :; do sleep 0.1; done\""
servicedir_timeout_stop=1
. /usr/share/servicedir/openrc.sh
END
        init retried <<'END'
command=/bin/sh
command_args="-c \"trap '' INT; while :; do sleep 0.1; done\""
retry="SIGINT/1/KILL/5"
. /usr/share/servicedir/openrc.sh
END
        init caged <<'END'
command=/bin/sleep
command_args=1000
chroot=/tmp
. /usr/share/servicedir/openrc.sh
END
        init taken <<'END'
command=/bin/sleep
command_args=1000
. /usr/share/servicedir/openrc.sh
END
        for name in stubborn retried; do
            service $name start
            echo "$name: $(say service $name stop)"
        done
        echo "caged: $(say service caged start)"
        ln -s /etc /service/taken
        echo "taken: $(say service taken start)"
        echo "there: $(readlink /service/taken)"
        rm /service/taken
        service svscan stop
        echo "alone: $(say service good start)"
        "#
    ));
    let stubborn = line(&said, "stubborn");
    assert!(
        stubborn.starts_with("0 |") && stubborn.contains("sending KILL"),
        "{said}"
    );
    let retried = line(&said, "retried");
    assert!(
        retried.starts_with("0 |") && !retried.contains("sending KILL"),
        "{said}"
    );
    let caged = line(&said, "caged");
    assert!(
        caged.starts_with("1 |") && caged.contains("knows no chroot"),
        "{said}"
    );
    let taken = line(&said, "taken");
    assert!(
        taken.starts_with("1 |") && taken.contains("is there already"),
        "{said}"
    );
    assert_eq!(line(&said, "there"), "/etc");
    let alone = line(&said, "alone");
    assert!(
        alone.starts_with("1 |") && alone.contains("does svscan run on /service?"),
        "{said}"
    );
}

#[test]
fn the_patch_teaches_openrc_the_supervisor() {
    peer("patch");
    let said = openrc(&format!(
        r#"
        {SERVICES}
        patch -s -d /lib/rc -p1 </opt/project/openrc/openrc-supervisor-servicedir.patch
        init plain <<'END'
supervisor=servicedir
command=/bin/sleep
command_args="1000"
END
        echo "start: $(say service plain start)"
        echo "status: $(say service plain status)"
        echo "stop: $(say service plain stop)"
        echo "stopped: $(say service plain status)"
        "#
    ));
    let start = line(&said, "start");
    assert!(
        start.starts_with("0 |") && !start.contains("Invalid"),
        "{said}"
    );
    assert!(line(&said, "status").starts_with("0 |"), "{said}");
    assert!(line(&said, "stop").starts_with("0 |"), "{said}");
    assert!(line(&said, "stopped").starts_with("3 |"), "{said}");
}
