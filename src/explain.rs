//! One described request, decided with every step told: for `doorward explain`, `POST /explain` and
//! the decision cases of `doorward test`.

mod description;

pub use description::{Described, Description, Misdescribed};

use crate::check::Checker;
pub use crate::check::account::{Account, Answer, Told, Upstream};
use crate::domain::step::Step;

/// Decides what was described. Neither counted nor logged.
pub fn explain(checker: &Checker, described: &Described) -> Account {
    let mut steps: Vec<Step> = Vec::new();
    let account = checker.explain(&described.request(), &mut steps, Account::of);
    account.with_steps(steps)
}
