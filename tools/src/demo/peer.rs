//! What stands at the far end: a reader of a TCP stream, a reader of datagrams, and one that answers them.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use ustack::net::{Net, Spawner, TcpListener, UdpSocket};
use ustack::time::Instant;

/// Reads streams until they end.
pub(crate) const STREAM_PORT: u16 = 7001;
/// Reads datagrams.
pub(crate) const DATAGRAM_PORT: u16 = 7002;
/// Reads datagrams and answers whoever sent them.
pub(crate) const GREETER_PORT: u16 = 7003;
/// Nobody is there.
pub(crate) const CLOSED_PORT: u16 = 7009;

/// Sockets that the far end holds from beginning to end.
pub(crate) const SOCKETS: usize = 3;

/// Something that an application at the far end has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// When.
    pub(crate) time: Instant,
    /// At which port.
    pub(crate) port: u16,
    /// From whom.
    pub(crate) from: SocketAddr,
    /// What; nothing at the end of a stream.
    pub(crate) bytes: Vec<u8>,
}

/// What the applications at the far end have read so far.
pub(crate) type Log = Rc<RefCell<Vec<Heard>>>;

/// What the greeter answers.
pub(crate) fn greeting(to: &[u8]) -> Vec<u8> {
    [b"hello ", to].concat()
}

/// Starts what stands at the far end, over our own sockets.
pub(crate) fn serve(net: &Net, spawner: &Spawner, log: &Log) -> io::Result<()> {
    let any = |port| SocketAddr::new(IpAddr::from(Ipv4Addr::UNSPECIFIED), port);
    let listener = TcpListener::bind(net, any(STREAM_PORT))?;
    let reader = UdpSocket::bind(net, any(DATAGRAM_PORT))?;
    let greeter = UdpSocket::bind(net, any(GREETER_PORT))?;
    spawner.spawn(read_streams(net.clone(), listener, log.clone()));
    spawner.spawn(read_datagrams(net.clone(), reader, DATAGRAM_PORT, log.clone()));
    spawner.spawn(read_datagrams(net.clone(), greeter, GREETER_PORT, log.clone()));
    Ok(())
}

/// One stream after the other: the end is answered by the end.
async fn read_streams(net: Net, listener: TcpListener, log: Log) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok((stream, from)) = listener.accept().await {
        while let Ok(n) = stream.read(&mut buffer).await {
            log.borrow_mut().push(Heard {
                time: net.now(),
                port: STREAM_PORT,
                from,
                bytes: buffer[..n].to_vec(),
            });
            if n == 0 {
                break;
            }
        }
    }
}

async fn read_datagrams(net: Net, socket: UdpSocket, port: u16, log: Log) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        // An error is about an answer that nobody took: it does not end the service.
        let Ok((n, from)) = socket.recv_from(&mut buffer).await else { continue };
        let bytes = buffer[..n].to_vec();
        if port == GREETER_PORT {
            let _ = socket.send_to(&greeting(&bytes), from).await;
        }
        log.borrow_mut().push(Heard { time: net.now(), port, from, bytes });
    }
}
