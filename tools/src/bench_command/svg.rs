//! A bar chart of medians: one group of bars for each test, each on its own scale.

use std::fmt::Write;

use ustack_tools::bench::report::Test;

use super::table;

const WIDTH: usize = 760;
const NAMES: usize = 170;
const BARS: usize = 420;
const ROW: usize = 22;
const TITLE: usize = 30;

/// The chart as a document.
pub(super) fn chart(tests: &[Test]) -> String {
    let height = tests.iter().map(|test| TITLE + ROW * test.lines.len()).sum::<usize>() + ROW;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut top = 0;
    for test in tests {
        top += TITLE;
        let largest = test.lines.iter().filter_map(|line| line.median).fold(f64::MIN_POSITIVE, f64::max);
        let title = escape(&format!("{} ({})", table::title(test), test.unit));
        text(&mut svg, 8, top - 8, &format!("<tspan font-weight=\"bold\">{title}</tspan>"));
        let ours = |name| test.ratios.iter().any(|ratio| ratio.ours == name);
        for line in &test.lines {
            let value = line.median.unwrap_or(0.0);
            let (len, fill) =
                (BARS as f64 * value / largest, if ours(line.contender) { "#2a6fb0" } else { "#a9b4bf" });
            let shown = line.median.map_or_else(|| "failed".to_owned(), |value| table::number(Some(value)));
            text(&mut svg, 16, top + 15, &escape(line.contender));
            // Writing to a string does not fail.
            let _ = writeln!(
                svg,
                "<rect x=\"{NAMES}\" y=\"{}\" width=\"{len:.1}\" height=\"{}\" fill=\"{fill}\"/>",
                top + 3,
                ROW - 6
            );
            text(&mut svg, NAMES + len as usize + 6, top + 15, &shown);
            top += ROW;
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn text(svg: &mut String, x: usize, y: usize, inside: &str) {
    let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\">{inside}</text>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ustack_tools::bench::report::{Line, Ratio};

    #[test]
    fn the_longest_bar_has_the_full_length_and_who_failed_is_named() {
        let line = |contender, median| Line {
            contender,
            median,
            by_cpu: None,
            columns: vec![],
            values: vec![],
            failure: None,
        };
        let ratios = vec![Ratio { ours: "a", against: "b", ratio: 2.0, by_cpu: None }];
        let lines = vec![line("a", Some(4.0)), line("b", Some(2.0)), line("c", None)];
        let test = Test { name: "x < y".into(), cpus: Some(2), unit: "Gbit/s", lines, ratios };
        let svg = chart(&[test]);
        assert!(svg.contains("width=\"420.0\"") && svg.contains("width=\"210.0\""), "{svg}");
        assert!(svg.contains("x &lt; y") && svg.contains(">failed<") && svg.ends_with("</svg>\n"));
    }
}
