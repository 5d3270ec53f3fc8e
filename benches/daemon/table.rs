//! The table that is printed.

use std::time::Duration;

pub(crate) const COLUMNS: [&str; 4] = ["inotify", "fanotify", "`inotifywait`", "bare C"];
pub(crate) const INOTIFY: usize = 0;
pub(crate) const FANOTIFY: usize = 1;
pub(crate) const INOTIFYWAIT: usize = 2;
pub(crate) const BARE: usize = 3;

/// Figures by what they tell and whose they are.
#[derive(Default)]
pub(crate) struct Table(Vec<(&'static str, &'static str, [String; 4])>);

impl Table {
    /// Puts a figure, and prints it at once for whoever waits.
    pub(crate) fn put(
        &mut self,
        what: &'static str,
        goal: &'static str,
        column: usize,
        figure: String,
    ) {
        println!("  {what}: {figure}");
        let at = self.0.iter().position(|row| row.0 == what).unwrap_or_else(|| {
            self.0.push((what, goal, <[String; 4]>::default()));
            self.0.len() - 1
        });
        self.0[at].2[column] = figure;
    }

    /// Puts a peer's figure, and how many times as much the daemon with inotify takes.
    pub(crate) fn versus(
        &mut self,
        what: &'static str,
        column: usize,
        whose: &str,
        ours: Duration,
        peer: Duration,
    ) {
        let ratio = ours.as_secs_f64() / peer.as_secs_f64().max(0.001);
        self.put(what, "", column, format!("{whose}{} (ratio {ratio:.2})", seconds(peer)));
    }

    pub(crate) fn print(&self) {
        println!("\n| what | goal | {} |\n|---|---|---|---|---|---|", COLUMNS.join(" | "));
        for (what, goal, figures) in &self.0 {
            println!("| {what} | {goal} | {} |", figures.join(" | "));
        }
    }
}

pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

pub(crate) fn mebibytes(kibibytes: u64) -> String {
    format!("{} MiB", kibibytes / 1024)
}
