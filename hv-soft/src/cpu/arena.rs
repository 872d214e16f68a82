//! Memory for many small things that all go at once.

/// A list of at most `LIMIT` items, which never move.
#[derive(Debug)]
pub(crate) struct Arena<T, const LIMIT: usize> {
    items: Vec<T>,
    /// How many items the host has backed with memory.
    backed: usize,
}

impl<T, const LIMIT: usize> Default for Arena<T, LIMIT> {
    fn default() -> Self {
        Self { items: Vec::new(), backed: 0 }
    }
}

impl<T, const LIMIT: usize> Arena<T, LIMIT> {
    /// Bytes that the host is asked for at once: it takes several times as long to back pages one by one, when they are
    /// touched.
    const PORTION: usize = 128 << 10;

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Drops all items; what backs them stays.
    pub(crate) fn clear(&mut self) {
        self.items.clear();
    }

    /// Adds an item; the pointer is valid until the arena is cleared or dropped.
    ///
    /// # Panics
    /// If there are as many items as there may be.
    #[inline(always)]
    pub(crate) fn push(&mut self, item: T) -> *mut T {
        if self.items.len() == self.backed {
            self.back();
        }
        let at = self.items.len();
        self.items.push(item);
        // SAFETY: the item was just put there. The pointer comes from no reference to other items.
        unsafe { self.items.as_mut_ptr().add(at) }
    }

    /// Has the host back some more items.
    #[cold]
    fn back(&mut self) {
        let len = self.items.len();
        assert!(len < LIMIT, "an arena is full");
        // Address space; it takes no memory yet.
        self.items.reserve_exact(LIMIT - len);
        self.backed = LIMIT.min(len + Self::PORTION.div_ceil(size_of::<T>()));
        #[cfg(target_os = "linux")]
        {
            /// The page size, or a multiple of it: advice for less is refused, and does no harm.
            const PAGE: usize = 4096;
            let spare = self.items.spare_capacity_mut();
            let start = spare.as_mut_ptr() as usize;
            let end = start + (self.backed - len) * size_of::<T>();
            // The page in which the last portion ended is there already, or it is backed when it is touched.
            let start = start.next_multiple_of(PAGE);
            if start < end {
                // SAFETY: the range lies within the spare capacity but for the end of its last page, which belongs to the
                // same allocation or to another one; the advice changes no content.
                unsafe {
                    libc::madvise(start as *mut _, end - start, libc::MADV_POPULATE_WRITE);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_do_not_move_and_stay_as_they_are() {
        const LIMIT: usize = 100_000;
        let mut arena = Arena::<_, LIMIT>::default();
        let items: Vec<_> = (0..LIMIT as u64).map(|n| arena.push([n; 5])).collect();
        assert_eq!(arena.len(), LIMIT);
        for (n, item) in items.into_iter().enumerate() {
            // SAFETY: the arena lives.
            assert_eq!(unsafe { *item }, [n as u64; 5]);
        }
    }

    #[test]
    #[should_panic = "an arena is full"]
    fn it_has_a_limit() {
        let mut arena = Arena::<_, 3>::default();
        for _ in 0..4 {
            arena.push(0);
        }
    }
}
