//! TCP Fast Open on the stack (RFC 7413): cookies given and kept, and connections that begin with data.

use std::net::SocketAddr;

use super::Stack;
use crate::error::Error;
use crate::socket::endpoint::{Endpoint, Tuple};
use crate::socket::table::SocketId;
use crate::tcp::{FastOpenClient, FastOpenOutcome, FastOpenReport, Segment, Settings, Ticket};
use crate::time::Instant;
use crate::wire::tcp::{FastOpenCookie, Flags};

impl Stack {
    /// The Fast Open cookie that a server gave us, as far as it would be used now; `None` if a connection to there
    /// would have to ask for one, or begin without.
    pub fn tcp_fast_open_cookie(&self, now: Instant, remote: SocketAddr) -> Option<FastOpenCookie> {
        let remote = Endpoint::from(remote);
        let path = self.path_to(None, &remote).ok()?;
        self.fast_open_servers.cookie(now, path.source, remote.ip)
    }

    /// The key of the cookies that our listeners give (`net.ipv4.tcp_fastopen_key`, as bytes in the order of the wire).
    /// Cookies of the key before stay good until the next change, and are replaced when they are shown. The first key
    /// follows from the seed.
    pub fn tcp_set_fast_open_key(&mut self, key: [u8; 16]) {
        self.fast_open_cookies.set_key(key);
    }

    /// Begins a connection as `tcp_connect` does, with the Fast Open option (RFC 7413): if the server's cookie is
    /// known, the SYN brings as much of `data` as it may; otherwise it asks for a cookie for the next time. Answers how
    /// many bytes were taken for sending; what is not in the SYN follows the handshake.
    ///
    /// As a SYN can arrive twice, `data` must be such that it does no harm when a server acts on it twice.
    ///
    /// # Errors
    /// As `tcp_connect`.
    pub fn tcp_connect_with_data(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        settings: Settings,
        data: &[u8],
    ) -> Result<(SocketId, usize), Error> {
        let id = self.connect_tcp(now, remote, local, settings, true)?;
        if data.is_empty() {
            return Ok((id, 0));
        }
        match self.tcp_send(now, id, data) {
            Ok(taken) => Ok((id, taken)),
            Err(Error::WouldBlock) => Ok((id, 0)),
            Err(error) => {
                self.close(now, id);
                Err(error)
            }
        }
    }

    /// How a connection of this pair begins, if Fast Open is asked for; `None` with a plain SYN.
    pub(super) fn begin_fast_open(
        &self,
        now: Instant,
        tuple: &Tuple,
        settings: &Settings,
        with_data: bool,
    ) -> Option<FastOpenClient> {
        if !with_data && !settings.fast_open_connect {
            return None;
        }
        let known = self.fast_open_servers.begin(now, tuple.local.ip, tuple.remote.ip)?;
        Some(FastOpenClient { defer: !with_data, ..known })
    }

    /// What the Fast Open option of a SYN to a listener is worth.
    pub(super) fn fast_open_ticket(&self, tuple: &Tuple, segment: &Segment<'_>) -> Option<Ticket> {
        let shown = segment.header.options.fast_open.filter(|_| segment.has(Flags::SYN))?;
        Some(self.fast_open_cookies.judge(tuple.local.ip, tuple.remote.ip, shown))
    }

    /// What a connection has to say: what a client has learned, and whether one of a listener's is confirmed or over,
    /// `ended` by a RST of the peer.
    pub(super) fn handle_fast_open_news(
        &mut self,
        now: Instant,
        tuple: &Tuple,
        learned: Option<&FastOpenReport>,
        ended: Option<bool>,
    ) {
        if let Some(report) = learned {
            self.learn_fast_open(now, tuple, report);
        }
        if let Some(reset) = ended
            && let Some(id) = self.tcp_demux.bound(&tuple.local)
            && let Ok(entry) = self.listener_mut(id)
        {
            entry.listener.handle_fast_open_end(now, tuple, reset);
        }
    }

    /// What the handshake of a client has shown.
    fn learn_fast_open(&mut self, now: Instant, tuple: &Tuple, report: &FastOpenReport) {
        let counters = &mut self.stats.tcp;
        match report.outcome {
            FastOpenOutcome::Accepted => counters.fast_open_active += 1,
            FastOpenOutcome::Ignored | FastOpenOutcome::Lost => counters.fast_open_active_fail += 1,
            FastOpenOutcome::NoData | FastOpenOutcome::Unanswered(_) => {}
        }
        self.fast_open_servers.learn(now, tuple.local.ip, tuple.remote.ip, report);
        self.tell_fast_open(tuple, *report);
    }
}
