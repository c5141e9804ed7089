//! How shards hand frames to each other: a mailbox each, bounded and without a lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::super::shared::Kick;
use super::HandOvers;
use crate::Stack;
use crate::buf::frame::{InterfaceId, Medium, Offload, RxFrame};
use crate::buf::shard::Shard;
use crate::ip::steering::{Target, target};
use crate::stack::shards::News;
use crate::time::Instant;
use crate::why::Reason;

/// What waits in one mailbox at most. It is seldom more than the control frames of a moment: flows come to the queue of
/// their shard, but for their first frame.
const CAPACITY: usize = 512;
/// Buffers that are kept to be used again.
const SPARE: usize = 64;

/// One shard's part in the post: it sorts what its queue brings, and has a mailbox for what others bring.
#[derive(Debug)]
pub(crate) struct PostOffice {
    shard: Shard,
    /// All mailboxes, by shard; its own is not used.
    mailboxes: Vec<Mailbox>,
    incoming: Receiver<Parcel>,
    spare: Vec<Vec<u8>>,
    counters: HandOvers,
}

/// Where a shard is reached.
#[derive(Clone, Debug)]
struct Mailbox {
    sender: SyncSender<Parcel>,
    kick: Arc<Kick>,
    /// Something was put in since its driver was woken.
    rings: bool,
}

#[derive(Debug)]
enum Parcel {
    Frame { interface: InterfaceId, offload: Offload, bytes: Vec<u8> },
    News(News),
}

impl PostOffice {
    /// Those of all shards of a host.
    pub(super) fn for_all(shards: &[Shard]) -> Vec<Self> {
        let channels = shards.iter().map(|_| sync_channel(CAPACITY));
        let (senders, receivers): (Vec<_>, VecDeque<_>) = channels.unzip();
        let mailbox = |sender| Mailbox { sender, kick: Arc::default(), rings: false };
        let mailboxes: Vec<Mailbox> = senders.into_iter().map(mailbox).collect();
        let office = |(&shard, incoming)| Self {
            shard,
            mailboxes: mailboxes.clone(),
            incoming,
            spare: Vec::new(),
            counters: HandOvers::default(),
        };
        shards.iter().zip(receivers).map(office).collect()
    }

    pub(crate) fn counters(&self) -> HandOvers {
        self.counters
    }

    /// How this shard's driver is woken, by whoever has something for it.
    pub(crate) fn own_kick(&self) -> Arc<Kick> {
        self.mailboxes[self.shard.index()].kick.clone()
    }

    /// Whether the first shard sends such frames for the host.
    pub(crate) fn mutes(&mut self, reason: Reason) -> bool {
        let of_host = matches!(
            reason,
            Reason::NeighborAdvert
                | Reason::Announce
                | Reason::AddressProbe
                | Reason::AddressDefence
                | Reason::RouterSolicit
                | Reason::GroupReport
        );
        let mute = of_host && !self.shard.is_first();
        self.counters.muted += u64::from(mute);
        mute
    }

    /// Sorts a frame that came by the queue of this shard: whether it is for it. Others whose it is get a copy.
    pub(crate) fn keeps(&mut self, medium: Medium, interface: InterfaceId, frame: &RxFrame<'_>) -> bool {
        match target(self.shard, medium, frame.bytes) {
            Target::One(to) if to == self.shard.index() => true,
            Target::One(to) => {
                self.counters.given += 1;
                self.hand_over(to, interface, frame);
                false
            }
            Target::Each => {
                self.counters.spread += 1;
                for to in self.others() {
                    self.hand_over(to, interface, frame);
                }
                true
            }
        }
    }

    /// Gives the stack what waits in the mailbox, at most `most`; answers how much that was.
    pub(crate) fn take(&mut self, now: Instant, stack: &mut Stack, most: usize) -> usize {
        let mut taken = 0;
        while taken < most
            && let Ok(parcel) = self.incoming.try_recv()
        {
            taken += 1;
            let mut bytes = match parcel {
                Parcel::Frame { interface, offload, bytes } => {
                    stack.handle_frame(now, interface, RxFrame { bytes: &bytes, offload });
                    bytes
                }
                Parcel::News(news) => {
                    stack.handle_news(now, &news);
                    match news {
                        News::Whole { bytes, .. } => bytes,
                        News::PathMtu { .. } | News::FastOpen { .. } => continue,
                    }
                }
            };
            if self.spare.len() < SPARE {
                bytes.clear();
                self.spare.push(bytes);
            }
        }
        self.counters.taken += taken as u64;
        taken
    }

    /// Passes on what the stack has for others, and wakes whoever got something.
    pub(crate) fn deliver(&mut self, stack: &mut Stack) {
        while let Some(news) = stack.poll_news() {
            match news {
                News::Whole { to, .. } => self.post(to, Parcel::News(news)),
                News::PathMtu { .. } | News::FastOpen { .. } => {
                    for to in self.others() {
                        self.post(to, Parcel::News(news.clone()));
                    }
                }
            }
            self.counters.news += 1;
        }
        for mailbox in self.mailboxes.iter_mut().filter(|mailbox| mailbox.rings) {
            mailbox.rings = false;
            mailbox.kick.kick();
        }
    }

    fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let own = self.shard.index();
        (0..self.mailboxes.len()).filter(move |&to| to != own)
    }

    fn hand_over(&mut self, to: usize, interface: InterfaceId, frame: &RxFrame<'_>) {
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.extend_from_slice(frame.bytes);
        self.post(to, Parcel::Frame { interface, offload: frame.offload, bytes });
    }

    fn post(&mut self, to: usize, parcel: Parcel) {
        let Some(mailbox) = self.mailboxes.get_mut(to) else { return };
        match mailbox.sender.try_send(parcel) {
            Ok(()) => mailbox.rings = true,
            // Its shard is gone, or has more than it can do: what TCP cannot repair is lost, as on any full queue.
            Err(_) => self.counters.refused += 1,
        }
    }
}
