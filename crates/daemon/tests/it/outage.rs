//! A replica that loses its store. It serves from memory up to the configured limit, then refuses requests, and
//! recovers by itself.

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
};

use crate::support::{
    cluster::Cluster,
    https::{Connection, get},
    scene::{Scene, WEB},
};

/// `--feed-stale-after`, in seconds.
const STALE_AFTER: u32 = 3;
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection to the database that can be interrupted.
struct Wire {
    address: SocketAddr,
    is_whole: watch::Sender<bool>,
}

impl Wire {
    async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_whole, state) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, socket.clone(), state.clone()));
            }
        });
        Self { address, is_whole }
    }
}

/// Copies bytes both ways until the wire is cut. No side is notified, as if a cable was pulled: connections stay open
/// without data.
async fn carry(mut client: TcpStream, socket: PathBuf, mut state: watch::Receiver<bool>) {
    if *state.borrow() {
        let mut server = UnixStream::connect(&socket).await.unwrap();
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            _ = state.wait_for(|is_whole| !is_whole) => {}
        }
    }
    // When the wire is repaired, the interrupted connection is reset.
    let _ = state.wait_for(|is_whole| *is_whole).await;
}

/// Returns for how long requests are answered with `status`, until the first answer is `then`.
async fn lasts(connection: &mut Connection, token: &str, status: u16, then: u16) -> Duration {
    let began = Instant::now();
    loop {
        match connection.send(get("/", token)).await.status.as_u16() {
            found if found == then => return began.elapsed(),
            found => assert_eq!(found, status),
        }
        assert!(began.elapsed() < PATIENCE, "still {status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c13_a_replica_without_its_store_goes_on_to_its_limit_refuses_and_recovers() {
    let database = store::testing::postgres_database().await;
    let (directory, name) = database
        .expose()
        .strip_prefix("postgres://postgres@")
        .and_then(|rest| rest.split_once('/'))
        .unwrap();
    let socket = PathBuf::from(directory.replace("%2F", "/")).join(".s.PGSQL.5432");
    let wire = Wire::to(socket).await;
    let url = format!("postgres://postgres@{}/{name}", wire.address);
    let stale_after = STALE_AFTER.to_string();
    let cluster = Cluster::start_on(&url, &["--feed-stale-after", &stale_after]);
    let scene = Scene::on(cluster).await;
    let token = scene.access_token("cred01");
    let mut connection = scene.https.connect(WEB).await.unwrap();
    assert_eq!(connection.send(get("/", &token)).await.status, 200);

    for _ in 0..2 {
        wire.is_whole.send_replace(false);
        let went_on = lasts(&mut connection, &token, 200, 503).await;
        let limit = Duration::from_secs(STALE_AFTER.into());
        // The last heartbeat, sent every second, is at most that old when the wire is cut.
        assert!(
            went_on > limit.saturating_sub(Duration::from_millis(1500)),
            "{went_on:?}"
        );
        assert!(went_on < limit + Duration::from_secs(3), "{went_on:?}");
        wire.is_whole.send_replace(true);
        lasts(&mut connection, &token, 503, 200).await;
    }
    // Changes after the recovery arrive again.
    scene.admin.sh("octeliumctl delete cred cred01").success();
    lasts(&mut connection, &token, 200, 401).await;
}
