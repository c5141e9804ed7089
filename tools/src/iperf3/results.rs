//! What the two sides tell each other at the end.

use serde_json::{Value, json};

use super::Error;
use super::protocol::whole;
use super::usage::Share;

/// The results of one side.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Results {
    pub(super) cpu: Share,
    pub(super) congestion: Option<String>,
    pub(super) streams: Vec<StreamResult>,
}

/// Those of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct StreamResult {
    pub(super) id: u64,
    pub(super) bytes: u64,
    /// `None` from a receiver, and from who does not know.
    pub(super) retransmits: Option<u64>,
    /// In seconds.
    pub(super) jitter: f64,
    pub(super) lost: u64,
    pub(super) packets: u64,
    pub(super) seconds: f64,
}

impl Results {
    /// Those of the stream of that number.
    pub(super) fn stream(&self, id: u64) -> Option<&StreamResult> {
        self.streams.iter().find(|stream| stream.id == id)
    }

    pub(super) fn to_json(&self) -> Value {
        let knows = self.streams.iter().any(|stream| stream.retransmits.is_some());
        let mut json = json!({
            "cpu_util_total": self.cpu.total,
            "cpu_util_user": self.cpu.user,
            "cpu_util_system": self.cpu.system,
            "sender_has_retransmits": if knows { 1 } else { -1 },
            "streams": self.streams.iter().copied().map(StreamResult::to_json).collect::<Vec<_>>(),
        });
        if let Some(name) = &self.congestion {
            json["congestion_used"] = json!(name);
        }
        json
    }

    pub(super) fn from_json(json: &Value) -> Result<Self, Error> {
        let share = |name| json.get(name).and_then(Value::as_f64).unwrap_or_default();
        let streams = json.get("streams").and_then(Value::as_array);
        let streams = streams.ok_or_else(|| Error::Protocol("results without streams".into()))?;
        let streams = streams.iter().map(StreamResult::from_json).collect::<Option<Vec<_>>>();
        Ok(Self {
            cpu: Share {
                total: share("cpu_util_total"),
                user: share("cpu_util_user"),
                system: share("cpu_util_system"),
            },
            congestion: json.get("congestion_used").and_then(Value::as_str).map(str::to_owned),
            streams: streams.ok_or_else(|| Error::Protocol("results of a stream without number".into()))?,
        })
    }
}

impl StreamResult {
    fn to_json(self) -> Value {
        json!({
            "id": self.id,
            "bytes": self.bytes,
            "retransmits": self.retransmits.map_or(json!(-1), |n| json!(n)),
            "jitter": self.jitter,
            "errors": self.lost,
            "omitted_errors": 0,
            "packets": self.packets,
            "omitted_packets": 0,
            "start_time": 0,
            "end_time": self.seconds,
        })
    }

    /// `None` if it has no number.
    fn from_json(json: &Value) -> Option<Self> {
        let number = |name| json.get(name).and_then(whole);
        let float = |name| json.get(name).and_then(Value::as_f64).unwrap_or_default();
        Some(Self {
            id: number("id")?,
            bytes: number("bytes").unwrap_or_default(),
            // -1 says that nobody knows; iperf3 3.12 writes it without a sign.
            retransmits: number("retransmits").filter(|&n| n <= u64::from(u32::MAX)),
            jitter: float("jitter"),
            lost: number("errors").unwrap_or_default(),
            packets: number("packets").unwrap_or_default(),
            seconds: (float("end_time") - float("start_time")).max(0.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let stream = StreamResult { id: 3, bytes: 1 << 40, jitter: 0.25, seconds: 2.0, ..Default::default() };
        let sent = StreamResult { id: 1, retransmits: Some(7), ..stream };
        let results = Results {
            cpu: Share { total: 3.0, user: 1.0, system: 2.0 },
            congestion: Some("cubic".into()),
            streams: vec![sent, stream],
        };
        assert_eq!(Results::from_json(&results.to_json()).unwrap(), results);
        assert_eq!(results.to_json()["streams"][1]["retransmits"], -1);
        assert_eq!(results.stream(3), Some(&stream));
    }

    #[test]
    fn takes_little_and_refuses_less() {
        assert!(Results::from_json(&json!({ "streams": [{ "id": 1 }] })).is_ok());
        let unknown = json!({ "streams": [{ "id": 1, "retransmits": 18_446_744_073_709_551_615_u64 }] });
        assert_eq!(Results::from_json(&unknown).unwrap().streams[0].retransmits, None);
        assert!(Results::from_json(&json!({ "streams": [{}] })).is_err());
        assert!(Results::from_json(&json!({})).is_err());
    }
}
