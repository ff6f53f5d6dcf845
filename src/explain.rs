//! One described request, decided with every step told: for `doorward explain`, `POST /explain` and
//! the decision cases of `doorward test`.

mod account;
mod description;

pub use account::{Account, Answer, Told, Upstream};
pub use description::{Described, Description, Misdescribed};

use crate::check::Checker;
use crate::domain::step::Step;

/// Decides what was described. Neither counted nor logged.
pub fn explain(checker: &Checker, described: &Described) -> Account {
    let mut steps: Vec<Step> = Vec::new();
    let account = checker.explain(&described.request(), &mut steps, Account::of);
    account.with_steps(steps)
}
