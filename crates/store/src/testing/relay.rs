//! A network between a store and its database that a test can break.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    time::sleep,
};

use super::Server;

/// A relay that listens on a TCP port and forwards bytes to the socket of a server.
pub struct Relay {
    address: SocketAddr,
    state: watch::Sender<State>,
    accepted: Arc<AtomicU64>,
}

#[derive(Clone)]
struct State {
    socket: PathBuf,
    /// Connections with a lower number stay open but forward no bytes.
    frozen_below: u64,
    delay: Duration,
}

impl Relay {
    /// Starts a relay to `server`.
    ///
    /// # Panics
    /// Panics if no port is available.
    pub async fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (state, states) = watch::channel(State {
            socket: server.socket(),
            frozen_below: 0,
            delay: Duration::ZERO,
        });
        let accepted = Arc::new(AtomicU64::new(0));
        let numbers = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = numbers.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(carry(client, number, states.clone()));
            }
        });
        Self {
            address,
            state,
            accepted,
        }
    }

    /// Returns the address on which the relay listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Freezes all open and future connections without closing them, like a pulled cable or a server that hangs.
    pub fn freeze(&self) {
        self.state
            .send_modify(|state| state.frozen_below = u64::MAX);
    }

    /// Freezes the open connections. New ones work.
    pub fn freeze_open(&self) {
        let accepted = self.accepted.load(Ordering::SeqCst);
        self.state
            .send_modify(|state| state.frozen_below = accepted);
    }

    /// Lets new connections work. Frozen connections are closed.
    pub fn repair(&self) {
        self.state.send_modify(|state| state.frozen_below = 0);
    }

    /// Forwards new connections to another server.
    pub fn switch(&self, server: &Server) {
        self.state
            .send_modify(|state| state.socket = server.socket());
    }

    /// Delays all data by this time, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay = delay);
    }
}

async fn carry(client: TcpStream, number: u64, mut states: watch::Receiver<State>) {
    let is_frozen = |state: &State| number < state.frozen_below;
    let state = states.borrow().clone();
    if is_frozen(&state) {
        let _ = states.wait_for(|state| !is_frozen(state)).await;
        return;
    }
    let Ok(server) = UnixStream::connect(&state.socket).await else {
        return;
    };
    let (mut client, mut server) = (client, server);
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    tokio::select! {
        _ = forward(from_client, to_server, states.clone()) => return,
        _ = forward(from_server, to_client, states.clone()) => return,
        _ = states.wait_for(|state| is_frozen(state)) => {}
    }
    // Both ends stay open until `repair` is called.
    let _ = states.wait_for(|state| !is_frozen(state)).await;
}

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    states: watch::Receiver<State>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        let delay = states.borrow().delay;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let (bytes, _) = buffer.split_at(read);
        to.write_all(bytes).await?;
    }
}
