//! How an event holds its texts and lists: as values of its own, or as views of the JSON that it was read from.
//!
//! One set of types and one reader serve both, so that no rule can hold for the one and not for the other.

use std::{borrow::Cow, fmt::Debug, marker::PhantomData};

use super::{
    envelope::Tags,
    json::{self, Node},
    list::List,
    material::{Material, Materials},
    progress::{Status, StatusName, StatusRef, Step},
    values::Source,
    violation::Violation,
};

/// Whether an event's texts and lists are [`Owned`] or [`Borrowed`].
///
/// The types of events are owned unless they say otherwise: `ProgressUpdate` is `ProgressUpdate<Owned>`.
pub trait Form: sealed::Form + Clone + Debug + PartialEq + Eq {
    /// A text.
    type Text: Clone + Debug + PartialEq + Eq;
    /// Who sent an event.
    type Source: Clone + Debug + PartialEq + Eq;
    /// Free words.
    type Tags: Clone + Debug + PartialEq + Eq;
    /// What a session is doing.
    type Status: Clone + Debug + PartialEq + Eq;
    /// 1 to 50 materials.
    type Materials: Clone + Debug + PartialEq + Eq;
    /// Any number of materials.
    type MaterialList: Clone + Debug + PartialEq + Eq;
    /// The steps of a recipe.
    type Steps: Clone + Debug + PartialEq + Eq;
}

/// Texts and lists are values of their own; see [`parse`](super::parse).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owned {}

/// Texts and lists are views of the JSON, which allocate nothing but texts that have escapes; see
/// [`decode`](super::decode).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Borrowed<'a>(PhantomData<&'a str>);

impl Form for Owned {
    type Text = String;
    type Source = Source;
    type Tags = Tags;
    type Status = Status;
    type Materials = Materials;
    type MaterialList = Vec<Material>;
    type Steps = Vec<Step>;
}

impl<'a> Form for Borrowed<'a> {
    type Text = Cow<'a, str>;
    type Source = Cow<'a, str>;
    type Tags = List<'a, Cow<'a, str>>;
    type Status = StatusRef<'a>;
    type Materials = List<'a, Material>;
    type MaterialList = List<'a, Material>;
    type Steps = List<'a, Step<Self>>;
}

pub(crate) mod sealed {
    /// Out of reach, so that there are no other forms.
    pub trait Form {}

    impl Form for super::Owned {}
    impl Form for super::Borrowed<'_> {}
}

/// How what differs between the forms is read.
pub trait ReadForm<'a>: Form {
    fn text(node: Node<'a, '_>) -> Result<Self::Text, Violation>;
    fn source(node: Node<'a, '_>) -> Result<Self::Source, Violation>;
    fn tags(node: Node<'a, '_>) -> Result<Self::Tags, Violation>;
    fn no_tags() -> Self::Tags;
    fn status(name: StatusName, failure_reason: Option<Self::Text>) -> Self::Status;
    fn materials(node: Node<'a, '_>) -> Result<Self::Materials, Violation>;
    fn material_list(node: Node<'a, '_>) -> Result<Self::MaterialList, Violation>;
    fn steps(node: Node<'a, '_>) -> Result<Self::Steps, Violation>;
}

impl<'a> ReadForm<'a> for Owned {
    fn text(node: Node<'a, '_>) -> Result<String, Violation> {
        json::string(node)
    }

    fn source(node: Node<'a, '_>) -> Result<Source, Violation> {
        json::parsed(node)
    }

    fn tags(node: Node<'a, '_>) -> Result<Tags, Violation> {
        Tags::read(node)
    }

    fn no_tags() -> Tags {
        Tags::NONE
    }

    fn status(name: StatusName, failure_reason: Option<String>) -> Status {
        match name {
            StatusName::Active => Status::Active,
            StatusName::Paused => Status::Paused,
            StatusName::Interrupted => Status::Interrupted,
            StatusName::Completed => Status::Completed,
            StatusName::Failed => Status::Failed { reason: failure_reason },
        }
    }

    fn materials(node: Node<'a, '_>) -> Result<Materials, Violation> {
        Materials::read(node)
    }

    fn material_list(node: Node<'a, '_>) -> Result<Vec<Material>, Violation> {
        json::list(node, Material::read)
    }

    fn steps(node: Node<'a, '_>) -> Result<Vec<Step>, Violation> {
        json::list(node, Step::read)
    }
}

impl<'a> ReadForm<'a> for Borrowed<'a> {
    fn text(node: Node<'a, '_>) -> Result<Cow<'a, str>, Violation> {
        json::text(node)
    }

    fn source(node: Node<'a, '_>) -> Result<Cow<'a, str>, Violation> {
        json::checked_text(node, Source::check)
    }

    fn tags(node: Node<'a, '_>) -> Result<List<'a, Cow<'a, str>>, Violation> {
        List::read(node, (0, Tags::MAX))
    }

    fn no_tags() -> List<'a, Cow<'a, str>> {
        List::EMPTY
    }

    fn status(name: StatusName, failure_reason: Option<Cow<'a, str>>) -> StatusRef<'a> {
        match name {
            StatusName::Active => StatusRef::Active,
            StatusName::Paused => StatusRef::Paused,
            StatusName::Interrupted => StatusRef::Interrupted,
            StatusName::Completed => StatusRef::Completed,
            StatusName::Failed => StatusRef::Failed { reason: failure_reason },
        }
    }

    fn materials(node: Node<'a, '_>) -> Result<List<'a, Material>, Violation> {
        List::read(node, (Materials::MIN, Materials::MAX))
    }

    fn material_list(node: Node<'a, '_>) -> Result<List<'a, Material>, Violation> {
        List::read(node, (0, usize::MAX))
    }

    fn steps(node: Node<'a, '_>) -> Result<List<'a, Step<Self>>, Violation> {
        List::read(node, (0, usize::MAX))
    }
}
