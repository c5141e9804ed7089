//! Just enough of HTTP/1.1 on the stack's streams to move large files: a responder for curl, a client for nginx.

use std::io::{self, Read, Write};

use ustack::blocking::TcpStream;

use crate::app::send;
use crate::pattern::Received;

/// Bytes of a header, at most.
const LONGEST_HEADER: usize = 8_192;

/// Answers one request: `GET /n` with the first n bytes of stream `seed`, `PUT` with the length and the hash of what
/// came, which should be stream `seed`. What was received, if anything was.
///
/// # Errors
/// The connection's, or a request that is none.
pub fn respond(mut stream: &TcpStream, seed: u64) -> io::Result<Received> {
    let (header, rest) = read_header(stream)?;
    let mut received = Received::new(seed);
    match header.split(' ').collect::<Vec<_>>()[..] {
        ["GET", path, ..] => {
            let bytes = path.trim_start_matches('/').parse().map_err(|_| bad("a path that is no number"))?;
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n")?;
            send(stream, seed, bytes)?;
        }
        ["PUT", ..] => {
            if value(&header, "Expect").is_some() {
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            read_body(stream, &header, &rest, &mut received)?;
            let body = format!("{} {:016x}\n", received.bytes(), received.hash());
            let length = body.len();
            let head =
                format!("HTTP/1.1 201 Created\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes())?;
            stream.write_all(body.as_bytes())?;
        }
        _ => return Err(bad("neither GET nor PUT")),
    }
    Ok(received)
}

/// Downloads a file that should hold stream `seed`.
///
/// # Errors
/// The connection's, or another answer than 200.
pub fn get(mut stream: &TcpStream, path: &str, seed: u64) -> io::Result<Received> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: peer\r\nConnection: close\r\n\r\n")?;
    let (header, rest) = read_header(stream)?;
    expect_status(&header, "200")?;
    let mut received = Received::new(seed);
    read_body(stream, &header, &rest, &mut received)?;
    Ok(received)
}

/// Uploads the first bytes of stream `seed` as a new file.
///
/// # Errors
/// The connection's, or another answer than 201.
pub fn put(mut stream: &TcpStream, path: &str, seed: u64, bytes: u64) -> io::Result<()> {
    write!(
        stream,
        "PUT {path} HTTP/1.1\r\nHost: peer\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n"
    )?;
    send(stream, seed, bytes)?;
    expect_status(&read_header(stream)?.0, "201")
}

/// The header of a message, and what was read beyond it.
fn read_header(mut stream: &TcpStream) -> io::Result<(String, Vec<u8>)> {
    const END: &[u8] = b"\r\n\r\n";
    let mut bytes = Vec::new();
    let mut piece = [0; 1_024];
    loop {
        let len = stream.read(&mut piece)?;
        if len == 0 || bytes.len() > LONGEST_HEADER {
            return Err(bad("no end of the header"));
        }
        bytes.extend_from_slice(&piece[..len]);
        if let Some(at) = bytes.windows(END.len()).position(|window| window == END) {
            let rest = bytes.split_off(at + END.len());
            return Ok((String::from_utf8(bytes).map_err(|_| bad("a header that is no text"))?, rest));
        }
    }
}

/// As many bytes as the header announces.
fn read_body(mut stream: &TcpStream, header: &str, rest: &[u8], received: &mut Received) -> io::Result<()> {
    let length = value(header, "Content-Length").and_then(|text| text.parse::<u64>().ok());
    let length = length.ok_or_else(|| bad("no length"))?;
    received.push(rest);
    let mut piece = vec![0; 65_536];
    while received.bytes() < length {
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => received.push(&piece[..len]),
        }
    }
    Ok(())
}

fn value<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = header.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn expect_status(header: &str, status: &str) -> io::Result<()> {
    let line = header.lines().next().unwrap_or_default();
    if line.split(' ').nth(1) == Some(status) { Ok(()) } else { Err(bad(line)) }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_any_case_of_their_name() {
        let header = "PUT /x HTTP/1.1\r\nHost: a\r\ncontent-length: 77\r\n\r\n";
        assert_eq!(value(header, "Content-Length"), Some("77"));
        assert_eq!(value(header, "Expect"), None);
        assert!(expect_status("HTTP/1.1 200 OK\r\n", "200").is_ok());
        assert!(expect_status("HTTP/1.1 404 Not Found\r\n", "200").is_err());
    }
}
