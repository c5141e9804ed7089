//! Namespaces of users and networks, and what happens in a child between `fork` and `exec`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::check;

/// Moves the calling thread into a fresh network namespace.
pub(crate) fn unshare_network() -> io::Result<()> {
    // SAFETY: no pointers are passed; no memory or descriptor is unshared.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

/// Moves the calling process, which must have one thread, into a fresh user namespace in which it is root, and into a
/// fresh network namespace of that. Allocates nothing.
pub(crate) fn unshare_user_and_network() -> io::Result<()> {
    // SAFETY: these take and answer numbers only.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    // SAFETY: no pointers are passed; no memory or descriptor is unshared.
    check(unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) })?;
    write_map("/proc/self/uid_map", uid)?;
    // An ordinary user may map a group only after it gave up the right to change the supplementary ones.
    fs::write("/proc/self/setgroups", "deny")?;
    write_map("/proc/self/gid_map", gid)
}

/// Maps `id` outside to 0 inside.
fn write_map(path: &str, id: u32) -> io::Result<()> {
    let mut line = [0u8; 24];
    let mut rest = &mut line[..];
    write!(rest, "0 {id} 1")?;
    let unused = rest.len();
    fs::write(path, &line[..line.len() - unused])
}

/// Has the child be killed when the thread that started it ends.
pub(crate) fn die_with_parent() -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a number.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }).map(drop)
}

/// Runs `step` in the child, between `fork` and `exec`.
///
/// `step` must do no more than system calls: no locks, nothing allocated.
pub(crate) fn before_exec(
    command: &mut Command,
    step: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> &mut Command {
    // SAFETY: the steps of this crate (in `device::namespace`) open, configure and send descriptors by system calls,
    // with buffers of their own on the stack; they take no lock that another thread could have held at the fork.
    unsafe { command.pre_exec(step) }
}

/// Whether this process could make a user namespace; tried in a child that ends at once.
pub(crate) fn try_user_namespace() -> io::Result<()> {
    // SAFETY: the child calls nothing but `unshare` and `_exit`, both async-signal-safe.
    let child = unsafe {
        let child = libc::fork();
        if child == 0 {
            let answer = libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET);
            let code = if answer == 0 { 0 } else { *libc::__errno_location() };
            libc::_exit(code);
        }
        check(child)?
    };
    let mut status = 0;
    loop {
        // SAFETY: `status` is writable, and `child` is a child of ours that nobody else waits for.
        match check(unsafe { libc::waitpid(child, &raw mut status, 0) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    match libc::WEXITSTATUS(status) {
        0 if libc::WIFEXITED(status) => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// Whether this process is root, as far as ids go.
pub(crate) fn is_root() -> bool {
    // SAFETY: takes and answers numbers only.
    unsafe { libc::geteuid() == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_runs_a_step_before_its_program() {
        let mut command = Command::new("/bin/true");
        before_exec(&mut command, || Err(io::Error::from_raw_os_error(libc::ENOANO)));
        assert_eq!(command.spawn().unwrap_err().raw_os_error(), Some(libc::ENOANO));
    }

    #[test]
    fn trying_leaves_this_process_alone() {
        let before = fs::read_link("/proc/self/ns/user").unwrap();
        let _ = try_user_namespace();
        assert_eq!(fs::read_link("/proc/self/ns/user").unwrap(), before);
    }
}
