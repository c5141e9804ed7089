//! Reports in the format that build servers read.

use std::fmt::{self, Write};

use super::suite::Suite;

/// A run in JUnit's XML.
#[derive(Debug)]
pub struct Junit<'a>(pub &'a Suite);

impl fmt::Display for Junit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reports = &self.0.reports;
        let (failures, skipped) = (self.0.failures().count(), self.0.skipped().count());
        writeln!(f, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
        writeln!(f, "<testsuites>")?;
        writeln!(
            f,
            "  <testsuite name=\"packet scripts\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" \
             skipped=\"{skipped}\">",
            reports.len()
        )?;
        for report in reports {
            let (folder, name) = report.file.rsplit_once('/').unwrap_or(("", &report.file));
            write!(
                f,
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.6}\"",
                Escaped(folder),
                Escaped(name),
                report.virtual_us as f64 / 1e6
            )?;
            match (&report.failure, &report.skipped) {
                (None, None) => writeln!(f, "/>")?,
                (None, Some(why)) => {
                    writeln!(f, ">\n      <skipped message=\"{}\"/>\n    </testcase>", Escaped(why))?;
                }
                (Some(failure), _) => {
                    let message = Escaped(&failure.message);
                    writeln!(f, ">\n      <failure message=\"{message}\">")?;
                    write!(f, "{}", Escaped(&failure.to_string()))?;
                    writeln!(f, "      </failure>\n    </testcase>")?;
                }
            }
        }
        writeln!(f, "  </testsuite>\n</testsuites>")
    }
}

/// Text as XML takes it.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            c if c.is_control() && c != '\n' && c != '\t' => f.write_char('?'),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Report, Script, Sinks};

    #[test]
    fn what_xml_would_take_for_its_own_is_escaped() {
        let run = |file: &str, text: &str| Script::parse(file, text).unwrap().run(&Sinks::default());
        let suite = Suite {
            reports: vec![
                run("udp/good.pkt", "0 < udp (10)\n+0 > icmp unreachable port_unreachable\n"),
                run("udp/bad.pkt", "0 < udp (10)\n"),
                Report::skipped("udp/not-run.pkt", "it takes <40 s>".into()),
            ],
        };
        let xml = Junit(&suite).to_string();
        for part in [
            "<testsuite name=\"packet scripts\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\">",
            "<testcase classname=\"udp\" name=\"good.pkt\" time=\"0.000000\"/>",
            "<testcase classname=\"udp\" name=\"not-run.pkt\" time=\"0.000000\">\n      <skipped message=\"it takes &lt;40 s&gt;\"/>",
            "    1 | 0 &lt; udp (10)\n",
            "&gt; icmp unreachable port_unreachable    why=unreachable",
        ] {
            assert!(xml.contains(part), "{part:?} is not in\n{xml}");
        }
    }
}
