//! Spans of time as people type them: `200ms`, `1.5s`, `2` (seconds).

use ustack::time::Duration;

/// Reads a span of time; a bare number is seconds, as in ping and nc.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit {
        "s" | "" => 1.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        "ns" => 1e-9,
        "min" | "m" => 60.0,
        _ => return Err(format!("unknown unit `{unit}`: s, ms, us, ns and min are known")),
    };
    let number: f64 =
        number.parse().map_err(|_| "expected a time such as 200ms, 1.5s or 2 (seconds)".to_string())?;
    if !number.is_finite() || number < 0.0 {
        return Err("a time is not negative".into());
    }
    Ok(Duration::from_secs_f64(number * factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_type() {
        assert_eq!(parse("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(parse("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse("2"), Ok(Duration::from_secs(2)));
        assert_eq!(parse("1min"), Ok(Duration::from_secs(60)));
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(parse("2days").unwrap_err().contains("unknown unit `days`"));
        assert!(parse("ms").unwrap_err().contains("200ms"));
        assert!(parse("-1").unwrap_err().contains("not negative"));
    }
}
