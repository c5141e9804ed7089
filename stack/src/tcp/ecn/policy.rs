//! What an application chooses about ECN.

/// How marks are told, from nothing to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum EcnMode {
    /// Not at all.
    #[default]
    Off,
    /// By a flag, once for each round trip (RFC 3168).
    Classic,
    /// By counters (RFC 9768).
    Accurate,
}

/// What a connection asks its peer for, and what it answers a peer that asks: both at most this.
///
/// A peer that does not know accurate ECN is asked for the classic one by the same SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EcnPolicy {
    /// Asked for when connecting.
    pub ask: EcnMode,
    /// Agreed to when asked.
    pub answer: EcnMode,
}

impl EcnPolicy {
    /// Neither asks nor answers; 0 of Linux's `tcp_ecn`.
    pub const OFF: Self = Self { ask: EcnMode::Off, answer: EcnMode::Off };
    /// Answers with classic ECN, and does not ask; 2 of Linux's `tcp_ecn`, and the default as there.
    pub const ANSWER: Self = Self { ask: EcnMode::Off, answer: EcnMode::Classic };
    /// Asks for classic ECN and answers with it; 1 of Linux's `tcp_ecn`.
    pub const CLASSIC: Self = Self { ask: EcnMode::Classic, answer: EcnMode::Classic };
    /// Asks for accurate ECN and answers with it; 3 of Linux's `tcp_ecn`.
    pub const ACCURATE: Self = Self { ask: EcnMode::Accurate, answer: EcnMode::Accurate };

    /// The words that [`Self::named`] knows beside Linux's numbers.
    pub const NAMES: [&'static str; 4] = ["off", "answer", "classic", "accurate"];

    /// The policy of that name: `off`, `answer`, `classic`, `accurate`, or a number of Linux's `tcp_ecn`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "off" => Some(Self::OFF),
            "answer" => Some(Self::ANSWER),
            "classic" => Some(Self::CLASSIC),
            "accurate" => Some(Self::ACCURATE),
            number => Self::from_sysctl(number.parse().ok()?),
        }
    }

    /// The number of Linux's `tcp_ecn` for it, if there is one.
    pub fn sysctl(self) -> Option<u8> {
        (0..=5).find(|&number| Self::from_sysctl(number) == Some(self))
    }

    /// The policy that a number of Linux's `tcp_ecn` stands for: 0 to 5.
    pub const fn from_sysctl(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::OFF),
            1 => Some(Self::CLASSIC),
            2 => Some(Self::ANSWER),
            3 => Some(Self::ACCURATE),
            4 => Some(Self { ask: EcnMode::Classic, answer: EcnMode::Accurate }),
            5 => Some(Self { ask: EcnMode::Off, answer: EcnMode::Accurate }),
            _ => None,
        }
    }
}

impl Default for EcnPolicy {
    fn default() -> Self {
        Self::ANSWER
    }
}
