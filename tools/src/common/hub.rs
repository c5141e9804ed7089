//! A hub in the file system: a folder whose members, each a socket of UNIX datagrams, are on one Ethernet.
//!
//! No process is special: each sends its frames to all others (or, once it has heard from an address, to that one
//! alone). So two terminals of one machine can talk through two stacks without any privilege.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use ustack::buf::frame::{RxFrame, TxFrame};
use ustack::device::{Capabilities, Device, Medium};
use ustack::time::{Duration, Instant};

/// Members of one hub.
pub(crate) const MAX_MEMBERS: u8 = 200;
/// Frames kept for a member that is slower than we are; what comes on top is lost.
const MAX_PENDING: usize = 1024;
/// Addresses whose member is remembered.
const MAX_LEARNED: usize = 1024;
/// When a full socket is tried again, at first and in the long run. The kernel keeps only a handful of datagrams for
/// each, so a full one may have room a moment later.
const RETRY: Duration = Duration::from_micros(200);
const LAZY_RETRY: Duration = Duration::from_millis(20);
/// How old our knowledge of who is there may be.
const REFRESH: Duration = Duration::from_millis(100);
const LOCK: &str = "lock";
const MTU: usize = 1500;
const ETHERNET_HEADER: usize = 14;

/// Our place in a hub. It is free again when this value is dropped.
#[derive(Debug)]
pub(crate) struct Hub {
    folder: PathBuf,
    number: u8,
    socket: UnixDatagram,
    peers: BTreeMap<u8, Peer>,
    /// Who has which Ethernet address.
    learned: BTreeMap<[u8; 6], u8>,
    refreshed: Option<Instant>,
    retry_at: Option<Instant>,
    /// The next wait, if nothing can be sent until then.
    patience: Duration,
    /// Frames that some member had no room for, since it was told last.
    lost: usize,
    frame: Vec<u8>,
}

/// Another member.
#[derive(Debug)]
struct Peer {
    path: PathBuf,
    /// Frames for which its socket had no room yet.
    pending: VecDeque<Vec<u8>>,
}

impl Hub {
    /// Takes the first free place, and makes the hub if there is none.
    pub(crate) fn join(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let lock = File::create(folder.join(LOCK))?;
        lock.lock()?;
        for number in 0..MAX_MEMBERS {
            let path = folder.join(number.to_string());
            if path.exists() {
                if is_alive(&path)? {
                    continue;
                }
                // Who had the place ended without leaving.
                fs::remove_file(&path)?;
            }
            let socket = UnixDatagram::bind(&path)?;
            socket.set_nonblocking(true)?;
            return Ok(Self {
                folder: folder.to_path_buf(),
                number,
                socket,
                peers: BTreeMap::new(),
                learned: BTreeMap::new(),
                refreshed: None,
                retry_at: None,
                patience: RETRY,
                lost: 0,
                frame: vec![0; MTU + ETHERNET_HEADER],
            });
        }
        Err(io::Error::other(format!("all {MAX_MEMBERS} places are taken")))
    }

    /// Our place, from 0.
    pub(crate) const fn number(&self) -> u8 {
        self.number
    }

    fn refresh(&mut self, now: Instant) -> io::Result<()> {
        if self.refreshed.is_some_and(|at| now.since(at) < REFRESH) {
            return Ok(());
        }
        self.refreshed = Some(now);
        let mut present = BTreeMap::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let number = entry.file_name().to_str().and_then(|name| name.parse::<u8>().ok());
            if let Some(number) = number.filter(|&number| number < MAX_MEMBERS && number != self.number) {
                let known = self.peers.remove(&number);
                let new = || Peer { path: entry.path(), pending: VecDeque::new() };
                present.insert(number, known.unwrap_or_else(new));
            }
        }
        self.peers = present;
        self.learned.retain(|_, number| self.peers.contains_key(number));
        Ok(())
    }

    /// Sends what had no room before.
    fn send_pending(&mut self, now: Instant) {
        let mut progress = false;
        let mut is_full = false;
        for peer in self.peers.values_mut() {
            while let Some(frame) = peer.pending.front() {
                match self.socket.send_to(frame, &peer.path) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        is_full = true;
                        break;
                    }
                    // Sent, or its member has gone: the next refresh tells.
                    _ => {
                        progress = true;
                        peer.pending.pop_front();
                    }
                }
            }
        }
        if progress || !is_full {
            self.patience = RETRY;
        }
        if !is_full {
            self.retry_at = None;
        } else if progress || self.retry_at.is_none_or(|at| at <= now) {
            self.retry_at = Some(now + self.patience);
            self.patience = (self.patience * 2).min(LAZY_RETRY);
        }
    }

    fn learn(&mut self, from: Option<&Path>, len: usize) {
        let number = from.and_then(|path| path.file_name()?.to_str()?.parse().ok());
        let mac = self.frame[..len].get(6..12).and_then(|mac| <[u8; 6]>::try_from(mac).ok());
        if number.is_some_and(|number| !self.peers.contains_key(&number)) {
            // Whoever is new may be spoken to at once.
            self.refreshed = None;
        }
        if let (Some(number), Some(mac)) = (number, mac)
            && (self.learned.len() < MAX_LEARNED || self.learned.contains_key(&mac))
        {
            self.learned.insert(mac, number);
        }
    }
}

impl Device for Hub {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(Medium::Ethernet, MTU)
    }

    fn recv(&mut self, now: Instant) -> io::Result<Option<RxFrame<'_>>> {
        self.send_pending(now);
        match self.socket.recv_from(&mut self.frame) {
            Ok((len, from)) => {
                self.learn(from.as_pathname(), len);
                Ok(Some(RxFrame {
                    bytes: &self.frame[..len],
                    offload: ustack::buf::frame::Offload::default(),
                }))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn send(&mut self, now: Instant, frame: &TxFrame<'_>) -> io::Result<()> {
        self.refresh(now)?;
        let mut bytes = Vec::with_capacity(frame.len());
        frame.copy_to(&mut bytes);
        let to = bytes.first_chunk::<6>().and_then(|mac| self.learned.get(mac)).copied();
        let mut lost = false;
        for (_, peer) in self.peers.iter_mut().filter(|&(&number, _)| to.is_none_or(|to| to == number)) {
            match peer.pending.len() {
                MAX_PENDING.. => lost = true,
                _ => peer.pending.push_back(bytes.clone()),
            }
        }
        self.send_pending(now);
        // One member that does not listen must not keep the others from hearing us.
        self.lost += usize::from(lost);
        Ok(())
    }

    fn flush(&mut self, _now: Instant) -> io::Result<usize> {
        Ok(std::mem::take(&mut self.lost))
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.retry_at
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // The last one out removes the folder; it may hold what is not ours, and then stays.
        let lock = File::create(self.folder.join(LOCK)).and_then(|lock| lock.lock().map(|()| lock));
        let _ = fs::remove_file(self.folder.join(self.number.to_string()));
        let others = fs::read_dir(&self.folder)
            .map_or(true, |entries| entries.filter_map(Result::ok).any(|entry| entry.file_name() != LOCK));
        if !others {
            let _ = fs::remove_file(self.folder.join(LOCK));
            let _ = fs::remove_dir(&self.folder);
        }
        drop(lock);
    }
}

/// Whether somebody receives there.
fn is_alive(path: &Path) -> io::Result<bool> {
    match UnixDatagram::unbound()?.connect(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use ustack::buf::frame::Offload;
    use ustack::time::{Units, at};
    use ustack::why::Why;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("ustack-hub-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    fn send(hub: &mut Hub, to: u8, from: u8, text: &[u8]) {
        let head: Vec<u8> = [[to; 6], [from; 6]].concat();
        let why = &Why::FOREIGN;
        let frame = TxFrame { head: &head, body: [&[0, 0], text], offload: Offload::default(), why };
        hub.send(at(0.ms()), &frame).unwrap();
    }

    fn received(hub: &mut Hub) -> Option<Vec<u8>> {
        hub.recv(at(0.ms())).unwrap().map(|frame| frame.bytes[ETHERNET_HEADER..].to_vec())
    }

    #[test]
    fn members_hear_each_other_and_leave_nothing_behind() {
        let folder = folder("members");
        let [mut a, mut b, mut c] = [0; 3].map(|_| Hub::join(&folder).unwrap());
        assert_eq!([a.number(), b.number(), c.number()], [0, 1, 2]);
        send(&mut a, 0xff, 10, b"to all");
        assert_eq!(received(&mut b).unwrap(), b"to all");
        assert_eq!(received(&mut c).unwrap(), b"to all");
        assert_eq!(received(&mut a), None);
        // b has heard from a, and answers to it alone.
        send(&mut b, 10, 11, b"to a");
        assert_eq!(received(&mut a).unwrap(), b"to a");
        assert_eq!(received(&mut c), None);
        drop((a, b, c));
        assert!(!folder.exists());
    }

    #[test]
    fn a_burst_waits_for_its_receiver() {
        let folder = folder("burst");
        let (mut a, mut b) = (Hub::join(&folder).unwrap(), Hub::join(&folder).unwrap());
        for n in 0..100 {
            send(&mut a, 0xff, 10, &[n]);
        }
        for n in 0..100 {
            let got = received(&mut b).unwrap_or_else(|| {
                a.send_pending(at(0.ms()));
                received(&mut b).unwrap()
            });
            assert_eq!(got, [n]);
        }
    }

    #[test]
    fn a_member_that_does_not_listen_is_told_of_and_keeps_nobody_from_hearing() {
        let folder = folder("deaf");
        let [mut a, _deaf, mut c] = [0; 3].map(|_| Hub::join(&folder).unwrap());
        let lost = (0..10 * MAX_PENDING as u32).map(|n| {
            send(&mut a, 0xff, 10, &n.to_be_bytes());
            assert_eq!(received(&mut c).unwrap(), n.to_be_bytes());
            a.flush(at(0.ms())).unwrap()
        });
        assert!(lost.sum::<usize>() > MAX_PENDING);
        assert_eq!(a.flush(at(0.ms())).unwrap(), 0, "it is told once");
    }

    #[test]
    fn the_place_of_one_that_died_is_free() {
        let folder = folder("died");
        fs::create_dir_all(&folder).unwrap();
        drop(UnixDatagram::bind(folder.join("0")).unwrap());
        let hub = Hub::join(&folder).unwrap();
        assert_eq!(hub.number(), 0);
    }
}
