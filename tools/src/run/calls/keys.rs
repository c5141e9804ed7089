//! `setsockopt` for keys: `TCP_MD5SIG` and `TCP_AO_ADD_KEY`, always for the script's other side.

use std::sync::Arc;

use ustack::tcp::{AoAlgorithm, AoKey};

use super::constant::errno_of;
use super::{Args, Outcome, Process, fails, returns};
use crate::run::keys::whole;
use crate::run::script::Argument;
use crate::run::world::World;

/// `setsockopt(3, SOL_TCP, TCP_MD5SIG, "secret", 6) = 0` or
/// `setsockopt(3, SOL_TCP, TCP_AO_ADD_KEY, {sndid=1, rcvid=2, key="secret"}, 1) = 0`
pub(super) fn add(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    let value = args.get(3)?;
    let Some(fd) = process.fds.get_mut(args.int(0)?) else { return fails("EBADF") };
    let (us, peer) = (world.wire.settings.local(), world.wire.settings.remote());
    let mut keys = fd.tcp.keys.as_deref().cloned().unwrap_or_default();
    let added = match args.name(2)? {
        "TCP_MD5SIG" => {
            let secret = args.text(value)?;
            world.wire.their_keys.add_md5(us, secret.as_bytes())?;
            keys.add_md5(peer, whole(peer), secret.as_bytes())
        }
        _ => {
            let key = ao_key(args, value)?;
            // Both sides know what one of the script's sockets is told; another may have been told before.
            let _ = world.wire.their_keys.add_ao(us, &key);
            keys.add_ao(peer, whole(peer), key)
        }
    };
    if added.is_err() {
        return fails("EINVAL");
    }
    let keys = Arc::new(keys);
    fd.tcp.keys = Some(keys.clone());
    match fd.id.map(|id| world.stack.tcp_set_keys(id, &keys)) {
        None | Some(Ok(())) => returns(0),
        Some(Err(error)) => fails(errno_of(&error)),
    }
}

/// `setsockopt(3, SOL_TCP, TCP_AO_INFO, {rnext=4}, 1) = 0`: asks the other side for another key.
pub(super) fn ask(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    let rnext = args.part(args.get(3)?, "rnext").ok_or("TCP_AO_INFO wants {rnext=ID}")?;
    let rnext = u8::try_from(args.value(rnext)?).map_err(|_| "an id has eight bits")?;
    let Some(id) = process.fds.get_mut(args.int(0)?).and_then(|fd| fd.id) else { return fails("EINVAL") };
    match world.stack.tcp_ask_for_ao_key(id, rnext) {
        Ok(()) => returns(0),
        Err(error) => fails(errno_of(&error)),
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
