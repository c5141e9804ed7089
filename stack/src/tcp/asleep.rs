//! A connection that has been at rest for a while, in few bytes: nothing is in flight, nothing waits to be read or
//! sent.
//!
//! Nothing is lost: when anything happens it is what it was. In a stack of many connections most are asleep.

use std::sync::Arc;

use arrayvec::ArrayVec;

use super::common::Common;
use super::congestion::{Bbr, Controller};
use super::connection::Connection;
use super::ecn::Ecn;
use super::info::Counters;
use super::options::Settings;
use super::plpmtud::Plpmtud;
use super::sizing::Pressure;
use super::state::{Block, Open, Synchronised};
use super::timer::Timer;
use crate::buf::packed::{Packed, Packer, Unpacker};

/// A connection that sleeps, behind whatever else its owner has written to the same bytes.
#[derive(Debug)]
pub(crate) struct Asleep {
    bytes: Box<[u8]>,
    /// Those of many connections are the same.
    settings: Arc<Settings>,
    /// What is not written.
    kept: Option<Box<Kept>>,
}

/// Parts of a connection that only some have.
#[derive(Clone, Debug, Default)]
struct Kept {
    bbr: Option<Box<Bbr>>,
    ecn: Option<Box<Ecn>>,
    plpmtud: Option<Box<Plpmtud>>,
}

/// The settings that connections fell asleep with last: those of many are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedSettings(ArrayVec<Arc<Settings>, 8>);

impl SharedSettings {
    fn share(&mut self, settings: &Settings) -> Arc<Settings> {
        if let Some(known) = self.0.iter().find(|known| known.is_same(settings)) {
            return known.clone();
        }
        if self.0.is_full() {
            self.0.remove(0);
        }
        let new = Arc::new(settings.clone());
        self.0.push(new.clone());
        new
    }
}

/// Which congestion control.
const NEW_RENO: u8 = 0;
const CUBIC: u8 = 1;
const BBR: u8 = 2;

/// As `packed!`, for a type some of whose fields are not written but given back by hand.
macro_rules! packed_but {
    ($type:ident { $($field:ident),*; $($fixed:ident: $value:path),*; $($given:ident: $given_type:ty),* }) => {
        impl $type {
            #[allow(clippy::redundant_pattern_matching, reason = "a value is named, not its kind")]
            fn is_plain(&self) -> bool {
                true $(&& Packed::is_plain(&self.$field))* $(&& matches!(self.$fixed, $value))*
            }

            fn pack(&self, to: &mut Packer) {
                let Self { $($field,)* $($fixed: _,)* $($given: _,)* } = self;
                $(Packed::pack($field, to);)*
            }

            fn unpack(from: &mut Unpacker<'_>, $($given: $given_type),*) -> Self {
                $(let $field = Packed::unpack(from);)*
                Self { $($field,)* $($fixed: $value,)* $($given,)* }
            }
        }
    };
}

// The counters come first: they alone are read without waking it.
packed_but!(Common {
    counters, ports, timers, events, tx, rx, sizing, path_segment, max_segment, dirty, more, cork_due,
    agreed_user_timeout, syn_data, fast_open_fail, orphaned, write_shut, read_shut, end_of_stream, write_blocked, opened,
    last_active;
    error: None, news: None, soft_error: None, journal: None, parting: None, fast_open: None,
    too_big: None;
    settings: Settings
});

packed_but!(Open {
    terms, sender, receiver, recovery, rtt, pacer, delivery_rate, seed, clock, watch, last_heard, keepalive_probes,
    keepalive_due, persist_backoff, next_challenge;
    state: Synchronised::Established, advertise: None, unconfirmed: None;
    congestion: Controller, ecn: Option<Box<Ecn>>, plpmtud: Option<Box<Plpmtud>>
});

impl Connection {
    /// Packs the connection behind what `before` holds, if it is at rest; it is over for this value then.
    pub(crate) fn fall_asleep<T: Packed>(
        &mut self,
        shared: &mut SharedSettings,
        before: &T,
    ) -> Option<Asleep> {
        if !self.is_at_rest() {
            return None;
        }
        let awake = cfg!(debug_assertions).then(|| format!("{self:?}"));
        let mut packer = Packer::default();
        before.pack(&mut packer);
        self.common.pack(&mut packer);
        let Block::Open(mut open) = core::mem::replace(&mut self.block, Block::Closed) else { return None };
        let mut kept = Kept { bbr: None, ecn: open.ecn.take(), plpmtud: open.plpmtud.take() };
        // The congestion control comes before the rest of it.
        match &open.congestion {
            Controller::NewReno(reno) => {
                NEW_RENO.pack(&mut packer);
                reno.pack(&mut packer);
            }
            Controller::Cubic(cubic) => {
                CUBIC.pack(&mut packer);
                cubic.pack(&mut packer);
            }
            Controller::Bbr(_) | Controller::Custom(_) => BBR.pack(&mut packer),
        }
        open.pack(&mut packer);
        if let Controller::Bbr(bbr) = open.congestion {
            kept.bbr = Some(bbr);
        }
        let keeps = kept.bbr.is_some() || kept.ecn.is_some() || kept.plpmtud.is_some();
        let (settings, kept) = (shared.share(&self.common.settings), keeps.then(|| Box::new(kept)));
        let asleep = Asleep { bytes: packer.finish(), settings, kept };
        debug_assert_eq!(awake, Some(format!("{:?}", asleep.peek::<T>().1)), "nothing is lost");
        Some(asleep)
    }

    /// Nothing happened for a while, nothing is under way, and all of it can be written.
    fn is_at_rest(&mut self) -> bool {
        let common = &mut self.common;
        if common.timers.is_set(Timer::Idle) || common.dirty || common.tx.memory() + common.rx.memory() > 0 {
            return false;
        }
        // What it was told about the stack's memory is told again before it matters.
        common.sizing.pressure = Pressure::Low;
        let Block::Open(open) = &self.block else { return false };
        let in_flight = open.sender.snd_una != open.sender.snd_max;
        let custom = matches!(open.congestion, Controller::Custom(_));
        !in_flight && !custom && open.is_plain() && common.is_plain()
    }
}

impl Asleep {
    /// What the connection has counted. `T` is what its owner has written.
    pub(crate) fn counters<T: Packed>(&self) -> Counters {
        let mut from = Unpacker::new(&self.bytes);
        T::unpack(&mut from);
        Packed::unpack(&mut from)
    }

    /// The connection as it is, to look at, and what its owner has written.
    pub(crate) fn peek<T: Packed>(&self) -> (T, Connection) {
        self.unpack(self.kept.clone())
    }

    /// The connection as it was, and what its owner has written; this value is over then.
    pub(crate) fn wake<T: Packed>(&mut self) -> (T, Connection) {
        let kept = self.kept.take();
        let (before, mut connection) = self.unpack(kept);
        connection.common.handle_wake();
        (before, connection)
    }

    fn unpack<T: Packed>(&self, kept: Option<Box<Kept>>) -> (T, Connection) {
        let Kept { bbr, ecn, plpmtud } = kept.map_or_else(Kept::default, |kept| *kept);
        let mut from = Unpacker::new(&self.bytes);
        let before = T::unpack(&mut from);
        let common = Common::unpack(&mut from, (*self.settings).clone());
        let congestion = match (u8::unpack(&mut from), bbr) {
            (BBR, Some(bbr)) => Controller::Bbr(bbr),
            (NEW_RENO, _) => Controller::NewReno(Packed::unpack(&mut from)),
            _ => Controller::Cubic(Packed::unpack(&mut from)),
        };
        let open = Open::unpack(&mut from, congestion, ecn, plpmtud);
        (before, Connection { block: Block::Open(Box::new(open)), common })
    }
}
