//! Soft limits.

use rustix::process::{Resource, Rlimit};

use crate::message::{Failure, Step};
use crate::number;

/// A soft limit that is to be set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limit {
    pub(crate) resource: Resource,
    pub(crate) soft: Soft,
}

/// What a soft limit becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Soft {
    /// What the hard limit is.
    Hard,
    /// This number, in the resource's own unit, or the hard limit where that is lower.
    Number(u64),
}

impl Soft {
    /// The value of one of chpst's options.
    pub(crate) fn number(text: &[u8]) -> Result<Self, Failure> {
        number::unsigned(text)
            .map(Self::Number)
            .ok_or(Failure::Usage)
    }

    /// The value of one of softlimit's options, which may be `=`.
    pub(crate) fn number_or_equals(text: &[u8]) -> Result<Self, Failure> {
        if text == b"=" {
            return Ok(Self::Hard);
        }
        Self::number(text)
    }

    /// The new soft limit under this hard one; `None` is no limit.
    fn under(self, hard: Option<u64>) -> Option<u64> {
        match (self, hard) {
            // The kernel's own number for "no limit".
            (Self::Hard | Self::Number(u64::MAX), hard) => hard,
            (Self::Number(number), Some(hard)) => Some(number.min(hard)),
            (Self::Number(number), None) => Some(number),
        }
    }
}

/// The limits that `-m` sets, in this order: data, stack, locked memory, all of the address space.
pub(crate) const MEMORY: [Resource; 4] = [
    Resource::Data,
    Resource::Stack,
    Resource::Memlock,
    Resource::As,
];

/// Sets one soft limit; the hard one stays.
pub(crate) fn set(limit: Limit) -> Result<(), Failure> {
    let hard = rustix::process::getrlimit(limit.resource).maximum;
    let new = Rlimit {
        current: limit.soft.under(hard),
        maximum: hard,
    };
    rustix::process::setrlimit(limit.resource, new)
        .map_err(|errno| Failure::system(Step::SetLimit(limit.resource), errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soft_limit_is_never_above_the_hard_one() {
        assert_eq!(Soft::Number(5).under(Some(9)), Some(5));
        assert_eq!(Soft::Number(15).under(Some(9)), Some(9));
        assert_eq!(Soft::Number(u64::MAX).under(Some(9)), Some(9));
        assert_eq!(Soft::Number(u64::MAX).under(None), None);
        assert_eq!(Soft::Number(5).under(None), Some(5));
        assert_eq!(Soft::Hard.under(Some(9)), Some(9));
        assert_eq!(Soft::Hard.under(None), None);
    }

    #[test]
    fn an_equals_sign_is_softlimits_alone() {
        assert_eq!(Soft::number_or_equals(b"="), Ok(Soft::Hard));
        assert_eq!(Soft::number(b"="), Err(Failure::Usage));
        assert_eq!(Soft::number(b""), Err(Failure::Usage));
        assert_eq!(Soft::number(b"10"), Ok(Soft::Number(10)));
    }
}
