//! From the text of a script to its statements.

mod call;
mod packet;
mod tcp_options;
mod time;

use super::cursor::Cursor;
use super::error::ParseError;
use super::expr::Expr;
use super::script::{Action, Check, Mark, Script, Statement, Time};
use super::settings::Settings;
use super::shell;

/// Reads the script `text`, called `file`.
pub(super) fn script(file: &str, text: &str) -> Result<Script, ParseError> {
    let mut cursor = Cursor::new(file, text);
    let mut settings = Settings::default();
    parse_options(&mut cursor, &mut settings)?;
    let mut statements = Vec::new();
    while !cursor.is_at_end() {
        statements.extend(parse_statement(&mut cursor, &mut settings)?);
    }
    Ok(Script { file: file.to_owned(), settings, statements, mark: Mark::find(text) })
}

/// `--key=value` at the top, any number on a line.
fn parse_options(cursor: &mut Cursor<'_>, settings: &mut Settings) -> Result<(), ParseError> {
    while cursor.sees("--") {
        let at = cursor.at();
        cursor.takes("--");
        let key = cursor.run(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let value = if cursor.takes("=") { cursor.run(|c| !c.is_whitespace()) } else { "1" };
        settings.set(key, value).map_err(|why| cursor.error_at(at, why))?;
    }
    Ok(())
}

/// One statement; `None` if it was a line for the shell that changed the settings.
fn parse_statement(
    cursor: &mut Cursor<'_>,
    settings: &mut Settings,
) -> Result<Option<Statement>, ParseError> {
    let place = cursor.place();
    let start = cursor.at();
    if cursor.takes_name("let") {
        let name = cursor.name(false).ok_or_else(|| cursor.error("a name"))?.to_owned();
        cursor.expect("=")?;
        let action = Action::Let(name, Expr::parse_condition(cursor, false)?);
        return Ok(Some(Statement { place, text: cursor.since(start).to_owned(), time: Time::Now, action }));
    }
    if cursor.takes_name("repeat") {
        return parse_repeat(cursor, settings, start).map(Some);
    }
    if cursor.takes_name("expect") {
        let check = parse_check(cursor, true)?;
        let text = cursor.since(start).to_owned();
        return Ok(Some(Statement { place, text, time: Time::Now, action: Action::Why(check) }));
    }
    let time = time::parse(cursor)?;
    let action = match cursor.peek() {
        Some('`') => {
            shell::parse(cursor, settings)?;
            return Ok(None);
        }
        Some('<') if cursor.takes("<") => Action::Inject(packet::parse(cursor, false)?),
        Some('>') if cursor.takes(">") => Action::Expect(packet::parse(cursor, true)?),
        Some('%') => Action::Code(parse_code(cursor)?),
        _ => Action::Call(call::parse(cursor)?),
    };
    let text = cursor.since(start).to_owned();
    time::check(cursor, start, &time, &action)?;
    Ok(Some(Statement { place, text, time, action }))
}

/// `repeat 5 as i { ... }`
fn parse_repeat(
    cursor: &mut Cursor<'_>,
    settings: &mut Settings,
    start: usize,
) -> Result<Statement, ParseError> {
    let place = cursor.place();
    let times = Expr::parse_sum(cursor)?;
    let counter = if cursor.takes_name("as") {
        Some(cursor.name(false).ok_or_else(|| cursor.error("a name"))?.to_owned())
    } else {
        None
    };
    let text = cursor.since(start).to_owned();
    cursor.expect("{")?;
    let mut body = Vec::new();
    while !cursor.takes("}") {
        if cursor.is_at_end() {
            return Err(cursor.error("a statement or `}`"));
        }
        body.extend(parse_statement(cursor, settings)?);
    }
    Ok(Statement { place, text, time: Time::Now, action: Action::Repeat { times, counter, body } })
}

/// `%{ assert a == b, "why" }%`, one statement a line or divided by `;`.
fn parse_code(cursor: &mut Cursor<'_>) -> Result<Vec<Check>, ParseError> {
    cursor.expect("%{")?;
    let mut checks = Vec::new();
    loop {
        while cursor.takes(";") {}
        if cursor.takes("}%") {
            return Ok(checks);
        }
        let print = cursor.takes_name("print");
        if !print && !cursor.takes_name("assert") {
            return Err(cursor.error("`assert`, `print` or `}%`"));
        }
        let check = parse_check(cursor, false)?;
        checks.push(Check { print, ..check });
    }
}

/// A condition, and what is said if it does not hold.
fn parse_check(cursor: &mut Cursor<'_>, hyphens: bool) -> Result<Check, ParseError> {
    let place = cursor.place();
    let start = cursor.at();
    let expr = Expr::parse_condition(cursor, hyphens)?;
    let text = cursor.since(start).to_owned();
    let message = if cursor.takes(",") { Some(Expr::parse_condition(cursor, hyphens)?) } else { None };
    Ok(Check { place, text, expr, message, print: false })
}

#[cfg(test)]
mod tests;
