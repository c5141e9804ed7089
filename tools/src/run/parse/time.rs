//! When: `0.1`, `+0.1`, `*`, `0.1~0.2`, `+0~+0.01`, `0.1...0.3`.

use crate::run::cursor::Cursor;
use crate::run::error::ParseError;
use crate::run::expr::Expr;
use crate::run::script::{Action, Span, Time};

/// Reads a time; none at all means "at once".
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Time, ParseError> {
    if cursor.takes("*") {
        return Ok(Time::Any);
    }
    let relative = cursor.takes("+");
    let begins = cursor.peek().is_some_and(|c| c.is_ascii_digit() || c == '.' || c == '(');
    if !relative && !begins {
        return Ok(Time::Now);
    }
    let start = Expr::parse_sum(cursor)?;
    let latest = if cursor.takes("~") {
        // Both ends of a relative range are written with their sign.
        if relative {
            cursor.takes("+");
        }
        Some(Expr::parse_sum(cursor)?)
    } else {
        None
    };
    let end = if cursor.takes("...") {
        cursor.takes("+");
        Some(Expr::parse_sum(cursor)?)
    } else {
        None
    };
    let span = Span { start, latest, end };
    Ok(if relative { Time::Relative(span) } else { Time::Absolute(span) })
}

/// Ranges and `*` are for what the stack sends, an end for calls.
pub(super) fn check(cursor: &Cursor<'_>, at: usize, time: &Time, action: &Action) -> Result<(), ParseError> {
    let refuse = |text: &str| Err(cursor.error_at(at, text.to_owned()));
    let is_expected = matches!(action, Action::Expect(_));
    match time {
        Time::Any if !is_expected => refuse("expected a time, found `*`: that is for outgoing packets"),
        Time::Absolute(span) | Time::Relative(span) => {
            if span.latest.is_some() && !is_expected {
                return refuse("expected one time, found a range: that is for outgoing packets");
            }
            if span.end.is_some() && !matches!(action, Action::Call(_)) {
                return refuse("expected one time, found `...`: that is for calls that block");
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
