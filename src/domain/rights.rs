//! Who may do what through the admin API: the one place that decides.
//!
//! The socket and admin keys may do everything. A consumer, known by a JWT of ours, may do what its
//! groups were granted on services and infrastructures, and sees nothing else.

use uuid::Uuid;

use super::consumer::ConsumerId;

/// Who calls the admin API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Whoever may open the socket's file, or the store itself.
    Socket,
    AdminKey(Uuid),
    Consumer {
        id: ConsumerId,
        groups: Vec<String>,
    },
    /// Doorward itself, tidying up. Comes through no door.
    Doorward,
}

/// What a caller may hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Allowed,
    /// As if there were no such thing: 404, and absent from lists.
    Hidden,
    /// It may be seen, and that is all: 403.
    Forbidden,
}

/// On a service. `Admin` implies all others, `Write` and `Deploy` imply `Read`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServicePrivilege {
    Read,
    /// Uploads and deletes versions.
    Write,
    /// Uses it in deployments.
    Deploy,
    /// Settings, grants, the end of it.
    Admin,
}

/// On an infrastructure. `Admin` implies the others, `Deploy` implies `View`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InfrastructurePrivilege {
    View,
    /// Uses it in deployments.
    Deploy,
    /// Settings and grants.
    Admin,
}

/// What a group may do with one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant<P> {
    /// Its name, as consumers carry it.
    pub group: String,
    pub privileges: Vec<P>,
}

/// Who may do what with a service.
#[derive(Clone, Copy, Debug)]
pub struct OnService<'a> {
    /// Who made it, and may do everything with it.
    pub owner: Option<ConsumerId>,
    pub grants: &'a [Grant<ServicePrivilege>],
}

/// Who may do what with an infrastructure.
#[derive(Clone, Copy, Debug)]
pub struct OnInfrastructure<'a> {
    pub grants: &'a [Grant<InfrastructurePrivilege>],
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// What only admin keys and the socket may.
    Everything,
    /// To make a service; `create_service` is a privilege of these groups.
    CreateService {
        groups: &'a [String],
    },
    Service(ServicePrivilege, OnService<'a>),
    Infrastructure(InfrastructurePrivilege, OnInfrastructure<'a>),
    /// To see a deployment: of a service that may be read on an infrastructure that may be viewed.
    ReadDeployment(OnService<'a>, OnInfrastructure<'a>),
    /// To make, change, enable, disable or end one: with `deploy` on both sides.
    Deploy(OnService<'a>, OnInfrastructure<'a>),
}

/// Whether this caller may do that.
pub fn decide(caller: &Caller, asked: Asked<'_>) -> Access {
    match caller {
        Caller::Socket | Caller::AdminKey(_) | Caller::Doorward => Access::Allowed,
        Caller::Consumer { id, groups } => Consumer { id: *id, groups }.decide(asked),
    }
}

struct Consumer<'a> {
    id: ConsumerId,
    groups: &'a [String],
}

impl Consumer<'_> {
    fn decide(&self, asked: Asked<'_>) -> Access {
        match asked {
            Asked::Everything => Access::Forbidden,
            Asked::CreateService { groups } => {
                shown(true, groups.iter().any(|group| self.groups.contains(group)))
            }
            Asked::Service(privilege, on) => {
                shown(self.has_on_service(ServicePrivilege::Read, on), self.has_on_service(privilege, on))
            }
            Asked::Infrastructure(privilege, on) => shown(
                self.has_on_infrastructure(InfrastructurePrivilege::View, on),
                self.has_on_infrastructure(privilege, on),
            ),
            Asked::ReadDeployment(service, infrastructure) => {
                let reads = self.reads_deployment(service, infrastructure);
                shown(reads, reads)
            }
            Asked::Deploy(service, infrastructure) => shown(
                self.reads_deployment(service, infrastructure),
                self.has_on_service(ServicePrivilege::Deploy, service)
                    && self.has_on_infrastructure(InfrastructurePrivilege::Deploy, infrastructure),
            ),
        }
    }

    fn reads_deployment(&self, service: OnService<'_>, infrastructure: OnInfrastructure<'_>) -> bool {
        self.has_on_service(ServicePrivilege::Read, service)
            && self.has_on_infrastructure(InfrastructurePrivilege::View, infrastructure)
    }

    fn has_on_service(&self, privilege: ServicePrivilege, on: OnService<'_>) -> bool {
        on.owner == Some(self.id) || self.granted(on.grants).any(|granted| granted.implies(privilege))
    }

    fn has_on_infrastructure(&self, privilege: InfrastructurePrivilege, on: OnInfrastructure<'_>) -> bool {
        self.granted(on.grants).any(|granted| granted.implies(privilege))
    }

    fn granted<'g, P: Copy>(&self, grants: &'g [Grant<P>]) -> impl Iterator<Item = P> + use<'_, 'g, P> {
        grants
            .iter()
            .filter(|grant| self.groups.contains(&grant.group))
            .flat_map(|grant| grant.privileges.iter().copied())
    }
}

fn shown(seen: bool, allowed: bool) -> Access {
    match (seen, allowed) {
        (false, _) => Access::Hidden,
        (true, false) => Access::Forbidden,
        (true, true) => Access::Allowed,
    }
}

impl ServicePrivilege {
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Deploy, Self::Admin];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
        }
    }

    pub fn implies(self, other: Self) -> bool {
        self == other || self == Self::Admin || other == Self::Read
    }
}

impl InfrastructurePrivilege {
    pub const ALL: [Self; 3] = [Self::View, Self::Deploy, Self::Admin];

    pub const fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
        }
    }

    pub fn implies(self, other: Self) -> bool {
        self == other || self == Self::Admin || other == Self::View
    }
}

impl Caller {
    /// As the audit log has it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::AdminKey(_) => "admin_key",
            Self::Consumer { .. } => "consumer",
            Self::Doorward => "doorward",
        }
    }

    pub const fn id(&self) -> Option<Uuid> {
        match self {
            Self::AdminKey(id) | Self::Consumer { id, .. } => Some(*id),
            Self::Socket | Self::Doorward => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Access::{Allowed, Forbidden, Hidden};
    use super::*;

    const MAKER: ConsumerId = Uuid::from_u128(1);
    const OTHER: ConsumerId = Uuid::from_u128(2);

    fn consumer(id: ConsumerId, groups: &[&str]) -> Caller {
        Caller::Consumer { id, groups: groups.iter().map(|group| (*group).to_owned()).collect() }
    }

    /// A group of its own for each privilege, so that a caller has what its groups are called.
    fn service() -> Vec<Grant<ServicePrivilege>> {
        let grant = |privilege: ServicePrivilege| Grant {
            group: format!("s-{}", privilege.name()),
            privileges: vec![privilege],
        };
        ServicePrivilege::ALL.map(grant).into()
    }

    fn infrastructure() -> Vec<Grant<InfrastructurePrivilege>> {
        let grant = |privilege: InfrastructurePrivilege| Grant {
            group: format!("i-{}", privilege.name()),
            privileges: vec![privilege],
        };
        InfrastructurePrivilege::ALL.map(grant).into()
    }

    /// The sentences of the Dataiku document about services and infrastructures.
    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn privileges_of_groups_are_what_the_document_says() {
        let (on_service, on_infrastructure) = (service(), infrastructure());
        let on_service = OnService { owner: Some(MAKER), grants: &on_service };
        let on_infrastructure = OnInfrastructure { grants: &on_infrastructure };
        use {InfrastructurePrivilege as I, ServicePrivilege as S};
        let check = |groups: &[&str], asked: Asked<'_>, expected: Access| {
            assert_eq!(decide(&consumer(OTHER, groups), asked), expected, "{groups:?} {asked:?}");
        };
        let (on, at) = (|it| Asked::Service(it, on_service), |it| Asked::Infrastructure(it, on_infrastructure));
        let (read, deploy) = (Asked::ReadDeployment(on_service, on_infrastructure), Asked::Deploy(on_service, on_infrastructure));

        //    groups                      asked                 heard
        check(&[],                        on(S::Read),          Hidden);
        check(&[],                        on(S::Admin),         Hidden);
        check(&["s-read"],                on(S::Read),          Allowed);
        check(&["s-read"],                on(S::Write),         Forbidden);
        check(&["s-read"],                on(S::Deploy),        Forbidden);
        check(&["s-read"],                on(S::Admin),         Forbidden);
        check(&["s-write"],               on(S::Read),          Allowed);
        check(&["s-write"],               on(S::Write),         Allowed);
        check(&["s-write"],               on(S::Deploy),        Forbidden);
        check(&["s-deploy"],              on(S::Read),          Allowed);
        check(&["s-deploy"],              on(S::Deploy),        Allowed);
        check(&["s-deploy"],              on(S::Write),         Forbidden);
        check(&["s-deploy"],              on(S::Admin),         Forbidden);
        check(&["s-admin"],               on(S::Write),         Allowed);
        check(&["s-admin"],               on(S::Deploy),        Allowed);
        check(&["s-admin"],               on(S::Admin),         Allowed);
        check(&["i-admin"],               on(S::Read),          Hidden);
        check(&["i-view"],                at(I::View),          Allowed);
        check(&["i-view"],                at(I::Deploy),        Forbidden);
        check(&["i-deploy"],              at(I::View),          Allowed);
        check(&["i-deploy"],              at(I::Admin),         Forbidden);
        check(&["i-admin"],               at(I::Deploy),        Allowed);
        check(&["i-admin"],               at(I::Admin),         Allowed);
        check(&["s-admin"],               at(I::View),          Hidden);
        // "read" on the service and "view" on the infrastructure.
        check(&["s-read"],                read,                 Hidden);
        check(&["i-view"],                read,                 Hidden);
        check(&["s-read", "i-view"],      read,                 Allowed);
        check(&["s-write", "i-deploy"],   read,                 Allowed);
        // "deploy" on both.
        check(&["s-deploy"],              deploy,               Hidden);
        check(&["s-deploy", "i-view"],    deploy,               Forbidden);
        check(&["s-read", "i-deploy"],    deploy,               Forbidden);
        check(&["s-write", "i-deploy"],   deploy,               Forbidden);
        check(&["s-deploy", "i-deploy"],  deploy,               Allowed);
        check(&["s-admin", "i-admin"],    deploy,               Allowed);
        check(&["s-admin", "i-admin"],    Asked::Everything,    Forbidden);
    }

    #[test]
    fn the_owner_may_do_everything_with_the_service_and_nothing_with_the_infrastructure() {
        let on = OnService { owner: Some(MAKER), grants: &[] };
        let maker = consumer(MAKER, &[]);
        for privilege in ServicePrivilege::ALL {
            assert_eq!(decide(&maker, Asked::Service(privilege, on)), Allowed);
        }
        let nobody = OnInfrastructure { grants: &[] };
        assert_eq!(decide(&maker, Asked::Deploy(on, nobody)), Hidden);
        // Where nobody made it, nobody's id is the owner's.
        let orphan = OnService { owner: None, grants: &[] };
        assert_eq!(decide(&maker, Asked::Service(ServicePrivilege::Read, orphan)), Hidden);
    }

    #[test]
    fn services_are_made_by_groups_with_the_global_privilege() {
        let groups = ["makers".to_owned()];
        let asked = Asked::CreateService { groups: &groups };
        assert_eq!(decide(&consumer(OTHER, &["makers"]), asked), Allowed);
        assert_eq!(decide(&consumer(OTHER, &["others"]), asked), Forbidden);
    }

    #[test]
    fn admin_keys_and_the_socket_may_do_everything() {
        for caller in [Caller::Socket, Caller::AdminKey(OTHER), Caller::Doorward] {
            let on = OnService { owner: None, grants: &[] };
            assert_eq!(decide(&caller, Asked::Everything), Allowed);
            assert_eq!(decide(&caller, Asked::Service(ServicePrivilege::Admin, on)), Allowed);
        }
    }
}
