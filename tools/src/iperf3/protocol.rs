//! What the two sides say on the control connection.

use serde_json::{Map, Value, json};
use ustack::net::TcpStream;
use ustack::rng::Rng;

use super::Error;

/// Where a server listens.
pub const PORT: u16 = 5201;

/// Streams of one test in each direction.
pub(super) const MAX_STREAMS: u64 = 128;
/// Bytes of a block of TCP's.
const MAX_BLOCK: u64 = 1 << 20;
/// Bytes of a datagram.
const MAX_DATAGRAM: u64 = 65_507;
/// Most bytes of parameters and of results; a server's results are longer, as they may hold its output.
pub(super) const MAX_PARAMS: u32 = 8 << 10;
pub(super) const MAX_CLIENT_RESULTS: u32 = 256 << 10;
pub(super) const MAX_SERVER_RESULTS: u32 = 4 << 20;

/// What the client says first on each connection of a test: 36 characters and a zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cookie(pub(super) [u8; Self::LEN]);

impl Cookie {
    pub(super) const LEN: usize = 37;

    pub(super) fn new(rng: &mut Rng) -> Self {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut bytes = [0; Self::LEN];
        bytes[..Self::LEN - 1].fill_with(|| LETTERS[rng.below(32) as usize]);
        Self(bytes)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0[..Self::LEN - 1]).into_owned()
    }
}

/// What comes next, in one signed byte. The server says it, but for the end of the test, which the client tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(super) enum State {
    TestStart = 1,
    TestRunning = 2,
    TestEnd = 4,
    ParamExchange = 9,
    CreateStreams = 10,
    ServerTerminate = 11,
    ClientTerminate = 12,
    ExchangeResults = 13,
    DisplayResults = 14,
    IperfDone = 16,
    AccessDenied = -1,
    ServerError = -2,
}

impl State {
    const ALL: [Self; 12] = [
        Self::TestStart,
        Self::TestRunning,
        Self::TestEnd,
        Self::ParamExchange,
        Self::CreateStreams,
        Self::ServerTerminate,
        Self::ClientTerminate,
        Self::ExchangeResults,
        Self::DisplayResults,
        Self::IperfDone,
        Self::AccessDenied,
        Self::ServerError,
    ];

    fn from_byte(byte: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|&state| state as i8 == byte)
    }
}

/// The control connection.
#[derive(Debug)]
pub(super) struct Control(pub(super) TcpStream);

impl Control {
    pub(super) async fn send_state(&self, state: State) -> Result<(), Error> {
        Ok(self.0.write_all(&(state as i8).to_be_bytes()).await?)
    }

    /// The next state. Nothing is lost if it is waited for no longer.
    pub(super) async fn state(&self) -> Result<State, Error> {
        let mut byte = [0];
        self.0.read_exact(&mut byte).await?;
        let byte = i8::from_be_bytes(byte);
        State::from_byte(byte).ok_or_else(|| Error::Protocol(format!("there is no state {byte}")))
    }

    /// Waits for that state; what else comes is an error.
    pub(super) async fn expect(&self, wanted: State) -> Result<(), Error> {
        match self.state().await? {
            state if state == wanted => Ok(()),
            State::AccessDenied => Err(Error::Busy),
            State::ServerError => Err(self.server_error().await?),
            State::ServerTerminate | State::ClientTerminate => Err(Error::Terminated),
            other => Err(Error::Protocol(format!("{other:?} came, not {wanted:?}"))),
        }
    }

    /// The numbers that follow on [`State::ServerError`].
    async fn server_error(&self) -> Result<Error, Error> {
        let mut numbers = [[0; 4]; 2];
        for number in &mut numbers {
            self.0.read_exact(number).await?;
        }
        let [code, errno] = numbers.map(i32::from_be_bytes);
        Ok(Error::Server { code, cause: std::io::Error::from_raw_os_error(errno) })
    }

    /// Tells a client that its test cannot be.
    pub(super) async fn refuse(&self, code: i32) -> Result<(), Error> {
        const EINVAL: i32 = 22;
        self.send_state(State::ServerError).await?;
        Ok(self.0.write_all(&[code.to_be_bytes(), EINVAL.to_be_bytes()].concat()).await?)
    }

    pub(super) async fn send_json(&self, value: &Value) -> Result<(), Error> {
        let text = value.to_string();
        let len = u32::try_from(text.len()).map_err(|_| Error::Protocol("too long".into()))?;
        Ok(self.0.write_all(&[&len.to_be_bytes(), text.as_bytes()].concat()).await?)
    }

    /// A document of up to `limit` bytes.
    pub(super) async fn json(&self, what: &str, limit: u32) -> Result<Value, Error> {
        let mut len = [0; 4];
        self.0.read_exact(&mut len).await?;
        let len = u32::from_be_bytes(len);
        if len > limit {
            return Err(Error::Protocol(format!("{what} of {len} bytes: at most {limit} are taken")));
        }
        let mut text = vec![0; len as usize];
        self.0.read_exact(&mut text).await?;
        serde_json::from_slice(&text).map_err(|error| Error::Protocol(format!("{what}: {error}")))
    }
}

/// What the client asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Datagrams instead of streams of bytes.
    pub udp: bool,
    /// Seconds at the beginning that do not count.
    pub omit: u64,
    /// Seconds that count; 0 if bytes or blocks are the measure.
    pub time: u64,
    /// Bytes to move, all streams together; 0 for no limit.
    pub bytes: u64,
    /// Blocks (datagrams) to move, all streams together; 0 for no limit.
    pub blocks: u64,
    /// Streams in each direction.
    pub parallel: u64,
    /// The server sends.
    pub reverse: bool,
    /// Both send.
    pub bidirectional: bool,
    /// Bytes of a block, or of a datagram.
    pub len: u64,
    /// Bits per second of each stream; 0 for no limit.
    pub bandwidth: u64,
    /// Bytes of each socket's buffers; 0 for the stack's choice.
    pub window: u64,
    /// Small segments are sent at once.
    pub nodelay: bool,
    /// The congestion control, by name.
    pub congestion: Option<String>,
    /// Datagrams are numbered with 64 bits.
    pub counters_64bit: bool,
}

impl Default for Params {
    /// One stream of bytes for 10 seconds.
    fn default() -> Self {
        Self {
            udp: false,
            omit: 0,
            time: 10,
            bytes: 0,
            blocks: 0,
            parallel: 1,
            reverse: false,
            bidirectional: false,
            len: Self::BLOCK,
            bandwidth: 0,
            window: 0,
            nodelay: false,
            congestion: None,
            counters_64bit: false,
        }
    }
}

impl Params {
    /// Bytes of a block if nothing else is asked for.
    pub const BLOCK: u64 = 128 << 10;
    /// Bytes of a datagram if nothing else is asked for.
    pub const DATAGRAM: u64 = 1448;

    /// How many streams the test has.
    pub(super) const fn streams(&self) -> usize {
        (if self.bidirectional { 2 * self.parallel } else { self.parallel }) as usize
    }

    /// Whether the client sends on the stream number `index`, from 0: of both directions, its own come first.
    pub(super) const fn client_sends(&self, index: usize) -> bool {
        if self.bidirectional { (index as u64) < self.parallel } else { !self.reverse }
    }

    /// As the client writes it.
    pub(super) fn to_json(&self) -> Value {
        let mut json = json!({
            (if self.udp { "udp" } else { "tcp" }): true,
            "omit": self.omit,
            "time": self.time,
            "num": self.bytes,
            "blockcount": self.blocks,
            "parallel": self.parallel,
            "len": self.len,
            "pacing_timer": 1000,
            "client_version": concat!("ustack ", env!("CARGO_PKG_VERSION")),
        });
        let flags = [
            ("reverse", self.reverse),
            ("bidirectional", self.bidirectional),
            ("nodelay", self.nodelay),
            ("udp_counters_64bit", self.counters_64bit),
        ];
        flags.iter().filter(|(_, set)| *set).for_each(|(name, _)| json[name] = json!(1));
        let numbers = [("bandwidth", self.bandwidth), ("window", self.window)];
        numbers.iter().filter(|(_, n)| *n > 0).for_each(|(name, n)| json[name] = json!(n));
        if let Some(name) = &self.congestion {
            json["congestion"] = json!(name);
        }
        json
    }

    /// As a client wrote it; what is not there has its default.
    pub(super) fn from_json(json: &Value) -> Result<Self, Error> {
        let wrong = |what: &str| Error::Protocol(format!("parameters: {what}"));
        let Value::Object(fields) = json else { return Err(wrong("not an object")) };
        let default = Self::default();
        let number = |name, otherwise| match fields.get(name) {
            None | Some(Value::Null) => Ok(otherwise),
            Some(value) => whole(value).ok_or_else(|| wrong(&format!("{name} is {value}"))),
        };
        let udp = flag(fields, "udp");
        let params = Self {
            udp,
            omit: number("omit", 0)?,
            time: number("time", default.time)?,
            bytes: number("num", 0)?,
            blocks: number("blockcount", 0)?,
            parallel: number("parallel", 1)?,
            reverse: flag(fields, "reverse"),
            bidirectional: flag(fields, "bidirectional"),
            len: number("len", if udp { Self::DATAGRAM } else { Self::BLOCK })?,
            bandwidth: number("bandwidth", 0)?,
            window: number("window", 0)?,
            nodelay: flag(fields, "nodelay"),
            congestion: fields.get("congestion").and_then(Value::as_str).map(str::to_owned),
            counters_64bit: flag(fields, "udp_counters_64bit"),
        };
        params.check().map_err(|what| wrong(&what)).map(|()| params)
    }

    /// # Errors
    /// Says what cannot be.
    pub fn check(&self) -> Result<(), String> {
        const DAY: u64 = 86_400;
        let longest = if self.udp { MAX_DATAGRAM } else { MAX_BLOCK };
        let shortest = if self.udp { 16 } else { 1 };
        if !(1..=MAX_STREAMS).contains(&self.parallel) {
            return Err(format!("{} streams: 1 to {MAX_STREAMS} can be", self.parallel));
        }
        if !(shortest..=longest).contains(&self.len) {
            return Err(format!("blocks of {} bytes: {shortest} to {longest} can be", self.len));
        }
        if self.time > DAY || self.omit > 600 {
            return Err(format!("{} seconds, {} of them omitted, are too many", self.time, self.omit));
        }
        if self.reverse && self.bidirectional {
            return Err("either the server sends or both do".into());
        }
        Ok(())
    }
}

fn flag(fields: &Map<String, Value>, name: &str) -> bool {
    match fields.get(name) {
        Some(Value::Bool(set)) => *set,
        Some(value) => whole(value).is_some_and(|n| n != 0),
        None => false,
    }
}

/// A whole number, which cJSON may have written with a point or an exponent.
pub(super) fn whole(value: &Value) -> Option<u64> {
    let from_float = || value.as_f64().filter(|n| *n >= 0.0 && *n < u64::MAX as f64).map(|n| n as u64);
    value.as_u64().or_else(from_float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_iperf3_writes() {
        let text = r#"{"udp":true,"omit":0,"time":5,"num":0,"blockcount":0,"parallel":2,"reverse":true,
            "len":1448,"bandwidth":1.25e+7,"pacing_timer":1000,"client_version":"3.12"}"#;
        let params = Params::from_json(&serde_json::from_str(text).unwrap()).unwrap();
        let expected = Params {
            udp: true,
            time: 5,
            parallel: 2,
            reverse: true,
            len: 1448,
            bandwidth: 12_500_000,
            ..Params::default()
        };
        assert_eq!(params, expected);
        assert_eq!((params.streams(), params.client_sends(0)), (2, false));
    }

    #[test]
    fn reads_what_it_writes() {
        let params = Params {
            omit: 1,
            bidirectional: true,
            parallel: 3,
            window: 1 << 20,
            nodelay: true,
            congestion: Some("reno".into()),
            counters_64bit: true,
            ..Params::default()
        };
        assert_eq!(Params::from_json(&params.to_json()).unwrap(), params);
        let sends: Vec<bool> = (0..params.streams()).map(|index| params.client_sends(index)).collect();
        assert_eq!(sends, [true, true, true, false, false, false]);
    }

    #[test]
    fn refuses_what_cannot_be() {
        let refused = |text: &str| {
            let json = serde_json::from_str(text).unwrap();
            Params::from_json(&json).expect_err(text).to_string()
        };
        assert!(refused("[]").contains("not an object"));
        assert!(refused(r#"{"parallel":100000}"#).contains("100000 streams"));
        assert!(refused(r#"{"parallel":0}"#).contains("0 streams"));
        assert!(refused(r#"{"len":-5}"#).contains("len is -5"));
        assert!(refused(r#"{"len":99999999}"#).contains("99999999 bytes"));
        assert!(refused(r#"{"udp":true,"len":4}"#).contains("4 bytes"));
        assert!(refused(r#"{"time":1e30}"#).contains("time is"));
    }

    #[test]
    fn a_cookie_is_36_letters() {
        let cookie = Cookie::new(&mut Rng::new(1, 2));
        assert_eq!((cookie.text().len(), cookie.0[36]), (36, 0));
        assert!(cookie.text().bytes().all(|b| b.is_ascii_alphanumeric()));
    }
}
