//! Registration of Devices by command-line clients.

use std::time::Duration;

use api::{
    auth_v1::{
        RegisterDeviceFinishRequest, SessionToken,
        register_device_begin_request::{Info, info},
        register_device_finish_request::Response,
    },
    core_v1::{Device, Session, User, device::spec::State},
    resource::Object as _,
};
use rstest::rstest;
use server::{
    Context, Error, ErrorKind,
    authentication::device,
    document::{codec::Stored, index, load},
    resource::cluster_config::UpdateClusterConfig,
};

use crate::cluster::parse;
use crate::replicas::{Backend, Replicas, authenticate, caller, log_in, refresh};

fn machine(number: u64) -> Info {
    Info {
        os_type: info::OsType::Linux.into(),
        hostname: "laptop".to_owned(),
        id: format!("{number:064x}"),
        serial_number: format!("SERIAL-{number}"),
        mac_addresses: vec!["00:00:5e:00:53:01".to_owned()],
    }
}

async fn begin(ctx: &Context, tokens: &SessionToken, machine: &Info) -> Result<String, Error> {
    let token = &tokens.refresh_token;
    let begun = device::begin(ctx, token, Some(machine), &caller()).await?;
    assert!(begun.requests.is_empty(), "clients run what is asked");
    Ok(begun.uid)
}

async fn finish(ctx: &Context, tokens: &SessionToken, uid: &str) -> Result<(), Error> {
    let request = RegisterDeviceFinishRequest {
        uid: uid.to_owned(),
        responses: Vec::new(),
    };
    device::finish(ctx, &tokens.refresh_token, &request, &caller()).await
}

async fn register(ctx: &Context, tokens: &SessionToken, machine: &Info) -> Result<(), Error> {
    let uid = begin(ctx, tokens, machine).await?;
    finish(ctx, tokens, &uid).await
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

struct Person {
    user: User,
    secret: String,
}

async fn person(replicas: &Replicas, name: &str) -> Person {
    let user = replicas.user(name, "{ type: HUMAN }").await;
    let credential = replicas.credential("AUTH_TOKEN", name, "").await;
    let secret = replicas.issue(&credential).await;
    Person { user, secret }
}

async fn devices(replicas: &Replicas, user: &User) -> Vec<Stored<Device>> {
    let ctx = replicas.context(0);
    let found = load::by_index(&*ctx.store, index::USER, user.uid(), 100, ctx.now()).await;
    found.unwrap().0
}

fn device_of(session: &Session) -> String {
    let status = session.status.as_ref().unwrap();
    let device = status.device_ref.as_ref();
    device.map(|device| device.uid.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_becomes_a_device_once_and_sessions_come_back_to_it() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    let person = person(&replicas, "alice").await;
    let first = log_in(ctx, &person.secret).await.unwrap();
    register(ctx, &first, &machine(1)).await.unwrap();
    let [device] = &devices(&replicas, &person.user).await[..] else {
        panic!("one Device");
    };
    let status = device.message.status.as_ref().unwrap();
    assert_eq!(status.hostname, "laptop");
    assert_eq!(status.user_ref.as_ref().unwrap().name, "alice");
    let principal = authenticate(ctx, &first.access_token).await.unwrap();
    assert_eq!(principal.device().unwrap().uid(), device.message.uid());

    // Registers again, with this Session and with another one of the same device.
    assert_eq!(
        kind(begin(ctx, &first, &machine(1)).await),
        ErrorKind::AlreadyExists
    );
    let second = log_in(ctx, &person.secret).await.unwrap();
    let same_id = Info {
        serial_number: String::new(),
        ..machine(1)
    };
    assert_eq!(
        kind(begin(ctx, &second, &same_id).await),
        ErrorKind::AlreadyExists
    );
    let same_serial = Info {
        id: machine(9).id,
        ..machine(1)
    };
    let third = log_in(ctx, &person.secret).await.unwrap();
    assert_eq!(
        kind(begin(ctx, &third, &same_serial).await),
        ErrorKind::AlreadyExists
    );
    let sessions = replicas.sessions(&person.user).await;
    assert_eq!(sessions.len(), 3);
    assert!(
        sessions
            .iter()
            .all(|session| device_of(session) == device.message.uid())
    );
    assert_eq!(devices(&replicas, &person.user).await.len(), 1);

    let audit = replicas.audit().await;
    let count = |wanted: &str| audit.iter().filter(|event| event.r#type == wanted).count();
    assert_eq!(
        (count("device.registered"), count("device.attached")),
        (1, 2)
    );

    // Rejecting the Device ends its Sessions.
    replicas
        .edit(&device.message, |device: &mut Device| {
            device.spec_mut().set_state(State::Rejected);
        })
        .await;
    replicas.settle().await;
    assert!(authenticate(ctx, &first.access_token).await.is_err());
    refresh(ctx, &first.refresh_token).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn w65_a_machine_that_another_user_claims_is_registered_without_a_trace_of_it() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    let thief = person(&replicas, "mallory").await;
    let owner = person(&replicas, "alice").await;
    let tokens = log_in(ctx, &thief.secret).await.unwrap();
    register(ctx, &tokens, &machine(1)).await.unwrap();
    let tokens = log_in(ctx, &owner.secret).await.unwrap();
    register(ctx, &tokens, &machine(1)).await.unwrap();
    assert_eq!(devices(&replicas, &owner.user).await.len(), 1);
    assert_eq!(devices(&replicas, &thief.user).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_is_of_one_session_once_and_soon() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    let person = person(&replicas, "alice").await;
    let first = log_in(ctx, &person.secret).await.unwrap();
    let second = log_in(ctx, &person.secret).await.unwrap();
    let uid = begin(ctx, &first, &machine(1)).await.unwrap();
    // The request of another Session fails, and still uses up the registration.
    assert_eq!(
        kind(finish(ctx, &second, &uid).await),
        ErrorKind::PermissionDenied
    );
    assert_eq!(
        kind(finish(ctx, &first, &uid).await),
        ErrorKind::PermissionDenied
    );
    let uid = begin(ctx, &first, &machine(1)).await.unwrap();
    replicas.advance(Duration::from_secs(20));
    assert_eq!(
        kind(finish(ctx, &first, &uid).await),
        ErrorKind::PermissionDenied
    );
    assert_eq!(
        kind(finish(ctx, &first, "garbage").await),
        ErrorKind::PermissionDenied
    );
    let unasked = RegisterDeviceFinishRequest {
        uid: begin(ctx, &first, &machine(1)).await.unwrap(),
        responses: vec![Response::default()],
    };
    let answered = device::finish(ctx, &first.refresh_token, &unasked, &caller()).await;
    assert_eq!(kind(answered), ErrorKind::InvalidArgument);
    let mut invalid_tokens = first.clone();
    "garbage".clone_into(&mut invalid_tokens.refresh_token);
    assert_eq!(
        kind(begin(ctx, &invalid_tokens, &machine(1)).await),
        ErrorKind::Unauthenticated
    );
    let malformed = Info {
        id: "short".to_owned(),
        ..machine(1)
    };
    assert_eq!(
        kind(begin(ctx, &first, &malformed).await),
        ErrorKind::InvalidArgument
    );
    assert!(devices(&replicas, &person.user).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_client_sessions_are_on_devices() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    replicas.workload("ci").await;
    let credential = replicas
        .credential("AUTH_TOKEN", "ci", "sessionType: CLIENTLESS")
        .await;
    let tokens = log_in(ctx, &replicas.issue(&credential).await)
        .await
        .unwrap();
    assert_eq!(
        kind(begin(ctx, &tokens, &machine(1)).await),
        ErrorKind::PermissionDenied
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_waits_for_approval_holds_its_session_up_without_ending_it() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    let person = person(&replicas, "alice").await;
    let tokens = log_in(ctx, &person.secret).await.unwrap();
    register(ctx, &tokens, &machine(1)).await.unwrap();
    let [device] = &devices(&replicas, &person.user).await[..] else {
        panic!("one Device");
    };
    let set = async |state: State| {
        replicas
            .edit(&device.message, |device: &mut Device| {
                device.spec_mut().set_state(state);
            })
            .await;
        replicas.settle().await;
    };
    set(State::Pending).await;
    assert!(authenticate(ctx, &tokens.access_token).await.is_err());
    replicas.advance(Duration::from_secs(3 * 3600));
    let refreshed = refresh(ctx, &tokens.refresh_token).await.unwrap();
    assert!(authenticate(ctx, &refreshed.access_token).await.is_err());
    set(State::Active).await;
    authenticate(ctx, &refreshed.access_token).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_sets_the_state_and_the_number_of_new_devices_g3() {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let ctx = replicas.context(0);
    let config = parse(
        "{kind: ClusterConfig, metadata: {name: any}, spec: {device: {human: {defaultState: PENDING, \
         maxPerUser: 1}, workload: {maxPerUser: 2}}}}",
    );
    let updated = replicas.first();
    updated
        .run(&replicas.actor, UpdateClusterConfig(config))
        .await
        .unwrap();
    replicas.settle().await;
    let person = person(&replicas, "alice").await;
    let tokens = log_in(ctx, &person.secret).await.unwrap();
    register(ctx, &tokens, &machine(1)).await.unwrap();
    let [device] = &devices(&replicas, &person.user).await[..] else {
        panic!("one Device");
    };
    assert_eq!(
        device.message.spec.as_ref().unwrap().state(),
        State::Pending
    );
    assert!(authenticate(ctx, &tokens.access_token).await.is_err());
    // A person may have one Device here, a workload two.
    let tokens = log_in(ctx, &person.secret).await.unwrap();
    let refused = register(ctx, &tokens, &machine(2)).await.unwrap_err();
    assert_eq!(refused.reason(), Some("device_limit"));
    let user = replicas.workload("ci").await;
    let credential = replicas
        .credential("AUTH_TOKEN", "ci", "sessionType: CLIENT")
        .await;
    let secret = replicas.issue(&credential).await;
    for number in 3..6 {
        let tokens = log_in(ctx, &secret).await.unwrap();
        let registered = register(ctx, &tokens, &machine(number)).await;
        assert_eq!(registered.is_ok(), number < 5, "{registered:?}");
    }
    let states = devices(&replicas, &user).await.into_iter();
    let states: Vec<_> = states
        .map(|device| device.message.spec.unwrap().state())
        .collect();
    assert_eq!(states, [State::Active, State::Active]);
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::postgres(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn w04_racing_registrations_keep_to_the_limit_and_one_device_a_machine(
    #[case] backend: Backend,
) {
    let replicas = Replicas::start(backend, 3).await;
    let person = person(&replicas, "alice").await;
    let mut sessions = Vec::new();
    for _ in 0..12 {
        sessions.push(log_in(replicas.context(0), &person.secret).await.unwrap());
    }
    // Pairs of Sessions share a device.
    let racing = sessions.iter().enumerate().map(|(number, tokens)| {
        let ctx = replicas.context(number);
        let machine = machine(u64::try_from(number / 2).unwrap());
        async move {
            register(ctx, tokens, &machine)
                .await
                .map_err(|error| error.kind())
        }
    });
    let outcomes = futures_util::future::join_all(racing).await;
    let registered = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(registered, 6, "{outcomes:?}");
    let others = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    assert!(
        others
            .into_iter()
            .all(|kind| *kind == ErrorKind::AlreadyExists)
    );
    let known = devices(&replicas, &person.user).await;
    assert_eq!(known.len(), 6);
    let mut on = std::collections::BTreeMap::<_, usize>::new();
    for session in replicas.sessions(&person.user).await {
        *on.entry(device_of(&session)).or_default() += 1;
    }
    assert!(
        on.len() == 6 && on.values().all(|count| *count == 2),
        "{on:?}"
    );
}
