//! Numbers as iperf3 prints them: three digits and a unit.

/// Bytes: `1.19 MBytes`, by powers of 1024.
pub(in crate::iperf3) fn bytes(n: f64) -> String {
    scaled(n, 1024.0, ["Bytes", "KBytes", "MBytes", "GBytes", "TBytes"])
}

/// Bits per second: `9.96 Mbits/sec`, by powers of 1000.
pub(in crate::iperf3) fn rate(bytes: u64, seconds: f64) -> String {
    const UNITS: [&str; 5] = ["bits/sec", "Kbits/sec", "Mbits/sec", "Gbits/sec", "Tbits/sec"];
    scaled(per_second(bytes, seconds), 1000.0, UNITS)
}

/// Bits per second; 0 if no time has passed.
pub(super) fn per_second(bytes: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { bytes as f64 * 8.0 / seconds } else { 0.0 }
}

fn scaled(mut n: f64, step: f64, units: [&str; 5]) -> String {
    let mut unit = 0;
    while n >= step && unit + 1 < units.len() {
        n /= step;
        unit += 1;
    }
    let digits = match n {
        n if n < 9.995 => 2,
        n if n < 99.95 => 1,
        _ => 0,
    };
    format!("{n:4.digits$} {}", units[unit])
}

/// Per cent of lost datagrams: two digits that count.
pub(super) fn per_cent(lost: u64, packets: u64) -> f64 {
    if packets == 0 { 0.0 } else { lost as f64 * 100.0 / packets as f64 }
}

/// A number with two digits that count, as C's `%.2g` for what is not huge.
pub(super) fn two_digits(n: f64) -> String {
    match n {
        0.0 => "0".into(),
        n if n >= 9.95 => format!("{n:.0}"),
        n => {
            let decimals = (1 - n.log10().floor() as i32).clamp(0, 9) as usize;
            let text = format!("{n:.decimals$}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        assert_eq!(bytes(1_268_645_888.0), "1.18 GBytes");
        assert_eq!(bytes(578.0 * 1024.0 * 1024.0), " 578 MBytes");
        assert_eq!(bytes(0.0), "0.00 Bytes");
        assert_eq!(rate(1_250_000, 1.0), "10.0 Mbits/sec");
        assert_eq!(rate(1, 0.0), "0.00 bits/sec");
    }

    #[test]
    fn two_digits_count() {
        assert_eq!(two_digits(0.0), "0");
        assert_eq!(two_digits(12.3), "12");
        assert_eq!(two_digits(1.25), "1.2");
        assert_eq!(two_digits(0.0123), "0.012");
        assert_eq!(two_digits(100.0), "100");
    }
}
