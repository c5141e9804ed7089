//! What names stand for while a script runs: its variables first, then the constants of the system.

use std::collections::BTreeMap;

use super::calls::constant;
use super::expr::{Expr, Names, Value};

/// The variables.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    variables: BTreeMap<String, Value>,
}

impl Scope {
    pub(super) fn new(defined: &[(String, Value)]) -> Self {
        Self { variables: defined.iter().cloned().collect() }
    }

    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.variables.insert(name.to_owned(), value);
    }

    pub(super) fn eval(&self, expr: &Expr) -> Result<Value, String> {
        expr.eval(self)
    }

    /// A whole number.
    pub(super) fn int(&self, expr: &Expr) -> Result<i64, String> {
        self.eval(expr)?.int()
    }

    /// A whole number that fits its field.
    pub(super) fn fit<T: TryFrom<i64>>(&self, expr: &Expr, what: &str) -> Result<T, String> {
        let number = self.int(expr)?;
        T::try_from(number).map_err(|_| format!("{number} does not fit into {what}"))
    }

    /// A sequence number or a timestamp: negative ones lie before 0.
    pub(super) fn number32(&self, expr: &Expr) -> Result<u32, String> {
        let number = self.int(expr)?;
        if (-(1 << 31)..1 << 32).contains(&number) {
            Ok(number as u32)
        } else {
            Err(format!("{number} has more than 32 bits"))
        }
    }
}

impl Names for Scope {
    fn lookup(&self, name: &str) -> Option<Value> {
        self.variables.get(name).cloned().or_else(|| constant(name).map(Value::Int))
    }
}
