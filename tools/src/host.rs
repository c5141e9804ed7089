//! `ustack host`: the stack as a host, with a few services, for the kernel, a network, or one command.

mod counters;
mod http;
mod private;
mod report;
mod services;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::sync::Semaphore;
use ustack::net::{Net, TcpListener};
use ustack_tools::iperf3::PORT;
use ustack_tools::iperf3::server::Server;

use self::counters::Counters;
use self::http::Site;
use self::services::{MAX_CLIENTS, Service, accept, any};
use crate::common::console::note;
use crate::common::events::EventsArgs;
use crate::common::failure::{Failure, Outcome};
use crate::common::runtime::{block_on, driven, interrupted};
use crate::common::stack::StackArgs;

const EXAMPLES: &str = "\
Examples:
  ustack host --echo --http . -- sh           a shell at the other end of the wire, no privilege
                                              needed; in it: ping 10.9.0.2, nc 10.9.0.2 7,
                                              curl http://10.9.0.2/
  ustack host --tap tap0 --echo --discard     a host that this machine reaches, until Ctrl-C
  ustack host --raw eth0 --address 192.168.1.200/24 --gateway 192.168.1.1 --http site
  ustack host --echo --loss 2% --delay 20ms --capture run.pcapng -- nc 10.9.0.2 7
  ustack host --iperf3 -- iperf3 -c 10.9.0.2   how fast do we receive? With -R: send?
  ustack host --hub /tmp/lan --echo           for `ustack connect --hub /tmp/lan 10.9.0.2 7`

The host answers ARP, neighbour discovery and pings whatever else it does. It prints what it counted when it ends: \
by Ctrl-C, or when CMD ends, whose exit status is then its own.";

/// Run the stack as a host: it answers pings, and offers the services that are asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Echo on port 7: everything comes back (TCP and UDP)
    #[arg(long, help_heading = "Services")]
    echo: bool,
    /// Discard on port 9: everything is thrown away (TCP and UDP)
    #[arg(long, help_heading = "Services")]
    discard: bool,
    /// Daytime on port 13: the date and time (TCP and UDP)
    #[arg(long, help_heading = "Services")]
    daytime: bool,
    /// Chargen on port 19: characters without end (TCP), some (UDP)
    #[arg(long, help_heading = "Services")]
    chargen: bool,
    /// Serve iperf3 on port 5201, for a real one or for `ustack iperf3` (TCP and UDP)
    #[arg(long, help_heading = "Services")]
    iperf3: bool,
    /// Serve this folder over HTTP
    #[arg(long, value_name = "FOLDER", help_heading = "Services")]
    http: Option<PathBuf>,
    /// Where HTTP is served
    #[arg(long, value_name = "PORT", default_value_t = 80, help_heading = "Services")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    http_port: u16,
    /// At the end, and on SIGUSR1, print all connections as `ss -ti` does, and what was counted under the names of
    /// Linux
    #[arg(long)]
    stats: bool,
    /// With --stats: one JSON document at each of these moments
    #[arg(long, requires = "stats")]
    json: bool,
    #[command(flatten)]
    stack: StackArgs,
    #[command(flatten)]
    events: EventsArgs,
    /// Run this at the other end of the wire, in a private network of its own
    #[arg(last = true, value_name = "CMD", help_heading = "Arguments")]
    command: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let site_counters = Arc::new(Counters::default());
    let site = args.site(&site_counters)?;
    let plan = args.stack.plan()?.observed(&args.events);
    let (running, mut guest) = if args.command.is_empty() {
        (plan.open()?, None)
    } else {
        let wire = &args.stack.wire;
        if wire.tun.is_some() || wire.is_network() || wire.hub.is_some() {
            let text = "a command runs at the other end of a TAP: leave out --tun, --raw, --pnet and --hub";
            return Err(Failure::Usage(text.into()));
        }
        let (guest, open) = private::spawn(&args.command, wire.tap.as_deref(), &plan)?;
        (plan.open_on(open)?, Some(guest))
    };
    let status = block_on(async {
        args.start(&running.net, site, &site_counters)?;
        let end = async {
            match &mut guest {
                Some(guest) => private::ended(guest).await,
                None => {
                    interrupted().await;
                    Ok(ExitCode::SUCCESS)
                }
            }
        };
        tokio::select! {
            result = driven(&running, end) => result,
            never = report::on_signal(&running.net, args.stats, args.json) => match never {},
        }
    })?;
    drop(guest);
    report::print(&running.net, &site_counters);
    if args.stats {
        report::write_stats(&running.net, args.json)?;
    }
    running.finish()?;
    Ok(status)
}

impl Args {
    fn site(&self, counters: &Arc<Counters>) -> Result<Option<Site>, Failure> {
        let site = self.http.as_ref().map(|folder| {
            let site = Site::new(folder, counters.clone());
            site.map_err(|error| Failure::cannot_open(folder.display(), &error))
        });
        site.transpose()
    }

    /// Opens the ports of all services that were asked for.
    fn start(&self, net: &Net, site: Option<Site>, counters: &Arc<Counters>) -> Result<(), Failure> {
        let clients = Arc::new(Semaphore::new(MAX_CLIENTS));
        let services = [
            (self.echo, Service::Echo),
            (self.discard, Service::Discard),
            (self.daytime, Service::Daytime),
            (self.chargen, Service::Chargen),
        ];
        let cannot = |name: &str, error: io::Error| Failure::Unmet(format!("cannot serve {name}: {error}"));
        let mut offered = Vec::new();
        for (_, service) in services.into_iter().filter(|&(wanted, _)| wanted) {
            service.start(net, &clients, counters).map_err(|error| cannot(service.name(), error))?;
            offered.push(format!("{} on port {}", service.name(), service.port()));
        }
        if self.iperf3 {
            let server = Server::bind(net, any(PORT)).map_err(|error| cannot("iperf3", error))?;
            tokio::spawn(server.run(report::tell_measured));
            offered.push(format!("iperf3 on port {PORT}"));
        }
        if let Some(site) = site {
            let listener =
                TcpListener::bind(net, any(self.http_port)).map_err(|error| cannot("http", error))?;
            let serve = move |stream| site.clone().serve(stream);
            tokio::spawn(accept(listener, clients, counters.clone(), serve));
            offered.push(format!("http on port {}", self.http_port));
        }
        if !offered.is_empty() {
            note!("{}", offered.join(", "));
        }
        Ok(())
    }
}
