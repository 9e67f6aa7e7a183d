//! The entries of several services in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::tai64n::Tai64n;

/// Merges the items of several services by their labels, each with the index of its service.
///
/// The items of one service keep their order, even where the clock was set back between two of them:
/// the order of one service is that of its numbers, and labels only decide between services. Of equal
/// labels, that of the earlier service comes first.
pub fn by_time<T>(services: Vec<Vec<T>>, stamp: impl Fn(&T) -> Tai64n) -> Vec<(usize, T)> {
    let mut merged = Vec::with_capacity(services.iter().map(Vec::len).sum());
    let mut services: Vec<_> = services
        .into_iter()
        .map(|items| items.into_iter().peekable())
        .collect();
    let mut next = BinaryHeap::with_capacity(services.len());
    for (index, items) in services.iter_mut().enumerate() {
        next.extend(items.peek().map(|item| Reverse((stamp(item), index))));
    }
    while let Some(Reverse((_, index))) = next.pop() {
        let Some(items) = services.get_mut(index) else {
            continue;
        };
        merged.extend(items.next().map(|item| (index, item)));
        next.extend(items.peek().map(|item| Reverse((stamp(item), index))));
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn label(seconds: &u64) -> Tai64n {
        Tai64n::from_unix(*seconds, 0)
    }

    #[test]
    fn labels_decide_between_services_and_numbers_within_one() {
        let merged = by_time(vec![vec![1, 5, 3], vec![1, 4]], label);
        assert_eq!(merged, [(0, 1), (1, 1), (1, 4), (0, 5), (0, 3)]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_each_service_keeps_its_order(
            services in prop::collection::vec(prop::collection::vec(0..50_u64, 0..20), 0..5)
        ) {
            let merged = by_time(services.clone(), label);
            for (index, items) in services.iter().enumerate() {
                let of_this: Vec<u64> = merged.iter().filter(|(of, _)| *of == index).map(|(_, item)| *item).collect();
                prop_assert_eq!(&of_this, items);
            }
            prop_assert_eq!(merged.len(), services.iter().map(Vec::len).sum::<usize>());
        }

        #[test]
        fn services_in_order_are_merged_in_order(
            mut services in prop::collection::vec(prop::collection::vec(0..50_u64, 0..20), 0..5)
        ) {
            services.iter_mut().for_each(|items| items.sort_unstable());
            let merged: Vec<u64> = by_time(services, label).into_iter().map(|(_, item)| item).collect();
            prop_assert!(merged.is_sorted());
        }
    }
}
