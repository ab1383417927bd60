//! `oneport user`: who may use the console of a running switch.

use std::io::{self, BufRead, IsTerminal};

use clap::{Args, Subcommand, ValueEnum};
use oneport_switch::api::{ChangedUser, NewUser, Role, UserView, Users};
use serde_json::Value;

use crate::api::{ApiArgs, encoded};
use crate::exit::{Failure, failed, usage};
use crate::table::{Room, left, table};

/// Lists, makes, changes and removes users of the web console
#[derive(Args)]
#[command(after_help = "\
A password is asked for, or read as one line from standard input.

Example:
  oneport user add ann --role operator
  oneport user list")]
pub(crate) struct User {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Subcommand)]
enum What {
    /// Lists users
    List(List),
    /// Makes a user
    Add(Add),
    /// Changes what a user may do; their sessions end
    Change(Change),
    /// Sets a user's password; their sessions end
    Password(Named),
    /// Removes a user; their sessions end
    Remove(Named),
}

#[derive(Args)]
struct List {
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// What a user may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum RoleName {
    /// Looks
    Viewer,
    /// Places, ends and transfers calls too
    Operator,
    /// Reloads, drains and changes users too
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Viewer => Self::Viewer,
            RoleName::Operator => Self::Operator,
            RoleName::Admin => Self::Admin,
        }
    }
}

#[derive(Args)]
struct Add {
    /// The user
    name: String,
    /// What they may do
    #[arg(long, value_enum, default_value = "viewer")]
    role: RoleName,
    /// Lets them listen to calls
    #[arg(long)]
    listen: bool,
}

#[derive(Args)]
struct Change {
    /// The user
    name: String,
    /// What they may do
    #[arg(long, value_enum)]
    role: Option<RoleName>,
    /// Whether they may listen to calls
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    listen: Option<bool>,
}

#[derive(Args)]
struct Named {
    /// The user
    name: String,
}

fn path(name: &str) -> String {
    format!("/v1/users/{}", encoded(name))
}

/// A password that somebody types twice, or a line of standard input.
fn password() -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map_err(failed)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_string());
    }
    let ask = |what: &str| rpassword::prompt_password(what).map_err(failed);
    let password = ask("Password: ")?;
    match ask("Again: ")? == password {
        true => Ok(password),
        false => Err(usage("the two passwords differ")),
    }
}

impl User {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let client = self.api.client()?;
        match self.what {
            What::List(List { json: true }) => {
                let users: Value = client.get("/v1/users")?;
                say!("{users:#}");
            }
            What::List(List { json: false }) => {
                let Users { users } = client.get("/v1/users")?;
                let row = |UserView { name, role, listen }| {
                    vec![name, role.to_string(), if listen { "yes" } else { "no" }.to_string()]
                };
                let rows: Vec<Vec<String>> = users.into_iter().map(row).collect();
                let columns = [left("name"), left("role"), left("listens")];
                say!("{}", table(Room::of_output(false), &columns, &rows));
            }
            What::Add(Add { name, role, listen }) => {
                let new = NewUser { name, role: role.into(), listen, password: password()? };
                let made: UserView = client.post("/v1/users", &new)?;
                say!("{} is {}", made.name, made.role);
            }
            What::Change(Change { name, role, listen }) => {
                if role.is_none() && listen.is_none() {
                    return Err(usage("nothing is to be changed").hint("give --role or --listen"));
                }
                let changed = ChangedUser { role: role.map(Role::from), listen, password: None };
                client.put(&path(&name), &changed)?;
            }
            What::Password(Named { name }) => {
                let changed = ChangedUser { password: Some(password()?), ..ChangedUser::default() };
                client.put(&path(&name), &changed)?;
            }
            What::Remove(Named { name }) => client.delete(&path(&name))?,
        }
        Ok(())
    }
}
