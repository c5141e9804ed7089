//! Ports, and ranges of them.

use std::fmt;
use std::ops::RangeInclusive;

/// What people should know about ports, for help texts.
pub(crate) const ABOUT: &str = "\
Ports: 1 to 1023 are well known (7 echo, 80 http, 443 https), 1024 to 49151 can be registered, and the stack takes \
its own side's port from 32768 to 60999 at random unless one is named. The stack has its own ports: none of them \
collides with a port of this machine, and none needs a privilege.";

/// One port, or `20-25`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    /// The port, if it is only one.
    pub(crate) const fn single(self) -> Option<u16> {
        if self.first == self.last { Some(self.first) } else { None }
    }

    pub(crate) const fn range(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }

    /// Reads `80` or `20-25`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let [first, last] = [first, last].map(|port| match port.parse::<u16>() {
            Ok(0) | Err(_) => Err(format!("`{port}` is no port: 1 to 65535, or a range such as 20-25")),
            Ok(port) => Ok(port),
        });
        let (first, last) = (first?, last?);
        if first > last {
            return Err(format!("the range {first}-{last} is empty: write {last}-{first}"));
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.single() {
            Some(port) => write!(f, "{port}"),
            None => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ports_and_ranges() {
        assert_eq!(Ports::parse("80").unwrap().single(), Some(80));
        assert_eq!(Ports::parse("20-25").unwrap().range(), 20..=25);
        assert_eq!(Ports::parse("20-25").unwrap().to_string(), "20-25");
    }

    #[test]
    fn says_what_is_no_port() {
        for (text, why) in
            [("0", "1 to 65535"), ("65536", "`65536`"), ("http", "`http`"), ("9-7", "write 7-9")]
        {
            assert!(Ports::parse(text).unwrap_err().contains(why), "{text}");
        }
    }
}
