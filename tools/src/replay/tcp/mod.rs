//! Replays a TCP connection.

mod app;
mod history;
mod mapping;
mod player;
mod script;
mod trace;

pub(super) use trace::Segment;

use super::compare;
use super::conversation::Conversation;
use super::error::Error;
use super::report::{Report, Streams};
use super::{Protocol, Role};
use crate::events::EventLog;
use player::Player;
use script::Script;

/// Plays the other side of a connection at a stack that stands in for `role`.
pub(super) fn replay(
    conversation: &Conversation,
    role: Role,
    seed: u64,
    events: Option<&EventLog>,
) -> Result<Report, Error> {
    let mut script = Script::new(conversation, role)?;
    script.settings.observe = events.is_some();
    let mut player = Player::new(&script, seed, events)?;
    player.run();
    let outcome = player.finish();
    let received = Streams::compare(
        &script.theirs.bytes()[..script.acked_by_us()],
        script.theirs.bytes(),
        &outcome.read,
    );
    let sent = Streams::compare(
        &script.ours.bytes()[..script.acked_by_them()],
        script.ours.bytes(),
        outcome.sent.bytes(),
    );
    let rows = compare::align(&script.segments, &outcome.segments);
    Ok(Report {
        protocol: Protocol::Tcp,
        client: conversation.client,
        server: conversation.server,
        role,
        played: outcome.played,
        to_play: script.cues.len() + script.errors.len(),
        added_acks: outcome.added_acks,
        virtual_time: outcome.time,
        received: vec![received],
        sent: vec![sent],
        recorded_segments: script.segments.len(),
        our_segments: outcome.segments.len(),
        rows,
        stalled: outcome.stalled,
        broken_rules: outcome.broken_rules,
    })
}
