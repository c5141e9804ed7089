//! A network namespace of our own, and the thread that is inside it.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{getgid, gettid, getuid};
use ustack::device::TunBuilder;

/// Work for the thread inside.
type Job = Box<dyn FnOnce() + Send>;

/// The thread inside a namespace; the namespace lives as long as it.
#[derive(Debug)]
pub(crate) struct Inside {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// The thread's number.
    pub(crate) id: u32,
    /// Its folder below `/proc`, which shows the namespace's counters to everybody.
    pub(crate) proc: PathBuf,
}

/// Why there is no namespace for us.
#[derive(Debug, thiserror::Error)]
pub struct Unavailable(String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a network namespace of our own is needed: {}", self.0)
    }
}

/// Whether we may make network namespaces here, and devices in them.
///
/// # Errors
/// What is missing, and what mends it.
pub fn check() -> Result<(), Unavailable> {
    let inside = Inside::new().and_then(|inside| {
        let tun = inside.run(|| TunBuilder::new("tun0").build())?;
        tun.map(drop).map_err(|error| error.to_string())
    });
    inside.map_err(Unavailable)
}

/// Makes the calling process root in a user namespace, in which it may make network namespaces, if it may not already.
/// To be called while the process has one thread.
///
/// # Errors
/// This machine allows no user namespaces, or there is another thread.
pub fn become_root_inside() -> Result<(), Unavailable> {
    if check().is_ok() {
        return Ok(());
    }
    let (user, group) = (getuid(), getgid());
    let enter = || -> io::Result<()> {
        unshare(CloneFlags::CLONE_NEWUSER)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
        fs::write("/proc/self/gid_map", format!("0 {group} 1"))
    };
    enter().map_err(|error| Unavailable(format!("a user namespace: {error}; run as root")))?;
    check()
}

impl Inside {
    /// A thread in a new namespace.
    pub(crate) fn new() -> Result<Self, String> {
        Self::enter(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("a network namespace: {error}"))
        })
    }

    /// Another thread in the same namespace.
    pub(crate) fn beside(other: &Self) -> Result<Self, String> {
        let path = other.proc.join("ns/net");
        let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::enter(move || {
            setns(&file, CloneFlags::CLONE_NEWNET).map_err(|error| format!("{}: {error}", path.display()))
        })
    }

    /// A thread that begins so.
    fn enter(enter: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<Self, String> {
        let (jobs, work): (Sender<Job>, Receiver<Job>) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let body = move || {
            let entered = enter();
            let inside = entered.is_ok();
            // Nobody listens if the other side has given up, and then there is nothing to do.
            let _ = tell.send(entered.map(|()| gettid()));
            if inside {
                work.into_iter().for_each(|job| job());
            }
        };
        let thread = std::thread::Builder::new().name("inside".into()).spawn(body);
        let thread = thread.map_err(|error| error.to_string())?;
        match told.recv() {
            Ok(Ok(id)) => Ok(Self {
                jobs: Some(jobs),
                thread: Some(thread),
                id: id.as_raw().unsigned_abs(),
                proc: format!("/proc/self/task/{id}").into(),
            }),
            refused => {
                // Only a process with one thread may enter a user namespace: whoever tries that next is not to find
                // ours.
                let _ = thread.join();
                let message = refused.ok().and_then(Result::err);
                Err(message.unwrap_or_else(|| "the thread inside has ended".into()))
            }
        }
    }

    /// Begins work inside.
    pub(crate) fn begin(&self, job: impl FnOnce() + Send + 'static) -> Result<(), String> {
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(Box::new(job)));
        sent.and_then(Result::ok).ok_or_else(|| "the thread inside has ended".into())
    }

    /// Does something inside, and waits for it.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let (tell, told) = mpsc::channel();
        self.begin(move || drop(tell.send(job())))?;
        told.recv().map_err(|_| "the thread inside has ended".into())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, it is over as well.
            let _ = thread.join();
        }
    }
}
