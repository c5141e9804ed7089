//! What the sockets of `std::net` have in common beside sending and receiving, written once for those here.

/// How long calls wait, of a socket with [`Timeouts`](super::wait::Timeouts) in `timeouts`.
macro_rules! timeouts_of_std {
    () => {
        /// How long a read may wait; `None` for ever.
        ///
        /// # Errors
        /// A timeout of zero.
        pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            self.timeouts.set_read(timeout)
        }

        /// How long a write may wait; `None` for ever.
        ///
        /// # Errors
        /// A timeout of zero.
        pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            self.timeouts.set_write(timeout)
        }

        /// How long a read may wait.
        ///
        /// # Errors
        /// None: the shape is `std`'s.
        pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
            Ok(self.timeouts.read_timeout())
        }

        /// How long a write may wait.
        ///
        /// # Errors
        /// None: the shape is `std`'s.
        pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
            Ok(self.timeouts.write_timeout())
        }

        crate::blocking::std_like::nonblocking_of_std!();
    };
}

/// Whether calls wait at all.
macro_rules! nonblocking_of_std {
    () => {
        /// Whether calls that would have to wait answer `WouldBlock` instead; for all handles of the socket.
        ///
        /// # Errors
        /// None: the shape is `std`'s.
        pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
            self.timeouts.set_nonblocking(nonblocking);
            Ok(())
        }
    };
}

/// What the async socket in `inner` does in the same way, but for how `std` counts hops.
macro_rules! options_of_std {
    () => {
        /// The error that nobody was told of yet (`SO_ERROR`): what ended a connection, or what ICMP said about
        /// something sent earlier.
        ///
        /// # Errors
        /// The stack has closed the socket.
        pub fn take_error(&self) -> io::Result<Option<io::Error>> {
            self.inner.take_error()
        }

        /// The TTL or hop limit of what is sent.
        ///
        /// # Errors
        /// The stack has closed the socket.
        pub fn ttl(&self) -> io::Result<u32> {
            self.inner.ttl().map(u32::from)
        }

        /// Sets the TTL or hop limit of what is sent.
        ///
        /// # Errors
        /// 0, or more than 255; the stack has closed the socket.
        pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
            self.inner.set_ttl(hops(ttl)?)
        }
    };
}

pub(super) use {nonblocking_of_std, options_of_std, timeouts_of_std};
