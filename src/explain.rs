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
    // Whoever described the request wrote its cookies and tokens too, and may read them.
    let account = checker.explain(&described.request(), &mut steps, |decision, line| {
        Account::of(decision, line, |value| value.to_string())
    });
    account.with_steps(steps)
}
