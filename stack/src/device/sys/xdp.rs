//! XDP sockets: frames in memory that the kernel and we share, passed to and fro by number through four rings.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use super::mapping::Mapping;
use super::packet::set_option;
use super::{check, owned};

/// A socket with its memory.
///
/// ```text
///   chunks:   0 .. n-1 for receiving                       n .. 2n-1 for sending
///   fill      ours, empty   --> kernel                     tx          ours, full     --> kernel
///   rx        kernel, full  --> ours (lent, then to fill)  completion  kernel, sent   --> ours (spare)
/// ```
#[derive(Debug)]
pub(crate) struct XdpSocket {
    fd: OwnedFd,
    fill: Ring<u64>,
    completion: Ring<u64>,
    rx: Ring<libc::xdp_desc>,
    tx: Ring<libc::xdp_desc>,
    /// Chunks for sending that nobody uses, by their place in the memory.
    spare: Vec<u64>,
    chunk: usize,
    /// Unmapped last: the kernel holds on to it as long as the socket lives.
    memory: Mapping,
}

impl XdpSocket {
    /// A socket with `count` chunks of `chunk` bytes for each direction, both powers of two; nothing arrives yet.
    pub(crate) fn new(chunk: u32, count: u32) -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = owned(unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
        let memory = Mapping::anonymous(2 * chunk as usize * count as usize)?;
        let registration = libc::xdp_umem_reg {
            addr: memory.start() as u64,
            len: memory.len() as u64,
            chunk_size: chunk,
            headroom: 0,
            flags: 0,
            // Not there before Linux 6.8, which takes a shorter structure.
            tx_metadata_len: 0,
        };
        set_option(fd.as_fd(), libc::SOL_XDP, libc::XDP_UMEM_REG, &registration)?;
        let rings =
            [libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_COMPLETION_RING, libc::XDP_RX_RING, libc::XDP_TX_RING];
        for ring in rings {
            set_option(fd.as_fd(), libc::SOL_XDP, ring, &count)?;
        }
        let offsets: libc::xdp_mmap_offsets = get_option(fd.as_fd(), libc::SOL_XDP, libc::XDP_MMAP_OFFSETS)?;
        let socket = fd.as_fd();
        let mut fill = Ring::new(socket, &offsets.fr, count, libc::XDP_UMEM_PGOFF_FILL_RING as libc::off_t)?;
        let completion =
            Ring::new(socket, &offsets.cr, count, libc::XDP_UMEM_PGOFF_COMPLETION_RING as libc::off_t)?;
        let rx = Ring::new(socket, &offsets.rx, count, libc::XDP_PGOFF_RX_RING)?;
        let tx = Ring::new(socket, &offsets.tx, count, libc::XDP_PGOFF_TX_RING)?;
        let place = |index: u32| u64::from(index) * u64::from(chunk);
        (0..count).for_each(|index| {
            fill.push(place(index));
        });
        let spare = (count..2 * count).map(place).collect();
        Ok(Self { fd, fill, completion, rx, tx, spare, chunk: chunk as usize, memory })
    }

    /// Binds it to one queue of an interface. Where the driver can read and write our memory itself it does, unless the
    /// kernel is to `copy`.
    pub(crate) fn bind(&self, interface: u32, queue: u32, copy: bool) -> io::Result<()> {
        let address = libc::sockaddr_xdp {
            sxdp_family: libc::AF_XDP as u16,
            sxdp_flags: libc::XDP_USE_NEED_WAKEUP | if copy { libc::XDP_COPY } else { 0 },
            sxdp_ifindex: interface,
            sxdp_queue_id: queue,
            sxdp_shared_umem_fd: 0,
        };
        let len = size_of_val(&address) as libc::socklen_t;
        // SAFETY: `address` is a `sockaddr_xdp` of that length.
        check(unsafe { libc::bind(self.fd.as_raw_fd(), (&raw const address).cast(), len) }).map(drop)
    }

    /// Whether the driver reads and writes our memory itself.
    pub(crate) fn is_zero_copy(&self) -> io::Result<bool> {
        let options: libc::xdp_options = get_option(self.fd.as_fd(), libc::SOL_XDP, libc::XDP_OPTIONS)?;
        Ok(options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
    }

    /// Frames that came and were lost, because nobody took them in time.
    pub(crate) fn missed(&self) -> io::Result<u64> {
        let statistics: libc::xdp_statistics =
            get_option(self.fd.as_fd(), libc::SOL_XDP, libc::XDP_STATISTICS)?;
        Ok(statistics.rx_dropped + statistics.rx_ring_full)
    }

    /// What has become of the socket since the last call.
    ///
    /// # Errors
    /// Its interface is gone.
    pub(crate) fn take_error(&self) -> io::Result<()> {
        match get_option::<libc::c_int>(self.fd.as_fd(), libc::SOL_SOCKET, libc::SO_ERROR)? {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// What was received next. The kernel may put in more at any time: who acts on this does not ask again.
    pub(crate) fn front(&self) -> Front {
        match self.rx.front() {
            None => Front::Nothing,
            Some(descriptor) => self.place(descriptor).map_or(Front::Unsound, |_| Front::Frame),
        }
    }

    /// The bytes of [`Front::Frame`].
    pub(crate) fn frame(&self) -> Option<&[u8]> {
        let (start, len) = self.place(self.rx.front()?)?;
        // SAFETY: the bytes lie within the half of the memory that is for receiving, which lives as long as `self`. Who
        // finds a descriptor in the rx ring owns its chunk until `pop` gives that back, for which nobody may hold this.
        Some(unsafe { std::slice::from_raw_parts(self.memory.start().add(start), len) })
    }

    /// Where a received frame lies in the half of the memory that is for receiving; `None` if elsewhere.
    fn place(&self, descriptor: libc::xdp_desc) -> Option<(usize, usize)> {
        let (start, len) = (usize::try_from(descriptor.addr).ok()?, descriptor.len as usize);
        let inside = start.checked_add(len).is_some_and(|end| end <= self.memory.len() / 2);
        inside.then_some((start, len))
    }

    /// Gives the frame at the front back to be filled again.
    pub(crate) fn pop(&mut self) {
        if let Some(descriptor) = self.rx.pop() {
            // There are as many places in the ring as chunks for receiving.
            self.fill.push(descriptor.addr - descriptor.addr % self.chunk as u64);
        }
    }

    /// Copies a frame into a spare chunk for the kernel to send; false if it is too long, or all chunks are on their
    /// way.
    pub(crate) fn push(&mut self, parts: &[&[u8]]) -> bool {
        while let Some(sent) = self.completion.pop() {
            // Our unsafe code relies on it that nothing else comes back than what we gave.
            let half = self.memory.len() as u64 / 2;
            if (half..2 * half).contains(&sent) && sent % self.chunk as u64 == 0 {
                self.spare.push(sent);
            }
        }
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let Some(&place) = self.spare.last().filter(|_| len <= self.chunk) else { return false };
        let mut at = place as usize;
        for part in parts {
            // SAFETY: the chunk lies within the half of the memory that is for sending, and is ours: it was never in
            // the tx ring, or came back through the completion ring; no reference into that half exists. The parts fit
            // into it.
            unsafe { self.memory.start().add(at).copy_from_nonoverlapping(part.as_ptr(), part.len()) };
            at += part.len();
        }
        let pushed = self.tx.push(libc::xdp_desc { addr: place, len: len as u32, options: 0 });
        if pushed {
            self.spare.pop();
        }
        pushed
    }

    /// Whether frames wait to be sent, and the kernel for a word.
    pub(crate) fn wants_kick(&self) -> bool {
        !self.tx.is_empty() && self.tx.needs_wakeup()
    }

    /// Has the kernel send what waits, or some of it.
    pub(crate) fn kick(&self) -> io::Result<()> {
        // SAFETY: nothing is passed: the frames are in the ring.
        let sent = unsafe {
            libc::sendto(self.fd.as_raw_fd(), std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0)
        };
        check(sent as libc::c_int).map(drop)
    }

    /// Tells a driver that waits for empty chunks that there are some.
    pub(crate) fn wake_receiver(&self) {
        if self.fill.needs_wakeup() {
            let (none, flags) = (std::ptr::null_mut(), libc::MSG_DONTWAIT);
            // SAFETY: nothing is passed, and nothing is written. If it fails, the next call asks again.
            unsafe { libc::recvfrom(self.fd.as_raw_fd(), none, 0, flags, std::ptr::null_mut(), none.cast()) };
        }
    }
}

impl AsFd for XdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What waits at the front of the rx ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// A frame.
    Frame,
    /// What lies outside our memory.
    Unsound,
    /// Nothing yet.
    Nothing,
}

/// One of a socket's rings: values that one side puts in and the other takes out, in order.
#[derive(Debug)]
struct Ring<T> {
    memory: Mapping,
    producer: usize,
    consumer: usize,
    flags: usize,
    values: usize,
    count: u32,
    _of: std::marker::PhantomData<T>,
}

impl<T: Copy> Ring<T> {
    fn new(
        fd: BorrowedFd<'_>,
        offset: &libc::xdp_ring_offset,
        count: u32,
        at: libc::off_t,
    ) -> io::Result<Self> {
        let libc::xdp_ring_offset { producer, consumer, desc, flags } = *offset;
        let [producer, consumer, values, flags] = [producer, consumer, desc, flags].map(|at| at as usize);
        let memory = Mapping::shared(fd, values + count as usize * size_of::<T>(), at)?;
        Ok(Self { memory, producer, consumer, flags, values, count, _of: std::marker::PhantomData })
    }

    fn is_empty(&self) -> bool {
        self.word(self.producer).load(Ordering::Acquire) == self.word(self.consumer).load(Ordering::Acquire)
    }

    /// The next value that the kernel has put in.
    fn front(&self) -> Option<T> {
        let consumer = self.word(self.consumer).load(Ordering::Relaxed);
        let ready = self.word(self.producer).load(Ordering::Acquire) != consumer;
        // SAFETY: the place lies within the ring; what is between consumer and producer was written before the
        // producer's word was, and is not written again until the consumer's is.
        ready.then(|| unsafe { self.place(consumer).read() })
    }

    /// Takes the next value that the kernel has put in.
    fn pop(&mut self) -> Option<T> {
        let value = self.front()?;
        let consumer = self.word(self.consumer);
        consumer.store(consumer.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        Some(value)
    }

    /// Puts in a value for the kernel; false if there is no room.
    fn push(&mut self, value: T) -> bool {
        let producer = self.word(self.producer).load(Ordering::Relaxed);
        let used = producer.wrapping_sub(self.word(self.consumer).load(Ordering::Acquire));
        if used >= self.count {
            return false;
        }
        // SAFETY: the place lies within the ring, and is not the kernel's before the producer's word says so.
        unsafe { self.place(producer).write(value) };
        self.word(self.producer).store(producer.wrapping_add(1), Ordering::Release);
        true
    }

    fn needs_wakeup(&self) -> bool {
        self.word(self.flags).load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }

    /// Where value number `index` lies, counted from the beginning of time.
    fn place(&self, index: u32) -> *mut T {
        let index = (index & (self.count - 1)) as usize;
        // SAFETY: the mapping has `count` values from there on, aligned as the kernel lays them out.
        unsafe { self.memory.start().add(self.values).cast::<T>().add(index) }
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: the kernel told where this word lies in the mapping, before the values; it is aligned, lives as long
        // as `self`, and is only touched atomically.
        unsafe { AtomicU32::from_ptr(self.memory.start().add(at).cast()) }
    }
}

/// Reads an option of plain data.
fn get_option<T: Copy>(fd: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int) -> io::Result<T> {
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    let mut len = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` has room for `len` bytes, and outlives the call.
    check(unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, option, value.as_mut_ptr().cast(), &raw mut len)
    })?;
    // SAFETY: it is plain data made of numbers (all callers are above), and was zeroed.
    Ok(unsafe { value.assume_init() })
}
