//! What crafting consumes, and where it happens.

use std::ops::Deref;

use uuid::Uuid;

use super::{
    json::{self, Node, Out, ToJson, place},
    list::List,
    names::MaterialQuality,
    values::Quantity,
    violation::{InvalidValue, Rule, Violation},
};

/// Some of a material.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Material {
    /// Which.
    pub material_id: Uuid,
    /// How many.
    pub quantity: Quantity,
    /// How good.
    pub quality: Option<MaterialQuality>,
}

impl Material {
    /// A material of unstated quality.
    pub const fn new(material_id: Uuid, quantity: Quantity) -> Self {
        Self { material_id, quantity, quality: None }
    }

    /// Sets `quality`.
    #[must_use]
    pub const fn with_quality(mut self, quality: MaterialQuality) -> Self {
        self.quality = Some(quality);
        self
    }

    pub(crate) fn read(node: Node<'_, '_>) -> Result<Self, Violation> {
        const FIELDS: [&str; 3] = ["material_id", "quantity", "quality"];
        let fields = json::object(node, &FIELDS)?;
        Ok(Self {
            material_id: fields.required(place!(FIELDS, "material_id"), json::uuid)?,
            quantity: fields.required(place!(FIELDS, "quantity"), json::integer)?,
            quality: fields.optional(place!(FIELDS, "quality"), json::one_of)?,
        })
    }
}

impl ToJson for Material {
    fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
        out.object(|fields| {
            fields
                .field("material_id", &self.material_id)
                .field("quantity", &self.quantity)
                .optional("quality", self.quality.as_ref())
        })
    }
}

/// The 1 to 50 materials of a session. It reads as a slice.
///
/// ```
/// use craftwire::crafting::{Material, Materials, Quantity};
/// use uuid::Uuid;
///
/// let iron = Material::new(Uuid::from_u128(4), Quantity::new(5)?);
/// assert_eq!(Materials::new(vec![iron])?.len(), 1);
/// assert!(Materials::new(vec![]).is_err());
/// # Ok::<(), craftwire::crafting::InvalidValue>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Materials(Vec<Material>);

impl Materials {
    /// The fewest.
    pub const MIN: usize = 1;
    /// The most.
    pub const MAX: usize = 50;

    /// Checks how many there are.
    ///
    /// # Errors
    ///
    /// [`Rule::Items`] if there are none or more than 50.
    pub fn new(materials: Vec<Material>) -> Result<Self, InvalidValue> {
        if !(Self::MIN..=Self::MAX).contains(&materials.len()) {
            let rule = Rule::Items { min: Self::MIN, max: Self::MAX };
            return Err(InvalidValue::new(rule, &format!("{} items", materials.len())));
        }
        Ok(Self(materials))
    }

    /// The list itself.
    pub fn into_vec(self) -> Vec<Material> {
        self.0
    }

    /// Materials whose number was checked.
    pub(crate) fn as_checked(materials: List<'_, Material>) -> Self {
        Self(materials.iter().collect())
    }

    pub(crate) fn read(node: Node<'_, '_>) -> Result<Self, Violation> {
        json::bounded_list(node, (Self::MIN, Self::MAX), Material::read).map(Self)
    }
}

impl Deref for Materials {
    type Target = [Material];

    fn deref(&self) -> &[Material] {
        &self.0
    }
}

impl TryFrom<Vec<Material>> for Materials {
    type Error = InvalidValue;

    fn try_from(materials: Vec<Material>) -> Result<Self, InvalidValue> {
        Self::new(materials)
    }
}

/// A place in the game's world. Its coordinates are finite.
///
/// ```
/// use craftwire::crafting::Location;
///
/// assert_eq!(Location::new(123.45, 67.89, 0.0)?.x(), 123.45);
/// assert!(Location::new(f64::NAN, 0.0, 0.0).is_err());
/// # Ok::<(), craftwire::crafting::InvalidValue>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Location {
    x: f64,
    y: f64,
    z: f64,
}

impl Location {
    /// Checks that the coordinates are finite, since JSON has no other numbers.
    ///
    /// # Errors
    ///
    /// [`Rule::Number`] with the coordinate that is not finite.
    pub fn new(x: f64, y: f64, z: f64) -> Result<Self, InvalidValue> {
        match [x, y, z].into_iter().find(|coordinate| !coordinate.is_finite()) {
            Some(coordinate) => Err(InvalidValue::new(Rule::Number, &coordinate.to_string())),
            None => Ok(Self { x, y, z }),
        }
    }

    /// The first coordinate.
    pub const fn x(self) -> f64 {
        self.x
    }

    /// The second coordinate.
    pub const fn y(self) -> f64 {
        self.y
    }

    /// The third coordinate.
    pub const fn z(self) -> f64 {
        self.z
    }

    pub(crate) fn read(node: Node<'_, '_>) -> Result<Self, Violation> {
        const FIELDS: [&str; 3] = ["x", "y", "z"];
        let fields = json::object(node, &FIELDS)?;
        Ok(Self {
            x: fields.required(place!(FIELDS, "x"), json::number)?,
            y: fields.required(place!(FIELDS, "y"), json::number)?,
            z: fields.required(place!(FIELDS, "z"), json::number)?,
        })
    }
}

impl ToJson for Location {
    fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
        out.object(|fields| fields.field("x", &self.x).field("y", &self.y).field("z", &self.z))
    }
}
