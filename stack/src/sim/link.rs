//! Links: two channels between two ports.

use super::channel::Channel;
use super::impair::Impairment;
use super::network::NodeId;
use crate::buf::frame::Medium;
use crate::capture::{Capture, InterfaceId};

/// What a link is like.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkConfig {
    /// What its frames begin with.
    pub medium: Medium,
    /// What happens from the first end to the second.
    pub forward: Impairment,
    /// What happens from the second end to the first.
    pub backward: Impairment,
}

impl LinkConfig {
    /// An Ethernet link that is the same in both directions, each with luck of its own.
    pub const fn both(impairment: Impairment) -> Self {
        Self { medium: Medium::Ethernet, forward: impairment, backward: impairment }
    }
}

/// A port of a node or switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// Whose.
    pub node: NodeId,
    /// Which, from 0.
    pub port: usize,
}

/// A link between two ports.
#[derive(Debug)]
pub struct Link {
    pub(super) medium: Medium,
    pub(super) ends: [Port; 2],
    /// `channels[i]` leads away from `ends[i]`.
    pub(super) channels: [Channel; 2],
    pub(super) capture: Option<(Capture, [InterfaceId; 2])>,
}

impl Link {
    /// What its frames begin with.
    pub fn medium(&self) -> Medium {
        self.medium
    }

    /// Its two ends.
    pub fn ends(&self) -> [Port; 2] {
        self.ends
    }

    /// From the first end to the second.
    pub fn forward(&self) -> &Channel {
        &self.channels[0]
    }

    /// From the second end to the first.
    pub fn backward(&self) -> &Channel {
        &self.channels[1]
    }
}
