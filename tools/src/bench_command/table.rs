//! Results as tables: one for each test, or a line for each.

use std::io::{self, Write};

use ustack_tools::bench::report::{Ratio, Test};

const NAME: usize = 20;
const VALUE: usize = 12;
const COLUMN: usize = 16;

/// A test with all its contenders.
pub(super) fn write_test(out: &mut impl Write, test: &Test) -> io::Result<()> {
    writeln!(out, "{}", title(test))?;
    let columns: Vec<_> = test.lines.iter().max_by_key(|line| line.columns.len()).into_iter().collect();
    let columns: Vec<_> = columns.iter().flat_map(|line| &line.columns).map(|column| column.name).collect();
    let by_cpu = test.lines.iter().any(|line| line.by_cpu.is_some());
    let ours = ours(test);
    write!(out, "  {:NAME$}{:>VALUE$}", "", test.unit)?;
    if by_cpu {
        write!(out, "{:>COLUMN$}", "by CPU time")?;
    }
    columns.iter().try_for_each(|name| write!(out, "{name:>COLUMN$}"))?;
    ours.iter().try_for_each(|name| write!(out, "{:>COLUMN$}", format!("{} is", short(name, ours.len()))))?;
    if ours.len() == 1 && by_cpu {
        write!(out, "{:>COLUMN$}", "by CPU time")?;
    }
    writeln!(out)?;
    for line in &test.lines {
        write!(out, "  {:NAME$}{:>VALUE$}", line.contender, number(line.median))?;
        if by_cpu {
            write!(out, "{:>COLUMN$}", number(line.by_cpu))?;
        }
        for index in 0..columns.len() {
            write!(out, "{:>COLUMN$}", number(line.columns.get(index).map(|column| column.median)))?;
        }
        for name in &ours {
            let ratio = test.ratio(name, line.contender);
            write!(out, "{:>COLUMN$}", times(ratio.map(|ratio| ratio.ratio)))?;
            if let (1, Some(Ratio { by_cpu: Some(by_cpu), .. })) = (ours.len(), ratio) {
                write!(out, "{:>COLUMN$}", times(Some(*by_cpu)))?;
            }
        }
        writeln!(out)?;
    }
    writeln!(out)
}

/// What the lines below have in their columns.
pub(super) fn write_heading(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{:46}{:VALUE$}  against (by processor time)", "", "")
}

/// A test in a line for each of ours: its value, and how it compares.
pub(super) fn write_line(out: &mut impl Write, test: &Test) -> io::Result<()> {
    let ours = ours(test);
    for line in &test.lines {
        if !ours.is_empty() && !ours.contains(&line.contender) {
            continue;
        }
        let name = if ours.len() > 1 { format!("{}: {}", title(test), line.contender) } else { title(test) };
        let value = format!("{} {}", number(line.median), test.unit);
        let against: Vec<String> =
            test.ratios.iter().filter(|ratio| ratio.ours == line.contender).map(compared).collect();
        writeln!(out, "{name:<60} {value:>22}  {}", against.join(", "))?;
    }
    Ok(())
}

fn compared(ratio: &Ratio) -> String {
    let by_cpu = ratio.by_cpu.map_or_else(String::new, |by_cpu| format!(" ({by_cpu:.2})"));
    format!("{} {:.2}x{by_cpu}", ratio.against, ratio.ratio)
}

/// What was measured, and on how many processors.
pub(super) fn title(test: &Test) -> String {
    match test.cpus {
        Some(1) => format!("{}, 1 CPU", test.name),
        Some(cpus) => format!("{}, {cpus} CPUs", test.name),
        None => test.name.clone(),
    }
}

/// Three digits that count.
pub(super) fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.abs() >= 1000.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 100.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 1.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}x"))
}

/// What one of several of ours is called beside its siblings.
fn short(name: &'static str, siblings: usize) -> &'static str {
    let rest = name.strip_prefix("ustack").map(|rest| rest.trim_start_matches([',', ' ']));
    rest.filter(|rest| siblings > 1 && !rest.is_empty()).unwrap_or(name)
}

/// Those of ours that are compared.
fn ours(test: &Test) -> Vec<&'static str> {
    let mut ours: Vec<&str> = test.ratios.iter().map(|ratio| ratio.ours).collect();
    ours.dedup();
    ours
}

#[cfg(test)]
mod tests {
    use super::*;
    use ustack_tools::bench::report::{Column, Line};

    fn test() -> Test {
        let columns = |median| vec![Column { name: "user %", median }];
        let line = |contender, median: Option<f64>, columns| Line {
            contender,
            median,
            by_cpu: median.map(|median| median * 2.0),
            columns,
            values: vec![median],
            failure: None,
        };
        Test {
            name: "TCP send".into(),
            cpus: Some(2),
            unit: "Gbit/s",
            lines: vec![
                line("ustack", Some(12.5), columns(20.0)),
                line("kernel over veth", Some(10.0), columns(0.5)),
                line("smoltcp", None, vec![]),
            ],
            ratios: vec![Ratio {
                ours: "ustack",
                against: "kernel over veth",
                ratio: 1.25,
                by_cpu: Some(1.5),
            }],
        }
    }

    fn written(write: impl Fn(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_test_is_a_table() {
        let text = written(|out| write_test(out, &test()));
        let rows: Vec<Vec<&str>> =
            text.lines().map(|line| line.split("  ").map(str::trim).collect()).collect();
        let words =
            |row: usize| rows[row].iter().copied().filter(|word| !word.is_empty()).collect::<Vec<_>>();
        assert_eq!(words(0), ["TCP send, 2 CPUs"]);
        assert_eq!(words(1), ["Gbit/s", "by CPU time", "user %", "ustack is", "by CPU time"]);
        assert_eq!(words(2), ["ustack", "12.50", "25.00", "20.00"]);
        assert_eq!(words(3), ["kernel over veth", "10.00", "20.00", "0.500", "1.25x", "1.50x"]);
        assert_eq!(words(4), ["smoltcp", "-", "-", "-"]);
        assert!(text.lines().all(|line| line.trim_end().len() <= 100), "{text}");
    }

    #[test]
    fn a_line_says_how_ours_compares() {
        let text = written(|out| write_line(out, &test()));
        assert!(text.starts_with("TCP send, 2 CPUs ") && text.contains("12.50 Gbit/s"), "{text}");
        assert!(text.ends_with("kernel over veth 1.25x (1.50)\n"), "{text}");
    }
}
