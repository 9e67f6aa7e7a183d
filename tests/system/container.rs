//! svscan as the first process of a container: of pid and mount namespaces of its own, as root and as a user.

use crate::support;

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::{Running, Scratch, alive, kill, until};

const TERM: i32 = 15;
const NOBODY: u32 = 65534;

/// Who starts the container.
#[derive(Clone, Copy, Debug)]
enum As {
    Root,
    /// A user, who is root in a user namespace of its own.
    User,
}

/// A container's files: programs, services, and what it wrote.
struct Image {
    scratch: Scratch,
    who: As,
}

impl Image {
    fn new(who: As) -> Self {
        let image = Self {
            scratch: Scratch::new(),
            who,
        };
        for name in ["svscan", "supervise", "svc", "svstat"] {
            let copy = image.path("bin").join(name);
            fs::create_dir_all(image.path("bin")).unwrap();
            support::copy_of(name, &copy);
        }
        fs::create_dir_all(image.path("service")).unwrap();
        image
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn service(&self, name: &str, run: &str, options: &[(&str, &str)]) {
        self.scratch.script(&format!("service/{name}/run"), run);
        for (option, value) in options {
            self.scratch
                .file(&format!("service/{name}/options/{option}"), value);
        }
    }

    /// Starts `program` as pid 1.
    fn start(&self, program: &Path, args: &[&str]) -> Running {
        let mut command = match self.who {
            As::Root => Command::new("unshare"),
            As::User => {
                give(self.scratch.path());
                let mut command = Command::new("setpriv");
                command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
                command.args(["unshare", "--map-root-user"]);
                command
            }
        };
        let (out, err) = (self.path("stdout"), self.path("stderr"));
        command
            .args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"])
            .arg(program)
            .args(args)
            .current_dir(self.scratch.path())
            .env("SHARED", self.scratch.path())
            .stdout(Stdio::from(fs::File::create(out).unwrap()))
            .stderr(Stdio::from(fs::File::create(err).unwrap()));
        Running::start(&mut command)
    }

    fn svscan(&self, args: &[&str]) -> Running {
        let args = [args, &["service"]].concat();
        self.start(&self.path("bin/svscan"), &args)
    }
}

/// Gives a folder and all in it to the user who is to use it.
fn give(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}

/// The first process of the container, by its pid here.
fn first(container: &Running) -> i32 {
    let path = format!("/proc/{0}/task/{0}/children", container.pid());
    support::eventually("the container's first process", || {
        let children = fs::read_to_string(&path).unwrap();
        children
            .split_whitespace()
            .next()
            .map_or(Err(()), |pid| Ok(pid.parse().unwrap()))
    })
}

/// The states of a process's children, a letter each.
fn children_states(pid: i32) -> String {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children
        .split_whitespace()
        .filter_map(|child| fs::read_to_string(format!("/proc/{child}/stat")).ok())
        .filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next())
        .collect()
}

#[track_caller]
fn stops_in_order(who: As) {
    let image = Image::new(who);
    image.service(
        "talker",
        "echo out talks; echo err talks >&2; trap 'echo talker ends; exit 0' TERM
         (sh -c 'echo $$ >$SHARED/orphan; sleep 0.1' & ) ; while :; do sleep 0.1; done",
        &[("priority", "20")],
    );
    image.service(
        "base",
        "trap 'echo base ends; exit 0' TERM; echo base runs; while :; do sleep 0.1; done",
        &[("priority", "10")],
    );
    let mut container = image.svscan(&[]);
    let svscan = first(&container);
    let out = || image.scratch.read("stdout");
    until("both services run", || {
        out().contains("out talks") && out().contains("base runs")
    });
    until("stderr passes through", || {
        image.scratch.read("stderr").contains("err talks")
    });
    // The process whose parent ended is waited for: the only children left are two supervises.
    until("the orphan is reaped", || {
        !image.scratch.read("orphan").is_empty() && children_states(svscan) == "SS"
    });
    kill(svscan, TERM);
    assert_eq!(
        container.ended().code(),
        Some(0),
        "{}",
        image.scratch.read("stderr")
    );
    let out = out();
    assert!(
        out.find("talker ends").unwrap() < out.find("base ends").unwrap(),
        "{out}"
    );
}

#[test]
fn as_the_first_process_it_reaps_and_stops_in_order() {
    stops_in_order(As::Root);
}

#[test]
fn as_the_first_process_of_a_user_it_reaps_and_stops_in_order() {
    stops_in_order(As::User);
}

/// What a container exits with whose essential service runs this.
#[track_caller]
fn exit_code_of(who: As, run: &str, options: &[(&str, &str)]) -> Option<i32> {
    let image = Image::new(who);
    let options = [&[("essential", "yes")], options].concat();
    image.service("app", run, &options);
    image.service(
        "helper",
        "trap 'echo helper ends; exit 0' TERM; echo >$SHARED/helped; while :; do sleep 0.1; done",
        &[],
    );
    let code = image.svscan(&[]).ended().code();
    let (out, err) = (image.scratch.read("stdout"), image.scratch.read("stderr"));
    assert!(out.contains("helper ends"), "{out}{err}");
    assert!(err.contains("app is essential and has ended"), "{err}");
    code
}

/// Waits for the helper, and then does `then`.
fn after_the_helper(then: &str) -> String {
    format!("until test -e $SHARED/helped; do sleep 0.05; done; {then}")
}

#[test]
fn an_essential_service_gives_the_exit_code() {
    let never = [("autorestart", "never"), ("startsecs", "0")];
    let run = after_the_helper("exit 7");
    assert_eq!(exit_code_of(As::Root, &run, &never), Some(7));
    assert_eq!(exit_code_of(As::User, &run, &never), Some(7));
}

#[test]
fn an_essential_service_that_was_killed_gives_128_and_the_signal() {
    let never = [("autorestart", "never"), ("startsecs", "0")];
    let run = after_the_helper("kill -SEGV $$");
    assert_eq!(exit_code_of(As::Root, &run, &never), Some(128 + 11));
}

#[test]
fn an_essential_service_that_cannot_be_started_gives_its_last_code() {
    let retries = [("startretries", "1"), ("backoff", "constant 10ms")];
    let run = after_the_helper("exit 4");
    assert_eq!(exit_code_of(As::Root, &run, &retries), Some(4));
}

#[test]
fn what_does_not_stop_is_killed_when_the_time_is_over() {
    let image = Image::new(As::Root);
    image.service(
        "stubborn",
        "trap '' TERM; setsid sh -c 'echo >$SHARED/far; exec sleep 1000' & echo runs; while :; do sleep 0.1; done",
        &[],
    );
    let mut container = image.svscan(&["--shutdown-timeout", "1s"]);
    let svscan = first(&container);
    until("it runs", || {
        image.scratch.read("stdout").contains("runs") && !image.scratch.read("far").is_empty()
    });
    let (begin, all) = (Instant::now(), descendants(svscan));
    assert!(all.len() >= 3, "{all:?}");
    kill(svscan, TERM);
    assert_eq!(container.ended().code(), Some(99));
    assert!(begin.elapsed() >= Duration::from_secs(1));
    // The kernel ends what is left of the namespace, in a session of its own or not.
    until("nothing is left", || all.iter().all(|pid| !alive(*pid)));
}

fn descendants(pid: i32) -> Vec<i32> {
    let children =
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children: Vec<i32> = children
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect();
    children
        .iter()
        .flat_map(|child| [vec![*child], descendants(*child)].concat())
        .collect()
}

/// Makes the example's image: what its Dockerfile copies, on a file system that is read-only but for /run; and
/// becomes what it is to start.
const EXAMPLE: &str = r#"set -eu
# A network of its own, with loopback, so that its port is free.
/usr/bin/python3 -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh", b"lo", 0x49))'
root=$SHARED/root
mkdir "$root"
mount -t tmpfs -o mode=755 image "$root"
mkdir "$root/usr" "$root/dev" "$root/proc" "$root/run" "$root/opt"
for link in bin lib lib64; do
    [ ! -e "/$link" ] || ln -s "usr/$link" "$root/$link"
done
mount --rbind /usr "$root/usr"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
cp "$SHARED"/bin/* "$root/opt/"
cp -R "$EXAMPLE/service" "$root/service"
mount -t tmpfs -o mode=1777 run "$root/run"
mount -o remount,bind,ro "$root"
"#;

/// The words of a list in the Dockerfile, such as those after ENTRYPOINT.
fn dockerfile(instruction: &str) -> Vec<String> {
    let text = fs::read_to_string(example().join("Dockerfile")).unwrap();
    let line = text.lines().find(|line| line.starts_with(instruction));
    let (_, list) = line.unwrap().split_once('[').unwrap();
    let words = list.trim_end_matches(']').split(", ");
    words
        .map(|word| word.trim_matches('"').to_owned())
        .collect()
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/container")
}

/// Starts the example as `chroot_options` say, without a network.
#[track_caller]
fn start_example(image: &Image, chroot_options: &str) -> Running {
    let entry = dockerfile("ENTRYPOINT").join(" ");
    let start = format!(
        "{EXAMPLE}\nexec chroot {chroot_options} \"$root\" /usr/bin/env SUPERVISEDIR=/run/supervise PATH=/opt:/usr/bin:/bin {entry}"
    );
    let start = image.scratch.script("start", &start);
    let copied = Command::new("cp")
        .arg("-R")
        .args([&example(), &image.path("example")])
        .status();
    assert!(copied.unwrap().success());
    let script = format!(
        "export EXAMPLE=$SHARED/example; exec unshare --net {}",
        start.display()
    );
    image.start(Path::new("/bin/sh"), &["-c", &script])
}

/// Runs a program in the container of which `first` is the first process.
fn probe(who: As, first: i32, words: &[String]) -> Output {
    let mut command = Command::new("nsenter");
    command.args(["--target", &first.to_string(), "--mount", "--pid"]);
    command.args(["--root", "--wdns=/"]);
    if matches!(who, As::User) {
        command.arg("--user");
    }
    let env = [
        "/usr/bin/env",
        "SUPERVISEDIR=/run/supervise",
        "PATH=/opt:/usr/bin:/bin",
    ];
    command.args(env).args(words).output().unwrap()
}

/// Runs the example as `chroot_options` say, probes it, ends its app, and returns the exit code.
#[track_caller]
fn the_example_works(who: As, chroot_options: &str) {
    let image = Image::new(who);
    let said = || (image.scratch.read("stderr"), image.scratch.read("stdout"));
    let mut container = start_example(&image, chroot_options);
    let first = first(&container);
    support::eventually("svscan is there", || {
        match fs::read_to_string(format!("/proc/{first}/comm")) {
            Ok(name) if name == "svscan\n" => Ok(()),
            other => Err((other, said())),
        }
    });
    let probe = |words: &[String]| probe(who, first, words);
    let health = dockerfile("HEALTHCHECK");
    support::eventually("the example is healthy", || {
        let answer = probe(&health);
        if answer.status.success() {
            Ok(())
        } else {
            Err((answer, said()))
        }
    });
    let written = probe(&["touch".to_owned(), "/service/app/down".to_owned()]);
    assert!(!written.status.success(), "the root can be written to");
    let control = |letter: &str| {
        let answer = probe(&["svc", "-w", letter, "/service/app"].map(str::to_owned));
        assert!(answer.status.success(), "{answer:?} {:?}", said());
    };
    control("-d");
    let is_down = probe(&health);
    assert_eq!(is_down.status.code(), Some(102), "down is not healthy");
    control("-u");
    assert_eq!(probe(&health).status.code(), Some(0));
    kill(first, TERM);
    assert_eq!(container.ended().code(), Some(0), "{:?}", said());
}

#[test]
fn the_example_runs_read_only_as_nobody() {
    the_example_works(As::Root, "--userspec=65534:65534");
}

#[test]
fn the_example_runs_read_only_in_a_user_namespace() {
    the_example_works(As::User, "");
}
