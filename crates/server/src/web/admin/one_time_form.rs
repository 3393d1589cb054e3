//! One-time forms for responses that show a secret. Without them, reloading the page would create another secret.

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
/// Kind of the record that marks a form as used.
const USED: &str = "form-used";
/// Lifetime of the record. It exceeds the lifetime of a form.
const KEPT: Duration = Duration::from_hours(25);

/// Renders a hidden field with a unique id.
pub(super) fn field(ctx: &Context) -> Markup {
    html! { input type="hidden" name=(FIELD) value=(ctx.new_uid()); }
}

/// Marks the form as used. `place` is the page to continue at if it was used before.
///
/// # Errors
/// Returns a [`Failure`] if the form was submitted before.
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
        "This form was already submitted",
        "The secret was shown when the form was first submitted. If you did not save it, create another one.",
    )
    .then(place, "Continue")
}
