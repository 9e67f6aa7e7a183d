//! A system of a test's own: all of this machine, with every change in memory, in mount and pid
//! namespaces that end with the test (`world.sh`). Needs root.

use std::process::Command;

use super::{Scratch, program, stderr, stdout};

/// What the scripts begin with.
const PRELUDE: &str = r#"
suite() {
    /opt/project/install --from /opt/servicedir --openrc
}
# Removes all that daemontools and runit have on PATH, as their removal would; and puts in their place what
# this suite's Debian package has for the packages that depend on them.
without_older_suites() {
    dpkg -L daemontools runit | while read -r file; do
        case $file in /bin/* | /sbin/* | /usr/bin/* | /usr/sbin/*) [ -d "$file" ] || rm -f "$file" ;; esac
    done
    cp /opt/project/packaging/debian/invoke-run /opt/project/packaging/debian/finish-exec /lib/runit/
    cp /opt/project/packaging/debian/update-service /usr/sbin/
    for name in chpst setuidgid svc sv supervise runsv multilog svlogd; do
        case $(command -v "$name" || :) in /usr/local/bin/* | "") ;; *) echo "$name is another suite's"; exit 1 ;; esac
    done
}
# await CONDITION...: waits for it, with an end.
await() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ]; then echo "never: $*"; ps axf; exit 1; fi
        sleep 0.1
    done
}
# Prints what a command answers, and its exit code.
say() {
    code=0
    answer=$("$@" 2>&1) || code=$?
    printf '%s | %s\n' "$code" "$(printf '%s' "$answer" | tr -s ' \n' '  ')"
}
# init NAME, with the body on stdin: an init script.
init() {
    { echo '#!/sbin/openrc-run'; cat; } >"/etc/init.d/$1"
    chmod +x "/etc/init.d/$1"
}
# All processes but this shell and what looks.
left() { ps -e -o pid= -o stat= -o args= | awk '$2 !~ /^Z/ && !/test.sh|ps -e|awk|grep|wc -l/'; }
seconds() { date +%s; }
service() { rc-service "$@"; }
"#;

/// Runs a script in a world of its own, and returns what it printed.
#[track_caller]
#[expect(
    clippy::print_stdout,
    reason = "a test that fails shows what its world said"
)]
pub fn world(script: &str) -> String {
    let scratch = Scratch::new();
    let world = tempfile::tempdir().unwrap();
    let script = scratch.script("test", &format!("{PRELUDE}\n{script}"));
    let project = env!("CARGO_MANIFEST_DIR");
    let output = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "sh"])
        .arg(format!("{project}/tests/support/world.sh"))
        .arg(world.path())
        .arg(program("svscan").parent().unwrap())
        .args([project.as_ref(), script.as_path()])
        .output()
        .unwrap();
    let said = stdout(&output);
    println!("{said}{}", stderr(&output));
    assert!(output.status.success(), "{said}\n{}", stderr(&output));
    said
}

/// The line that a script printed after `label: `.
#[track_caller]
pub fn line<'a>(said: &'a str, label: &str) -> &'a str {
    said.lines()
        .find_map(|line| line.strip_prefix(label)?.strip_prefix(": "))
        .unwrap_or_else(|| panic!("no {label} in {said}"))
}
