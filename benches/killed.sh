#!/bin/sh
# What a SIGKILL of its supervisor does to a running service, suite by suite: how often the service was
# started, whether its first process lives, and how many run at the same time ten seconds later.
#
# Needs a release build, Debian's daemontools, runit and s6, and PyPI's supervisor.
set -eu
bin=$(cd "$(dirname "$0")/.." && pwd)/target/release
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# The processes of that name that work in the scene.
ours() {
    for pid in $(pgrep -x "$1"); do
        case $(readlink "/proc/$pid/cwd") in "$dir"*) echo "$pid" ;; esac
    done
}

service() {
    rm -rf "$dir/scan" "$dir/starts"
    mkdir -p "$dir/scan/a"
    printf '#!/bin/sh\necho $$ >>%s/starts\nexec sleep 100000\n' "$dir" >"$dir/scan/a/run"
    chmod +x "$dir/scan/a/run"
}

started() {
    while ! [ -s "$dir/starts" ]; do sleep 0.1; done
    sleep 2
    first=$(head -n 1 "$dir/starts")
}

result() {
    alive=no
    kill -0 "$first" 2>/dev/null && alive=yes
    printf '%-12s  %6s  %11s  %7s\n' "$1" "$(wc -l <"$dir/starts")" "$alive" "$(ours sleep | wc -l)"
}

clean() {
    for name in "$@" sleep; do
        for pid in $(ours "$name"); do kill -9 "$pid" 2>/dev/null || :; done
    done
}

scanner() { # SUITE SCANNER SUPERVISE
    service
    cd "$dir"
    PATH=/usr/bin:/bin "$2" "$dir/scan" >/dev/null 2>&1 &
    started
    kill -9 "$(ours "$3" | head -n 1)"
    sleep 10
    result "$1"
    kill -9 $!
    wait $! 2>/dev/null || :
    clean "$3"
}

daemon() {
    service
    cat >"$dir/conf" <<END
[supervisord]
nodaemon=true
pidfile=$dir/pid
logfile=$dir/log
[program:a]
directory=$dir
command=$dir/scan/a/run
END
    supervisord -c "$dir/conf" >/dev/null 2>&1 &
    started
    kill -9 $!
    wait $! 2>/dev/null || :
    supervisord -c "$dir/conf" >/dev/null 2>&1 &
    sleep 10
    result supervisor
    kill $!
    wait $! 2>/dev/null || :
    clean
}

echo "suite         starts  first lives  running"
scanner servicedir "$bin/svscan" supervise
scanner daemontools /usr/bin/svscan supervise
scanner runit /usr/bin/runsvdir runsv
scanner s6 /usr/bin/s6-svscan s6-supervise
daemon
