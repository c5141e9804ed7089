//! The small expression language: numbers, texts, names, arithmetic, comparisons, and/or/not.

use std::cmp::Ordering;
use std::fmt;

use super::cursor::Cursor;
use super::error::ParseError;

/// What an expression comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Int(i64),
    Float(f64),
    Text(String),
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    Value(Value),
    Name(String),
    Not(Box<Self>),
    Negative(Box<Self>),
    Complement(Box<Self>),
    Binary(Op, Box<Self>, Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    /// A chain as in `1 <= x < 5`: each neighbour must be in its relation.
    Compare(Box<Self>, Vec<(Relation, Self)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    BitOr,
    BitXor,
    BitAnd,
    ShiftLeft,
    ShiftRight,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Knows what names stand for.
pub(super) trait Names {
    fn lookup(&self, name: &str) -> Option<Value>;
}

impl<F: Fn(&str) -> Option<Value>> Names for F {
    fn lookup(&self, name: &str) -> Option<Value> {
        self(name)
    }
}

/// Binary operators by how tightly they bind, loosest first.
const LEVELS: [&[(&str, Op)]; 6] = [
    &[("|", Op::BitOr)],
    &[("^", Op::BitXor)],
    &[("&", Op::BitAnd)],
    &[("<<", Op::ShiftLeft), (">>", Op::ShiftRight)],
    &[("+", Op::Add), ("-", Op::Subtract)],
    &[("*", Op::Multiply), ("/", Op::Divide), ("%", Op::Remainder)],
];

const RELATIONS: [(&str, Relation); 6] = [
    ("==", Relation::Equal),
    ("!=", Relation::Unequal),
    ("<=", Relation::LessOrEqual),
    (">=", Relation::GreaterOrEqual),
    ("<", Relation::Less),
    (">", Relation::Greater),
];

impl Expr {
    /// Reads what can be asserted: `not`, `and`, `or`, comparisons, arithmetic. With `hyphens`, names may have some.
    pub(super) fn parse_condition(cursor: &mut Cursor<'_>, hyphens: bool) -> Result<Self, ParseError> {
        let mut left = Self::parse_conjunction(cursor, hyphens)?;
        while cursor.takes_name("or") || cursor.takes("||") {
            left = Self::Or(Box::new(left), Box::new(Self::parse_conjunction(cursor, hyphens)?));
        }
        Ok(left)
    }

    /// Reads a number: arithmetic without comparisons.
    pub(super) fn parse_number(cursor: &mut Cursor<'_>) -> Result<Self, ParseError> {
        Self::parse_level(cursor, 0, false)
    }

    /// Reads a sum: no bit operators, which stand for something else around it.
    pub(super) fn parse_sum(cursor: &mut Cursor<'_>) -> Result<Self, ParseError> {
        Self::parse_level(cursor, 4, false)
    }

    pub(super) const fn int(number: i64) -> Self {
        Self::Value(Value::Int(number))
    }

    /// What it comes to.
    pub(super) fn eval(&self, names: &dyn Names) -> Result<Value, String> {
        Ok(match self {
            Self::Value(value) => value.clone(),
            Self::Name(name) => {
                names.lookup(name).ok_or_else(|| format!("`{name}` stands for nothing here"))?
            }
            Self::Not(inner) => Value::truth(!inner.eval(names)?.is_true()),
            Self::Negative(inner) => match inner.eval(names)? {
                Value::Int(n) => Value::Int(n.wrapping_neg()),
                Value::Float(x) => Value::Float(-x),
                Value::Text(text) => return Err(format!("\"{text}\" is no number")),
            },
            Self::Complement(inner) => Value::Int(!inner.eval(names)?.int()?),
            Self::Binary(op, left, right) => op.apply(&left.eval(names)?, &right.eval(names)?)?,
            Self::And(left, right) => {
                let left = left.eval(names)?;
                if left.is_true() { right.eval(names)? } else { left }
            }
            Self::Or(left, right) => {
                let left = left.eval(names)?;
                if left.is_true() { left } else { right.eval(names)? }
            }
            Self::Compare(first, rest) => {
                let mut left = first.eval(names)?;
                for (relation, right) in rest {
                    let right = right.eval(names)?;
                    if !relation.holds(&left, &right)? {
                        return Ok(Value::truth(false));
                    }
                    left = right;
                }
                Value::truth(true)
            }
        })
    }

    /// The names in it, in their order.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.collect_names(&mut names);
        names
    }

    fn collect_names<'a>(&'a self, out: &mut Vec<&'a str>) {
        match self {
            Self::Value(_) => {}
            Self::Name(name) if out.contains(&name.as_str()) => {}
            Self::Name(name) => out.push(name),
            Self::Not(inner) | Self::Negative(inner) | Self::Complement(inner) => inner.collect_names(out),
            Self::Binary(_, left, right) | Self::And(left, right) | Self::Or(left, right) => {
                left.collect_names(out);
                right.collect_names(out);
            }
            Self::Compare(first, rest) => {
                first.collect_names(out);
                rest.iter().for_each(|(_, expr)| expr.collect_names(out));
            }
        }
    }

    fn parse_conjunction(cursor: &mut Cursor<'_>, hyphens: bool) -> Result<Self, ParseError> {
        let mut left = Self::parse_negation(cursor, hyphens)?;
        while cursor.takes_name("and") || cursor.takes("&&") {
            left = Self::And(Box::new(left), Box::new(Self::parse_negation(cursor, hyphens)?));
        }
        Ok(left)
    }

    fn parse_negation(cursor: &mut Cursor<'_>, hyphens: bool) -> Result<Self, ParseError> {
        if cursor.takes_name("not") || (!cursor.sees("!=") && cursor.takes("!")) {
            return Ok(Self::Not(Box::new(Self::parse_negation(cursor, hyphens)?)));
        }
        let first = Self::parse_level(cursor, 0, hyphens)?;
        let mut rest = Vec::new();
        while let Some((_, relation)) = RELATIONS.iter().find(|(word, _)| cursor.takes(word)) {
            rest.push((*relation, Self::parse_level(cursor, 0, hyphens)?));
        }
        Ok(if rest.is_empty() { first } else { Self::Compare(Box::new(first), rest) })
    }

    fn parse_level(cursor: &mut Cursor<'_>, level: usize, hyphens: bool) -> Result<Self, ParseError> {
        let Some(operators) = LEVELS.get(level) else { return Self::parse_unary(cursor, hyphens) };
        let mut left = Self::parse_level(cursor, level + 1, hyphens)?;
        // A statement ends with its line: the `+0.1` of the next one adds nothing to this one.
        while !cursor.is_at_line_end()
            && !cursor.sees("||")
            && !cursor.sees("&&")
            && !cursor.sees("}%")
            && !cursor.sees("%{")
            && let Some((_, op)) = operators.iter().find(|(word, _)| cursor.takes(word))
        {
            let right = Self::parse_level(cursor, level + 1, hyphens)?;
            left = Self::Binary(*op, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn parse_unary(cursor: &mut Cursor<'_>, hyphens: bool) -> Result<Self, ParseError> {
        let inner = |cursor: &mut Cursor<'_>| Self::parse_unary(cursor, hyphens).map(Box::new);
        if cursor.takes("-") {
            return Ok(Self::Negative(inner(cursor)?));
        }
        if cursor.takes("~") {
            return Ok(Self::Complement(inner(cursor)?));
        }
        if cursor.takes("+") {
            return Self::parse_unary(cursor, hyphens);
        }
        if cursor.takes("(") {
            let value = Self::parse_condition(cursor, hyphens)?;
            cursor.expect(")")?;
            return Ok(value);
        }
        for quote in ["\"", "'"] {
            if cursor.takes(quote) {
                return Ok(Self::Value(Value::Text(cursor.until(quote)?.to_owned())));
            }
        }
        let at = cursor.at();
        if let Some(digits) = cursor.number() {
            let value = Value::read(digits).ok_or_else(|| {
                cursor.error_at(at, format!("expected a number of at most 63 bits, found `{digits}`"))
            })?;
            return Ok(Self::Value(value));
        }
        match cursor.name(hyphens) {
            Some("True" | "true") => Ok(Self::int(1)),
            Some("False" | "false") => Ok(Self::int(0)),
            Some(name) => Ok(Self::Name(name.to_owned())),
            None => Err(cursor.error("a number or a name")),
        }
    }
}

impl Value {
    pub(super) fn truth(value: bool) -> Self {
        Self::Int(i64::from(value))
    }

    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Int(n) => *n != 0,
            Self::Float(x) => *x != 0.0,
            Self::Text(text) => !text.is_empty(),
        }
    }

    /// A whole number.
    pub(super) fn int(&self) -> Result<i64, String> {
        match self {
            Self::Int(n) => Ok(*n),
            Self::Float(x) if x.fract() == 0.0 && x.abs() < 9e15 => Ok(*x as i64),
            other => Err(format!("{other} is no whole number")),
        }
    }

    pub(super) fn float(&self) -> Result<f64, String> {
        match self {
            Self::Int(n) => Ok(*n as f64),
            Self::Float(x) => Ok(*x),
            Self::Text(text) => Err(format!("\"{text}\" is no number")),
        }
    }

    /// A number as it is written.
    fn read(digits: &str) -> Option<Self> {
        if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            return i64::from_str_radix(hex, 16).ok().map(Self::Int);
        }
        if digits.contains('.') {
            return digits.parse().ok().map(Self::Float);
        }
        digits.parse().ok().map(Self::Int)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(n) => write!(f, "{n}"),
            Self::Float(x) => write!(f, "{x}"),
            Self::Text(text) => write!(f, "\"{text}\""),
        }
    }
}

impl Op {
    fn apply(self, left: &Value, right: &Value) -> Result<Value, String> {
        if let (Value::Int(a), Value::Int(b)) = (left, right) {
            return self.whole(*a, *b).ok_or_else(|| format!("{a} and {b} have no such result"));
        }
        let (a, b) = (left.float()?, right.float()?);
        Ok(Value::Float(match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide if b != 0.0 => a / b,
            _ => return Err(format!("{left} and {right} have no such result")),
        }))
    }

    fn whole(self, a: i64, b: i64) -> Option<Value> {
        Some(Value::Int(match self {
            Self::BitOr => a | b,
            Self::BitXor => a ^ b,
            Self::BitAnd => a & b,
            Self::ShiftLeft => a.checked_shl(u32::try_from(b).ok()?)?,
            Self::ShiftRight => a.checked_shr(u32::try_from(b).ok()?)?,
            Self::Add => a.checked_add(b)?,
            Self::Subtract => a.checked_sub(b)?,
            Self::Multiply => a.checked_mul(b)?,
            // As the scripts' own language divides: exactly, and whole only where it comes out even.
            Self::Divide if b != 0 && a % b != 0 => return Some(Value::Float(a as f64 / b as f64)),
            Self::Divide => a.checked_div(b)?,
            Self::Remainder => a.checked_rem_euclid(b)?,
        }))
    }
}

impl Relation {
    fn holds(self, left: &Value, right: &Value) -> Result<bool, String> {
        let order = match (left, right) {
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            _ => left
                .float()?
                .partial_cmp(&right.float()?)
                .ok_or_else(|| format!("{left} and {right} cannot be compared"))?,
        };
        Ok(match self {
            Self::Equal => order == Ordering::Equal,
            Self::Unequal => order != Ordering::Equal,
            Self::Less => order == Ordering::Less,
            Self::LessOrEqual => order != Ordering::Greater,
            Self::Greater => order == Ordering::Greater,
            Self::GreaterOrEqual => order != Ordering::Less,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eval(text: &str) -> Result<Value, String> {
        let mut cursor = Cursor::new("x", text);
        let expr = Expr::parse_condition(&mut cursor, true).map_err(|e| e.to_string())?;
        assert!(cursor.is_at_end(), "{text}");
        let names = |name: &str| match name {
            "x" => Some(Value::Int(10)),
            "why" => Some(Value::Text("fast-retransmit".into())),
            "fast-retransmit" => Some(Value::Text("fast-retransmit".into())),
            _ => None,
        };
        expr.eval(&names)
    }

    #[test]
    fn operators_bind_as_people_expect() {
        assert_eq!(eval("1 + 2 * 3"), Ok(Value::Int(7)));
        assert_eq!(eval("(1 + 2) * 3 == 9 and not 0"), Ok(Value::Int(1)));
        assert_eq!(eval("x / 4"), Ok(Value::Float(2.5)));
        assert_eq!(eval("x / 5"), Ok(Value::Int(2)));
        assert_eq!(eval("5 <= x < 10"), Ok(Value::Int(0)));
        assert_eq!(eval("0x10 | 1 << 2"), Ok(Value::Int(20)));
        assert_eq!(eval("-x + 1"), Ok(Value::Int(-9)));
    }

    #[test]
    fn reasons_are_words() {
        assert_eq!(eval("why == fast-retransmit"), Ok(Value::Int(1)));
        assert_eq!(eval("why == 'rto' or x == 10"), Ok(Value::Int(1)));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        assert_eq!(eval("y + 1"), Err("`y` stands for nothing here".into()));
        assert_eq!(eval("1 / 0"), Err("1 and 0 have no such result".into()));
        assert_eq!(eval("why < 3"), Err("\"fast-retransmit\" is no number".into()));
    }
}
