//! The seed of a run, and the command that repeats it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};

/// A seed that nobody chose.
pub(crate) fn random_seed() -> io::Result<u64> {
    let mut bytes = [0; 4];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    // Half as long as it could be: people copy it.
    Ok(u64::from(u32::from_le_bytes(bytes)))
}

/// The command line of this process, with the seed that it had.
pub(crate) fn command(seed: u64) -> String {
    // Whatever path led to us: people type the name.
    repeat(std::iter::once("ustack".into()).chain(std::env::args_os().skip(1)), seed)
}

fn repeat(arguments: impl Iterator<Item = OsString>, seed: u64) -> String {
    let arguments: Vec<_> = arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    let ours = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    let seeded =
        arguments[..ours].iter().any(|argument| argument == "--seed" || argument.starts_with("--seed="));
    let (before, after) = arguments.split_at(ours);
    let mut words: Vec<_> = before.iter().map(|argument| quote(argument)).collect();
    if !seeded {
        words.extend(["--seed".into(), seed.to_string()]);
    }
    words.extend(after.iter().map(|argument| quote(argument)));
    words.join(" ")
}

/// The word as a shell takes it.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,%@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeated(words: &[&str]) -> String {
        repeat(words.iter().map(|&word| word.into()), 7)
    }

    #[test]
    fn the_seed_is_ours_and_not_the_commands() {
        assert_eq!(
            repeated(&["ustack", "host", "--echo", "--", "sh", "-c", "echo $HOME"]),
            "ustack host --echo --seed 7 -- sh -c 'echo $HOME'"
        );
        assert_eq!(repeated(&["ustack", "host", "--seed=7"]), "ustack host --seed=7");
        assert_eq!(repeated(&["u", "--", "x", "--seed", "1"]), "u --seed 7 -- x --seed 1");
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(repeated(&["u", "it's", ""]), r"u 'it'\''s' '' --seed 7");
    }
}
