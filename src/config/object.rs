//! An object of policy, wherever it is: what kinds there are, and how the settings of one are read.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use uuid::Uuid;

use super::decode::decode;
use super::deployments::Deployment;
use super::fault::Fault;
use super::group::Group;
use super::id::Id;
use super::infrastructures::Infrastructure;
use super::node::{Node, path_of};
use super::permissions::Permission;
use super::place::{At, Place};
use super::projects::Project;
use super::roles::Role;
use super::services::Service;
use super::versions::Version;

/// The kinds of object that the file or the store may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Permission,
    Role,
    Project,
    Group,
    Infrastructure,
    Service,
    Version,
    Deployment,
}

/// An object that the store holds, read.
#[derive(Debug)]
pub struct Object {
    pub id: Uuid,
    /// Objects are counted as they are made: the older one stands where two contradict each other.
    pub sequence: u64,
    /// Whose version it is.
    pub service: Option<Uuid>,
    /// In which places of this object are told from those of others, see [`Place::Object`].
    pub(super) serial: u32,
    pub(super) json: Value,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Permission(Permission),
    Role(Role),
    Project(Project),
    Group(Group),
    Infrastructure(Infrastructure),
    Service(Box<Service>),
    Version(Box<Version>),
    Deployment(Box<Deployment>),
}

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Which of its values: `rules[0].paths`; empty for the whole.
    pub path: String,
    pub why: String,
    /// The same for whoever may not know what else there is; `None`: it names nothing else.
    pub brief: Option<String>,
}

static SERIAL: AtomicU32 = AtomicU32::new(0);

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Permission,
        Self::Role,
        Self::Project,
        Self::Group,
        Self::Infrastructure,
        Self::Service,
        Self::Version,
        Self::Deployment,
    ];

    /// In the singular. Stored: never rename.
    pub fn name(self) -> &'static str {
        match self {
            Self::Permission => "permission",
            Self::Role => "role",
            Self::Project => "project",
            Self::Group => "group",
            Self::Infrastructure => "infrastructure",
            Self::Service => "service",
            Self::Version => "version",
            Self::Deployment => "deployment",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Object {
    /// Reads what was written or stored as the settings of this object.
    ///
    /// # Errors
    ///
    /// The first thing that is not as such settings have to be.
    pub fn read(kind: Kind, id: Uuid, json: Value) -> Result<Self, Wrong> {
        // Two billion reads are more than a process makes; and then places only point elsewhere.
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed) & (u32::MAX >> 1);
        let tree = Node::of_json(&json, serial);
        let given = Some(At { value: Id(id), place: tree.place });
        let body = match kind {
            Kind::Permission => decode(&tree).map(|it| Body::Permission(Permission { id: given, ..it })),
            Kind::Role => decode(&tree).map(|it| Body::Role(Role { id: given, ..it })),
            Kind::Project => decode(&tree).map(|it| Body::Project(Project { id: given, ..it })),
            Kind::Group => decode(&tree).map(|it| Body::Group(Group { id: given, ..it })),
            Kind::Infrastructure => {
                decode(&tree).map(|it| Body::Infrastructure(Infrastructure { id: given, ..it }))
            }
            Kind::Service => decode(&tree).map(|it| Body::Service(Box::new(Service { id: given, ..it }))),
            Kind::Version => decode(&tree).map(|it| Body::Version(Box::new(Version { id: given, ..it }))),
            Kind::Deployment => {
                decode(&tree).map(|it| Body::Deployment(Box::new(Deployment { id: given, ..it })))
            }
        };
        let body = body.map_err(|fault| wrong(&json, &fault))?;
        Ok(Self { id, sequence: 0, service: None, serial, json, body })
    }

    /// The same as whose version it is, and as the how manieth it was made.
    #[must_use]
    pub fn placed(self, service: Option<Uuid>, sequence: u64) -> Self {
        Self { service, sequence, ..self }
    }

    pub fn kind(&self) -> Kind {
        match self.body {
            Body::Permission(_) => Kind::Permission,
            Body::Role(_) => Kind::Role,
            Body::Project(_) => Kind::Project,
            Body::Group(_) => Kind::Group,
            Body::Infrastructure(_) => Kind::Infrastructure,
            Body::Service(_) => Kind::Service,
            Body::Version(_) => Kind::Version,
            Body::Deployment(_) => Kind::Deployment,
        }
    }

    /// What it is called; deployments are called by what they are made of.
    pub fn name(&self) -> Option<&str> {
        Some(match &self.body {
            Body::Permission(it) => &it.name,
            Body::Role(it) => &it.name,
            Body::Project(it) => &it.name,
            Body::Group(it) => &it.name,
            Body::Infrastructure(it) => &it.name,
            Body::Service(it) => &it.name,
            Body::Version(it) => &it.name,
            Body::Deployment(_) => return None,
        })
    }

    /// Its settings as they were written.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Where its settings were changed only in what a default says, this is the same; without its id.
    pub fn settings(&self) -> Value {
        let mut settings = match &self.body {
            Body::Permission(it) => serde_json::to_value(it),
            Body::Role(it) => serde_json::to_value(it),
            Body::Project(it) => serde_json::to_value(it),
            Body::Group(it) => serde_json::to_value(it),
            Body::Infrastructure(it) => serde_json::to_value(it),
            Body::Service(it) => serde_json::to_value(it),
            Body::Version(it) => serde_json::to_value(it),
            Body::Deployment(it) => serde_json::to_value(it),
        }
        .unwrap_or_default();
        if let Value::Object(map) = &mut settings {
            map.remove("id");
        }
        settings
    }
}

/// A fault of an object, told by path.
pub(super) fn wrong(json: &Value, fault: &Fault) -> Wrong {
    let path = match fault.place {
        Some(Place::Object { value, .. }) => path_of(json, value),
        _ => String::new(),
    };
    Wrong { brief: fault.brief().map(str::to_owned), ..Wrong::at(path, fault.said()) }
}

impl Wrong {
    pub fn at(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self { path: path.into(), why: why.into(), brief: None }
    }

    pub fn of_whole(why: impl Into<String>) -> Self {
        Self::at("", why)
    }

    /// Without the names of other objects.
    #[must_use]
    pub fn discreet(self) -> Self {
        Self { why: self.brief.unwrap_or(self.why), path: self.path, brief: None }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path[..] {
            "" => formatter.write_str(&self.why),
            path => write!(formatter, "{path}: {}", self.why),
        }
    }
}
