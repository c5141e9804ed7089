//! Keys of TCP-AO and MD5 from a file: a secret on the command line could be read by everybody on the machine.

use std::net::IpAddr;
use std::path::Path;

use ustack::tcp::{AoAlgorithm, AoKey, Keys};

use super::failure::Failure;

/// The keys of a file, a line each:
///
/// ```text
/// # peers    kind  numbers  options           secret
/// 10.9.0.1   md5                              correct horse battery staple
/// fd09::/64  ao    100 101                    0x00112233445566778899aabbccddeeff
/// 10.9.0.0/24 ao   7 7      aes-128-cmac no-options  a secret
/// ```
pub(crate) fn read(path: &Path) -> Result<Keys, Failure> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| Failure::cannot_open(path.display(), &error))?;
    let mut keys = Keys::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // Not a word of the line: it may be the secret.
        let wrong = |why: String| Failure::Usage(format!("{}:{}: {why}", path.display(), index + 1));
        add(&mut keys, line).map_err(wrong)?;
    }
    Ok(keys)
}

fn add(keys: &mut Keys, line: &str) -> Result<(), String> {
    let (peers, rest) = word(line);
    let (address, prefix) =
        parse_peers(peers).ok_or("the first word is an address or a network of the peers")?;
    let (kind, rest) = word(rest);
    let added = match kind {
        "md5" => keys.add_md5(address, prefix, &secret(rest)?),
        "ao" => keys.add_ao(address, prefix, parse_ao(rest)?),
        _ => return Err("the second word is md5 or ao".into()),
    };
    added.map_err(|error| error.to_string())
}

fn parse_ao(text: &str) -> Result<AoKey, String> {
    let (send, rest) = word(text);
    let (recv, mut rest) = word(rest);
    let (Ok(send), Ok(recv)) = (send.parse(), recv.parse()) else {
        return Err(
            "after ao come the numbers, 0 to 255, of the key in what we send and in what we receive".into()
        );
    };
    let mut key = AoKey::new(send, recv, &[]);
    loop {
        let (option, after) = word(rest);
        match option {
            "hmac-sha-1-96" => key.algorithm = AoAlgorithm::HmacSha1,
            "aes-128-cmac" => key.algorithm = AoAlgorithm::Aes128Cmac,
            "no-options" => key.include_options = false,
            _ => break,
        }
        rest = after;
    }
    key.secret = secret(rest)?.into();
    Ok(key)
}

/// The rest of a line: text, or bytes as `0x...`.
fn secret(text: &str) -> Result<Vec<u8>, String> {
    let Some(digits) = text.strip_prefix("0x") else { return Ok(text.as_bytes().to_vec()) };
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    };
    let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
    bytes.ok_or_else(|| "after 0x come hexadecimal digits, two for each byte".into())
}

fn parse_peers(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    Some((address, prefix.unwrap_or(if address.is_ipv4() { 32 } else { 128 })))
}

fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_key() {
        let mut keys = Keys::new();
        for line in [
            "10.9.0.1 md5 correct horse",
            "fd09::/64\tao 100 101 0x0011ff",
            "10.9.0.0/24 ao 7 8 aes-128-cmac no-options  a secret",
        ] {
            add(&mut keys, line).unwrap();
        }
        let mut same = Keys::new();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        same.add_md5(ip("10.9.0.1"), 32, b"correct horse").unwrap();
        same.add_ao(ip("fd09::"), 64, AoKey::new(100, 101, &[0x00, 0x11, 0xff])).unwrap();
        let key = AoKey {
            algorithm: AoAlgorithm::Aes128Cmac,
            include_options: false,
            ..AoKey::new(7, 8, b"a secret")
        };
        same.add_ao(ip("10.9.0.0"), 24, key).unwrap();
        assert!(keys == same);
    }

    #[test]
    fn what_is_no_key_is_refused_without_telling_the_secret() {
        let refused = |line| add(&mut Keys::new(), line).unwrap_err();
        for line in [
            "",
            "secret",
            "10.9.0.1",
            "10.9.0.1 md5",
            "10.9.0.1/33 md5 secret",
            "10.9.0.1 sha secret",
            "10.9.0.1 md5 0xsecret",
            "10.9.0.1 md5 0x123",
            "10.9.0.1 ao secret",
            "10.9.0.1 ao 1 secret",
            "10.9.0.1 ao 256 1 secret",
            "10.9.0.1 ao 1 2",
        ] {
            assert!(!refused(line).contains("secret"), "{line}: {}", refused(line));
        }
    }
}
