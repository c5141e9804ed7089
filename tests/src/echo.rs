//! An echo server in async Rust that does not know where it runs.

use std::io;
use std::net::{Shutdown, SocketAddr};

use ustack::net::{Net, TcpListener, TcpStream};

/// Echoes `clients` streams, one after the other; answers how many bytes there were in all.
///
/// # Errors
/// The address is taken, or a stream breaks off.
pub async fn serve(net: Net, address: SocketAddr, clients: usize) -> io::Result<u64> {
    let listener = TcpListener::bind(&net, address)?;
    let mut bytes = 0;
    for _ in 0..clients {
        let (stream, _) = listener.accept().await?;
        bytes += echo(&stream).await?;
    }
    Ok(bytes)
}

async fn echo(stream: &TcpStream) -> io::Result<u64> {
    let (mut buffer, mut bytes) = ([0; 8192], 0);
    loop {
        match stream.read(&mut buffer).await? {
            0 => break,
            len => {
                stream.write_all(&buffer[..len]).await?;
                bytes += len as u64;
            }
        }
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(bytes)
}
