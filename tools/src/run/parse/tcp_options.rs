//! TCP options: `<mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>`.

use crate::run::cursor::Cursor;
use crate::run::error::ParseError;
use crate::run::expr::Expr;
use crate::run::script::{AccEcnField, OptionSpec, OptionsSpec};
use crate::run::tcp::kind;

const KNOWN: &str = "an option (mss N, nop, eol, wscale N, sackOK, sack A:B ..., TS val N ecr N, FO [COOKIE], \
                     FOEXP [COOKIE], ECN e1b N ceb N e0b N, md5 [HEX], ao KEYID RNEXTID, opt KIND [HEX]) or `...`";

/// Reads options up to `>`, which is taken too.
pub(super) fn parse(cursor: &mut Cursor<'_>, outgoing: bool) -> Result<OptionsSpec, ParseError> {
    if cursor.takes("...") {
        cursor.expect(">")?;
        return Ok(OptionsSpec::Whatever);
    }
    let mut options = Vec::new();
    loop {
        if cursor.takes(">") {
            return Ok(OptionsSpec::These(options));
        }
        options.push(parse_one(cursor, outgoing)?);
        if !cursor.takes(",") && !cursor.sees(">") {
            return Err(cursor.error("`,` or `>`"));
        }
    }
}

fn parse_one(cursor: &mut Cursor<'_>, outgoing: bool) -> Result<OptionSpec, ParseError> {
    let at = cursor.at();
    Ok(match cursor.name(false) {
        Some("eol") => OptionSpec::EndOfList,
        Some("nop") => OptionSpec::Nop,
        Some("mss") => OptionSpec::Mss(Expr::parse_sum(cursor)?),
        Some("wscale") => OptionSpec::WindowScale(Expr::parse_sum(cursor)?),
        Some("sackOK") => OptionSpec::SackPermitted,
        Some("sack") => OptionSpec::Sack(parse_sack(cursor)?),
        Some("TS") => {
            cursor.expect("val")?;
            let value = parse_stamp(cursor, outgoing)?;
            cursor.expect("ecr")?;
            OptionSpec::Timestamps(value, parse_stamp(cursor, outgoing)?)
        }
        Some("FO") => OptionSpec::FastOpen(parse_bytes(cursor)?, false),
        Some("FOEXP") => OptionSpec::FastOpen(parse_bytes(cursor)?, true),
        Some("ECN") => parse_acc_ecn(cursor)?,
        Some("md5") => {
            let digest = parse_bytes(cursor)?;
            OptionSpec::Md5((!digest.is_empty()).then_some(digest))
        }
        Some("ao") => OptionSpec::Ao(Expr::parse_sum(cursor)?, Expr::parse_sum(cursor)?),
        Some("opt") => {
            let number = cursor.number().and_then(|digits| digits.parse().ok());
            let kind = number.ok_or_else(|| cursor.error("the number of a kind of option"))?;
            OptionSpec::Other(kind, parse_bytes(cursor)?)
        }
        Some(name) => return Err(cursor.error_at(at, format!("expected {KNOWN}, found `{name}`"))),
        None => return Err(cursor.error(KNOWN)),
    })
}

/// A number, or `any` of the stack's.
fn parse_stamp(cursor: &mut Cursor<'_>, outgoing: bool) -> Result<Option<Expr>, ParseError> {
    if outgoing && cursor.takes_name("any") {
        return Ok(None);
    }
    Expr::parse_sum(cursor).map(Some)
}

fn parse_sack(cursor: &mut Cursor<'_>) -> Result<Vec<(Expr, Expr)>, ParseError> {
    let mut blocks = Vec::new();
    while !cursor.sees(",") && !cursor.sees(">") {
        let start = Expr::parse_sum(cursor)?;
        cursor.expect(":")?;
        blocks.push((start, Expr::parse_sum(cursor)?));
    }
    Ok(blocks)
}

/// The order of the counters tells which of the two options it is (RFC 9768 section 3.2.3).
fn parse_acc_ecn(cursor: &mut Cursor<'_>) -> Result<OptionSpec, ParseError> {
    let mut fields = Vec::new();
    loop {
        let field = match () {
            () if cursor.takes_name("e0b") => AccEcnField::Ect0,
            () if cursor.takes_name("ceb") => AccEcnField::Ce,
            () if cursor.takes_name("e1b") => AccEcnField::Ect1,
            () => break,
        };
        fields.push((field, Expr::parse_sum(cursor)?));
    }
    let zero = fields.first().is_some_and(|(field, _)| *field == AccEcnField::Ect0);
    Ok(OptionSpec::AccEcn(if zero { kind::ACC_ECN_0 } else { kind::ACC_ECN_1 }, fields))
}

/// Hexadecimal digits, with or without `0x`; there may be none.
fn parse_bytes(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, ParseError> {
    let at = cursor.at();
    cursor.takes("0x");
    let digits = cursor.run(|c| c.is_ascii_hexdigit());
    let byte =
        |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|text| u8::from_str_radix(text, 16).ok());
    if !digits.len().is_multiple_of(2) {
        return Err(cursor.error_at(at, format!("expected pairs of hexadecimal digits, found `{digits}`")));
    }
    Ok(digits.as_bytes().chunks(2).filter_map(byte).collect())
}
