//! The prompt: `status` first, then a line at a time, with history and completion on a terminal.

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Editor, Helper};
use servicedir::report::Failure;
use servicedir::supervisor::scan;

use crate::controller::{COMMANDS, Controller};

const PROMPT: &str = "supervisor> ";

/// Takes lines until `quit` or the end of the input. The exit code is 0, whatever the commands had.
pub(crate) fn run(controller: &mut Controller, history: Option<&Path>) -> Result<u8, Failure> {
    controller.interactive = true;
    controller.line("status");
    if std::io::stdin().is_terminal() {
        edit(controller, history)?;
    } else {
        read(controller);
    }
    Ok(0)
}

/// Without a terminal: the prompt is printed all the same, as supervisorctl prints it.
fn read(controller: &mut Controller) {
    while !controller.done {
        controller.write(PROMPT);
        let mut line = String::new();
        match std::io::stdin().lock().read_line(&mut line) {
            Ok(0) | Err(_) => controller.line("EOF"),
            Ok(_) => controller.line(&line),
        }
    }
}

fn edit(controller: &mut Controller, history: Option<&Path>) -> Result<(), Failure> {
    let failed = |error: ReadlineError| {
        Failure::new(1, format_args!("unable to read from the terminal: {error}"))
    };
    let mut editor: Editor<Names, DefaultHistory> = Editor::new().map_err(failed)?;
    editor.set_helper(Some(Names {
        scan: controller.scan.clone(),
    }));
    if let Some(history) = history {
        // The first time there is none.
        drop(editor.load_history(history));
    }
    while !controller.done {
        match editor.readline(PROMPT) {
            Ok(line) => {
                drop(editor.add_history_entry(line.as_str()));
                controller.line(&line);
            }
            Err(ReadlineError::Eof) => controller.line("EOF"),
            Err(ReadlineError::Interrupted) => {
                controller.say("");
                break;
            }
            Err(error) => return Err(failed(error)),
        }
    }
    if let Some(history) = history {
        editor.save_history(history).map_err(failed)?;
    }
    Ok(())
}

/// What the line is completed with: commands, then groups or processes.
struct Names {
    scan: PathBuf,
}

impl Helper for Names {}
impl Highlighter for Names {}
impl Validator for Names {}
impl Hinter for Names {
    type Hint = String;
}

impl Completer for Names {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let line = line.get(..position).unwrap_or(line);
        let start = line.rfind(' ').map_or(0, |blank| blank + 1);
        let word = line.get(start..).unwrap_or_default();
        let mut words = self.candidates(line, start);
        words.retain(|candidate| candidate.starts_with(word));
        words.dedup();
        for candidate in &mut words {
            candidate.push(' ');
        }
        Ok((start, words))
    }
}

impl Names {
    fn candidates(&self, line: &str, start: usize) -> Vec<String> {
        let command = line.split_whitespace().next().unwrap_or_default();
        let commands = || COMMANDS.iter().map(|(name, _)| (*name).to_owned());
        if start == 0 || command == "help" {
            return commands().filter(|name| name != "EOF").collect();
        }
        let processes = scan::processes(&self.scan).unwrap_or_default();
        match command {
            "add" | "remove" | "update" => {
                processes.into_iter().map(|process| process.group).collect()
            }
            "clear" | "fg" | "pid" | "restart" | "signal" | "start" | "status" | "stop"
            | "tail" => {
                let mut names = Vec::new();
                for process in processes {
                    names.push(process.namespec());
                    if process.group != process.name {
                        names.push(format!("{}:*", process.group));
                    }
                }
                names.sort();
                names
            }
            _ => Vec::new(),
        }
    }
}
