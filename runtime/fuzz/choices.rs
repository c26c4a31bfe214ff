//! Bytes as a list of decisions. When they are used up every decision is 0, so a target ends with its input.

use bytes::Bytes;

/// What is left of an input.
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Choices<'a> {
        Choices(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// A number below `bound`, which is 1 to 256.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    pub(crate) fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == bound - 1
    }

    pub(crate) fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    pub(crate) fn some<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }

    pub(crate) fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 1).then(|| make(self))
    }

    /// A number: mostly a small one, sometimes one where arithmetic ends, sometimes any.
    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() {
            0xff => u64::from_be_bytes(std::array::from_fn(|_| self.byte())),
            0xf8..=0xfe => u64::MAX - u64::from(self.byte() % 3),
            0xf0..=0xf7 => (1 << (self.byte() % 64)) - u64::from(self.byte() % 2),
            0xc0..=0xef => u64::from(u16::from_be_bytes([self.byte(), self.byte()])),
            small => u64::from(small % 24),
        }
    }

    /// At most so many of the bytes as they are.
    pub(crate) fn bytes(&mut self, most: usize) -> Bytes {
        let length = usize::from(self.byte()).min(most).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        Bytes::copy_from_slice(taken)
    }

    pub(crate) fn text(&mut self, most: usize) -> String {
        String::from_utf8_lossy(&self.bytes(most)).into_owned()
    }

    /// All bytes that are left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
