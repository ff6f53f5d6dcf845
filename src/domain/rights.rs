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
    use {InfrastructurePrivilege as I, ServicePrivilege as S};

    const MAKER: ConsumerId = Uuid::from_u128(1);
    const OTHER: ConsumerId = Uuid::from_u128(2);

    fn consumer(id: ConsumerId, groups: &str) -> Caller {
        Caller::Consumer { id, groups: groups.split_whitespace().map(str::to_owned).collect() }
    }

    fn grant<P>(group: &str, privilege: P) -> Grant<P> {
        Grant { group: group.to_owned(), privileges: vec![privilege] }
    }

    /// A group of its own for each privilege, so that a caller has what its groups are called.
    fn service() -> Vec<Grant<S>> {
        S::ALL.map(|it| grant(&format!("s-{}", it.name()), it)).into()
    }

    fn infrastructure() -> Vec<Grant<I>> {
        I::ALL.map(|it| grant(&format!("i-{}", it.name()), it)).into()
    }

    /// What the callers of the table are asked about.
    struct World {
        service: Vec<Grant<S>>,
        /// Another one, with grants of its own.
        public: Vec<Grant<S>>,
        development: Vec<Grant<I>>,
        production: Vec<Grant<I>>,
    }

    /// Every sentence of the Dataiku document about privileges, and who hears what by it.
    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn every_sentence_of_the_document_about_privileges_holds() {
        let world = World {
            service: service(),
            public: vec![grant("everybody", S::Read), grant("scientists", S::Deploy), grant("devops", S::Deploy)],
            development: [vec![grant("scientists", I::Deploy), grant("devops", I::Deploy)], infrastructure()].concat(),
            production: vec![grant("everybody", I::View), grant("devops", I::Deploy)],
        };
        let service = OnService { owner: Some(MAKER), grants: &world.service };
        let public = OnService { owner: None, grants: &world.public };
        let development = OnInfrastructure { grants: &world.development };
        let production = OnInfrastructure { grants: &world.production };
        let makers = ["makers".to_owned(), "builders".to_owned()];
        let make = Asked::CreateService { groups: &makers };
        let (on, at) = (|it| Asked::Service(it, service), |it| Asked::Infrastructure(it, development));
        let read = Asked::ReadDeployment(service, development);
        let deploy = Asked::Deploy(service, development);

        type Row<'r> = (&'r str, &'r [(&'r str, Asked<'r>, Access)]);
        let table: &[Row<'_>] = &[
            // A caller is whose groups these are; `owner` is who made the service.
            ("the admin API is for admin keys, and whoever has none has no administrative right", &[
                ("s-admin i-admin makers",   Asked::Everything, Forbidden),
                ("owner",                    Asked::Everything, Forbidden),
            ]),
            ("permissions are by group, on services and on infrastructures", &[
                ("",                         on(S::Read),       Hidden),
                ("",                         at(I::View),       Hidden),
                ("s-admin",                  at(I::View),       Hidden),
                ("i-admin",                  on(S::Read),       Hidden),
                ("s-READ",                   on(S::Read),       Hidden),
            ]),
            ("there are no permissions on deployments: details are read with `read` on both sides", &[
                ("s-read i-view",            read,              Allowed),
                ("s-read",                   read,              Hidden),
                ("i-view",                   read,              Hidden),
                ("s-admin",                  read,              Hidden),
                ("owner",                    read,              Hidden),
                ("owner i-view",             read,              Allowed),
            ]),
            ("a deployment is created with `deploy` on both sides", &[
                ("s-deploy i-deploy",        deploy,            Allowed),
                ("s-deploy i-view",          deploy,            Forbidden),
                ("s-read i-deploy",          deploy,            Forbidden),
                ("s-deploy",                 deploy,            Hidden),
                ("i-deploy",                 deploy,            Hidden),
                ("s-admin i-admin",          deploy,            Allowed),
                ("owner i-deploy",           deploy,            Allowed),
            ]),
            ("some services are public while some are restricted even from viewing", &[
                ("everybody",                Asked::Service(S::Read, public),  Allowed),
                ("everybody",                on(S::Read),       Hidden),
            ]),
            ("scientists deploy to development, and only devops to production", &[
                ("scientists",               Asked::Deploy(public, development), Allowed),
                ("scientists everybody",     Asked::Deploy(public, production),  Forbidden),
                ("scientists",               Asked::Deploy(public, production),  Hidden),
                ("devops",                   Asked::Deploy(public, production),  Allowed),
                ("devops",                   Asked::Deploy(public, development), Allowed),
            ]),
            ("infrastructures are made by global administrators alone", &[
                ("i-admin makers",           Asked::Everything, Forbidden),
            ]),
            ("any number of groups may be granted access to an infrastructure", &[
                ("scientists",               at(I::Deploy),     Allowed),
                ("devops",                   at(I::Deploy),     Allowed),
                ("i-view",                   at(I::View),       Allowed),
            ]),
            ("view: the infrastructure, and its deployments with `read` on the service", &[
                ("i-view",                   at(I::View),       Allowed),
                ("i-view s-read",            read,              Allowed),
                ("i-view",                   at(I::Deploy),     Forbidden),
                ("i-view",                   at(I::Admin),      Forbidden),
            ]),
            ("deploy on an infrastructure: create, update, switch deployments, with `deploy` on the service", &[
                ("i-deploy s-deploy",        deploy,            Allowed),
                ("i-deploy s-write",         deploy,            Forbidden),
                ("i-deploy",                 at(I::View),       Allowed),
                ("i-deploy",                 at(I::Admin),      Forbidden),
            ]),
            ("admin of an infrastructure: its settings, including permissions", &[
                ("i-admin",                  at(I::Admin),      Allowed),
                ("i-admin",                  at(I::Deploy),     Allowed),
                ("i-admin",                  at(I::View),       Allowed),
                ("i-admin",                  Asked::Infrastructure(I::View, production), Hidden),
            ]),
            ("services are created by whoever has the global privilege, at the level of groups", &[
                ("makers",                   make,              Allowed),
                ("builders",                 make,              Allowed),
                ("s-admin i-admin",          make,              Forbidden),
                ("",                         make,              Forbidden),
                ("makers",                   on(S::Read),       Hidden),
            ]),
            ("who creates a service owns it, with full access", &[
                ("owner",                    on(S::Read),       Allowed),
                ("owner",                    on(S::Write),      Allowed),
                ("owner",                    on(S::Deploy),     Allowed),
                ("owner",                    on(S::Admin),      Allowed),
                ("owner",                    Asked::Service(S::Read, public), Hidden),
            ]),
            ("the owner, or a group with `admin`, grants access to any number of groups", &[
                ("owner",                    on(S::Admin),      Allowed),
                ("s-admin",                  on(S::Admin),      Allowed),
                ("s-read s-write s-deploy",  on(S::Admin),      Forbidden),
            ]),
            ("read: the service, its keys, and its deployments with `view` on the infrastructure", &[
                ("s-read",                   on(S::Read),       Allowed),
                ("s-read i-view",            read,              Allowed),
                ("s-read",                   on(S::Write),      Forbidden),
                ("s-read",                   on(S::Deploy),     Forbidden),
            ]),
            ("write: versions of the service", &[
                ("s-write",                  on(S::Write),      Allowed),
                ("s-write",                  on(S::Read),       Allowed),
                ("s-write",                  on(S::Deploy),     Forbidden),
                ("s-write i-deploy",         deploy,            Forbidden),
            ]),
            ("deploy on a service: create, update, switch deployments, with `deploy` on the infrastructure", &[
                ("s-deploy i-deploy",        deploy,            Allowed),
                ("s-deploy i-view",          deploy,            Forbidden),
                ("s-deploy",                 on(S::Read),       Allowed),
                ("s-deploy",                 on(S::Write),      Forbidden),
            ]),
            ("admin of a service: its settings, permissions, and its end", &[
                ("s-admin",                  on(S::Admin),      Allowed),
                ("s-admin",                  on(S::Write),      Allowed),
                ("s-admin",                  on(S::Deploy),     Allowed),
                ("s-admin",                  on(S::Read),       Allowed),
                ("s-admin",                  Asked::Service(S::Read, public), Hidden),
            ]),
        ];
        for (sentence, cases) in table {
            for (groups, asked, expected) in *cases {
                let id = if groups.contains("owner") { MAKER } else { OTHER };
                assert_eq!(decide(&consumer(id, groups), *asked), *expected, "{sentence}: {groups:?} {asked:?}");
                // Each key has full rights; there is nothing finer.
                assert_eq!(decide(&Caller::AdminKey(OTHER), *asked), Allowed, "{asked:?}");
            }
        }
    }

    #[test]
    fn where_nobody_made_a_service_nobody_is_its_owner() {
        let orphan = OnService { owner: None, grants: &[] };
        assert_eq!(decide(&consumer(Uuid::nil(), ""), Asked::Service(S::Read, orphan)), Hidden);
    }

    #[test]
    fn the_socket_and_doorward_itself_may_do_everything() {
        for caller in [Caller::Socket, Caller::Doorward] {
            let on = OnService { owner: None, grants: &[] };
            assert_eq!(decide(&caller, Asked::Everything), Allowed);
            assert_eq!(decide(&caller, Asked::Service(S::Admin, on)), Allowed);
        }
    }
}
