//! Our TCP against itself under a matrix of loss, reordering and delay: every byte arrives, once and in order, and a
//! table tells how fast.

use std::fmt::Write as _;
use std::path::Path;

use ustack_tests::duet::Duet;

const LEN: usize = 1_000_000;
const LOSS: [&str; 4] = ["0%", "0.5%", "2%", "5%"];
const REORDER: [&str; 3] = ["0%", "2%", "10%"];
const DELAY_MS: [u64; 3] = [1, 10, 50];

/// Set it to write the table anew.
const UPDATE: &str = "USTACK_UPDATE_SNAPSHOTS";

/// Megabits a second of one transfer.
fn goodput(loss: &str, reorder: &str, delay: u64) -> f64 {
    let link = format!("delay {delay}ms loss {loss} reorder {reorder} rate 20mbit queue 100");
    let duet = Duet { link: &link, request: LEN, close: true, ..Duet::default() };
    LEN as f64 * 8.0 / 1e6 / duet.run().end.since(ustack::time::Instant::ZERO).as_secs_f64()
}

fn table() -> String {
    let mut out =
        String::from("Mbit/s of 1 MB over 20 Mbit/s, queue of 100 frames; both directions are bad\n\n");
    let rows = |out: &mut String, name: &str, cell: &dyn Fn(u64, &str) -> String| {
        write!(out, "{name:>14}").unwrap();
        for delay in DELAY_MS {
            out.push_str("  |");
            REORDER.iter().for_each(|reorder| write!(out, " {:>6}", cell(delay, reorder)).unwrap());
        }
        out.push('\n');
    };
    rows(&mut out, "round trip", &|delay, reorder| {
        if reorder == REORDER[0] { format!("{} ms", delay * 2) } else { String::new() }
    });
    rows(&mut out, "reorder", &|_, reorder| reorder.to_owned());
    for loss in LOSS {
        rows(&mut out, &format!("loss {loss}"), &|delay, reorder| {
            format!("{:.1}", goodput(loss, reorder, delay))
        });
    }
    // No blanks at the ends of lines.
    out.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn every_byte_arrives_and_the_table_says_how_fast() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sim_matrix.txt");
    let table = table();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &table).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        table == expected,
        "was\n{expected}\nis\n{table}\nIf that is as it should be: {UPDATE}=1 cargo test -p ustack-tests --test sim_matrix"
    );
}
