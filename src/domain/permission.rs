//! Permissions, as Kala's document has them: known by UUID and by name.

use uuid::Uuid;

/// Names a permission.
pub type PermissionId = Uuid;

/// A right that a consumer or a key may have and a rule may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    pub id: PermissionId,
    pub name: String,
    pub description: String,
}
