//! Retries that the Service configures, limited to requests that cannot take effect twice.

use domain::rng::Rng;

use crate::{
    denial_reason::Denial,
    forward::{Attempt, Unanswered},
    record::Record,
    route::Retry,
    upstream::{EndpointResponse, Outgoing},
};

/// Returns the first response that is not to be retried, else the last one. A request is sent again only if its body
/// can be sent again, and if it is idempotent (RFC 9110 §9.2.2) or nothing was sent.
pub(super) async fn answer(
    attempt: &Attempt<'_>,
    retry: &Retry,
    outgoing: Outgoing,
    rng: &dyn Rng,
    record: &mut Record,
) -> Result<EndpointResponse, Denial> {
    let is_idempotent = outgoing.request.method().is_idempotent();
    let mut schedule = retry.begin();
    let mut outgoing = outgoing;
    loop {
        let spare = again(&outgoing);
        let answered = attempt.answer(outgoing, record).await;
        let is_retried = match &answered {
            Ok(answer) => is_idempotent && retry.retries(answer.response.status()),
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
        // The connection of a discarded response is closed, because reading its body could take forever.
        drop(answered);
        record.retries = schedule.retries();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = attempt.watch.over() => return Err(Denial::InvalidToken),
        }
        outgoing = spare;
    }
}

/// Returns a copy of the request, or `None` if its body is a stream.
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
