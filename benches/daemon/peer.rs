//! Programs that tell of changes and do nothing about them.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{Cost, Process};
use crate::table::BARE;
use crate::{GLANCE, ROUNDS, overwrite};

/// A program that tells of changes: what it takes until it listens, and while files are written.
pub(crate) struct Peer {
    pub(crate) start: Cost,
    pub(crate) seen: usize,
    pub(crate) intake: Duration,
}

impl Peer {
    pub(crate) fn measure(
        command: &mut Command,
        column: usize,
        root: &Path,
        written: &[PathBuf],
        log: &Path,
    ) -> Self {
        // Each has its own words for "ready", and for the last change that it saw.
        let (ready, ended) =
            if column == BARE { ("ready ", "seen ") } else { ("established", "/end\n") };
        let mut starts = Vec::new();
        loop {
            let peer = Process::start(command, log);
            peer.wait_for(ready);
            starts.push(peer.cost());
            if starts.len() < ROUNDS {
                continue;
            }
            let cpu = peer.cpu();
            overwrite(written, column);
            // While its queue is full the end is not heard of.
            while !peer.said().contains(ended) {
                fs::write(root.join("end"), b"").expect("written");
                std::thread::sleep(GLANCE);
            }
            let intake = peer.cpu().saturating_sub(cpu);
            fs::remove_file(root.join("end")).expect("removed");
            let text = fs::read_to_string(log).expect("readable");
            let told = text.lines().find_map(|line| line.strip_prefix("seen ")?.split(' ').next());
            let lines = || text.lines().filter(|line| line.contains("/asset-"));
            let seen = told.map_or_else(
                || lines().collect::<HashSet<_>>().len(),
                |number| number.parse().expect("a number"),
            );
            return Self { start: Cost::median(&starts), seen, intake };
        }
    }
}
