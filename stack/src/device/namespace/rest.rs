//! What a command leaves running in a private network's background, and how it ends.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use super::super::sys;

/// Kills the processes in the network namespace of that number.
pub(super) fn kill_all_in(network: u64) {
    /// Enough for processes that are just being started by those that we kill.
    const PASSES: usize = 8;
    if network == 0 {
        // There is none, or no /proc in which to look.
        return;
    }
    for _ in 0..PASSES {
        let Ok(processes) = fs::read_dir("/proc") else { return };
        let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let killed =
            numbers.filter(|&process| is_in(process, network) && kill_if_in(process, network)).count();
        if killed == 0 {
            return;
        }
    }
}

fn is_in(process: u32, network: u64) -> bool {
    fs::metadata(format!("/proc/{process}/ns/net")).is_ok_and(|found| found.ino() == network)
}

/// Looks again after the process is held by a descriptor: its number may belong to another by now.
fn kill_if_in(process: u32, network: u64) -> bool {
    let Ok(pidfd) = sys::pidfd(process) else { return false };
    is_in(process, network) && sys::kill(pidfd.as_fd()).is_ok()
}
