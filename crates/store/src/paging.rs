//! Splits a list into pages that are limited by item count and by encoded bytes.

use crate::{Bounds, Pages};

/// Finds a page in a list, given the sizes of its items in order.
pub(crate) struct Splitter {
    pages: Pages,
    /// The page that is being filled.
    page: u32,
    /// The position of its first item.
    first: u64,
    /// The number of items on it until now.
    count: u32,
    /// The bytes of these items.
    bytes: u64,
}

impl Splitter {
    pub(crate) fn new(pages: Pages) -> Self {
        Self {
            pages,
            page: 0,
            first: 0,
            count: 0,
            bytes: 0,
        }
    }

    /// Returns the number of items that is sufficient to find the page.
    pub(crate) fn max_items(pages: Pages) -> u64 {
        (u64::from(pages.page) + 1) * u64::from(pages.items) + 1
    }

    /// Adds the size of the next item. Returns true if the page is complete, so that further items are not needed.
    pub(crate) fn add(&mut self, size: u64) -> bool {
        let bytes = self.bytes.saturating_add(size);
        // An item that is too large for any page is a page by itself.
        let is_full =
            self.count >= self.pages.items || (self.count > 0 && bytes > self.pages.bytes);
        if is_full && self.page == self.pages.page {
            return true;
        }
        if is_full {
            self.page += 1;
            self.first += u64::from(self.count);
            self.count = 0;
            self.bytes = 0;
        }
        self.count += 1;
        self.bytes = self.bytes.saturating_add(size);
        false
    }

    /// Returns the position of the page. Call this when the page is complete or the list has ended.
    pub(crate) fn bounds(self) -> Bounds {
        let is_past_the_end = self.page < self.pages.page;
        if is_past_the_end {
            return Bounds {
                offset: self.first + u64::from(self.count),
                limit: 0,
            };
        }
        Bounds {
            offset: self.first,
            limit: self.count,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find(sizes: &[u64], page: u32, items: u32, bytes: u64) -> (u64, u32) {
        let mut splitter = Splitter::new(Pages { page, items, bytes });
        let _ = sizes.iter().any(|size| splitter.add(*size));
        let bounds = splitter.bounds();
        (bounds.offset, bounds.limit)
    }

    #[test]
    fn a_page_ends_at_its_last_item_or_byte_g5() {
        let sizes = [40, 40, 40, 500, 1, 1, 1, 1];
        let pages = [(0, 2), (2, 1), (3, 1), (4, 3), (7, 1), (8, 0), (8, 0)];
        for (page, expected) in (0..).zip(pages) {
            assert_eq!(find(&sizes, page, 3, 100), expected, "page {page}");
        }
        assert_eq!(find(&[], 0, 3, 100), (0, 0));
        assert_eq!(find(&[1, 1], 0, 2, 100), (0, 2));
        assert_eq!(find(&[1, 1], 1, 2, 100), (2, 0));
    }

    proptest! {
        #[test]
        fn every_item_is_on_exactly_one_page_g5(
            sizes in prop::collection::vec(0_u64..200, 0..60), items in 1_u32..10, bytes in 1_u64..300,
        ) {
            let total = u64::try_from(sizes.len()).unwrap();
            let mut next = 0;
            for page in 0.. {
                let (offset, limit) = find(&sizes, page, items, bytes);
                prop_assert_eq!(offset, next);
                prop_assert!(limit <= items && (limit > 0) == (offset < total));
                if limit == 0 {
                    break;
                }
                let first = usize::try_from(offset).unwrap();
                let on_page = &sizes[first..first + usize::try_from(limit).unwrap()];
                prop_assert!(limit == 1 || on_page.iter().sum::<u64>() <= bytes);
                // The items that a backend reads are sufficient.
                let read = usize::try_from(Splitter::max_items(Pages { page, items, bytes })).unwrap();
                let read = &sizes[..read.min(sizes.len())];
                prop_assert_eq!(find(read, page, items, bytes), (offset, limit));
                next += u64::from(limit);
            }
        }
    }
}
