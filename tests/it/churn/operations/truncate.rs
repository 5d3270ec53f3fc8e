//! truncate(2) as a tool.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Truncates by path, which neither the standard library nor a shell does: they open the file.
pub(super) struct Truncate {
    python: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Truncate {
    pub(super) fn new() -> Self {
        const SCRIPT: &str = "import os, sys\n\
             for line in sys.stdin:\n\
             \x20length, path = line.rstrip('\\n').split(' ', 1)\n\
             \x20os.truncate(path, int(length))\n\
             \x20print(flush=True)\n";
        let mut python = Command::new("python3")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed: ./tests/run sees to it");
        let questions = python.stdin.take().expect("piped");
        let answers = BufReader::new(python.stdout.take().expect("piped"));
        Self { python, questions, answers }
    }

    pub(super) fn truncate(&mut self, path: &str, length: usize) -> std::io::Result<()> {
        writeln!(self.questions, "{length} {path}")?;
        self.answers.read_line(&mut String::new()).map(drop)
    }
}

impl Drop for Truncate {
    fn drop(&mut self) {
        let _ = self.python.kill();
        let _ = self.python.wait();
    }
}
