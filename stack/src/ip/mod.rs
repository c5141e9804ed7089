//! The Internet Protocol, both versions: what is taken in, where it goes, how large it may be, and what is said when
//! it cannot go on.

pub mod fragment;
pub mod icmp;
pub mod icmp_error;
pub mod input;
pub mod output;
pub mod pmtu;
pub mod rate_limit;
pub mod reassembly;
pub mod redirect;
pub mod route;
pub mod steering;
