//! Tables for people: as wide as they need to be, cut where a terminal ends.

use super::Printer;

/// Lines of cells under a head.
pub(super) struct Table {
    lines: Vec<Vec<String>>,
}

impl Table {
    /// Begins a table.
    pub(super) fn new(head: &[&str]) -> Self {
        Self { lines: vec![head.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    /// Adds a line.
    pub(super) fn line(&mut self, cells: Vec<String>) {
        self.lines.push(cells);
    }

    /// Writes the table; on a terminal with the head and telling words in colour, and long lines cut.
    pub(super) fn print(&self, printer: &mut Printer) {
        let columns = self.lines.iter().map(Vec::len).max().unwrap_or(0);
        let wide = |column: usize| {
            let cells = self.lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(wide).collect();
        let room = printer.width().unwrap_or(usize::MAX);
        for (number, line) in self.lines.iter().enumerate() {
            let (mut text, mut used) = (String::new(), 0);
            for (cell, width) in line.iter().zip(&widths) {
                let rest = room.saturating_sub(used);
                let shown: String = cell.chars().take(rest).collect();
                let blank = (width + 2).saturating_sub(cell.chars().count());
                used += width + 2;
                text.push_str(&painted(&shown, number == 0, printer.paints()));
                text.push_str(&" ".repeat(blank.min(room.saturating_sub(used - blank))));
            }
            printer.line(text.trim_end());
        }
    }
}

/// Colours a head, and a word that tells how something stands.
fn painted(cell: &str, is_head: bool, paints: bool) -> String {
    let code = match cell {
        _ if is_head => "1",
        "done" => "32",
        "failed" => "31",
        "hold" | "quota" | "retry" | "pause" => "33",
        "rejected" | "cancelled" | "superseded" => "2",
        _ => "",
    };
    if paints && !code.is_empty() { format!("\x1b[{code}m{cell}\x1b[0m") } else { cell.to_owned() }
}
