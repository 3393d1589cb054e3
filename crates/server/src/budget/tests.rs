use std::convert::Infallible;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;

use super::*;

const KIB: usize = 1024;

type Answer = JoinHandle<Result<StatusCode, ErrorKind>>;

/// A request whose body is being sent.
struct Sending {
    parts: mpsc::Sender<Result<Bytes, Infallible>>,
    answer: Answer,
    /// Resolves when the handler has started.
    begun: oneshot::Receiver<()>,
}

impl Sending {
    async fn send(&self, bytes: impl Into<Vec<u8>>) {
        self.parts.send(Ok(bytes.into().into())).await.unwrap();
    }

    async fn finish(self) -> Result<StatusCode, ErrorKind> {
        drop(self.parts);
        self.answer.await.unwrap()
    }
}

/// Returns the prefix of a message of `length` bytes.
fn prefix(length: usize) -> Vec<u8> {
    let length = u32::try_from(length).unwrap().to_be_bytes();
    [&[0][..], &length].concat()
}

fn prefix_of(address: &str) -> Payer {
    Payer::anonymous(Some(address.parse().unwrap()))
}

fn user() -> Uid {
    Uid::random(&domain::rng::SystemRng)
}

fn begin(budget: &Arc<BodyBudget>, payer: Payer, body: (usize, Shape)) -> Sending {
    let (parts, receiver) = mpsc::channel(1);
    let request = Request::new(Body::from_stream(ReceiverStream::new(receiver)));
    let budget = Arc::clone(budget);
    let (begins, begun) = oneshot::channel();
    let answer = tokio::spawn(async move {
        let handle = async |request: Request| {
            begins.send(()).unwrap();
            let status = match request.into_body().collect().await {
                Ok(_) => StatusCode::OK,
                Err(_) => StatusCode::BAD_REQUEST,
            };
            let mut response = Response::new(Body::empty());
            *response.status_mut() = status;
            response
        };
        let answer = limited(&budget, payer, body, request, handle).await;
        answer
            .map(|response| response.status())
            .map_err(|error| error.kind())
    });
    Sending {
        parts,
        answer,
        begun,
    }
}

fn small() -> Arc<BodyBudget> {
    let size = |steps: usize| Size {
        share: steps * STEP,
        total: 4 * steps * STEP,
    };
    Arc::new(BodyBudget::new(size(4), size(8)))
}

const FORM: (usize, Shape) = (64 * KIB, Shape::Whole);
const CALL: (usize, Shape) = (64 * KIB, Shape::Message);
const STREAM: (usize, Shape) = (64 * KIB, Shape::Messages);

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_cut_off_after_the_idle_time_s02() {
    let budget = small();
    for (payer, body) in [
        (prefix_of("192.0.2.1"), FORM),
        (prefix_of("192.0.2.1"), CALL),
        (prefix_of("192.0.2.1"), STREAM),
        (Payer::User(user()), CALL),
    ] {
        let started = Instant::now();
        let sending = begin(&budget, payer, body);
        sending.send(prefix(100)).await;
        assert_eq!(sending.answer.await.unwrap(), Err(ErrorKind::TimedOut));
        assert_eq!(started.elapsed().as_secs(), IDLE.as_secs());
    }
    assert_eq!(budget.anonymous.held(), (0, 0));
    assert_eq!(budget.authenticated.held(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_cut_off_after_the_total_time_s02() {
    let budget = small();
    for (payer, total) in [
        (prefix_of("192.0.2.1"), ANONYMOUS_TIME),
        (Payer::User(user()), AUTHENTICATED_TIME),
    ] {
        let started = Instant::now();
        let sending = begin(&budget, payer, FORM);
        while sending.parts.send(Ok("x".into())).await.is_ok() {
            tokio::time::advance(IDLE / 2).await;
        }
        assert_eq!(sending.answer.await.unwrap(), Err(ErrorKind::TimedOut));
        let elapsed = started.elapsed();
        assert!(elapsed >= total && elapsed <= total + IDLE, "{elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_has_no_total_time_after_its_first_message_s02() {
    let budget = small();
    let of_user = begin(&budget, Payer::User(user()), STREAM);
    let anonymous = begin(&budget, prefix_of("192.0.2.1"), STREAM);
    let started = Instant::now();
    for stream in [&of_user, &anonymous] {
        stream.send([prefix(1), vec![7]].concat()).await;
    }
    assert_eq!(anonymous.answer.await.unwrap(), Err(ErrorKind::TimedOut));
    assert_eq!(started.elapsed().as_secs(), ANONYMOUS_STREAM_IDLE.as_secs());
    tokio::time::advance(Duration::from_hours(1)).await;
    of_user.send(prefix(1)).await;
    of_user.send([7]).await;
    assert_eq!(of_user.finish().await, Ok(StatusCode::OK));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read_s02() {
    let budget = small();
    let payer = prefix_of("192.0.2.1");
    for body in [CALL, STREAM] {
        let sending = begin(&budget, payer, body);
        // Only the prefix is sent. Its length is enough to refuse the message.
        sending.send(prefix(64 * KIB + 1)).await;
        assert_eq!(sending.answer.await.unwrap(), Err(ErrorKind::TooLarge));
    }
    let announced = Request::new(Body::from(vec![0; 64 * KIB + 1]));
    let handle = async |_| panic!("handled");
    let refused = limited(&budget, payer, FORM, announced, handle).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::TooLarge);
    // Bytes after the only message of a call are charged as well.
    let sending = begin(&budget, payer, CALL);
    sending.send([prefix(1), vec![7]].concat()).await;
    sending
        .send([prefix(60 * KIB), vec![7; 60 * KIB]].concat())
        .await;
    sending
        .send([prefix(60 * KIB), vec![7; 60 * KIB]].concat())
        .await;
    assert_eq!(sending.answer.await.unwrap(), Err(ErrorKind::TooLarge));
}

#[tokio::test]
async fn unfinished_bodies_of_one_caller_leave_room_for_others_s02() {
    let budget = small();
    let attacker = prefix_of("2001:db8::1");
    let mut unfinished = Vec::new();
    for host in 0..4 {
        let payer = prefix_of(&format!("2001:db8::{host:x}"));
        let mut sending = begin(&budget, payer, CALL);
        (&mut sending.begun).await.unwrap();
        unfinished.push(sending);
    }
    let refused = begin(&budget, attacker, CALL);
    assert_eq!(refused.answer.await.unwrap(), Err(ErrorKind::Overloaded));
    // A body that grows is refused in the same way.
    unfinished[0].send(prefix(60 * KIB)).await;
    unfinished[0].send(vec![7; 20 * KIB]).await;
    let first = unfinished.remove(0);
    assert_eq!(first.answer.await.unwrap(), Err(ErrorKind::Overloaded));
    for other in [prefix_of("2001:db8:0:1::1"), Payer::User(user())] {
        let sending = begin(&budget, other, FORM);
        sending.send(vec![7; 60 * KIB]).await;
        assert_eq!(sending.finish().await, Ok(StatusCode::OK));
    }
    // A finished body frees its bytes.
    let sending = unfinished.remove(0);
    assert_eq!(sending.finish().await, Ok(StatusCode::OK));
    let sending = begin(&budget, attacker, FORM);
    assert_eq!(sending.finish().await, Ok(StatusCode::OK));
    for sending in unfinished {
        sending.finish().await.unwrap();
    }
    assert_eq!(budget.anonymous.held(), (0, 0));
}

#[tokio::test]
async fn endless_replies_have_a_pool_of_their_own_s02() {
    let budget = small();
    let reply = async |payer| {
        let handle = async |_| Response::new(Body::from("reply"));
        limited(&budget, payer, CALL, Request::new(Body::empty()), handle).await
    };
    let address = Some("192.0.2.1".parse().unwrap());
    let share = STREAMS.share / STEP;
    let mut streams = Vec::new();
    for _ in 0..share {
        streams.push(reply(Payer::stream(address)).await.unwrap());
    }
    let refused = reply(Payer::stream(address)).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Overloaded);
    assert_eq!(budget.streams.held(), (share * STEP, 1));
    assert!(reply(Payer::anonymous(address)).await.is_ok());
    assert_eq!(budget.anonymous.held(), (0, 0));
    for reply in streams {
        let text = reply.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text, "reply");
    }
    assert_eq!(budget.streams.held(), (0, 0));
}

#[tokio::test]
async fn a_body_that_is_evicted_ends_s02() {
    let budget = small();
    let mut greedy = Vec::new();
    for host in 0..4 {
        for _ in 0..4 {
            let payer = prefix_of(&format!("192.0.2.{host}"));
            let mut sending = begin(&budget, payer, FORM);
            (&mut sending.begun).await.unwrap();
            greedy.push(sending);
        }
    }
    assert_eq!(budget.anonymous.held(), (16 * STEP, 4));
    let other = begin(&budget, prefix_of("192.0.2.200"), FORM);
    other.send(vec![7; 20 * KIB]).await;
    assert_eq!(other.finish().await, Ok(StatusCode::OK));
    let mut evicted = 0;
    for sending in greedy {
        match sending.finish().await {
            Ok(status) => assert_eq!(status, StatusCode::OK),
            Err(kind) => {
                assert_eq!(kind, ErrorKind::Overloaded);
                evicted += 1;
            }
        }
    }
    assert_eq!(evicted, 2);
    assert_eq!(budget.anonymous.held(), (0, 0));
}
