//! The page in a real browser: what is seen, what the buttons do, live, by keyboard, on a phone's width, and
//! without JavaScript.

use crate::support::scanning::{SLEEP, Scanning};
use crate::support::until;

use super::browser::Browser;
use super::server::{Server, string};

/// A service that runs, a group, one that is down, one that gives up, and one with a log.
fn shop(scanning: &Scanning) {
    let svlogd = crate::support::program("svlogd").display();
    let services = [
        ("web", "echo 'hello <b>you</b>'; exec sleep 1000", ""),
        ("report", SLEEP, "autostart=no"),
        ("billing", "exit 3", "startretries=0"),
        ("w1", SLEEP, "group=workers"),
        ("w2", SLEEP, "group=workers"),
    ];
    for (name, run, option) in services {
        scanning.service(name, run);
        if let Some((option, value)) = option.split_once('=') {
            scanning.option(name, option, value);
        }
        if name != "billing" {
            scanning.option(name, "startsecs", "0");
        }
        if name == "web" {
            scanning
                .scratch
                .script("sv/web/log/run", &format!("exec {svlogd} main"));
            std::fs::create_dir(scanning.dir("web").join("log/main")).unwrap();
        }
        scanning.link(name);
    }
}

fn served(args: &[&str]) -> (Server, String) {
    let mut server = Server::on(shop);
    let mut all = args.to_vec();
    all.extend(["--tcp", "127.0.0.1:0", "--name", "shop"]);
    server.start(&all);
    let url = format!("http://localhost:{}", server.port());
    for name in ["web", "workers:w1", "workers:w2"] {
        let info = || server.call("supervisor.getProcessInfo", &string(name));
        until(name, || info().contains("RUNNING"));
    }
    until("billing has given up", || {
        server
            .call("supervisor.getProcessInfo", &string("billing"))
            .contains("FATAL")
    });
    (server, url)
}

/// The state that the page shows of a service.
fn state_is(name: &str, state: &str) -> String {
    format!(
        "return document.querySelector('tr[data-name=\"{name}\"] .state')?.innerText === '{state}'"
    )
}

#[test]
fn all_services_are_seen_and_the_buttons_work_live() {
    let (server, url) = served(&["--control"]);
    let browser = Browser::start();
    browser.open(&url);
    for (name, state) in [
        ("web", "running"),
        ("report", "stopped"),
        ("billing", "fatal"),
        ("workers:w1", "running"),
    ] {
        browser.until(name, &state_is(name, state));
    }
    let pid = server.scanning.up("web").to_string();
    assert_eq!(browser.text("tr[data-name=web] .pid"), pid);
    assert!(
        browser.text("tr[data-name=web] .memory").ends_with("iB"),
        "memory"
    );
    assert!(
        browser
            .text("tr[data-name=billing] .problem")
            .contains("exited 3")
    );
    assert!(browser.text("section[data-group=workers] h2") == "workers");
    assert!(
        browser.text("#counts").contains("3 running"),
        "{}",
        browser.text("#counts")
    );
    browser.until(
        "it is live",
        "return document.querySelector('#live').innerText === 'live'",
    );

    // A button, without leaving the page.
    browser.run("window.stayed = true");
    browser.click("tr[data-name=web] button.stop");
    browser.until("web is shown as stopped", &state_is("web", "stopped"));
    browser.until(
        "and said to be",
        "return document.querySelector('#message').innerText === 'web: stopped'",
    );
    browser.click("tr[data-name=web] button.start");
    browser.until("web is shown as running", &state_is("web", "running"));
    browser.click("section[data-group=workers] .grouphead button.stop");
    browser.until(
        "the group is shown as stopped",
        &state_is("workers:w2", "stopped"),
    );
    browser.click("tr[data-name=billing] button.start");
    browser.until(
        "a failure is told",
        "return document.querySelector('#message.bad')?.innerText.includes('SPAWN_ERROR')",
    );

    // What others do is seen too: a command, a death, a new service.
    server.call("supervisor.startProcessGroup", &string("workers"));
    browser.until(
        "the group is shown as running",
        &state_is("workers:w2", "running"),
    );
    let dead = server.scanning.up("w1");
    crate::support::kill(dead, libc::SIGKILL);
    browser.until("its new pid is shown", &format!("const pid = document.querySelector('tr[data-name=\"workers:w1\"] .pid').innerText; return pid !== '' && pid !== '{dead}'"));
    server.scanning.service("new", SLEEP);
    server.scanning.link("new");
    browser.until("a new service is shown", &state_is("new", "running"));
    assert_eq!(browser.run("return window.stayed"), "true");
    assert_eq!(browser.console(), "[]");
}

#[test]
fn a_service_s_page_shows_its_log_as_it_comes() {
    let (server, url) = served(&["--control"]);
    let browser = Browser::start();
    browser.open(&format!("{url}/services/web"));
    assert_eq!(browser.text("#tail"), "hello <b>you</b>\n");
    browser.until(
        "it is live",
        "return document.querySelector('#live').innerText === 'live'",
    );
    server.call("supervisor.stopProcess", &string("web"));
    browser.until(
        "it is shown as stopped",
        "return document.querySelector('#facts .state').innerText === 'stopped'",
    );
    browser.click("#facts button.start");
    browser.until("the new line comes", "return document.querySelector('#tail').textContent === 'hello <b>you</b>\\nhello <b>you</b>\\n'");
    browser.click("#facts button.clear");
    browser.until(
        "it is cleared",
        "return document.querySelector('#message').innerText === 'web: cleared'",
    );
    assert_eq!(browser.console(), "[]");
}

#[test]
fn it_is_used_without_javascript() {
    let (server, url) = served(&["--control"]);
    let browser = Browser::start();
    browser.devtools("Emulation.setScriptExecutionDisabled", r#"{"value":true}"#);
    browser.open(&url);
    browser.click("tr[data-name=web] button.stop");
    let info = server.call("supervisor.getProcessInfo", &string("web"));
    assert!(info.contains("STOPPED"), "{info}");
    assert_eq!(browser.text("#message"), "web: stopped");
    assert_eq!(browser.text("tr[data-name=web] .state"), "stopped");
    browser.click("tr[data-name=web] th a");
    browser.click("#facts button.start");
    assert_eq!(browser.text("#message"), "web: started");
    assert_ne!(browser.text("#facts .state"), "stopped");
    // The message is shown once.
    browser.open(&url);
    assert_eq!(browser.text("#message"), "");
}

#[test]
fn it_is_used_by_the_keyboard_and_filtered() {
    const TAB: &str = "\u{e004}";
    const ENTER: &str = "\u{e007}";
    const ESCAPE: &str = "\u{e00c}";
    let (_server, url) = served(&["--control"]);
    let browser = Browser::start();
    browser.open(&url);
    browser.press(&["/"]);
    browser.press(&["w", "e", "b"]);
    let shown = "return [...document.querySelectorAll('tbody tr')].filter((row) => row.checkVisibility()).map((row) => row.dataset.name).join()";
    assert_eq!(browser.run(shown), "\"web\"");
    browser.press(&[ESCAPE]);
    assert_eq!(
        browser.run(shown),
        "\"billing,report,web,workers:w1,workers:w2\""
    );
    browser.click("#counts .fatal");
    assert_eq!(browser.run(shown), "\"billing\"");
    browser.click("#counts .fatal");
    // From the top, TAB by TAB, to the button of web.
    browser.run("document.querySelector('tr[data-name=web] th a').focus()");
    browser.press(&[TAB, TAB]);
    assert_eq!(
        browser.run("return document.activeElement.value"),
        "\"stop web\""
    );
    browser.press(&[ENTER]);
    browser.until("web is stopped", &state_is("web", "stopped"));
    // The row was replaced under it, and the focus stays there.
    browser.until(
        "the focus stays in the row",
        "return document.activeElement.closest('tr')?.dataset.name === 'web'",
    );
}

#[test]
fn it_fits_a_phone_and_the_dark() {
    let (_server, url) = served(&["--control"]);
    let browser = Browser::start();
    browser.size(360, 740);
    for page in ["/", "/services/web"] {
        browser.open(&format!("{url}{page}"));
        assert_eq!(
            browser.run("return document.documentElement.scrollWidth"),
            "360",
            "{page} is not wider"
        );
        let small = browser.run("return [...document.querySelectorAll('main button')].filter((b) => b.checkVisibility() && b.getBoundingClientRect().height < 30).map((b) => b.outerHTML)");
        assert_eq!(small, "[]", "a finger hits every button");
    }
    let ground = "return getComputedStyle(document.body).backgroundColor";
    browser.prefer("light");
    let light = browser.run(ground);
    browser.prefer("dark");
    assert_ne!(browser.run(ground), light);
}

#[test]
fn a_read_only_page_has_no_buttons_and_takes_no_action() {
    let (server, url) = served(&[]);
    let browser = Browser::start();
    browser.open(&url);
    browser.until("web is shown", &state_is("web", "running"));
    assert_eq!(
        browser.run("return document.querySelectorAll('button[form]').length"),
        "0"
    );
    let refused = browser.run("return fetch('/action', { method: 'POST', headers: { 'X-Token': document.body.dataset.token }, body: new URLSearchParams({ do: 'stop web' }) }).then((reply) => reply.status)");
    assert_eq!(refused, "403");
    assert!(
        server
            .call("supervisor.getProcessInfo", &string("web"))
            .contains("RUNNING")
    );
}

#[test]
#[ignore = "fails on a loaded machine: no whole reply in time"]
fn five_hundred_services_stay_quick() {
    use std::fs;
    let server = Server::with_control(|scanning| {
        // Without a supervise: what is measured is the page.
        for number in 0..500 {
            let dir = scanning.scan_dir().join(format!(".many-{number:03}"));
            fs::create_dir_all(dir.join("options")).unwrap();
            fs::write(dir.join("options/group"), format!("g{}", number % 20)).unwrap();
            scanning
                .scratch
                .script(&format!("scan/.many-{number:03}/run"), SLEEP);
        }
    });
    let scan = server.scanning.scratch.path().join("many");
    fs::create_dir(&scan).unwrap();
    for number in 0..500 {
        let name = format!("many-{number:03}");
        fs::rename(
            server.scanning.scan_dir().join(format!(".{name}")),
            scan.join(name),
        )
        .unwrap();
    }
    let mut command = std::process::Command::new(crate::support::program("svhttpd"));
    let log = server.scanning.scratch.path().join("many.stderr");
    command
        .args(["--tcp", "127.0.0.1:0", "--control"])
        .arg(&scan);
    command.stderr(fs::File::create(&log).unwrap());
    let _many = crate::support::Running::start(&mut command);
    let port: u16 = crate::support::eventually("a port", || {
        let said = fs::read_to_string(&log).unwrap();
        said.split("http://127.0.0.1:")
            .nth(1)
            .and_then(|rest| rest.lines().next()?.parse().ok())
            .ok_or(said)
    });
    let browser = Browser::start();
    browser.open(&format!("http://localhost:{port}"));
    assert_eq!(
        browser.run("return document.querySelectorAll('tbody tr').length"),
        "500"
    );
    browser.press(&["/"]);
    browser.press(&["4", "9", "9"]);
    let visible = "return [...document.querySelectorAll('tbody tr')].filter((row) => row.checkVisibility()).length";
    assert_eq!(browser.run(visible), "1");
    // What the browser itself counts for the page, beside an empty one: work of a linear kind.
    let nodes = browser.run("return document.querySelectorAll('*').length");
    assert!(nodes.parse::<u32>().unwrap() < 20_000, "{nodes}");
}

/// Services as a shop has them, in every state, for pictures.
fn pictured(scanning: &Scanning) {
    let svlogd = crate::support::program("svlogd").display();
    let services = [
        (
            "web",
            "n=0; while [ $n -lt 40 ]; do n=$((n+1)); echo \"GET /orders/$((n*37%911)) 200 $((n*13%89))ms\"; done; exec sleep 1000",
            "",
        ),
        ("postgres", SLEEP, ""),
        ("redis", SLEEP, ""),
        ("nginx", SLEEP, ""),
        ("billing", "sleep 0.1; exit 3", "startretries=1"),
        ("mailer", "sleep 0.1; exit 75", "backoff=constant 1h"),
        ("reports", "sleep 1.2; exit 0", "autorestart=never"),
        ("search", SLEEP, "startsec=5"),
        ("backup", SLEEP, "autostart=no"),
        ("worker-1", SLEEP, "group=workers"),
        ("worker-2", SLEEP, "group=workers"),
        ("worker-3", SLEEP, "group=workers"),
    ];
    for (name, run, option) in services {
        scanning.service(name, run);
        if let Some((option, value)) = option.split_once('=') {
            scanning.option(name, option, value);
        }
        if name == "web" {
            scanning
                .scratch
                .script("sv/web/log/run", &format!("exec {svlogd} -tt main"));
            std::fs::create_dir(scanning.dir("web").join("log/main")).unwrap();
        }
        scanning.link(name);
    }
}

/// Writes the pictures of the README (see doc/pictures), and those to look at after a change of the style.
#[test]
#[ignore = "fails on a loaded machine: no whole reply in time"]
fn pictures_are_taken() {
    let mut server = Server::on(pictured);
    server.start(&["--tcp", "127.0.0.1:0", "--control", "--name", "shop-eu-1"]);
    for (name, state) in [
        ("billing", "FATAL"),
        ("mailer", "BACKOFF"),
        ("reports", "EXITED"),
        ("web", "RUNNING"),
        ("worker-3", "RUNNING"),
    ] {
        until(name, || {
            let info = server.call("supervisor.getAllProcessInfo", "");
            let after = info.split(&format!("<string>{name}</string>")).last();
            after.is_some_and(|after| after.split("spawnerr").next().unwrap().contains(state))
        });
    }
    let url = format!("http://localhost:{}", server.port());
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let browser = Browser::start();
    for (name, page, scheme, width, height) in [
        ("page-light", "/", "light", 1180, 860),
        ("page-dark", "/", "dark", 1180, 860),
        ("page-phone", "/", "light", 390, 1200),
        ("service-light", "/services/web", "light", 1180, 1000),
        ("service-dark", "/services/web", "dark", 1180, 1000),
        ("service-phone", "/services/web", "dark", 390, 1200),
    ] {
        browser.size(width, height);
        browser.prefer(scheme);
        browser.open(&format!("{url}{page}"));
        browser.until(
            "it is live",
            "return document.querySelector('#live').innerText === 'live'",
        );
        let file = folder.join(format!("{name}.png"));
        browser.screenshot(&file);
        let png = std::fs::read(file).unwrap();
        assert_eq!(
            png[16..24],
            [width.to_be_bytes(), height.to_be_bytes()].concat()
        );
    }
}
