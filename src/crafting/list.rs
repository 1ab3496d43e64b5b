//! A list that stays JSON until it is gone through.
//!
//! Invariant: every item was read once, when the event was, so that reading it again cannot fail.

use std::{borrow::Cow, fmt, iter::FusedIterator, marker::PhantomData};

use super::{
    form::Borrowed,
    json::{self, Array, Node},
    material::Material,
    progress::Step,
    violation::Violation,
};

/// The items of a list in an event that is borrowed: read from the JSON each time, and kept nowhere.
///
/// ```
/// use craftwire::crafting::{SessionEvent, SessionEventRef, decode};
///
/// let json = br#"{ "event_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a10", "event_type": "crafting.session.start",
///     "timestamp": "2026-01-15T09:30:00Z", "version": "1.0.0", "source": "crafting.network", "data": {
///         "session_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12", "recipe_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a14",
///         "player_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a13",
///         "materials": [{ "material_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a15", "quantity": 5 }] } }"#;
/// let event = decode::<SessionEvent>(json)?;
/// let SessionEventRef::Start(start) = event.body() else { unreachable!() };
/// let materials = start.materials.unwrap();
/// assert_eq!((materials.len(), materials.iter().map(|material| material.quantity.get()).sum()), (1, 5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct List<'a, T> {
    /// The array, brackets included.
    raw: &'a str,
    len: usize,
    item: PhantomData<fn() -> T>,
}

impl<'a, T> List<'a, T> {
    pub(crate) const EMPTY: Self = Self { raw: "[]", len: 0, item: PhantomData };

    /// How many items there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<'a, T: sealed::Item<'a>> List<'a, T> {
    /// Reads every item, and keeps where they are.
    pub(crate) fn read(node: Node<'a, '_>, bounds: (usize, usize)) -> Result<Self, Violation> {
        let len = json::bounded_count(node, bounds, |item| T::read(item).map(drop))?;
        Ok(Self { raw: node.raw(), len, item: PhantomData })
    }

    /// The items in their order.
    pub fn iter(&self) -> Items<'a, T> {
        Items { array: Array::new(self.raw), left: self.len, item: PhantomData }
    }
}

impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<'_, T> {}

impl<'a, T: sealed::Item<'a> + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: sealed::Item<'a> + Eq> Eq for List<'a, T> {}

impl<'a, T: sealed::Item<'a> + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: sealed::Item<'a>> IntoIterator for List<'a, T> {
    type Item = T;
    type IntoIter = Items<'a, T>;

    fn into_iter(self) -> Items<'a, T> {
        self.iter()
    }
}

impl<'a, T: sealed::Item<'a>> IntoIterator for &List<'a, T> {
    type Item = T;
    type IntoIter = Items<'a, T>;

    fn into_iter(self) -> Items<'a, T> {
        self.iter()
    }
}

/// The items of a [`List`].
#[derive(Debug, Clone)]
pub struct Items<'a, T> {
    array: Array<'a>,
    left: usize,
    item: PhantomData<fn() -> T>,
}

impl<'a, T: sealed::Item<'a>> Iterator for Items<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        T::read(Node::root(self.array.next()??)).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a, T: sealed::Item<'a>> ExactSizeIterator for Items<'a, T> {}
impl<'a, T: sealed::Item<'a>> FusedIterator for Items<'a, T> {}

pub(crate) mod sealed {
    use crate::crafting::{json::Node, violation::Violation};

    /// What a list in an event may be of; out of reach.
    pub trait Item<'a>: Sized {
        fn read(node: Node<'a, '_>) -> Result<Self, Violation>;
    }
}

impl sealed::Item<'_> for Material {
    fn read(node: Node<'_, '_>) -> Result<Self, Violation> {
        Self::read(node)
    }
}

impl<'a> sealed::Item<'a> for Step<Borrowed<'a>> {
    fn read(node: Node<'a, '_>) -> Result<Self, Violation> {
        Self::read(node)
    }
}

impl<'a> sealed::Item<'a> for Cow<'a, str> {
    fn read(node: Node<'a, '_>) -> Result<Self, Violation> {
        json::text(node)
    }
}
