//! Services where they are deployed, and what holds there instead of the service's own policy.

use std::collections::HashMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use super::Config;
use super::authentication::{Authentication, Surroundings};
use super::fault::Fault;
use super::groups::Groups;
use super::id::{Id, given_or_derived};
use super::names::Names;
use super::networks::Networks;
use super::place::{At, Place};
use super::rules::{self, Rule};
use super::services::{Mode, Service};
use crate::domain;

/// A service on an infrastructure. What it does not say, it has from the service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Name or id.
    pub service: At<String>,
    /// Name or id.
    pub infrastructure: At<String>,
    /// Absent: derived from the names of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<At<Id>>,
    /// Switched off, it denies everybody; it cannot switch a service on. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<At<bool>>,
    /// The version of the service that is active here (name or id). Absent: the latest, where there is
    /// any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<At<String>>,
    /// Instead of the service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<At<Vec<At<String>>>>,
    /// Instead of the service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<At<Vec<At<String>>>>,
    /// Parts of the service's policy that are others here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#override: Option<Override>,
}

/// Whole parts of a policy, instead of the service's; `null` removes a part, and what is not named
/// is inherited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Override {
    /// Cannot be removed: `none` says that the deployment is public.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<At<Authentication>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<At<Part<Networks>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<At<Part<Groups>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<At<Part<Vec<At<Rule>>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<At<Part<Mode>>>,
}

/// A value, or `null` for none, as a part of a policy is removed. Only the word does that: a line that
/// lost its end shall not.
#[derive(Clone, Debug, PartialEq)]
pub enum Part<T> {
    Removed,
    Is(T),
}

/// What ids of deployments are derived from, besides their names.
const KIND: &str = "deployment";

impl Deployment {
    /// Known by the names of what it is made of, however they are written.
    pub(super) fn declare(&self, names: &mut Names, faults: &mut Vec<Fault>) {
        let service = names.services.find(&self.service, faults);
        let infrastructure = names.infrastructures.find(&self.infrastructure, faults);
        if service.is_none() || infrastructure.is_none() {
            return;
        }
        let parts =
            names.services.name_of(&self.service).zip(names.infrastructures.name_of(&self.infrastructure));
        if let Some((service, infrastructure)) = parts {
            let name = At { value: format!("{service}/{infrastructure}"), place: self.service.place };
            let id = given_or_derived(self.id.as_ref(), KIND, &name);
            let place = self.id.as_ref().map_or(name.place, |id| id.place);
            names.deployments.declare(Some(&name), At { value: id, place }, faults);
        }
    }
}

impl Override {
    /// Has other objects named by id.
    pub(super) fn refer_by_id(&mut self, names: &Names) {
        if let Some(authentication) = &mut self.authentication {
            authentication.refer_by_id(names);
        }
        if let Some(At { value: Part::Is(rules), .. }) = &mut self.rules {
            rules.iter_mut().for_each(|rule| rule.refer_by_id(names));
        }
    }

    /// Puts its parts into a copy of the service's policy.
    pub(super) fn apply(&self, policy: &mut domain::deployment::Policy, around: &mut Surroundings<'_>) {
        if let Some(authentication) = &self.authentication {
            policy.authentication = authentication.resolve(around).into();
        }
        if let Some(At { value, place }) = &self.networks {
            let networks =
                value.or_default(|networks| networks.resolve(*place, around.faults, around.warnings));
            policy.networks = networks.into();
        }
        if let Some(At { value, place }) = &self.groups {
            policy.groups =
                value.or_default(|groups| groups.resolve(*place, around.names, around.faults)).into();
        }
        if let Some(At { value, .. }) = &self.rules {
            policy.rules = value.or_default(|rules| rules::resolve(rules, around));
        }
        if let Some(At { value, .. }) = &self.mode {
            policy.mode = value.or_default(|mode| (*mode).into());
        }
    }
}

impl<T> Part<T> {
    /// The name under which [`decode`](super::decode) recognises the wrapper.
    pub(super) const NAME: &'static str = "doorward::config::Part";

    fn or_default<U: Default>(&self, resolve: impl FnOnce(&T) -> U) -> U {
        match self {
            Self::Removed => U::default(),
            Self::Is(part) => resolve(part),
        }
    }
}

impl<T: Serialize> Serialize for Part<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Removed => serializer.serialize_unit(),
            Self::Is(part) => part.serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PartVisitor<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for PartVisitor<T> {
            type Value = Part<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a value, or `null` for none")
            }

            fn visit_unit<E>(self) -> Result<Part<T>, E> {
                Ok(Part::Removed)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Part<T>, D::Error> {
                T::deserialize(deserializer).map(Part::Is)
            }
        }

        deserializer.deserialize_newtype_struct(Self::NAME, PartVisitor(std::marker::PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Part<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Part_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let part = generator.subschema_for::<T>();
        schemars::json_schema!({ "oneOf": [{ "const": null }, part] })
    }
}

/// A service as it is deployed somewhere, or as it is where `deployments` is left out.
#[derive(Clone, Copy)]
pub(super) struct Planned<'c> {
    /// Its place among the services, counted from 0.
    pub at: usize,
    pub service: &'c Service,
    /// With its place among the deployments.
    pub deployment: Option<(usize, &'c Deployment)>,
    pub infrastructure: Option<(Uuid, &'c str)>,
}

impl<'c> Planned<'c> {
    /// `orders/production`, or `orders`.
    pub(super) fn name(&self) -> String {
        match self.infrastructure {
            Some((_, infrastructure)) => format!("{}/{infrastructure}", self.service.name.value),
            None => self.service.name.value.clone(),
        }
    }

    /// Given, or derived from the name.
    pub(super) fn id(&self) -> Uuid {
        let given = self.deployment.and_then(|(_, deployment)| deployment.id.as_ref());
        given_or_derived(given, KIND, &self.name())
    }

    /// Where it is declared.
    pub(super) fn place(&self) -> Place {
        self.deployment.map_or(self.service.name.place, |(_, deployment)| deployment.service.place)
    }

    pub(super) fn r#override(&self) -> Option<&'c Override> {
        self.deployment.and_then(|(_, deployment)| deployment.r#override.as_ref())
    }
}

/// Everything that is deployed. A deployment of something unknown is none.
pub(super) fn planned<'c>(config: &'c Config, names: &Names) -> Vec<Planned<'c>> {
    let services = || config.services.iter().enumerate();
    let as_it_is = |(at, service)| Planned { at, service, deployment: None, infrastructure: None };
    // What is stored is open to nobody until it is deployed, for that takes rights of its own.
    let of_file = services().filter(|(_, service)| !service.name.place.is_stored());
    let mut all: Vec<_> = match &config.deployments {
        Some(_) => Vec::new(),
        None => of_file.map(as_it_is).collect(),
    };
    let by_id: HashMap<Uuid, usize> = services().map(|(at, service)| (service.id(), at)).collect();
    let on: HashMap<Uuid, &str> =
        config.infrastructures.iter().map(|it| (it.id(), it.name.as_str())).collect();
    let plan = |(index, deployment): (usize, &'c Deployment)| {
        let at = *by_id.get(&names.services.lookup(&deployment.service)?)?;
        let infrastructure = names.infrastructures.lookup(&deployment.infrastructure)?;
        Some(Planned {
            at,
            service: &config.services[at],
            deployment: Some((index, deployment)),
            infrastructure: Some((infrastructure, on.get(&infrastructure)?)),
        })
    };
    let of_file = config.deployments.iter().flat_map(|it| &it.value);
    all.extend(of_file.chain(&config.stored_deployments).enumerate().filter_map(plan));
    all
}
