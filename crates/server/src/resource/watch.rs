//! Streams the changes of a kind.
//!
//! The current objects are sent first. Then the change log is followed from its position before that read. No change is
//! lost, but a change during the read may be sent twice. The change log has no creations of Sessions; each beat of the
//! feed searches for new ones.

use api::{
    meta_v1::Metadata,
    platform_v1::{Resource as AnyResource, WatchEvent, WatchRequest, watch_event::Type},
};
use domain::{clock::UnixMillis, kind::Kind};
use store::{Change, Changes, Cursor, Document, FeedState};
use tokio::sync::{mpsc, watch};

use crate::{Actor, Context, Error, ErrorKind, document::codec};

mod sessions;

use sessions::NewSessions;

/// Number of events buffered for a slow reader.
const BUFFERED: usize = 64;
const BATCH: u32 = 500;

/// Starts a watch.
///
/// # Errors
/// Returns `InvalidArgument` if the kind is not the kind of a resource.
pub fn watch(
    context: Context,
    actor: Actor,
    request: &WatchRequest,
) -> Result<mpsc::Receiver<Result<WatchEvent, Error>>, Error> {
    let kind = request.kind.parse::<Kind>().ok();
    let kind = kind.filter(|kind| {
        !matches!(
            kind,
            Kind::SigningKey
                | Kind::Certificate
                | Kind::SecondFactors
                | Kind::AuthenticatorMetadata
                | Kind::RevokedToken
                | Kind::Enrollment
        )
    });
    let kind = kind
        .ok_or_else(|| Error::invalid(format!("kind {:?} is not a resource kind", request.kind)))?;
    let (sender, receiver) = mpsc::channel(BUFFERED);
    let after = Some(Cursor(request.after_cursor)).filter(|after| after.0 > 0);
    let watcher = Watcher {
        feed: context.store.feed(),
        context: context.clone(),
        kind,
        sender: sender.clone(),
    };
    tokio::spawn(async move {
        let error = tokio::select! {
            () = sender.closed() => return,
            error = ends(&context, &actor) => error,
            Err(error) = watcher.run(after) => error,
        };
        // The reader may be gone.
        let _ = sender.send(Err(error)).await;
    });
    Ok(receiver)
}

/// Waits until the Session must no longer watch, and returns the reason.
async fn ends(context: &Context, actor: &Actor) -> Error {
    let principal = actor.principal.clone();
    let remaining = principal.valid_until.since(context.now());
    tokio::select! {
        () = principal.revoked.cancelled() => {}
        () = tokio::time::sleep(remaining) => {}
    }
    Error::new(ErrorKind::Unauthenticated, "Octelium: Unauthenticated")
}

fn replaced() -> Error {
    Error::precondition(
        "The history of the Cluster was replaced after a failover: start a new watch without afterCursor",
    )
}

struct Watcher {
    context: Context,
    kind: Kind,
    sender: mpsc::Sender<Result<WatchEvent, Error>>,
    feed: watch::Receiver<FeedState>,
}

impl Watcher {
    async fn run(mut self, after: Option<Cursor>) -> Result<(), Error> {
        let history = self.feed.borrow().history;
        let mut sessions = NewSessions::starting_at(self.context.now());
        let resumed = after.filter(|_| self.kind != Kind::Session);
        let mut cursor = if let Some(after) = resumed {
            after
        } else {
            let cursor = self.feed.borrow_and_update().cursor;
            self.send_all(cursor).await?;
            cursor
        };
        self.send(Type::Synced, None, cursor).await?;
        loop {
            if self.feed.borrow().history != history {
                return Err(replaced());
            }
            if self.feed.borrow_and_update().cursor > cursor || after == Some(cursor) {
                cursor = self.send_changes(cursor).await?;
            }
            if self.kind == Kind::Session {
                for document in sessions.find(&self.context).await? {
                    self.send_document(Type::Added, &document, cursor).await?;
                }
            }
            if self.feed.changed().await.is_err() {
                return Err(Error::unavailable("the store's feed has ended"));
            }
        }
    }

    async fn send_all(&self, cursor: Cursor) -> Result<(), Error> {
        let mut after = None;
        loop {
            let store = &self.context.store;
            let now = self.context.now();
            let documents = store.scan(self.kind, after, BATCH, now).await?;
            after = documents.last().map(|document| document.uid);
            for document in &documents {
                self.send_document(Type::Added, document, cursor).await?;
            }
            if documents.len() < usize::try_from(BATCH).unwrap_or(usize::MAX) {
                return Ok(());
            }
        }
    }

    async fn send_changes(&self, mut cursor: Cursor) -> Result<Cursor, Error> {
        loop {
            let changes = match self.context.store.changes(cursor, BATCH).await? {
                Changes::Next(changes) => changes,
                Changes::Replaced => return Err(replaced()),
                Changes::Trimmed(_) => {
                    return Err(Error::precondition(
                        "The changes after this cursor are no longer known: start a new watch without afterCursor",
                    ));
                }
            };
            let Some(last) = changes.last().map(|change| change.cursor) else {
                return Ok(cursor);
            };
            for change in changes.iter().filter(|change| change.kind == self.kind) {
                self.send_change(change).await?;
            }
            cursor = last;
        }
    }

    async fn send_change(&self, change: &Change) -> Result<(), Error> {
        let Some(revision) = change.revision else {
            let resource = self.deleted(change)?;
            return self.send(Type::Deleted, resource, change.cursor).await;
        };
        let now = self.context.now();
        let document = self.context.store.get(change.kind, change.uid, now).await?;
        // If the document has a later revision or is gone, a later change reports it.
        match document.filter(|document| document.revision == revision) {
            Some(document) if revision.0 == 1 => {
                self.send_document(Type::Added, &document, change.cursor)
                    .await
            }
            Some(document) => {
                self.send_document(Type::Modified, &document, change.cursor)
                    .await
            }
            None => Ok(()),
        }
    }

    /// Returns what the change log still knows of a deleted object: kind, uid and name.
    fn deleted(&self, change: &Change) -> Result<Option<AnyResource>, Error> {
        let document = Document {
            kind: self.kind,
            uid: change.uid,
            name: change.name.clone(),
            revision: store::Revision(0),
            created_at: UnixMillis(0),
            expires_at: None,
            body: Vec::new(),
        };
        let mut resource = codec::decode_any(&document)?;
        if let Some(metadata) = resource.as_mut().and_then(AnyResource::metadata_mut) {
            *metadata = Metadata {
                uid: change.uid.to_string(),
                name: change.name.clone(),
                ..Metadata::default()
            };
        }
        Ok(resource)
    }

    async fn send_document(
        &self,
        r#type: Type,
        document: &Document,
        cursor: Cursor,
    ) -> Result<(), Error> {
        let resource = codec::decode_any(document)?;
        self.send(r#type, resource, cursor).await
    }

    async fn send(
        &self,
        r#type: Type,
        resource: Option<AnyResource>,
        cursor: Cursor,
    ) -> Result<(), Error> {
        let event = WatchEvent {
            r#type: r#type.into(),
            resource,
            cursor: cursor.0,
        };
        // A dropped receiver also ends the task.
        let _ = self.sender.send(Ok(event)).await;
        Ok(())
    }
}
