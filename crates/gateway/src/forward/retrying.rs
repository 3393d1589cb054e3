//! Sending a request again, where the Service wants it and nothing can happen twice by it.

use domain::rng::Rng;

use crate::{
    denial::Denial,
    forward::{Attempt, Unanswered},
    record::Record,
    route::Retry,
    upstream::{Answer, Outgoing},
};

/// The first answer that the Service takes, else the last one. A request is sent again only if all of it can be, and
/// if it is idempotent (RFC 9110 §9.2.2) or nothing of it was sent.
pub(super) async fn answer(
    attempt: &Attempt<'_>,
    retry: &Retry,
    outgoing: Outgoing,
    rng: &dyn Rng,
    record: &mut Record,
) -> Result<Answer, Denial> {
    let is_idempotent = outgoing.request.method().is_idempotent();
    let mut schedule = retry.begin();
    let mut outgoing = outgoing;
    loop {
        let spare = again(&outgoing);
        let answered = attempt.answer(outgoing, record).await;
        let is_retried = match &answered {
            Ok(answer) => is_idempotent && retry.takes(answer.response.status()),
            Err(Unanswered {
                denial: Denial::UpstreamUnavailable | Denial::UpstreamTimeout,
                nothing_sent,
            }) => is_idempotent || *nothing_sent,
            Err(_) => false,
        };
        let pause = is_retried.then(|| schedule.next(rng)).flatten();
        let (Some(pause), Some(spare)) = (pause, spare) else {
            return answered.map_err(Unanswered::denial);
        };
        // An answer that is not taken goes with its connection: reading it to its end could take for ever.
        drop(answered);
        record.retries = schedule.retries();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = attempt.watch.over() => return Err(Denial::InvalidToken),
        }
        outgoing = spare;
    }
}

/// The same request once more; `None` where its body is a stream.
fn again(outgoing: &Outgoing) -> Option<Outgoing> {
    let body = outgoing.request.body().duplicate()?;
    let mut request = http::Request::new(body);
    request.method_mut().clone_from(outgoing.request.method());
    request.headers_mut().clone_from(outgoing.request.headers());
    Some(Outgoing {
        request,
        target: outgoing.target.clone(),
        host: outgoing.host.clone(),
        transfer: outgoing.transfer.clone(),
    })
}
