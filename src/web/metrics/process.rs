//! What the kernel says of this process.

use std::fs;

use crate::telemetry::meters::Meter;

use super::Reading;

/// Ticks of the kernel's accounts in a second: part of Linux' interface on every machine.
const TICKS: f64 = 100.0;

/// Reads what is known; what can't be read is left out.
pub(super) fn read(reading: &mut Reading) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name before it, in parentheses, may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // Of proc_pid_stat(5), whose third field is the first here.
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    if let (Some(user), Some(system)) = (field(14), field(15)) {
        reading.put(Meter::ProcessCpu, &[], (user + system) / TICKS);
    }
    if let Some(threads) = field(20) {
        reading.put(Meter::ProcessThreads, &[], threads);
    }
    if let (Some(ticks), Some(booted_at)) = (field(22), booted_at()) {
        reading.put(Meter::ProcessStart, &[], booted_at + ticks / TICKS);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    if let Some(kilobytes) = resident.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
    {
        let kilobytes: f64 = kilobytes;
        reading.put(Meter::ProcessMemory, &[], kilobytes * 1024.0);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // One of them is the listing's own.
        reading.number(Meter::ProcessFiles, &[], (files.count() as u64).saturating_sub(1));
    }
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if let Some(most) = most {
        reading.number(Meter::ProcessMostFiles, &[], most);
    }
}

/// Seconds since the epoch.
fn booted_at() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}
