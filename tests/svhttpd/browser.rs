//! A headless Chromium, driven over chromedriver's WebDriver protocol (W3C) by plain HTTP.
//!
//! Values are JSON text, as chromedriver writes it: without blanks.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::support::{PATIENCE, Running, Scratch, eventually, peer};

use super::server::{exchange, tcp};

/// What keeps it from talking to anybody but the page's server.
const QUIET: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
];

/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser of a test's own.
pub struct Browser {
    _driver: Running,
    /// Kept open: chromedriver would end when it says more.
    _said: BufReader<ChildStdout>,
    profile: Scratch,
    port: u16,
    session: String,
}

impl Browser {
    /// Starts one with an empty profile.
    pub fn start() -> Self {
        let profile = Scratch::new();
        let mut command = Command::new(peer("chromedriver"));
        command
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command.env("HOME", profile.path());
        let mut driver = Running::start(&mut command);
        let mut said = BufReader::new(driver.child().stdout.take().unwrap());
        let mut line = String::new();
        let port = loop {
            line.clear();
            assert_ne!(
                said.read_line(&mut line).unwrap(),
                0,
                "chromedriver has ended"
            );
            let port = line.trim_end().trim_end_matches('.');
            if let Some((_, port)) = port.split_once("successfully on port ") {
                break port.parse().unwrap();
            }
        };
        let mut browser = Self {
            _driver: driver,
            _said: said,
            profile,
            port,
            session: String::new(),
        };
        let profile = browser.profile.path().join("profile");
        let mut args: Vec<String> = QUIET.iter().map(|arg| quoted(arg)).collect();
        args.push(quoted(&format!("--user-data-dir={}", profile.display())));
        let made = browser.post(
            "/session",
            &format!(
                r#"{{"capabilities":{{"alwaysMatch":{{"goog:chromeOptions":{{"args":[{}],"binary":{}}},"goog:loggingPrefs":{{"browser":"ALL"}}}}}}}}"#,
                args.join(","),
                quoted(peer("chromium").to_str().unwrap()),
            ),
        );
        browser.session = member(&made, "sessionId");
        browser
    }

    fn request(&self, method: &str, path: &str, body: &str) -> String {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let mut stream = tcp(self.port);
        stream.set_read_timeout(Some(PATIENCE * 2)).unwrap();
        let reply = exchange(&mut stream, request);
        let answer = reply.text();
        assert_eq!(reply.status, 200, "{path}: {answer}");
        let value = answer.trim().strip_prefix("{\"value\":");
        value
            .and_then(|value| value.strip_suffix('}'))
            .unwrap_or_else(|| panic!("{answer}"))
            .to_owned()
    }

    fn post(&self, path: &str, body: &str) -> String {
        self.request("POST", path, body)
    }

    fn in_session(&self, path: &str, body: &str) -> String {
        self.post(&format!("/session/{}{path}", self.session), body)
    }

    /// Goes to an address, and waits until it is loaded.
    pub fn open(&self, url: &str) {
        self.in_session("/url", &format!(r#"{{"url":{}}}"#, quoted(url)));
    }

    /// Runs JavaScript, and returns what it returns.
    pub fn run(&self, script: &str) -> String {
        self.in_session(
            "/execute/sync",
            &format!(r#"{{"script":{},"args":[]}}"#, quoted(script)),
        )
    }

    /// The text that is seen of an element.
    pub fn text(&self, selector: &str) -> String {
        let selector = quoted(selector);
        let coded = self.run(&format!(
            "return encodeURIComponent(document.querySelector({selector})?.innerText ?? '')"
        ));
        percent_encoding::percent_decode_str(coded.trim_matches('"'))
            .decode_utf8()
            .unwrap()
            .into_owned()
    }

    /// Waits until JavaScript returns true.
    #[track_caller]
    pub fn until(&self, what: &str, script: &str) {
        eventually(what, || match self.run(script).as_str() {
            "true" => Ok(()),
            other => Err((other.to_owned(), self.text("body"))),
        });
    }

    fn element(&self, selector: &str) -> String {
        let body = format!(r#"{{"using":"css selector","value":{}}}"#, quoted(selector));
        member(&self.in_session("/element", &body), ELEMENT)
    }

    /// Clicks on an element, as a user does.
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.in_session(&format!("/element/{element}/click"), "{}");
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub fn press(&self, keys: &[&str]) {
        let actions: Vec<String> = keys
            .iter()
            .flat_map(|key| {
                ["keyDown", "keyUp"]
                    .map(|kind| format!(r#"{{"type":"{kind}","value":{}}}"#, quoted(key)))
            })
            .collect();
        let actions = actions.join(",");
        self.in_session(
            "/actions",
            &format!(r#"{{"actions":[{{"type":"key","id":"keys","actions":[{actions}]}}]}}"#),
        );
    }

    /// A command of the DevTools protocol; the parameters are JSON.
    pub fn devtools(&self, command: &str, params: &str) {
        let body = format!(r#"{{"cmd":{},"params":{params}}}"#, quoted(command));
        self.in_session("/goog/cdp/execute", &body);
    }

    /// Light or dark, as the system would say.
    pub fn prefer(&self, scheme: &str) {
        let params =
            format!(r#"{{"features":[{{"name":"prefers-color-scheme","value":"{scheme}"}}]}}"#);
        self.devtools("Emulation.setEmulatedMedia", &params);
    }

    /// A window of that width and height, in CSS pixels.
    pub fn size(&self, width: u32, height: u32) {
        let mobile = width < 600;
        let params = format!(
            r#"{{"width":{width},"height":{height},"deviceScaleFactor":1,"mobile":{mobile}}}"#
        );
        self.devtools("Emulation.setDeviceMetricsOverride", &params);
    }

    /// Writes what is seen to a PNG file.
    pub fn screenshot(&self, file: &Path) {
        let path = format!("/session/{}/screenshot", self.session);
        let image = self.request("GET", &path, "");
        let bytes = BASE64_STANDARD.decode(image.trim_matches('"')).unwrap();
        std::fs::write(file, bytes).unwrap();
    }

    /// What the page's console says: errors, and what the content security policy has refused; `[]` for nothing.
    pub fn console(&self) -> String {
        self.in_session("/se/log", r#"{"type":"browser"}"#)
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\n' => json.push_str("\\n"),
            other => json.push(other),
        }
    }
    json + "\""
}

/// A member of a JSON object that is a plain string.
fn member(json: &str, name: &str) -> String {
    let (_, rest) = json
        .split_once(&format!("\"{name}\":\""))
        .unwrap_or_else(|| panic!("{json}"));
    rest.split('"').next().unwrap().to_owned()
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its session; chromedriver is killed then.
        if !self.session.is_empty() && !std::thread::panicking() {
            self.request("DELETE", &format!("/session/{}", self.session), "");
        }
    }
}
