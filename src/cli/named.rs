//! `doorward infrastructure`, `group`, `role`, `permission` and `project`: what policies and rights name.

use clap::Subcommand;
use serde_json::json;

use super::door::Door;
use super::object::{
    GROUP, INFRASTRUCTURE, PERMISSION, PROJECT, ROLE, Settings, Verb, create, look, some, update,
};
use super::{Common, Failure, segment};

#[derive(Subcommand)]
pub enum Infrastructure {
    /// Make an infrastructure: something that services are deployed on
    #[command(after_help = "Example: doorward infrastructure create staging")]
    Create {
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// List all infrastructures
    #[command(after_help = "Example: doorward infrastructure list")]
    List,
    /// Show one infrastructure
    #[command(after_help = "Example: doorward infrastructure show staging")]
    Show { infrastructure: String },
    /// Change settings of an infrastructure
    #[command(after_help = "Example: doorward infrastructure update staging --set name=test")]
    Update {
        infrastructure: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Delete an infrastructure on which nothing is deployed
    #[command(after_help = "Example: doorward infrastructure delete staging")]
    Delete { infrastructure: String },
    /// Grant a group privileges on it, instead of those that it had
    #[command(after_help = "Example: doorward infrastructure grant staging devs deploy")]
    Grant {
        infrastructure: String,
        group: String,
        /// view, deploy, admin
        #[arg(required = true)]
        privileges: Vec<String>,
    },
    /// Take back what a group was granted
    #[command(after_help = "Example: doorward infrastructure revoke staging devs")]
    Revoke { infrastructure: String, group: String },
}

#[derive(Subcommand)]
pub enum Group {
    /// Make a group that privileges can be granted to
    #[command(after_help = "Example: doorward group create devs --privilege create_service")]
    Create {
        name: String,
        #[arg(long)]
        description: Option<String>,
        /// What its members may do anywhere: create_service
        #[arg(long = "privilege")]
        privileges: Vec<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// List all groups
    #[command(after_help = "Example: doorward group list")]
    List,
    /// Show one group
    #[command(after_help = "Example: doorward group show devs")]
    Show { group: String },
    /// Change settings of a group
    #[command(after_help = "Example: doorward group update devs --set 'privileges=[create_service]'")]
    Update {
        group: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Delete a group that nothing was granted to
    #[command(after_help = "Example: doorward group delete devs")]
    Delete { group: String },
}

#[derive(Subcommand)]
pub enum Role {
    /// Make a role
    #[command(after_help = "Example: doorward role create admin --implies member")]
    Create {
        name: String,
        /// A role that whoever has this one has too; may be repeated
        #[arg(long)]
        implies: Vec<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// List all roles
    #[command(after_help = "Example: doorward role list")]
    List,
    /// Show one role
    #[command(after_help = "Example: doorward role show admin")]
    Show { role: String },
    /// Change settings of a role
    #[command(after_help = "Example: doorward role update admin --set 'implies=[member, reader]'")]
    Update {
        role: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Delete a role that nobody has and no rule asks for
    #[command(after_help = "Example: doorward role delete admin")]
    Delete { role: String },
}

#[derive(Subcommand)]
pub enum Permission {
    /// Make a permission
    #[command(after_help = "Example: doorward permission create data-management")]
    Create {
        name: String,
        #[arg(long)]
        id: Option<uuid::Uuid>,
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// List all permissions
    #[command(after_help = "Example: doorward permission list")]
    List,
    /// Show one permission
    #[command(after_help = "Example: doorward permission show data-management")]
    Show { permission: String },
    /// Change settings of a permission
    #[command(after_help = "Example: doorward permission update data-management --set description=data")]
    Update {
        permission: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Delete a permission that nobody has and no rule asks for
    #[command(after_help = "Example: doorward permission delete data-management")]
    Delete { permission: String },
}

#[derive(Subcommand)]
pub enum Project {
    /// Make a project
    #[command(after_help = "Example: doorward project create shop")]
    Create {
        name: String,
        #[arg(long)]
        id: Option<uuid::Uuid>,
        /// The domain that it belongs to
        #[arg(long)]
        domain_id: Option<uuid::Uuid>,
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// List all projects
    #[command(after_help = "Example: doorward project list")]
    List,
    /// Show one project
    #[command(after_help = "Example: doorward project show shop")]
    Show { project: String },
    /// Change settings of a project
    #[command(after_help = "Example: doorward project update shop --set name=store")]
    Update {
        project: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Delete a project in which nobody has a role
    #[command(after_help = "Example: doorward project delete shop")]
    Delete { project: String },
    /// Give a consumer a role in a project
    #[command(after_help = "Example: doorward project give-role shop alice admin")]
    GiveRole { project: String, consumer: String, role: String },
    /// Take a role in a project from a consumer
    #[command(after_help = "Example: doorward project take-role shop alice admin")]
    TakeRole { project: String, consumer: String, role: String },
}

pub fn infrastructure(common: &Common, command: Infrastructure) -> Result<(), Failure> {
    let grant = |name: &str, group: &str| {
        Ok::<_, Failure>(format!("/infrastructures/{}/grants/{}", segment(name)?, segment(group)?))
    };
    match command {
        Infrastructure::Create { name, settings } => {
            create(common, &INFRASTRUCTURE, settings.with(&[("name", json!(name))])?)
        }
        Infrastructure::List => look(common, &INFRASTRUCTURE, Verb::List),
        Infrastructure::Show { infrastructure } => look(common, &INFRASTRUCTURE, Verb::Show(infrastructure)),
        Infrastructure::Update { infrastructure, settings } => {
            update(common, &INFRASTRUCTURE, &infrastructure, settings.with(&[])?)
        }
        Infrastructure::Delete { infrastructure } => {
            look(common, &INFRASTRUCTURE, Verb::Delete(infrastructure))
        }
        Infrastructure::Grant { infrastructure, group, privileges } => {
            let body = json!({ "privileges": privileges });
            let granted = Door::open(common)?.put(&grant(&infrastructure, &group)?, &body)?;
            common.print(&granted, |granted| format!("{group} has {}\n", super::cell(&granted["privileges"])))
        }
        Infrastructure::Revoke { infrastructure, group } => {
            Door::open(common)?.delete(&grant(&infrastructure, &group)?)?;
            common.print(&json!({ "revoked": group }), |_| format!("{group} has nothing any more\n"))
        }
    }
}

pub fn group(common: &Common, command: Group) -> Result<(), Failure> {
    match command {
        Group::Create { name, description, privileges, settings } => {
            let body = settings.with(&[
                ("name", json!(name)),
                ("description", json!(description)),
                ("privileges", some(&privileges)),
            ])?;
            create(common, &GROUP, body)
        }
        Group::List => look(common, &GROUP, Verb::List),
        Group::Show { group } => look(common, &GROUP, Verb::Show(group)),
        Group::Update { group, settings } => update(common, &GROUP, &group, settings.with(&[])?),
        Group::Delete { group } => look(common, &GROUP, Verb::Delete(group)),
    }
}

pub fn role(common: &Common, command: Role) -> Result<(), Failure> {
    match command {
        Role::Create { name, implies, settings } => {
            create(common, &ROLE, settings.with(&[("name", json!(name)), ("implies", some(&implies))])?)
        }
        Role::List => look(common, &ROLE, Verb::List),
        Role::Show { role } => look(common, &ROLE, Verb::Show(role)),
        Role::Update { role, settings } => update(common, &ROLE, &role, settings.with(&[])?),
        Role::Delete { role } => look(common, &ROLE, Verb::Delete(role)),
    }
}

pub fn permission(common: &Common, command: Permission) -> Result<(), Failure> {
    match command {
        Permission::Create { name, id, description, settings } => {
            let more = [("name", json!(name)), ("id", json!(id)), ("description", json!(description))];
            create(common, &PERMISSION, settings.with(&more)?)
        }
        Permission::List => look(common, &PERMISSION, Verb::List),
        Permission::Show { permission } => look(common, &PERMISSION, Verb::Show(permission)),
        Permission::Update { permission, settings } => {
            update(common, &PERMISSION, &permission, settings.with(&[])?)
        }
        Permission::Delete { permission } => look(common, &PERMISSION, Verb::Delete(permission)),
    }
}

pub fn project(common: &Common, command: Project) -> Result<(), Failure> {
    let path = |project: &str, consumer: &str, role: &str| {
        let (project, consumer, role) = (segment(project)?, segment(consumer)?, segment(role)?);
        Ok::<_, Failure>(format!("/projects/{project}/users/{consumer}/roles/{role}"))
    };
    match command {
        Project::Create { name, id, domain_id, description, settings } => {
            let body = settings.with(&[
                ("name", json!(name)),
                ("id", json!(id)),
                ("domain_id", json!(domain_id)),
                ("description", json!(description)),
            ])?;
            create(common, &PROJECT, body)
        }
        Project::List => look(common, &PROJECT, Verb::List),
        Project::Show { project } => look(common, &PROJECT, Verb::Show(project)),
        Project::Update { project, settings } => update(common, &PROJECT, &project, settings.with(&[])?),
        Project::Delete { project } => look(common, &PROJECT, Verb::Delete(project)),
        Project::GiveRole { project, consumer, role } => {
            Door::open(common)?.put(&path(&project, &consumer, &role)?, &json!({}))?;
            common.print(&json!({ "given": role }), |_| format!("{consumer} is {role} in {project}\n"))
        }
        Project::TakeRole { project, consumer, role } => {
            Door::open(common)?.delete(&path(&project, &consumer, &role)?)?;
            common.print(&json!({ "taken": role }), |_| {
                format!("{consumer} is no longer {role} in {project}\n")
            })
        }
    }
}
