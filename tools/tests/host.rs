//! `ustack host -- CMD` as people use it: ping, nc and curl at the other end of the wire, and nothing left behind.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Whoever is nobody.
const NOBODY: &str = "65534";

/// What a guest types, and what it prints is what the test looks at. `$1` is the folder that is served.
const SCRIPT: &str = r#"
set -eu
PATH="$PATH:/usr/sbin:/sbin"
echo "network $(stat -L -c %i /proc/self/ns/net)"
echo "wires $(ls /sys/class/net 2>/dev/null | tr '\n' ' ')"
for host in 10.9.0.2 fd09::2; do
    ping -c 1 -W 5 $host >/dev/null && echo "ping $host"
    echo "echo $(printf 'over TCP' | nc -N -w 5 $host 7)"
    echo "echo $(printf 'over UDP' | nc -u -w 1 $host 7)"
    echo "discard $(printf 'nothing comes back' | nc -N -w 5 $host 9 | wc -c)"
    echo "daytime $(nc -w 5 $host 13)"
    echo "chargen $(nc -w 5 $host 19 | head -n 3 | wc -c)"
    at=$host; case $host in *:*) at="[$host]" ;; esac
    get() { curl -sS -g -m 20 --noproxy '*' "$@"; }
    echo "get $(get http://$at/hello.txt)"
    echo "head $(get -I http://$at/large | tr -d '\r' | grep -i '^content-length')"
    echo "range $(get -r 6-8 -w ' %{http_code}' http://$at/hello.txt)"
    echo "unsatisfiable $(get -o /dev/null -r 900000000- -w '%{http_code}' http://$at/large)"
    echo "listing $(get http://$at/ | grep -c 'hello.txt')"
    echo "missing $(get -o /dev/null -w '%{http_code}' http://$at/nothing)"
    echo "escape $(get -o /dev/null --path-as-is -w '%{http_code}' http://$at/../../etc/passwd)"
    get http://$at/large | cmp - "$1/large" && echo "large is the same"
done
nc -w 1 10.9.0.2 4 && echo "port 4 is open" || echo "port 4 is closed"
setsid sleep 1000 >/dev/null 2>&1 &
exit 42
"#;

/// What it prints at one host, dates aside.
const PRINTED: [&str; 13] = [
    "echo over TCP",
    "echo over UDP",
    "discard 0",
    "daytime ",
    "chargen 222",
    "get hello, world",
    "head content-length: 3000000",
    "range  wo 206",
    "unsatisfiable 416",
    "listing 1",
    "missing 404",
    "escape 404",
    "large is the same",
];

/// A folder that everybody may read, with the program and a folder to serve; gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ustack-host-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("site")).unwrap();
        let folder = Self(path);
        // Another user may not get as far as the build folder.
        fs::copy(env!("CARGO_BIN_EXE_ustack"), folder.program()).unwrap();
        fs::write(folder.site().join("hello.txt"), "hello, world").unwrap();
        let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        fs::write(folder.site().join("large"), large).unwrap();
        for path in [folder.0.clone(), folder.site(), folder.program()] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    fn program(&self) -> PathBuf {
        self.0.join("ustack")
    }

    fn site(&self) -> PathBuf {
        self.0.join("site")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// A command as nobody, if we are root; else as ourselves.
fn as_a_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"]).arg(program);
    command
}

/// True if the test may run; else it says why not, and with `CI` set it fails.
fn may_go_on(what: &str, command: &mut Command) -> bool {
    let refused = match command.output() {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    assert!(std::env::var_os("CI").is_none(), "with CI set nothing is skipped: {what}: {refused}");
    eprintln!("skipped: {what}: {refused}");
    false
}

/// Everything that the guest's script calls is here.
fn tools_are_here() -> bool {
    let script = "PATH=$PATH:/usr/sbin:/sbin; for tool in ping nc curl setsid setpriv unshare ip; do \
                  command -v $tool >/dev/null || { echo no $tool >&2; exit 1; }; done";
    may_go_on("tools", Command::new("sh").args(["-c", script]))
}

fn private_networks_are_allowed(mut unshare: Command) -> bool {
    may_go_on("a private network", unshare.args(["--user", "--map-root-user", "--net", "true"]))
}

/// Starts `host` with all services for the script, waits for its end, and looks at what it said and left.
fn serve_the_script(folder: &Folder, mut command: Command, queues: &str) {
    command.args([
        "host",
        "--queues",
        queues,
        "--echo",
        "--discard",
        "--daytime",
        "--chargen",
        "--tap",
        "ustackwire",
    ]);
    command.arg("--http").arg(folder.site()).args(["--", "sh", "-c", SCRIPT, "sh"]).arg(folder.site());
    let output = command.stdin(Stdio::null()).current_dir("/").output().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(42), "the command's own status\n{stdout}\n{stderr}");

    let mut lines = stdout.lines();
    let network = lines.next().and_then(|line| line.strip_prefix("network ")).expect("the script begins");
    let wires = lines.next().expect("the script goes on");
    assert!(wires == "wires " || wires.contains("lo"), "{wires}");
    for host in ["10.9.0.2", "fd09::2"] {
        assert_eq!(lines.next(), Some(format!("ping {host}").as_str()), "{stdout}\n{stderr}");
        for expected in PRINTED {
            let line = lines.next().unwrap_or_default();
            let is_right = line == expected || expected.ends_with(' ') && line.starts_with(expected);
            assert!(is_right, "{host}: `{line}` for `{expected}`\n{stdout}\n{stderr}");
        }
    }
    assert_eq!(lines.next(), Some("port 4 is closed"));
    for expected in ["on ustackwire", "ustack: served ", "HTTP requests", "ustack: TCP"] {
        assert!(stderr.contains(expected), "{expected} in {stderr}");
    }

    assert!(!Path::new("/sys/class/net/ustackwire").exists(), "the wire is gone");
    let left = processes_in(network.parse().unwrap());
    assert!(left.is_empty(), "{left:?} still run in the private network");
}

/// The processes in the network namespace of that number.
fn processes_in(network: u64) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap();
    let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_there =
        |number: &u32| fs::metadata(format!("/proc/{number}/ns/net")).is_ok_and(|file| file.ino() == network);
    numbers.filter(is_there).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_guest_of_root_reaches_everything() {
    if !tools_are_here() || !private_networks_are_allowed(Command::new("unshare")) {
        return;
    }
    let folder = Folder::new("root");
    let command = Command::new(folder.program());
    serve_the_script(&folder, command, "1");
}

#[test]
fn a_guest_of_an_ordinary_user_reaches_everything() {
    if !tools_are_here() || !private_networks_are_allowed(as_a_user(Path::new("unshare"))) {
        return;
    }
    let folder = Folder::new("user");
    let command = as_a_user(&folder.program());
    serve_the_script(&folder, command, "1");
}

#[test]
fn a_guest_reaches_everything_on_a_host_of_several_shards() {
    if !tools_are_here() || !private_networks_are_allowed(as_a_user(Path::new("unshare"))) {
        return;
    }
    // Root gets a TAP; an ordinary user may have to do with a virtual wire and packet sockets.
    let (root, user) = (Folder::new("root-queues"), Folder::new("user-queues"));
    serve_the_script(&root, Command::new(root.program()), "2");
    serve_the_script(&user, as_a_user(&user.program()), "3");
}

/// iperf3 at the other end of the wire, in both directions.
#[test]
fn a_guest_measures_the_host() {
    const SCRIPT: &str = "PATH=$PATH:/usr/sbin:/sbin; set -eu
        for words in '' '-R' '-P 4' '-u -b 5M' '-u -R -b 5M'; do
            iperf3 -c 10.9.0.2 -t 1 -J $words >result || { cat result; exit 1; }
            ! grep -q '\"error\"' result; grep -q '\"sum_received\"' result; echo measured $words
        done";
    let here = "command -v iperf3 >/dev/null || { echo no iperf3 >&2; exit 1; }";
    let users = as_a_user(Path::new("unshare"));
    if !may_go_on("tools", Command::new("sh").args(["-c", here])) || !private_networks_are_allowed(users) {
        return;
    }
    for (name, is_root) in [("measured-root", true), ("measured-user", false)] {
        let folder = Folder::new(name);
        fs::set_permissions(folder.site(), fs::Permissions::from_mode(0o777)).unwrap();
        let mut command = if is_root { Command::new(folder.program()) } else { as_a_user(&folder.program()) };
        command.args(["host", "--iperf3", "--", "sh", "-c", SCRIPT]).current_dir(folder.site());
        let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
        let (stdout, stderr) = (text(&stdout), text(&stderr));
        assert!(status.success(), "{status}: {stdout}{stderr}");
        assert_eq!(stdout.lines().count(), 5, "{stdout}");
        assert_eq!(stderr.matches("received at").count() + stderr.matches("sent at").count(), 5, "{stderr}");
    }
}

#[test]
fn a_guest_that_is_killed_has_a_status_too() {
    if !tools_are_here() || !private_networks_are_allowed(Command::new("unshare")) {
        return;
    }
    let host = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ustack"));
        command.args(["host", "--"]).args(words).output().unwrap()
    };
    assert_eq!(host(&["sh", "-c", "kill -KILL $$"]).status.code(), Some(128 + 9));
    // Signals are passed on from the first moment, and whom the command left in the background ends with it; also if we
    // are killed ourselves.
    for (signal, end) in [("TERM", (Some(128 + 15), None)), ("KILL", (None, Some(9)))].repeat(5) {
        let guest = format!("sleep 1000 >/dev/null 2>&1 & echo $!; kill -{signal} $PPID; wait");
        let ended = host(&["sh", "-c", &guest]);
        assert_eq!((ended.status.code(), ended.status.signal()), end, "{}", text(&ended.stderr));
        let gone = "while grep -qa ^sleep /proc/$0/cmdline 2>/dev/null; do :; done";
        let mut wait = Command::new("timeout");
        let waited = wait.args(["10", "sh", "-c", gone, text(&ended.stdout).trim()]).status().unwrap();
        assert!(waited.success(), "the background has not ended");
    }
    assert_eq!(host(&["true"]).status.code(), Some(0));
    let unknown = host(&["no-such-command"]);
    let stderr = text(&unknown.stderr);
    assert!(!unknown.status.success() && stderr.contains("no-such-command"), "{stderr}");
}

/// What two stacks say to each other over a wire of which the kernel has no part but carrying it.
#[test]
fn two_stacks_chat_over_the_ends_of_a_virtual_wire() {
    let script = "PATH=$PATH:/usr/sbin:/sbin; set -eu
        ip link add left type veth peer name right; ip link set left up; ip link set right up
        (echo from the listener; cat fifo) | $0 listen --raw left --address 10.9.0.2/24 5000 >heard 2>said &
        until grep -q listening said 2>/dev/null; do :; done
        (echo from the connector; cat fifo) | $0 connect --raw right --address 10.9.0.3/24 10.9.0.2 5000 >answer &
        until grep -q listener answer 2>/dev/null && grep -q connector heard; do :; done
        : >fifo; wait; cat heard answer said";
    if !tools_are_here() || !private_networks_are_allowed(Command::new("unshare")) {
        return;
    }
    let folder = Folder::new("chat");
    let made = Command::new("mkfifo").arg(folder.0.join("fifo")).status().unwrap();
    assert!(made.success());
    let mut command = Command::new("timeout");
    command.args(["20", "unshare", "--user", "--map-root-user", "--net", "sh", "-c", script]);
    let Output { status, stdout, stderr } =
        command.arg(folder.program()).current_dir(&folder.0).output().unwrap();
    let stdout = text(&stdout);
    assert!(status.success(), "{status}: {stdout}{}", text(&stderr));
    assert!(stdout.starts_with("from the connector\nfrom the listener\n"), "{stdout}");
    assert!(stdout.contains("18 bytes sent, 19 received"), "{stdout}");
}

#[test]
fn ctrl_c_ends_a_demonstration_with_what_was_seen() {
    if !private_networks_are_allowed(Command::new("unshare")) {
        return;
    }
    // A terminal sends the signal to all processes of the job, which `setsid` makes one here. It waits until the
    // program is there and catches it: until then, the signal ends whom it meets, and a shell catches it, too. Who
    // presses it again and again loses nothing.
    let script =
        "setsid env --default-signal=INT $0 demo ordering --tap --messages 1000 --delay 100ms >seen 2>said &
        program() { grep -qx ustack /proc/$1/comm && grep -q '^SigCgt:.*[2367abef]$' /proc/$1/status; }
        until ! kill -0 $! || program $!; do :; done
        until grep -q interrupted said || ! kill -INT -$!; do :; done; wait $!; status=$?; cat seen said; exit $status";
    let folder = Folder::new("interrupted");
    let mut command = Command::new("timeout");
    command.args(["60", "sh", "-c", script]).arg(folder.program()).current_dir(&folder.0);
    let output = command.output().unwrap();
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}{}", text(&output.stderr));
    assert!(stdout.contains("Verdict") && stdout.contains("interrupted"), "{stdout}");
}
