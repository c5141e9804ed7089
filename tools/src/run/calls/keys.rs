//! `setsockopt` for keys: `TCP_MD5SIG` and `TCP_AO_ADD_KEY`, always for the script's other side.

use std::sync::Arc;

use ustack::tcp::{AoAlgorithm, AoKey, KeyError};

use super::constant::errno_of;
use super::{Args, Outcome, Process, fails, returns};
use crate::run::keys::whole;
use crate::run::script::Argument;
use crate::run::wire::Wire;
use crate::run::world::World;

/// What such a call says.
#[derive(Clone, Debug)]
pub(in crate::run) enum KeyCall {
    /// `setsockopt(3, SOL_TCP, TCP_MD5SIG, "secret", 6) = 0`
    Md5(Vec<u8>),
    /// `setsockopt(3, SOL_TCP, TCP_AO_ADD_KEY, {sndid=1, rcvid=2, key="secret"}, 1) = 0`
    Ao(AoKey),
    /// `setsockopt(3, SOL_TCP, TCP_AO_INFO, {rnext=4}, 1) = 0`: asks the other side for another key.
    Ask(u8),
}

impl KeyCall {
    /// Reads a `setsockopt` for keys; `None` if it is for something else.
    pub(in crate::run) fn read(args: &Args<'_>) -> Result<Option<Self>, String> {
        let name = args.name(2)?;
        if !matches!(name, "TCP_MD5SIG" | "TCP_AO_ADD_KEY" | "TCP_AO_INFO") {
            return Ok(None);
        }
        let value = args.get(3)?;
        Ok(Some(match name {
            "TCP_MD5SIG" => Self::Md5(args.text(value)?.into_bytes()),
            "TCP_AO_ADD_KEY" => Self::Ao(ao_key(args, value)?),
            _ => {
                let rnext = args.part(value, "rnext").ok_or("TCP_AO_INFO wants {rnext=ID}")?;
                Self::Ask(u8::try_from(args.value(rnext)?).map_err(|_| "an id has eight bits")?)
            }
        }))
    }

    /// The other side learns what one of our sockets is told; another socket may have been told before.
    pub(in crate::run) fn tell_them(&self, wire: &mut Wire) -> Result<(), String> {
        let us = wire.settings.local();
        match self {
            Self::Md5(secret) => wire.their_keys.add_md5(us, secret),
            Self::Ao(key) => {
                let _ = wire.their_keys.add_ao(us, key);
                Ok(())
            }
            Self::Ask(_) => Ok(()),
        }
    }
}

/// Does what the call says on a socket of the stack.
pub(super) fn set(
    process: &mut Process,
    world: &mut World,
    args: &Args<'_>,
    call: &KeyCall,
) -> Result<Outcome, String> {
    let peer = world.wire.settings.remote();
    call.tell_them(&mut world.wire)?;
    let Some(fd) = process.fds.get_mut(args.int(0)?) else { return fails("EBADF") };
    let mut keys = fd.tcp.keys.as_deref().cloned().unwrap_or_default();
    let added = match call {
        KeyCall::Md5(secret) => keys.add_md5(peer, whole(peer), secret),
        KeyCall::Ao(key) => keys.add_ao(peer, whole(peer), key.clone()),
        KeyCall::Ask(rnext) => {
            let Some(id) = fd.id else { return fails("EINVAL") };
            return match world.stack.tcp_ask_for_ao_key(id, *rnext) {
                Ok(()) => returns(0),
                Err(ustack::Error::Invalid(_)) => fails("ENOENT"),
                Err(error) => fails(errno_of(&error)),
            };
        }
    };
    match added {
        Ok(()) => {}
        Err(KeyError::Taken { .. }) => return fails("EEXIST"),
        Err(_) => return fails("EINVAL"),
    }
    let keys = Arc::new(keys);
    fd.tcp.keys = Some(keys.clone());
    match fd.id.map(|id| world.stack.tcp_set_keys(id, &keys)) {
        None | Some(Ok(())) => returns(0),
        Some(Err(error)) => fails(errno_of(&error)),
    }
}

fn ao_key(args: &Args<'_>, value: &Argument) -> Result<AoKey, String> {
    let part = |name: &str| {
        args.part(value, name)
            .ok_or_else(|| format!("a key is written {{sndid=1, rcvid=2, key=\"secret\"}}: {name}"))
    };
    let id = |name| u8::try_from(args.value(part(name)?)?).map_err(|_| format!("{name} has eight bits"));
    let secret = args.text(part("key")?)?;
    let mut key = AoKey::new(id("sndid")?, id("rcvid")?, secret.as_bytes());
    if let Some(name) = args.part(value, "alg_name") {
        key.algorithm = match args.text(name)?.as_str() {
            "hmac(sha1)" => AoAlgorithm::HmacSha1,
            "cmac(aes128)" => AoAlgorithm::Aes128Cmac,
            other => return Err(format!("expected \"hmac(sha1)\" or \"cmac(aes128)\", found \"{other}\"")),
        };
    }
    if let Some(flag) = args.part(value, "exclude_options") {
        key.include_options = args.value(flag)? == 0;
    }
    Ok(key)
}
