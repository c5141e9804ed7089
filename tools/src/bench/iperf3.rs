//! A real iperf3 on the kernel's side, where one is installed: our client over a TAP beside iperf3's own over a veth.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::bed::{Bed, CONTENDER, PEER, TAP};
use super::measure::{Cpus, pin};
use super::peer::Way;
use super::report::{Contender, Sample, Test, flow_count};

/// The program that others have.
pub const PROGRAM: &str = "iperf3";
/// How often a client asks for a server that has just been started, and how long it waits between.
const TRIES: usize = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// Whose client speaks to iperf3's server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// `ustack iperf3` over a TAP.
    Ustack,
    /// iperf3 over a veth.
    Kernel,
}

impl Contender for Who {
    fn name(self) -> &'static str {
        match self {
            Self::Ustack => "ustack iperf3",
            Self::Kernel => "iperf3 over veth",
        }
    }

    fn is_ours(self) -> bool {
        self == Self::Ustack
    }
}

/// What is measured, and how.
#[derive(Clone, Debug)]
pub struct Iperf3 {
    /// The program that is `ustack`.
    pub ustack: PathBuf,
    /// Whole seconds of each run.
    pub seconds: u64,
    /// How often the contenders take turns.
    pub rounds: usize,
    /// Processors: 1 or 2.
    pub cpus: u8,
    /// Connections at the same time.
    pub flows: usize,
}

/// A server that is ended when it is not needed any more.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended by itself after its one test.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Iperf3 {
    /// Whether there is an iperf3.
    pub fn is_installed() -> bool {
        Command::new(PROGRAM).arg("--version").output().is_ok_and(|output| output.status.success())
    }

    /// Measures one way.
    pub fn measure(&self, way: Way) -> Test {
        let flows = flow_count(self.flows);
        let name = format!("iperf3's server, {}, {flows}", way.name());
        let who = [Who::Ustack, Who::Kernel];
        // On a busy machine the two of iperf3 lose each other now and then.
        let run = |who| self.run(who, way).or_else(|_| self.run(who, way));
        Test::alternate(name, Some(self.cpus), "Gbit/s", self.rounds, &who, run)
    }

    /// One run of one contender.
    ///
    /// # Errors
    /// There is no iperf3; a program fails, or says what is not understood.
    pub fn run(&self, who: Who, way: Way) -> io::Result<Sample> {
        let cpus = Cpus::new(self.cpus);
        let bed = if who == Who::Kernel { Bed::veth(true)? } else { Bed::tap()? };
        let _server = bed.on_peers_side(move || {
            // What is started has the processors of who starts it.
            let started = std::thread::spawn(move || {
                pin(cpus.peer);
                Command::new(PROGRAM).args(["-s", "-1"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
            });
            started.join().map_err(|_| io::Error::other("the starter panicked"))?.map(Server)
        })??;
        let command = self.client(who, way);
        let working = bed.begin(move || {
            pin(cpus.contender);
            answered(command)
        })?;
        // Longer than the run by what a client may wait for its server.
        let document = working.end_after(Duration::from_secs(self.seconds))??;
        sample(&document)
    }

    fn client(&self, who: Who, way: Way) -> Command {
        let program = if who == Who::Kernel { Path::new(PROGRAM) } else { &self.ustack };
        let mut command = Command::new(program);
        let server = Ipv4Addr::from(PEER).to_string();
        if who == Who::Ustack {
            let address = format!("{}/24", Ipv4Addr::from(CONTENDER));
            command.args(["iperf3", "--tap", TAP, "--address", &address]);
        }
        let (seconds, flows) = (self.seconds.to_string(), self.flows.to_string());
        // Named, so that no machine's default paces.
        command.args(["-c", &server, "-J", "-C", "cubic", "-t", &seconds, "-P", &flows]);
        if way == Way::Receive {
            command.arg("-R");
        }
        command
    }
}

/// The document that a client prints, once its server listens.
fn answered(mut command: Command) -> io::Result<Value> {
    let mut tries = 0;
    loop {
        let Output { status, stdout, stderr } = command.output()?;
        let document: Option<Value> = serde_json::from_slice(&stdout).ok();
        // Of some errors a real one tells in its report alone.
        let is_whole = |document: &Value| status.success() && document.get("error").is_none();
        if let Some(document) = document.filter(is_whole) {
            return Ok(document);
        }
        tries += 1;
        if tries == TRIES {
            let said = format!("{}{}", String::from_utf8_lossy(&stderr), String::from_utf8_lossy(&stdout));
            return Err(io::Error::other(said.trim().to_owned()));
        }
        let _ = ustack::device::wait(&[], Some(PAUSE))?;
    }
}

/// What arrived, and what both ends say of their processors.
fn sample(document: &Value) -> io::Result<Sample> {
    let end = &document["end"];
    let rate = end["sum_received"]["bits_per_second"].as_f64();
    let rate = rate.ok_or_else(|| io::Error::other("the report has no sum of what was received"))?;
    let usage = |key: &str| end["cpu_utilization_percent"][key].as_f64().unwrap_or_default();
    let columns = vec![("own CPU %", usage("host_total")), ("server's CPU %", usage("remote_total"))];
    Ok(Sample { value: rate / 1e9, by_cpu: None, columns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read() {
        let document = serde_json::json!({"end": {
            "sum_received": {"bits_per_second": 2.5e9},
            "cpu_utilization_percent": {"host_total": 50.0, "remote_total": 25.0},
        }});
        let sample = sample(&document).unwrap();
        assert_eq!(sample.value, 2.5);
        assert_eq!(sample.columns, [("own CPU %", 50.0), ("server's CPU %", 25.0)]);
        assert!(super::sample(&serde_json::json!({"error": "busy"})).is_err());
    }
}
