//! F-RTO: was the timeout needed? What comes back after it tells (RFC 5682).

/// The question that a timeout leaves open.
///
/// ```text
///   timer --> the first again --> ACK above it --> two new segments --> ACK of what was not sent again: spurious
///                                      |                                duplicate ACK: the loss was real
///                                      all is acknowledged, or nothing new to send: the loss was real
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frto {
    /// Nothing is asked.
    Off,
    /// The first segment was sent again (step 1).
    Asked,
    /// Its ACK came; this many new segments may go out before anything else is sent again (step 2b).
    Probing {
        /// Segments that may still be sent.
        left: u8,
    },
}

/// What the algorithm makes of an acknowledgment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing yet.
    Open,
    /// The timeout was spurious.
    Spurious,
}

/// An acknowledgment after the timeout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    /// SND.UNA moved.
    pub(crate) progress: bool,
    /// It acknowledges all that was sent before the timeout.
    pub(crate) all: bool,
    /// It reports something, cumulatively or selectively, that was sent before the timeout, and once only.
    pub(crate) original: bool,
    /// It acknowledges nothing, although it might (a duplicate ACK), or reports only what is new.
    pub(crate) duplicate: bool,
    /// Something new may be sent.
    pub(crate) has_new: bool,
}

/// Segments that are sent to find out.
const NEW_SEGMENTS: u8 = 2;

impl Frto {
    /// Whether something new is to be sent before anything is sent again.
    pub(crate) fn prefers_new(self) -> bool {
        matches!(self, Self::Probing { left: 1.. })
    }

    /// Whether nothing is to be sent again for now: the answer to the new segments decides.
    pub(crate) fn waits(self) -> bool {
        matches!(self, Self::Probing { .. })
    }

    /// The timer fired, and not in a recovery (RFC 5682 section 2.1 step 1).
    pub(crate) fn begin(&mut self) {
        *self = Self::Asked;
    }

    /// The loss was real, or it cannot be found out.
    pub(crate) fn stop(&mut self) {
        *self = Self::Off;
    }

    /// New data was sent.
    pub(crate) fn handle_new(&mut self) {
        if let Self::Probing { left } = self {
            *left = left.saturating_sub(1);
        }
    }

    /// There is nothing new to send after all.
    pub(crate) fn handle_no_new(&mut self) {
        match self {
            // One is on its way: it is enough.
            Self::Probing { left } if *left < NEW_SEGMENTS => *left = 0,
            _ => self.stop(),
        }
    }

    /// An acknowledgment came (RFC 5682 sections 2.1 and 3.1, steps 2 and 3).
    pub(crate) fn handle_ack(&mut self, reply: &Reply) -> Verdict {
        match self {
            Self::Off => {}
            Self::Asked if reply.all => self.stop(),
            Self::Asked if reply.progress && reply.has_new => *self = Self::Probing { left: NEW_SEGMENTS },
            Self::Asked if reply.progress => self.stop(),
            // Duplicates of what arrived before the retransmission say nothing with SACK, and enough without.
            Self::Asked => {}
            Self::Probing { .. } if reply.original => {
                self.stop();
                return Verdict::Spurious;
            }
            Self::Probing { .. } if reply.duplicate || reply.progress => self.stop(),
            Self::Probing { .. } => {}
        }
        Verdict::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Reply =
        Reply { progress: false, all: false, original: false, duplicate: false, has_new: true };
    const PROGRESS: Reply = Reply { progress: true, ..NOTHING };

    fn probing() -> Frto {
        let mut frto = Frto::Off;
        frto.begin();
        assert_eq!(frto.handle_ack(&PROGRESS), Verdict::Open);
        frto
    }

    #[test]
    fn an_ack_of_an_original_after_two_new_segments_is_proof() {
        let mut frto = probing();
        assert!(frto.prefers_new());
        frto.handle_new();
        frto.handle_new();
        assert!(!frto.prefers_new() && frto.waits());
        assert_eq!(frto.handle_ack(&Reply { original: true, ..PROGRESS }), Verdict::Spurious);
        assert_eq!(frto, Frto::Off);
    }

    #[test]
    fn a_duplicate_says_that_the_loss_was_real() {
        let mut frto = probing();
        frto.handle_new();
        assert_eq!(frto.handle_ack(&Reply { duplicate: true, ..NOTHING }), Verdict::Open);
        assert_eq!(frto, Frto::Off);
    }

    #[test]
    fn without_anything_new_it_cannot_be_told() {
        let mut frto = Frto::Off;
        frto.begin();
        frto.handle_ack(&Reply { has_new: false, ..PROGRESS });
        assert_eq!(frto, Frto::Off);
        let mut frto = probing();
        frto.handle_no_new();
        assert_eq!(frto, Frto::Off, "the window had no room");
        let mut frto = probing();
        frto.handle_new();
        frto.handle_no_new();
        assert!(frto.waits() && !frto.prefers_new(), "one new segment is enough");
    }

    #[test]
    fn an_ack_of_everything_decides_nothing() {
        let mut frto = Frto::Off;
        frto.begin();
        assert_eq!(frto.handle_ack(&Reply { all: true, original: true, ..PROGRESS }), Verdict::Open);
        assert_eq!(frto, Frto::Off);
    }

    #[test]
    fn duplicates_before_the_answer_are_waited_out() {
        let mut frto = Frto::Off;
        frto.begin();
        frto.handle_ack(&Reply { duplicate: true, ..NOTHING });
        assert_eq!(frto, Frto::Asked);
    }
}
