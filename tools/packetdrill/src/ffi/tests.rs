//! Scripts as packetdrill plays them: only through the pointers of the interface.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::sync::mpsc;

use etherparse::{IpNumber, NetSlice, PacketBuilder, SlicedPacket, TcpHeaderSlice, TcpOptionElement};

use super::*;

const OURS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 7, 1)), 8080);
const THEIRS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 40_001);

/// A script at work.
#[derive(Clone, Copy)]
struct Drill(Interface);

// SAFETY: the functions are called from several threads, as packetdrill does: the machine behind them has a lock.
unsafe impl Send for Drill {}

/// A segment that the stack sent.
#[derive(Debug)]
struct Seen {
    usecs: i64,
    from: u16,
    flags: String,
    seq: u32,
    ack: u32,
    payload: Vec<u8>,
}

/// An answer with the error that C has set.
fn result<T: Into<i64>>(answer: T) -> Result<i64, i32> {
    match answer.into() {
        -1 => Err(io::Error::last_os_error().raw_os_error().unwrap()),
        answer => Ok(answer),
    }
}

/// The same for the answers that count bytes.
fn size(answer: ssize_t) -> Result<i64, i32> {
    result(answer as i64)
}

/// Calls a function of the interface.
macro_rules! call {
    ($drill:expr, $name:ident $(, $argument:expr)*) => {{
        let interface = &$drill.0;
        // SAFETY: the interface is not freed yet, and pointers lead to what lives during the call.
        unsafe { (interface.$name)(interface.userdata $(, $argument)*) }
    }};
}

impl Drill {
    fn new(flags: &CStr) -> Self {
        let mut out = MaybeUninit::uninit();
        // SAFETY: the flags are a text of C, and `out` is written.
        unsafe {
            packetdrill_interface_init(flags.as_ptr(), out.as_mut_ptr());
            Self(out.assume_init())
        }
    }

    fn stream(&self) -> i32 {
        call!(self, socket, libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP)
    }

    fn bind(&self, fd: i32, address: SocketAddr) -> Result<i64, i32> {
        let bytes = address::write(address, false);
        result(call!(self, bind, fd, bytes.as_ptr().cast(), bytes.len() as socklen_t))
    }

    fn connect(&self, fd: i32) -> Result<i64, i32> {
        let bytes = address::write(THEIRS, false);
        result(call!(self, connect, fd, bytes.as_ptr().cast(), bytes.len() as socklen_t))
    }

    fn accept(&self, fd: i32) -> Result<(i32, SocketAddr), i32> {
        let (mut bytes, mut length) = ([0u8; 28], 28);
        let number = result(call!(self, accept, fd, bytes.as_mut_ptr().cast(), &raw mut length))?;
        Ok((number as i32, address::read(&bytes[..length as usize]).unwrap()))
    }

    fn read(&self, fd: i32, room: usize) -> Result<Vec<u8>, i32> {
        let mut buffer = vec![0; room];
        let taken = size(call!(self, read, fd, buffer.as_mut_ptr().cast(), room))?;
        buffer.truncate(taken as usize);
        Ok(buffer)
    }

    fn write(&self, fd: i32, bytes: &[u8]) -> Result<i64, i32> {
        size(call!(self, write, fd, bytes.as_ptr().cast(), bytes.len()))
    }

    fn set_nonblocking(&self, fd: i32) {
        let flags = (libc::O_RDWR | libc::O_NONBLOCK).into();
        assert_eq!(call!(self, fcntl, fd, libc::F_SETFL, flags), 0);
    }

    /// Microseconds since the epoch of scripts.
    fn clock(&self) -> i64 {
        let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
        assert_eq!(call!(self, gettimeofday, &raw mut time, ptr::null_mut()), 0);
        (time.tv_sec - EPOCH as i64) * 1_000_000 + time.tv_usec
    }

    fn usleep(&self, usecs: u32) {
        assert_eq!(call!(self, usleep, usecs), 0);
    }

    /// A segment of the other side: flags as `tcpdump` has them.
    fn inject(&self, to: u16, flags: &str, seq: u32, ack: u32, payload: &[u8]) {
        let mut tcp =
            PacketBuilder::ipv4([192, 0, 2, 1], [192, 168, 7, 1], 64).tcp(THEIRS.port(), to, seq, 65_535);
        for flag in flags.chars() {
            tcp = match flag {
                'S' => tcp.syn().options(&[TcpOptionElement::MaximumSegmentSize(1460)]).unwrap(),
                'F' => tcp.fin(),
                'R' => tcp.rst(),
                'P' => tcp.psh(),
                _ => tcp.ack(ack),
            };
        }
        let mut bytes = Vec::new();
        tcp.write(&mut bytes, payload).unwrap();
        assert_eq!(call!(self, netdev_send, bytes.as_ptr().cast(), bytes.len()), 0);
    }

    /// The next segment of the stack; `None` if none will come.
    fn expect(&self) -> Option<Seen> {
        let mut buffer = [0u8; 4096];
        let (mut length, mut usecs) = (buffer.len(), 0);
        let place = buffer.as_mut_ptr().cast();
        assert_eq!(call!(self, netdev_receive, place, &raw mut length, &raw mut usecs), 0);
        if length == 0 {
            return None;
        }
        let packet = SlicedPacket::from_ip(&buffer[..length]).unwrap();
        let Some(NetSlice::Ipv4(ip)) = packet.net else { panic!("no IPv4: {packet:?}") };
        assert_eq!(ip.payload().ip_number, IpNumber::TCP);
        let bytes = ip.payload().payload;
        let tcp = TcpHeaderSlice::from_slice(bytes).unwrap();
        let flags =
            [(tcp.syn(), 'S'), (tcp.fin(), 'F'), (tcp.rst(), 'R'), (tcp.psh(), 'P'), (tcp.ack(), '.')];
        Some(Seen {
            usecs: usecs - EPOCH as i64 * 1_000_000,
            from: tcp.source_port(),
            flags: flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).collect(),
            seq: tcp.sequence_number(),
            ack: tcp.acknowledgment_number(),
            payload: bytes[usize::from(tcp.data_offset()) * 4..].to_vec(),
        })
    }

    /// A stream that was connected, the port it has, and the next number of its own.
    fn connected(&self) -> (i32, u16, u32) {
        let fd = self.stream();
        assert_eq!(self.bind(fd, SocketAddr::new(OURS.ip(), 0)), Ok(0));
        self.set_nonblocking(fd);
        assert_eq!(self.connect(fd), Err(libc::EINPROGRESS));
        let syn = self.expect().unwrap();
        assert_eq!(syn.flags, "S");
        self.inject(syn.from, "S.", 0, syn.seq + 1, &[]);
        assert_eq!(self.expect().unwrap().flags, ".");
        assert_eq!(self.connect(fd), Ok(0));
        (fd, syn.from, syn.seq + 1)
    }

    /// A stream that was accepted, and the next number of its own.
    fn accepted(&self) -> (i32, u32) {
        let listener = self.stream();
        assert_eq!(self.bind(listener, OURS), Ok(0));
        assert_eq!(call!(self, listen, listener, 5), 0);
        self.inject(OURS.port(), "S", 0, 0, &[]);
        let syn_ack = self.expect().unwrap();
        assert_eq!((syn_ack.flags.as_str(), syn_ack.ack), ("S.", 1));
        self.inject(OURS.port(), ".", 1, syn_ack.seq + 1, &[]);
        let (fd, peer) = self.accept(listener).unwrap();
        assert_eq!(peer, THEIRS);
        (fd, syn_ack.seq + 1)
    }

    fn free(self) {
        // SAFETY: nobody uses the interface after this.
        unsafe { (self.0.free)(self.0.userdata) };
    }
}

#[test]
fn a_client_connects_writes_reads_and_is_reset_at_the_end() {
    let drill = Drill::new(c"");
    let (fd, port, next) = drill.connected();
    assert_eq!(drill.read(fd, 100), Err(libc::EAGAIN));
    assert_eq!(drill.write(fd, b"hello"), Ok(5));
    let data = drill.expect().unwrap();
    assert_eq!((data.flags.as_str(), data.seq, data.ack, &*data.payload), ("P.", next, 1, &b"hello"[..]));
    drill.inject(port, "P.", 1, next + 5, b"world");
    assert_eq!(drill.read(fd, 3), Ok(b"wor".to_vec()));
    assert_eq!(drill.read(fd, 100), Ok(b"ld".to_vec()));
    drill.inject(port, "R.", 6, next + 5, &[]);
    assert_eq!(drill.read(fd, 100), Err(libc::ECONNRESET));
    assert_eq!(drill.write(fd, b"x"), Err(libc::EPIPE));
    assert_eq!(call!(drill, close, fd), 0);
    assert_eq!(result(call!(drill, close, fd)), Err(libc::EBADF));
    drill.free();
}

#[test]
fn a_server_accepts_and_closes_in_order_and_the_last_wait_ends() {
    let drill = Drill::new(c"");
    let (fd, next) = drill.accepted();
    drill.inject(OURS.port(), "F.", 1, next, &[]);
    assert_eq!(drill.expect().unwrap().flags, ".");
    assert_eq!(drill.read(fd, 10), Ok(vec![]));
    assert_eq!(call!(drill, close, fd), 0);
    let fin = drill.expect().unwrap();
    assert_eq!((fin.flags.as_str(), fin.seq, fin.ack), ("F.", next, 2));
    drill.inject(OURS.port(), ".", 2, next + 1, &[]);
    assert!(drill.expect().is_none(), "nothing is due, and this is told at once");
    drill.free();
}

#[test]
fn a_call_on_a_second_thread_sleeps_until_the_moment_that_wakes_it() {
    let drill = Drill::new(c"");
    let (fd, next) = drill.accepted();
    let start = drill.clock();
    let (tell, told) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let drill = drill;
        // SAFETY: there is such a call, and it takes nothing.
        tell.send(unsafe { libc::gettid() }).unwrap();
        (drill.read(fd, 100), drill.clock())
    });
    let thread = told.recv().unwrap();
    while !is_asleep(thread) {
        std::thread::yield_now();
    }
    drill.usleep(3_000_000);
    assert!(!reader.is_finished());
    drill.inject(OURS.port(), "P.", 1, next, b"late");
    drill.usleep(1_000_000);
    let (taken, end) = reader.join().unwrap();
    assert_eq!(taken, Ok(b"late".to_vec()));
    assert_eq!(end - start, 3_000_000, "it has asked for the time before that went on");
    drill.free();
}

#[test]
fn on_the_first_thread_a_call_lets_the_time_pass_or_says_that_none_is_left() {
    let drill = Drill::new(c"");
    let listener = drill.stream();
    assert_eq!(drill.bind(listener, OURS), Ok(0));
    assert_eq!(call!(drill, listen, listener, 1), 0);
    assert_eq!(drill.accept(listener), Err(libc::EDEADLK));
    let before = drill.clock();
    let mut entry = pollfd { fd: listener, events: libc::POLLIN, revents: 0 };
    assert_eq!(call!(drill, poll, &raw mut entry, 1, 1500), 0);
    assert_eq!(drill.clock() - before, 1_500_001);
    let client = drill.stream();
    assert_eq!(drill.connect(client), Err(libc::ETIMEDOUT));
    drill.free();
}

#[test]
fn timers_fire_in_order_while_time_is_slept_away_and_packets_say_when() {
    let drill = Drill::new(c"syn_retries=3");
    let fd = drill.stream();
    drill.set_nonblocking(fd);
    let start = drill.clock();
    assert_eq!(drill.connect(fd), Err(libc::EINPROGRESS));
    drill.usleep(3_500_000);
    let times: Vec<i64> = (0..4).map(|_| drill.expect().unwrap().usecs - start).collect();
    assert_eq!(times, [0, 1_000_000, 3_000_000, 7_000_000]);
    assert!(drill.expect().is_none());
    let (mut error, mut length) = (0i32, 4);
    let place = (&raw mut error).cast();
    assert_eq!(call!(drill, getsockopt, fd, libc::SOL_SOCKET, libc::SO_ERROR, place, &raw mut length), 0);
    assert_eq!((error, length), (libc::ETIMEDOUT, 4));
    drill.free();
}

#[test]
fn data_that_nobody_acknowledges_is_sent_again() {
    let drill = Drill::new(c"");
    let (fd, _, next) = drill.connected();
    assert_eq!(drill.write(fd, b"lost"), Ok(4));
    let first = drill.expect().unwrap();
    drill.usleep(2_000_000);
    let again = drill.expect().unwrap();
    assert_eq!((again.seq, &again.payload), (next, &first.payload));
    assert!(again.usecs > first.usecs && again.usecs <= first.usecs + 2_000_000, "{first:?} {again:?}");
    drill.free();
}

#[test]
fn the_clock_creeps_with_each_look() {
    let drill = Drill::new(c"");
    let first = drill.clock();
    assert_eq!([drill.clock(), drill.clock()], [first + 1, first + 2]);
    drill.free();
}

#[test]
fn errors_are_those_of_the_system_calls() {
    let drill = Drill::new(c"");
    let fd = drill.stream();
    assert!(fd >= 3);
    assert_eq!(drill.read(fd, 1), Err(libc::ENOTCONN));
    assert_eq!(drill.write(fd, b"x"), Err(libc::EPIPE));
    assert_eq!(drill.read(999_999, 1), Err(libc::EBADF));
    assert_eq!(result(call!(drill, shutdown, fd, libc::SHUT_WR)), Err(libc::ENOTCONN));
    assert_eq!(result(call!(drill, shutdown, fd, 9)), Err(libc::EINVAL));
    assert_eq!(result(call!(drill, socket, libc::AF_UNIX, libc::SOCK_STREAM, 0)), Err(libc::EAFNOSUPPORT));
    assert_eq!(result(call!(drill, bind, fd, ptr::null(), 16)), Err(libc::EFAULT));
    let one = 1i32;
    let set = |level, option| {
        let place = (&raw const one).cast();
        result(call!(drill, setsockopt, fd, level, option, place, 4))
    };
    assert_eq!(set(libc::SOL_TCP, libc::TCP_NODELAY), Ok(0));
    assert_eq!(set(libc::SOL_TCP, 9999), Err(libc::ENOPROTOOPT));
    assert_eq!(result(call!(drill, pipe, [0i32; 2].as_mut_ptr())), Err(libc::ENOSYS));
    drill.free();
    let drill = Drill::new(c"no_such_setting=1");
    assert_eq!(result(drill.stream()), Err(libc::EINVAL));
    drill.free();
}

#[test]
fn an_epoll_tells_of_what_arrives() {
    let drill = Drill::new(c"");
    let (fd, next) = drill.accepted();
    let epoll = call!(drill, epoll_create, 1);
    let mut event = epoll_event { events: libc::EPOLLIN as u32, u64: 7 };
    assert_eq!(call!(drill, epoll_ctl, epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event), 0);
    assert_eq!(call!(drill, epoll_wait, epoll, &raw mut event, 1, 0), 0);
    drill.inject(OURS.port(), "P.", 1, next, b"news");
    assert_eq!(call!(drill, epoll_wait, epoll, &raw mut event, 1, -1), 1);
    assert_eq!({ event.u64 }, 7);
    let (mut queued, fionread) = (0i32, libc::FIONREAD);
    assert_eq!(call!(drill, ioctl, fd, fionread, (&raw mut queued).cast()), 0);
    assert_eq!(queued, 4);
    drill.free();
}

#[test]
fn pieces_are_gathered_and_scattered() {
    let drill = Drill::new(c"");
    let (fd, next) = drill.accepted();
    let (mut left, mut right) = (*b"ab", *b"cde");
    let pieces = [piece(left.as_mut_ptr().cast(), 2), piece(right.as_mut_ptr().cast(), 3)];
    assert_eq!(size(call!(drill, writev, fd, pieces.as_ptr(), 2)), Ok(5));
    assert_eq!(drill.expect().unwrap().payload, b"abcde");
    drill.inject(OURS.port(), "P.", 1, next + 5, b"1234");
    assert_eq!(size(call!(drill, readv, fd, pieces.as_ptr(), 2)), Ok(4));
    assert_eq!((&left, &right), (b"12", b"34e"));
    drill.free();
}

#[test]
fn scripts_one_after_another_see_nothing_of_each_other() {
    let run = || {
        let drill = Drill::new(c"");
        let start = drill.clock();
        let (fd, next) = drill.accepted();
        assert_eq!(drill.write(fd, b"same"), Ok(4));
        let data = drill.expect().unwrap();
        drill.free();
        (start, next, data.usecs)
    };
    assert_eq!(run(), run());
}

#[test]
fn a_number_that_was_closed_from_outside_is_left_alone() {
    let drill = Drill::new(c"");
    let fd = drill.stream();
    close_number(fd);
    let file = std::fs::File::open("/proc/self/status").unwrap();
    drill.free();
    assert!(io::read_to_string(file).is_ok(), "whoever got the number keeps it");
}

/// Whether the system says that a thread of ours sleeps.
fn is_asleep(thread: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/status")).unwrap();
    status
        .lines()
        .filter_map(|line| line.strip_prefix("State:"))
        .any(|state| state.trim_start().starts_with('S'))
}
