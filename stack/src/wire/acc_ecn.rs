//! The accurate ECN options (RFC 9768 section 3.2.3): up to three counters of 24 bits, in one order or the other.

/// Which counter stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccEcnOrder {
    /// Order 0, kind 172: ECT(0), CE, ECT(1).
    Ect0First,
    /// Order 1, kind 174: ECT(1), CE, ECT(0).
    Ect1First,
}

/// An accurate ECN option: bytes received under each mark, modulo 2^24; the last fields may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccEcn {
    order: AccEcnOrder,
    /// Fields that are there.
    fields: u8,
    bytes: [u8; 3 * FIELD],
}

/// Bytes of a field.
const FIELD: usize = 3;
/// Most fields.
const MAX_FIELDS: usize = 3;

impl AccEcn {
    /// The first `fields` (at most three) of the counters for ECT(0), CE and ECT(1), in that order or from its end.
    pub fn new(order: AccEcnOrder, fields: usize, e0b: u32, ceb: u32, e1b: u32) -> Self {
        let counters = match order {
            AccEcnOrder::Ect0First => [e0b, ceb, e1b],
            AccEcnOrder::Ect1First => [e1b, ceb, e0b],
        };
        let mut bytes = [0; 3 * FIELD];
        for (field, counter) in bytes.chunks_exact_mut(FIELD).zip(counters) {
            field.copy_from_slice(&counter.to_be_bytes()[1..]);
        }
        Self { order, fields: fields.min(MAX_FIELDS) as u8, bytes }
    }

    /// Reads an option, without its kind and length. What is no whole field counts as padding (RFC 9768 section 3.2.3).
    pub(super) fn read(order: AccEcnOrder, body: &[u8]) -> Self {
        let fields = (body.len() / FIELD).min(MAX_FIELDS);
        let mut bytes = [0; 3 * FIELD];
        bytes[..fields * FIELD].copy_from_slice(&body[..fields * FIELD]);
        Self { order, fields: fields as u8, bytes }
    }

    /// The order of its fields.
    pub fn order(&self) -> AccEcnOrder {
        self.order
    }

    /// Bytes received as ECT(0) modulo 2^24, if it says so.
    pub fn e0b(&self) -> Option<u32> {
        self.field(if self.order == AccEcnOrder::Ect0First { 0 } else { 2 })
    }

    /// Bytes received as CE modulo 2^24, if it says so.
    pub fn ceb(&self) -> Option<u32> {
        self.field(1)
    }

    /// Bytes received as ECT(1) modulo 2^24, if it says so.
    pub fn e1b(&self) -> Option<u32> {
        self.field(if self.order == AccEcnOrder::Ect1First { 0 } else { 2 })
    }

    /// Its fields as they stand on the wire.
    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[..usize::from(self.fields) * FIELD]
    }

    /// Its length on the wire, padded to a multiple of 4.
    pub fn padded_len(&self) -> usize {
        (2 + self.body().len()).next_multiple_of(4)
    }

    fn field(&self, at: usize) -> Option<u32> {
        let field = self.body().get(at * FIELD..(at + 1) * FIELD)?;
        Some(field.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_read_in_either_order_and_of_any_length() {
        let whole = AccEcn::new(AccEcnOrder::Ect0First, 3, 1, 0x0200_0003, 0xff_ffff);
        assert_eq!(whole.body(), [0, 0, 1, 0, 0, 3, 255, 255, 255]);
        assert_eq!((whole.e0b(), whole.ceb(), whole.e1b()), (Some(1), Some(3), Some(0xff_ffff)));
        let two = AccEcn::read(AccEcnOrder::Ect1First, &[0, 0, 7, 0, 1, 0, 9, 9]);
        assert_eq!((two.e1b(), two.ceb(), two.e0b()), (Some(7), Some(256), None));
        let empty = AccEcn::read(AccEcnOrder::Ect0First, &[]);
        assert_eq!((empty.e0b(), empty.padded_len(), whole.padded_len()), (None, 4, 12));
        assert_eq!(AccEcn::read(AccEcnOrder::Ect0First, &[1; 38]).body().len(), 9);
        assert_eq!(size_of::<Option<AccEcn>>(), 11);
    }
}
