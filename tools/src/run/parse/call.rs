//! System calls: `read(4, ..., 1000) = -1 EAGAIN (Resource temporarily unavailable)`.

use crate::run::calls;
use crate::run::cursor::Cursor;
use crate::run::error::ParseError;
use crate::run::expr::Expr;
use crate::run::script::{Argument, CallResult, CallSpec};

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<CallSpec, ParseError> {
    let at = cursor.at();
    let what = "a time, `<`, `>`, `%{`, `let`, `repeat`, `expect` or a system call";
    let name = cursor.name(false).ok_or_else(|| cursor.error(what))?;
    if !cursor.sees("(") {
        return Err(cursor.error_at(at, format!("expected {what}, found `{name}`")));
    }
    if !calls::NAMES.contains(&name) {
        let known = calls::NAMES.join(" ");
        return Err(cursor.error_at(at, format!("expected a system call ({known}), found `{name}`")));
    }
    cursor.expect("(")?;
    let arguments = parse_list(cursor, ")")?;
    Ok(CallSpec { name: name.to_owned(), arguments, result: parse_result(cursor)? })
}

fn parse_result(cursor: &mut Cursor<'_>) -> Result<CallResult, ParseError> {
    if !cursor.takes("=") || cursor.takes("?") {
        return Ok(CallResult::Whatever);
    }
    let value = Expr::parse_number(cursor)?;
    let mut errno = None;
    if !cursor.is_at_line_end() && cursor.peek() == Some('E') {
        let at = cursor.at();
        let name = cursor.name(false).unwrap_or_default();
        if calls::errno(name).is_none() {
            return Err(cursor.error_at(at, format!("expected the name of an error, found `{name}`")));
        }
        errno = Some(name.to_owned());
    }
    // What strace says in words.
    if !cursor.is_at_line_end() && cursor.takes("(") {
        cursor.until(")")?;
    }
    Ok(CallResult::Is(value, errno))
}

/// Arguments up to `end`, which is taken too.
fn parse_list(cursor: &mut Cursor<'_>, end: &str) -> Result<Vec<Argument>, ParseError> {
    let mut list = Vec::new();
    if cursor.takes(end) {
        return Ok(list);
    }
    loop {
        list.push(parse_argument(cursor)?);
        if cursor.takes(end) {
            return Ok(list);
        }
        if !cursor.takes(",") {
            return Err(cursor.error(&format!("`,` or `{end}`")));
        }
    }
}

fn parse_argument(cursor: &mut Cursor<'_>) -> Result<Argument, ParseError> {
    if cursor.takes("...") {
        return Ok(Argument::Any);
    }
    if cursor.takes("[") {
        return Ok(Argument::List(parse_list(cursor, "]")?));
    }
    if cursor.takes("{") {
        return parse_struct(cursor);
    }
    let mut ahead = *cursor;
    if let Some(name) = ahead.name(false)
        && ahead.takes("(")
    {
        *cursor = ahead;
        return Ok(Argument::Of(name.to_owned(), parse_list(cursor, ")")?));
    }
    Ok(Argument::Expr(Expr::parse_number(cursor)?))
}

/// `{onoff=1, linger=0}`, `{..., 1000}`, `{msg_iov(1)=[...], msg_flags=0}`.
fn parse_struct(cursor: &mut Cursor<'_>) -> Result<Argument, ParseError> {
    let mut parts = Vec::new();
    if cursor.takes("}") {
        return Ok(Argument::Struct(parts));
    }
    loop {
        let mut ahead = *cursor;
        let mut key = String::new();
        if let Some(name) = ahead.name(false) {
            // How many there are is plain from the list itself.
            if ahead.takes("(") {
                ahead.until(")")?;
            }
            if !ahead.sees("==") && ahead.takes("=") {
                *cursor = ahead;
                name.clone_into(&mut key);
            }
        }
        parts.push((key, parse_argument(cursor)?));
        if cursor.takes("}") {
            return Ok(Argument::Struct(parts));
        }
        if !cursor.takes(",") {
            return Err(cursor.error("`,` or `}`"));
        }
    }
}
