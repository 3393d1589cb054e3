//! Forms whose answer shows a secret work once: sent again, as by a reload, they would make another secret.

use std::time::Duration;

use domain::id::Uid;
use http::StatusCode;
use maud::{Markup, html};
use store::{CommitError, Operation, Transaction};

use crate::{
    Context, Error,
    web::{failure::Failure, form::Fields},
};

const FIELD: &str = "once";
/// That a form was sent.
const USED: &str = "form-used";
/// Longer than a form may lie open.
const KEPT: Duration = Duration::from_hours(25);

/// A hidden field, another in each form.
pub(super) fn field(ctx: &Context) -> Markup {
    html! { input type="hidden" name=(FIELD) value=(ctx.new_uid()); }
}

/// Uses the form up. `place` is where to go on from where it was sent before.
///
/// # Errors
/// Where it was sent before.
pub(super) async fn take(ctx: &Context, form: &Fields, place: &str) -> Result<(), Failure> {
    let id = form.get(FIELD).and_then(|id| id.parse::<Uid>().ok());
    let id = id.ok_or_else(|| again(place))?;
    let now = ctx.now();
    let mut transaction = Transaction::at(now);
    transaction.push(Operation::Record {
        kind: USED,
        key: id.as_bytes().to_vec(),
        value: Vec::new(),
        expires_at: now.saturating_add(KEPT),
    });
    match ctx.store.commit(transaction).await {
        Ok(_) => Ok(()),
        Err(CommitError::RecordTaken) => Err(again(place)),
        Err(error) => Err(Error::from(error).into()),
    }
}

fn again(place: &str) -> Failure {
    Failure::new(
        StatusCode::CONFLICT,
        "This form was sent already",
        "A secret is shown once, where the form was sent first. If you have not kept it, make another one.",
    )
    .then(place, "Go on")
}
