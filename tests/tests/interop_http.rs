//! Large files between the stack and curl and nginx, in both roles and directions.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use ustack_tests::app::{connect, serve};
use ustack_tests::host::{Host, KERNEL, Link, STACK, Setup, at};
use ustack_tests::http;
use ustack_tests::kernel::Namespace;
use ustack_tests::matrix::{bad, few, on_each};
use ustack_tests::pattern::{Received, fill};
use ustack_tests::process::{Running, run, tool};
use ustack_tests::scratch::Scratch;
use ustack_tests::tshark::{FLOW_CONTROL, LOSS};
use ustack_tests::wait::{SOON, until};

const LARGE: u64 = 100_000_000;
const MEDIUM: u64 = 20_000_000;
const SMALL: u64 = 5_000_000;
/// What the files hold.
const SEED: u64 = 42;
/// How long 100 MB may take.
const LONG: Duration = Duration::from_secs(120);

/// Good links and bad ones. Of such long captures the headers will do: the receivers verify all checksums.
fn links() -> Vec<Setup> {
    few().into_iter().chain([Setup::new(Link::Veth)]).chain(bad()).map(Setup::headers).collect()
}

/// What curl and nginx may bring about: an end that falls behind, and a queue of the link that overflows for it.
fn allowed() -> Vec<&'static str> {
    [FLOW_CONTROL, LOSS].concat()
}

/// Over a TAP and a veth of single segments, and over a bad TAP, the large file by IPv4 and one of a fifth by IPv6;
/// over the others small ones, since they tell no more.
fn size(host: &Host, address: &str) -> u64 {
    let is_long = match host.setup().link {
        Link::Tap => !host.is_merging(),
        Link::Veth => !host.is_merging() && !host.is_bad() && host.setup().queues == 1,
        _ => false,
    };
    match (is_long, address.contains(':')) {
        (true, false) => LARGE,
        (true, true) => MEDIUM,
        (false, _) => SMALL,
    }
}

/// Makes a file of the pattern.
fn write(path: &Path, bytes: u64) {
    let mut file = std::io::BufWriter::new(File::create(path).expect("the folder is ours"));
    let mut piece = vec![0; 65_536];
    let mut at = 0;
    while at < bytes {
        let len = piece.len().min(usize::try_from(bytes - at).unwrap_or(usize::MAX));
        fill(SEED, at, &mut piece[..len]);
        std::io::Write::write_all(&mut file, &piece[..len]).expect("there is room");
        at += len as u64;
    }
}

/// Reads a file that should hold the pattern.
fn read(path: &Path) -> Received {
    let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut received = Received::new(SEED);
    let mut piece = vec![0; 65_536];
    loop {
        match file.read(&mut piece).expect("it can be read") {
            0 => return received,
            len => received.push(&piece[..len]),
        }
    }
}

fn url(address: &str, path: &str) -> String {
    format!("http://{}/{path}", at(address, 80))
}

#[test]
fn curl_downloads_from_the_stack() {
    on_each(&links(), &["curl"], &allowed(), |host| {
        let scratch = Scratch::new();
        for stack in STACK {
            let bytes = size(host, stack);
            let server = serve(&host.net, at(stack, 80), 1, |_, stream| http::respond(stream, SEED));
            let file = scratch.file("download");
            let mut curl = tool("curl");
            curl.args(["-sSf", "-g", "-o"]).arg(&file).arg(url(stack, &bytes.to_string()));
            let _ = host.kernel.enter(|| run(&mut curl, LONG)).success();
            let _ = server.finish(SOON).remove(0).expect("it went well");
            let received = read(&file);
            assert_eq!((received.bytes(), received.wrong()), (bytes, None));
        }
        host.wait_closed();
    });
}

#[test]
fn curl_uploads_to_the_stack() {
    on_each(&links(), &["curl"], &allowed(), |host| {
        let scratch = Scratch::new();
        for stack in STACK {
            let bytes = size(host, stack);
            let file = scratch.file("upload");
            write(&file, bytes);
            let server = serve(&host.net, at(stack, 80), 1, |_, stream| http::respond(stream, SEED));
            let mut curl = tool("curl");
            curl.args(["-sSf", "-g", "-T"]).arg(&file).arg(url(stack, "upload"));
            let done = host.kernel.enter(|| run(&mut curl, LONG)).success();
            let received = server.finish(SOON).remove(0).expect("it went well");
            assert_eq!((received.bytes(), received.wrong()), (bytes, None));
            assert_eq!(done.text(), format!("{bytes} {:016x}\n", received.hash()));
        }
        host.wait_closed();
    });
}

/// nginx on the kernel's addresses, serving a folder and taking files into it.
fn nginx(kernel: &Namespace, scratch: &Scratch) -> Running {
    let folder = scratch.path().display();
    let listen: String = KERNEL.iter().map(|address| format!("listen {};", at(address, 80))).collect();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {folder}/tmp;"))
        .collect();
    let configuration = format!(
        "daemon off; master_process off; pid {folder}/pid; error_log stderr; events {{}} \
         http {{ access_log off; client_max_body_size 0; {temporary} \
         server {{ {listen} root {folder}; location / {{ dav_methods PUT; }} }} }}"
    );
    let file = scratch.file("nginx.conf");
    std::fs::write(&file, configuration).expect("the folder is ours");
    let mut command = tool("nginx");
    command.args(["-e", "stderr", "-p"]).arg(scratch.path()).arg("-c").arg(&file);
    let running = kernel.spawn(&mut command);
    until("nginx to listen", SOON, || {
        let shown = kernel.run(tool("ss").args(["-H", "-tln"])).success().text();
        KERNEL.iter().all(|address| shown.contains(&at(address, 80).to_string()))
    });
    running
}

#[test]
fn the_stack_downloads_from_nginx() {
    on_each(&links(), &["nginx", "ss"], &allowed(), |host| {
        let scratch = Scratch::new();
        let _nginx = nginx(&host.kernel, &scratch);
        for kernel in KERNEL {
            let bytes = size(host, kernel);
            write(&scratch.file("file"), bytes);
            let received = http::get(&connect(&host.net, at(kernel, 80)), "/file", SEED);
            let received = received.expect("it went well");
            assert_eq!((received.bytes(), received.wrong()), (bytes, None));
            assert_eq!(received.hash(), read(&scratch.file("file")).hash());
        }
        host.wait_closed();
    });
}

#[test]
fn the_stack_uploads_to_nginx() {
    on_each(&links(), &["nginx", "ss"], &allowed(), |host| {
        let scratch = Scratch::new();
        let _nginx = nginx(&host.kernel, &scratch);
        for kernel in KERNEL {
            let bytes = size(host, kernel);
            let name = format!("upload-{bytes}-{}", kernel.len());
            http::put(&connect(&host.net, at(kernel, 80)), &format!("/{name}"), SEED, bytes)
                .expect("it went well");
            let received = read(&scratch.file(&name));
            assert_eq!((received.bytes(), received.wrong()), (bytes, None));
        }
        host.wait_closed();
    });
}
