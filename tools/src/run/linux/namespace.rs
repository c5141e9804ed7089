//! A network namespace with a TUN of ours, and the thread that is inside it.

use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, gettid, getuid};
use ustack::device::{Cidr, EventFd, Tun, TunBuilder};

use super::sysctl::Sysctl;
use crate::run::settings;

/// Work for the thread inside.
type Job = Box<dyn FnOnce() + Send>;

/// The thread inside a namespace; the namespace lives as long as it.
#[derive(Debug)]
pub(super) struct Inside {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Its folder below `/proc`, which shows the namespace's counters to everybody.
    pub(super) proc: PathBuf,
}

/// Why there is no namespace for us.
#[derive(Debug, thiserror::Error)]
pub struct Unavailable(String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scripts against Linux need a network namespace of their own: {}", self.0)
    }
}

/// Whether scripts can be run against Linux here.
///
/// # Errors
/// What is missing, and what mends it.
pub fn check() -> Result<(), Unavailable> {
    let inside = Inside::new().and_then(|inside| {
        let tun = inside.run(|| tun(&settings::Settings::default()))?;
        tun.map(|_| ())
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
    pub(super) fn new() -> Result<Self, String> {
        let (jobs, work): (Sender<Job>, Receiver<Job>) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let body = move || {
            let made = unshare(CloneFlags::CLONE_NEWNET);
            let entered = made.is_ok();
            // Nobody listens if the other side has given up, and then there is nothing to do.
            let _ = tell.send(made.map(|()| gettid()));
            if entered {
                work.into_iter().for_each(|job| job());
            }
        };
        let thread = std::thread::Builder::new().name("inside".into()).spawn(body);
        let thread = thread.map_err(|error| error.to_string())?;
        match told.recv() {
            Ok(Ok(id)) => {
                let proc = format!("/proc/self/task/{id}").into();
                Ok(Self { jobs: Some(jobs), thread: Some(thread), proc })
            }
            Ok(Err(error)) => Err(format!("a network namespace: {error}")),
            Err(_) => Err("the thread inside has ended".into()),
        }
    }

    /// Begins work inside.
    pub(super) fn begin(&self, job: impl FnOnce() + Send + 'static) -> Result<(), String> {
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(Box::new(job)));
        sent.and_then(Result::ok).ok_or_else(|| "the thread inside has ended".into())
    }

    /// Does something inside, and waits for it.
    pub(super) fn run<T: Send + 'static>(
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

/// Sets what is set below `/proc/sys/net`; to be called inside.
pub(super) fn apply(sysctls: &[Sysctl]) -> Result<(), String> {
    for Sysctl { name, value, optional } in sysctls {
        match fs::write(format!("/proc/sys/net/{name}"), value) {
            Ok(()) => {}
            // Older kernels do not have all, or not in each namespace.
            Err(_) if *optional => {}
            Err(error) => return Err(format!("net/{name} = {value}: {error}")),
        }
    }
    Ok(())
}

/// The TUN that leads to us; to be called inside.
pub(super) fn tun(settings: &settings::Settings) -> Result<Tun, String> {
    let local = settings.local();
    let (prefix, neighbour) = match local {
        IpAddr::V4(ip) => (24, IpAddr::from((ip.to_bits() ^ 2).to_be_bytes())),
        IpAddr::V6(ip) => (64, IpAddr::from((ip.to_bits() ^ 2).to_be_bytes())),
    };
    let address = Cidr::new(local, prefix).ok_or("no network is that long")?;
    let builder = TunBuilder::new("tun0").address(address).mtu(settings.mtu).default_route(neighbour);
    builder.up().build().map_err(|error| error.to_string())
}

/// An event that a thread inside raises when a call is done.
pub(super) fn event() -> Result<EventFd, String> {
    EventFd::new().map_err(|error| error.to_string())
}
