//! What stands at the far end when that is the kernel: the same services as in `peer`, over the kernel's sockets.

use std::io::{self, Read, Stdout};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::kernel::Told;
use super::peer::{DATAGRAM_PORT, GREETER_PORT, STREAM_PORT, greeting};

/// Where all is told. One record at a time.
type Tell = Arc<Mutex<Stdout>>;

/// Serves until stdin ends; each byte of it asks whether all is told.
pub(crate) fn serve() -> io::Result<()> {
    let any = Ipv4Addr::UNSPECIFIED;
    let listener = TcpListener::bind((any, STREAM_PORT))?;
    let reader = UdpSocket::bind((any, DATAGRAM_PORT))?;
    let greeter = UdpSocket::bind((any, GREETER_PORT))?;
    let out: Tell = Arc::new(Mutex::new(io::stdout()));
    let tell = out.clone();
    thread::spawn(move || read_streams(&listener, &tell));
    for (socket, port) in [(reader, DATAGRAM_PORT), (greeter, GREETER_PORT)] {
        let tell = out.clone();
        thread::spawn(move || read_datagrams(&socket, port, &tell));
    }
    ready(&out)?;
    let mut asked = [0];
    while io::stdin().read(&mut asked)? > 0 {
        ready(&out)?;
    }
    Ok(())
}

fn ready(out: &Tell) -> io::Result<()> {
    Told::write(&mut *out.lock().unwrap_or_else(PoisonError::into_inner), None)
}

fn tell(out: &Tell, heard: (u16, std::net::SocketAddr, &[u8])) -> io::Result<()> {
    Told::write(&mut *out.lock().unwrap_or_else(PoisonError::into_inner), Some(heard))
}

/// One stream after the other: the end is answered by the end.
fn read_streams(listener: &TcpListener, out: &Tell) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let (mut stream, from) = listener.accept()?;
        while let Ok(n) = stream.read(&mut buffer) {
            tell(out, (STREAM_PORT, from, &buffer[..n]))?;
            if n == 0 {
                break;
            }
        }
    }
}

fn read_datagrams(socket: &UdpSocket, port: u16, out: &Tell) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        // An error is about an answer that nobody took: it does not end the service.
        let Ok((n, from)) = socket.recv_from(&mut buffer) else { continue };
        if port == GREETER_PORT {
            let _ = socket.send_to(&greeting(&buffer[..n]), from);
        }
        tell(out, (port, from, &buffer[..n]))?;
    }
}
