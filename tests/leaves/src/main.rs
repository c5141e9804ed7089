//! Counts the instructions of each leaf under callgrind, and compares them with `instructions.txt`.
//!
//! With `USTACK_UPDATE_SNAPSHOTS=1` it writes the table instead. Other compilers make other instructions, and other
//! processors take others: the table names what it is for, and nothing is compared with another.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

use ustack_leaves::{LEAVES, counted_turn};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");
const UPDATE: &str = "USTACK_UPDATE_SNAPSHOTS";
/// Part of what a leaf may cost more than the table says.
const TOLERANCE: f64 = 0.03;
/// Turns before those that are counted: buffers grow and windows open.
const WARM_UP: u32 = 40;
const TURNS: u32 = 40;
/// Which of its copies of `memcpy` the C library takes depends on the processor, unless it is told that this one has
/// nothing special.
const PLAIN_PROCESSOR: &str = "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX_Fast_Unaligned_Load,-AVX512F,-AVX512VL,-ERMS,-FSRM,-SSSE3,-Fast_Unaligned_Copy";

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match arguments.next().as_deref() {
        None => compare(),
        Some("--one") => arguments.next().ok_or_else(|| "--one NAME".into()).and_then(|name| run_one(&name)),
        Some(_) => Err("it takes no arguments".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What is counted: runs under callgrind, and says how much it did.
fn run_one(name: &str) -> Result<(), Failure> {
    let leaf = LEAVES.iter().find(|leaf| leaf.name == name).ok_or("there is no such leaf")?;
    let mut work = (leaf.work)();
    for _ in 0..WARM_UP {
        work.prepare();
        work.run();
    }
    let mut done = 0;
    for _ in 0..TURNS {
        work.prepare();
        done += counted_turn(work.as_mut());
    }
    println!("{done}");
    Ok(())
}

/// Instructions for each time that the leaf does what it is for.
fn count(name: &str) -> Result<f64, Failure> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counted_turn*"]);
    valgrind.arg(std::env::current_exe()?).args(["--one", name]).env("GLIBC_TUNABLES", PLAIN_PROCESSOR);
    let output = valgrind.output().map_err(|error| format!("valgrind, which counts: {error}"))?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(format!("{name}: valgrind failed: {err}").into());
    }
    let collected = err.lines().find_map(|line| line.split_once("Collected :"));
    let instructions: f64 = collected.ok_or("valgrind does not say how many")?.1.trim().parse()?;
    let done: f64 = out.trim().parse()?;
    Ok(instructions / done)
}

/// The compiler that made this program, if the one that is here now did.
fn compiler() -> Result<String, Failure> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = Command::new(rustc).arg("--version").arg("--verbose").output()?;
    let text = String::from_utf8(output.stdout)?;
    let field =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?").trim().to_owned();
    let vectors = if has_wide_vectors() { " avx2" } else { "" };
    Ok(format!("rustc {} {}{vectors}", field("release:"), field("host:")))
}

/// Whether this processor takes other instructions for checksums.
fn has_wide_vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

fn compare() -> Result<(), Failure> {
    let compiler = compiler()?;
    let known = match std::fs::read_to_string(TABLE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        text => Some(text?),
    };
    let update = std::env::var_os(UPDATE).is_some();
    let known = known.as_deref().and_then(|text| text.split_once('\n')).filter(|_| !update);
    if let Some((made_by, _)) = known.filter(|(made_by, _)| *made_by != compiler) {
        println!("skipped: {} was made by {made_by}, and this is {compiler}", file_name());
        return Ok(());
    }
    let table: BTreeMap<&str, f64> = known.map_or_else(BTreeMap::new, |(_, rows)| {
        rows.lines().filter_map(|row| row.split_once(' ')).filter_map(parse_row).collect()
    });
    let (mut text, mut worse) = (format!("{compiler}\n"), Vec::new());
    for leaf in LEAVES {
        let counted = count(leaf.name)?;
        text += &format!("{:<24}{counted:>10.1}\n", leaf.name);
        let before = table.get(leaf.name);
        let change = before.map(|before| counted / before - 1.0);
        let told = change.map_or(String::new(), |change| format!("{:+6.1} %", 100.0 * change));
        println!("{:<24}{counted:>10.1} {told}", leaf.name);
        if change.is_none_or(|change| change.abs() > TOLERANCE) {
            worse.push(leaf.name);
        }
    }
    if update {
        return Ok(std::fs::write(TABLE, text)?);
    }
    if worse.is_empty() {
        return Ok(());
    }
    let names = worse.join(", ");
    Err(format!("not as in {}: {names}. If that is well, {UPDATE}=1 writes the table anew.", file_name())
        .into())
}

fn parse_row<'a>((name, number): (&'a str, &'a str)) -> Option<(&'a str, f64)> {
    Some((name, number.trim().parse().ok()?))
}

fn file_name() -> &'static str {
    Path::new(TABLE).file_name().and_then(|name| name.to_str()).unwrap_or(TABLE)
}
