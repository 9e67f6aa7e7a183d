//! Importing, importing again, and running what was imported.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

use crate::support::scanning::Scanning;
use crate::support::{
    Running, eventually, output, path_of_programs, peer, program, stderr, stdout, until,
};

const WEB: &str = "[supervisord]\n[program:web]\ncommand=sleep 1000\nstopwaitsecs=5\n";

/// A scan directory with a configuration beside it.
struct Import {
    scanning: Scanning,
}

impl Import {
    fn of(text: &str) -> Self {
        let import = Self {
            scanning: Scanning::new(),
        };
        import.configure(text);
        import
    }

    fn configure(&self, text: &str) {
        self.scanning.scratch.file("supervisord.conf", text);
    }

    fn command(&self, args: &[&str]) -> Output {
        let mut command = Command::new(program("svimport"));
        command
            .arg(self.scanning.scratch.path().join("supervisord.conf"))
            .arg("--into")
            .arg(self.scanning.scan_dir())
            .args(args);
        command.output().unwrap()
    }

    #[track_caller]
    fn run(&self) -> String {
        let output = self.command(&[]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output)
    }

    fn read(&self, path: &str) -> String {
        self.scanning
            .scratch
            .read(&format!("scan/.available/{path}"))
    }

    fn write(&self, path: &str, text: &str) {
        self.scanning
            .scratch
            .file(&format!("scan/.available/{path}"), text);
    }
}

#[test]
fn a_second_import_changes_nothing() {
    let import = Import::of(WEB);
    assert!(import.run().starts_with("new web\n"));
    let inode = || {
        fs::metadata(import.scanning.scan_dir().join("web/run"))
            .unwrap()
            .ino()
    };
    let before = inode();
    let again = import.run();
    assert!(again.starts_with("nothing to change in "), "{again}");
    assert_eq!(inode(), before);
}

#[test]
fn a_changed_key_changes_its_file_alone_and_is_shown_first() {
    let import = Import::of(WEB);
    import.run();
    import.configure(&WEB.replace("stopwaitsecs=5", "stopwaitsecs=7"));
    let check = stdout(&import.command(&["--check"]));
    assert_eq!(
        check,
        "change web/options/stopwaitsecs\n  - 5\n  + 7\nnothing written: --check\n"
    );
    assert_eq!(import.read("web/options/stopwaitsecs"), "5\n");
    assert_eq!(
        import.run(),
        "change web/options/stopwaitsecs\n  - 5\n  + 7\n"
    );
    assert_eq!(import.read("web/options/stopwaitsecs"), "7\n");
}

#[test]
fn what_was_changed_or_removed_by_hand_stays() {
    let import = Import::of(WEB);
    import.run();
    import.write("web/options/stopwaitsecs", "30s\n");
    let backoff = import.scanning.scan_dir().join("web/options/backoff");
    fs::remove_file(&backoff).unwrap();
    import.configure(&WEB.replace("stopwaitsecs=5", "stopwaitsecs=7"));
    for _ in 0..2 {
        let shown = import.run();
        assert!(
            shown.contains("keep web/options/stopwaitsecs: changed by hand\n  - 30s\n  + 7\n"),
            "{shown}"
        );
        assert!(
            shown.contains("keep web/options/backoff: removed by hand\n"),
            "{shown}"
        );
        assert_eq!(import.read("web/options/stopwaitsecs"), "30s\n");
        assert!(!backoff.exists());
    }
}

#[test]
fn a_service_that_was_there_before_is_not_touched() {
    let import = Import::of(WEB);
    import
        .scanning
        .scratch
        .script("scan/web/run", "exec sleep 7");
    let shown = import.run();
    assert!(
        shown.contains("keep web: not written by svimport\n"),
        "{shown}"
    );
    assert_eq!(
        import.scanning.scratch.read("scan/web/run"),
        "#!/bin/sh\nexec sleep 7\n"
    );
}

#[test]
fn a_program_that_is_gone_is_removed_but_for_what_is_not_ours() {
    let import = Import::of(&format!("{WEB}[program:old]\ncommand=x\n"));
    import.run();
    import.write("old/log/main/current", "a line\n");
    import.configure(WEB);
    let shown = import.run();
    assert!(shown.contains("remove old/run\n"), "{shown}");
    assert!(!import.scanning.scan_dir().join("old").exists());
    assert_eq!(import.read("old/log/main/current"), "a line\n");
    assert_eq!(import.read("old/run"), "");
}

#[test]
fn a_fault_names_its_line_and_nothing_is_written() {
    let import =
        Import::of("[supervisord]\n[program:web]\ncommand=x\nstartsecs=10s\nautostart=maybe\n");
    let output = import.command(&[]);
    assert_eq!(output.status.code(), Some(102));
    let said = stderr(&output);
    let file = import.scanning.scratch.path().join("supervisord.conf");
    let file = file.display();
    for wanted in [
        format!(
            "svimport: fatal: {file}:4: [program:web] startsecs: \"10s\": expected a whole number without a unit\n"
        ),
        format!(
            "svimport: fatal: {file}:5: [program:web] autostart: \"maybe\": expected yes, true, on, 1, no, false, off or 0\n"
        ),
    ] {
        assert!(said.contains(&wanted), "{said}");
    }
    assert_eq!(fs::read_dir(import.scanning.scan_dir()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_carried_over_is_refused_and_the_rest_is_imported() {
    let import = Import::of(&format!(
        "{WEB}[fcgi-program:php]\ncommand=php-fpm\nsocket=unix:///x\n[inet_http_server]\nport=*:9001\n[rpcinterface:mine]\nsupervisor.rpcinterface_factory=a:b\n"
    ));
    let output = import.command(&[]);
    assert_eq!(output.status.code(), Some(102));
    for refused in [
        "[fcgi-program:php] not carried over",
        "[inet_http_server] port: not carried over",
        "[rpcinterface:mine] not carried over",
    ] {
        assert!(stderr(&output).contains(refused), "{}", stderr(&output));
    }
    assert!(import.scanning.scan_dir().join("web/run").exists());
    assert!(!import.scanning.scan_dir().join("svhttpd").exists());
}

#[test]
fn included_files_are_read_in_the_order_of_their_names() {
    let import = Import::of("[supervisord]\n[include]\nfiles = conf.d/*.conf\n");
    let scratch = &import.scanning.scratch;
    scratch.file(
        "conf.d/b.conf",
        "[program:b]\ncommand=from b %(here)s\n[program:a]\nautostart=false\n",
    );
    scratch.file(
        "conf.d/a.conf",
        "[program:a]\ncommand=from a\nautostart=true\n",
    );
    import.run();
    assert_eq!(import.read("a/options/autostart"), "no\n");
    let here = scratch.path().join("conf.d");
    assert!(
        import
            .read("b/run")
            .ends_with(&format!("exec from b {}\n", here.display()))
    );
}

#[test]
fn servers_become_one_service_whose_passwords_only_its_owner_may_read() {
    let import = Import::of(&format!(
        "{WEB}[unix_http_server]\nfile=/run/s.sock\nchmod=0770\n[inet_http_server]\nport=127.0.0.1:9001\nusername=a\npassword=b c\n"
    ));
    let shown = import.run();
    assert!(
        import
            .read("svhttpd/run")
            .contains("--unix /run/s.sock --control --mode 0770")
    );
    assert_eq!(import.read("svhttpd/passwords-2"), "a:b c\n");
    let mode = |path: &str| {
        let path = import.scanning.scan_dir().join(".available").join(path);
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode("svhttpd/passwords-2"), 0o600);
    assert!(!shown.contains("b c"), "{shown}");
    assert_eq!(
        import.read("web/options/env/SUPERVISOR_SERVER_URL"),
        "unix:///run/s.sock\n"
    );
}

#[test]
fn listeners_run_under_svevent() {
    let import = Import::of(
        "[supervisord]\n[eventlistener:mail]\ncommand=crashmail -a\nevents=process_state_exited, TICK_60\nnumprocs=3\nprocess_name=%(process_num)d\n",
    );
    import.run();
    assert!(
        import
            .read("0/run")
            .ends_with("/.available/0/cursor --pool 3 PROCESS_STATE_EXITED,TICK_60 crashmail -a\n")
    );
    assert_eq!(import.read("0/options/priority"), "-1\n");
    assert_eq!(import.read("0/options/group"), "mail\n");
}

#[test]
fn a_full_disk_leaves_no_half_and_the_next_run_goes_on() {
    let import = Import::of(WEB);
    let file = import.scanning.scratch.path().join("supervisord.conf");
    let broken = Command::new(peer("strace"))
        .args([
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "inject=rename,renameat,renameat2:error=ENOSPC:when=3",
        ])
        .arg(program("svimport"))
        .arg(&file)
        .arg("--into")
        .arg(import.scanning.scan_dir())
        .output()
        .unwrap();
    assert_eq!(broken.status.code(), Some(111), "{}", stderr(&broken));
    assert!(
        stderr(&broken).contains("no space left on device"),
        "{}",
        stderr(&broken)
    );
    assert!(!import.scanning.scan_dir().join(".available/web").exists());
    import.run();
    assert_eq!(import.read("web/options/stopwaitsecs"), "5\n");
    assert!(import.run().starts_with("nothing to change"));
}

#[test]
fn an_import_of_another_file_is_not_mixed_with_the_first() {
    let import = Import::of(WEB);
    import.run();
    let other = import.scanning.scratch.file("other.conf", WEB);
    let scan = import.scanning.scan_dir();
    let output = output(
        program("svimport"),
        [other.as_os_str(), "--into".as_ref(), scan.as_os_str()],
    );
    assert_eq!(output.status.code(), Some(100));
    assert!(
        stderr(&output).contains("holds the import of "),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_imported_service_runs_with_its_environment_and_its_two_logs() {
    let mut import = Import::of("");
    let scratch = import.scanning.scratch.path().to_owned();
    let place = scratch.display();
    import.configure(&format!(
        "[supervisord]\nenvironment=ALL=\"1\"\n[program:web]\nprocess_name=%(program_name)s_%(process_num)02d\n\
         command=/bin/sh -c \"echo out $ALL $OWN; pwd >&2; exec sleep 1000\"\n\
         environment=OWN=\"it's  %(process_num)d\"\ndirectory={place}\n\
         stdout_logfile={place}/logs/web.log\nstderr_logfile=AUTO\n\
         [program:names]\ncommand=env\nenvironment=a-b=\"dash\"\nstartsecs=0\nautorestart=false\n"
    ));
    import.run();
    let mut svscan = import.scanning.command(&[]);
    svscan.env("PATH", path_of_programs());
    import.scanning.svscan = Some(Running::start(&mut svscan));
    let out = || import.scanning.scratch.read("logs/web.log");
    until("stdout through the link of the old name", || {
        out() == "out 1 it's 0\n"
    });
    let errlog = "scan/web_00/errlog/main/current";
    eventually("stderr", || {
        let text = import.scanning.scratch.read(errlog);
        if text == format!("{place}\n") {
            Ok(())
        } else {
            Err(text)
        }
    });
    until("a name that a shell does not hand on", || {
        let text = import.scanning.scratch.read("scan/names/log/main/current");
        text.lines().any(|line| line == "a-b=dash")
    });
    let link = fs::read_link(scratch.join("logs/web.log")).unwrap();
    assert_eq!(link, Path::new("web.log.d/current"));
}
