//! Who has something to send: a queue of sockets per interface, in the order in which they got ready.

use std::collections::VecDeque;

use super::table::SocketId;
use crate::buf::frame::InterfaceId;

/// A queue per interface. A socket stands in it at most once: its entry in the table knows whether it does.
#[derive(Debug, Default)]
pub struct ReadyQueues {
    queues: Vec<VecDeque<SocketId>>,
}

impl ReadyQueues {
    /// Whether nobody waits for `interface`.
    pub fn is_empty(&self, interface: InterfaceId) -> bool {
        self.queues.get(interface.0 as usize).is_none_or(VecDeque::is_empty)
    }

    /// The one whose turn it is.
    pub fn front(&self, interface: InterfaceId) -> Option<SocketId> {
        self.queues.get(interface.0 as usize)?.front().copied()
    }

    /// Adds a socket that is not in the queue yet.
    pub fn push(&mut self, interface: InterfaceId, id: SocketId) {
        let index = interface.0 as usize;
        if self.queues.len() <= index {
            self.queues.resize_with(index + 1, VecDeque::new);
        }
        self.queues[index].push_back(id);
    }

    /// Takes the one whose turn it is.
    pub fn pop(&mut self, interface: InterfaceId) -> Option<SocketId> {
        self.queues.get_mut(interface.0 as usize)?.pop_front()
    }

    /// Ends the turn of the one in front: it goes to the end of the queue.
    pub fn rotate(&mut self, interface: InterfaceId) {
        if let Some(queue) = self.queues.get_mut(interface.0 as usize)
            && !queue.is_empty()
        {
            queue.rotate_left(1);
        }
    }
}
