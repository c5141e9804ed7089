//! `epoll`: which descriptors are watched, and what for.

use std::collections::BTreeMap;

const EDGE: u32 = libc::EPOLLET as u32;
const ONCE: u32 = libc::EPOLLONESHOT as u32;
/// These are told whether they are asked for or not.
const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;

/// One set of watched descriptors.
#[derive(Debug, Default)]
pub(crate) struct Epoll(BTreeMap<i32, Watch>);

#[derive(Debug)]
struct Watch {
    events: u32,
    data: u64,
    /// Something has happened since it was last told (`EPOLLET`).
    is_fresh: bool,
    /// It was told, and that was all (`EPOLLONESHOT`).
    is_spent: bool,
}

impl Epoll {
    pub(crate) fn watched(&self) -> impl Iterator<Item = i32> + '_ {
        self.0.keys().copied()
    }

    /// Something has happened to these.
    pub(crate) fn handle_change(&mut self, numbers: &[i32]) {
        for number in numbers {
            if let Some(watch) = self.0.get_mut(number) {
                watch.is_fresh = true;
            }
        }
    }

    /// `epoll_ctl`; fails with an `errno`.
    pub(crate) fn control(&mut self, operation: i32, number: i32, events: u32, data: u64) -> Result<(), i32> {
        let watch = Watch { events, data, is_fresh: true, is_spent: false };
        match (operation, self.0.contains_key(&number)) {
            (libc::EPOLL_CTL_ADD, true) => return Err(libc::EEXIST),
            (libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL, false) => return Err(libc::ENOENT),
            (libc::EPOLL_CTL_ADD | libc::EPOLL_CTL_MOD, _) => self.0.insert(number, watch),
            (libc::EPOLL_CTL_DEL, true) => self.0.remove(&number),
            _ => return Err(libc::EINVAL),
        };
        Ok(())
    }

    pub(crate) fn forget(&mut self, number: i32) {
        self.0.remove(&number);
    }

    /// Tells at most `room` of what these descriptors are ready for.
    pub(crate) fn take(&mut self, ready: &[(i32, u32)], room: usize) -> Vec<(u32, u64)> {
        let mut told = Vec::new();
        for (number, events) in ready {
            let Some(watch) = self.0.get_mut(number).filter(|_| told.len() < room) else { continue };
            let events = events & (watch.events | ALWAYS);
            if events == 0 || watch.is_spent || watch.events & EDGE != 0 && !watch.is_fresh {
                continue;
            }
            watch.is_fresh = false;
            watch.is_spent = watch.events & ONCE != 0;
            told.push((events, watch.data));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN: u32 = libc::EPOLLIN as u32;

    fn watching(events: u32) -> Epoll {
        let mut epoll = Epoll::default();
        epoll.control(libc::EPOLL_CTL_ADD, 3, events, 7).unwrap();
        epoll
    }

    #[test]
    fn a_level_is_told_as_long_as_it_lasts() {
        let mut epoll = watching(IN);
        assert_eq!(epoll.take(&[(3, IN)], 1), [(IN, 7)]);
        assert_eq!(epoll.take(&[(3, IN)], 1), [(IN, 7)]);
        assert_eq!(epoll.take(&[(3, 0)], 1), []);
    }

    #[test]
    fn an_edge_is_told_once() {
        let mut epoll = watching(IN | EDGE);
        assert_eq!(epoll.take(&[(3, IN)], 1), [(IN, 7)]);
        assert_eq!(epoll.take(&[(3, IN)], 1), []);
        epoll.handle_change(&[3]);
        assert_eq!(epoll.take(&[(3, IN)], 1), [(IN, 7)]);
    }

    #[test]
    fn once_is_once_until_it_is_asked_for_again() {
        let mut epoll = watching(IN | ONCE);
        assert_eq!(epoll.take(&[(3, IN)], 1), [(IN, 7)]);
        epoll.handle_change(&[3]);
        assert_eq!(epoll.take(&[(3, IN)], 1), []);
        epoll.control(libc::EPOLL_CTL_MOD, 3, IN | ONCE, 8).unwrap();
        assert_eq!(epoll.take(&[(3, IN)], 1), [(IN, 8)]);
    }

    #[test]
    fn errors_are_told_unasked_and_unknown_ones_refused() {
        let mut epoll = watching(0);
        assert_eq!(epoll.take(&[(3, libc::EPOLLHUP as u32 | IN)], 1), [(libc::EPOLLHUP as u32, 7)]);
        assert_eq!(epoll.control(libc::EPOLL_CTL_ADD, 3, 0, 0), Err(libc::EEXIST));
        assert_eq!(epoll.control(libc::EPOLL_CTL_DEL, 4, 0, 0), Err(libc::ENOENT));
    }
}
