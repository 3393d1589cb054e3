//! Registration of the Device of a Session. Command-line clients register after login.
//!
//! The facts that a client sends about its machine are not proven. They therefore have no effect on other Users: ids
//! and serial numbers are unique per User, and no response reveals whether another User has registered them.

use std::{str::FromStr as _, time::Duration};

use api::{
    auth_v1::{
        RegisterDeviceBeginResponse, RegisterDeviceFinishRequest,
        register_device_begin_request::Info,
    },
    core_v1::{
        Device, Session,
        session::{spec::State, status::Type},
    },
};
use domain::{
    clock::UnixMillis,
    device::{self, Facts, NewDevice},
    id::Uid,
    kind::Kind,
    session,
};
use prost::Message as _;
use store::{CommitError, Expected, Operation, SecretWrite, Transaction};

use super::refresh::{self, Read};
use crate::{
    Caller, Context, Error, ErrorKind,
    audit::{self, Entry},
    document::{
        codec::{self, Stored},
        index, load,
    },
    transaction::{Attempts, retry_conflict},
};

const RECORD: &str = "device-registration";
const LIFETIME: Duration = Duration::from_secs(20);

/// Begins the registration of the machine of the refresh token's holder. The client gets no challenge, because no
/// answer would prove anything.
///
/// # Errors
/// Returns `AlreadyExists` if the Session already has a Device, or if the User has registered this machine before
/// (then the Session is attached to that Device), `InvalidArgument` if the facts are invalid, `PermissionDenied` if
/// the Session cannot have a Device, or `Unauthenticated` if the token is invalid.
pub async fn begin(
    ctx: &Context,
    refresh_token: &str,
    info: Option<&Info>,
    caller: &Caller,
) -> Result<RegisterDeviceBeginResponse, Error> {
    let info = info.ok_or_else(|| Error::invalid("info must be set"))?;
    let facts = Facts::read(info).map_err(|invalid| Error::invalid(invalid.to_string()))?;
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let read = candidate(ctx, refresh_token, now).await?;
        let device = registered(ctx, &read, &facts, now).await?;
        if let Some(device) = device {
            match reattach(ctx, &read, &device, caller, now).await {
                Ok(()) => return Err(already(&device)),
                Err(error) => {
                    retry_conflict(error)?;
                    continue;
                }
            }
        }
        let uid = ctx.new_uid();
        let mut value = read.session.uid.as_bytes().to_vec();
        info.encode(&mut value).map_err(Error::internal)?;
        let mut transaction = Transaction::at(now);
        transaction.push(Operation::Record {
            kind: RECORD,
            key: uid.as_bytes().to_vec(),
            value,
            expires_at: now.saturating_add(LIFETIME),
        });
        ctx.store.commit(transaction).await?;
        return Ok(RegisterDeviceBeginResponse {
            uid: uid.to_string(),
            requests: Vec::new(),
        });
    }
}

/// Registers the machine and attaches the Session to the new Device.
///
/// # Errors
/// Returns the errors of [`begin`], or `PermissionDenied` if this Session did not begin the registration, it was
/// already finished, it took more than 20 s, or the User has reached the limit of Devices.
pub async fn finish(
    ctx: &Context,
    refresh_token: &str,
    request: &RegisterDeviceFinishRequest,
    caller: &Caller,
) -> Result<(), Error> {
    if !request.responses.is_empty() {
        return Err(Error::invalid(
            "responses must be empty: there was no request",
        ));
    }
    let mut holder = candidate(ctx, refresh_token, ctx.now()).await?;
    let facts = take_facts(ctx, &request.uid, holder.session.uid).await?;
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let now = ctx.now();
        match register(ctx, &holder, facts.clone(), caller, now).await {
            Ok(()) => return Ok(()),
            // Another Session of the User registered the machine first.
            Err(CommitError::IndexTaken { .. }) => {
                if let Some(device) = registered(ctx, &holder, &facts, now).await? {
                    match reattach(ctx, &holder, &device, caller, now).await {
                        Ok(()) => return Err(already(&device)),
                        Err(error) => retry_conflict(error)?,
                    }
                }
            }
            Err(CommitError::LimitReached { .. }) => {
                return Err(Error::denied("The User has reached its limit of Devices")
                    .because("device_limit"));
            }
            Err(error) => retry_conflict(error)?,
        }
        holder = candidate(ctx, refresh_token, ctx.now()).await?;
    }
}

/// Reads a Session that can be attached to a Device.
async fn candidate(ctx: &Context, refresh_token: &str, now: UnixMillis) -> Result<Read, Error> {
    let read = refresh::holder_ignoring_approval_and_authenticator(ctx, refresh_token, now).await?;
    if let Some(device) = &read.device {
        return Err(already(device));
    }
    let session = &read.session.message;
    let status = session.status.as_ref();
    if status.is_none_or(|status| status.r#type() != Type::Client || status.is_browser) {
        return Err(Error::denied("Only CLIENT Sessions can have a Device"));
    }
    let spec = session.spec.as_ref();
    if spec.is_none_or(|spec| spec.state() != State::Active) {
        return Err(Error::denied("The Session is waiting for approval"));
    }
    Ok(read)
}

/// Takes the facts sent at the beginning. They can be taken once.
async fn take_facts(ctx: &Context, uid: &str, session: Uid) -> Result<Facts, Error> {
    let unknown = || {
        Error::denied(
            "The registration of the Device was not started, or has expired; start it again",
        )
    };
    let uid = Uid::from_str(uid).map_err(|_| unknown())?;
    let value = ctx.store.take(RECORD, uid.as_bytes(), ctx.now()).await?;
    let value = value.ok_or_else(unknown)?;
    let (of, info) = value
        .split_at_checked(session.as_bytes().len())
        .ok_or_else(unknown)?;
    if of != session.as_bytes() {
        return Err(unknown());
    }
    let info = Info::decode(info).map_err(Error::internal)?;
    Facts::read(&info).map_err(Error::internal)
}

/// Finds the Device of the same User with the same id or serial number.
async fn registered(
    ctx: &Context,
    read: &Read,
    facts: &Facts,
    now: UnixMillis,
) -> Result<Option<Stored<Device>>, Error> {
    let user = read.user.uid.to_string();
    let claims = [
        (index::DEVICE_ID, &facts.id),
        (index::SERIAL, &facts.serial_number),
    ];
    for (index, claim) in claims {
        if claim.is_empty() {
            continue;
        }
        let key = index::claim_key(&user, claim);
        let (found, _) = load::by_index::<Device>(&*ctx.store, index, &key, 1, now).await?;
        if let Some(device) = found.into_iter().next() {
            return Ok(Some(device));
        }
    }
    Ok(None)
}

async fn register(
    ctx: &Context,
    read: &Read,
    facts: Facts,
    caller: &Caller,
    now: UnixMillis,
) -> Result<(), CommitError> {
    let user = &read.user.message;
    let config = ctx.directory.cluster_config();
    let user_name = user.metadata.as_ref().map_or("", |m| m.name.as_str());
    let uid = ctx.new_uid();
    let device = device::new_device(NewDevice {
        uid,
        name: session::new_name(user_name, &*ctx.rng),
        user,
        facts,
        state: device::default_state(user, &config),
        now,
    });
    let mut transaction = Transaction::at(now);
    transaction.push(Operation::Unchanged(
        Kind::User,
        read.user.uid,
        read.user.revision,
    ));
    transaction.push(Operation::Limit {
        kind: Kind::Device,
        index: index::USER,
        value: read.user.uid.to_string(),
        below: device::max_per_user(user, &config),
    });
    transaction.push(Operation::Put(
        codec::encode(uid, now, &device, SecretWrite::Keep),
        Expected::Absent,
    ));
    attach(ctx, transaction, read, &device, caller, "device.registered").await
}

/// Attaches the Session to an existing Device. Fails if the Device changed in the meantime.
async fn reattach(
    ctx: &Context,
    read: &Read,
    device: &Stored<Device>,
    caller: &Caller,
    now: UnixMillis,
) -> Result<(), CommitError> {
    let mut transaction = Transaction::at(now);
    transaction.push(Operation::Unchanged(
        Kind::Device,
        device.uid,
        device.revision,
    ));
    attach(
        ctx,
        transaction,
        read,
        &device.message,
        caller,
        "device.attached",
    )
    .await
}

async fn attach(
    ctx: &Context,
    mut transaction: Transaction,
    read: &Read,
    device: &Device,
    caller: &Caller,
    event_type: &'static str,
) -> Result<(), CommitError> {
    let mut session: Session = read.session.message.clone();
    if let Some(status) = &mut session.status {
        status.device_ref = device::device_reference(device);
    }
    let document = codec::encode(
        read.session.uid,
        read.session.created_at,
        &session,
        SecretWrite::Keep,
    );
    transaction.push(Operation::Put(
        document,
        Expected::Revision(read.session.revision),
    ));
    let entry = Entry {
        resource: device.metadata.as_ref().map(|m| (Kind::Device, m)),
        ..refresh::entry(read, event_type)
    };
    transaction.push(Operation::Audit(audit::done(ctx, caller, entry)));
    let committed = ctx.store.commit(transaction).await?;
    // If the Device waits for approval, its Session must be refused on this replica at once.
    ctx.directory.catch_up(committed.cursor).await;
    Ok(())
}

fn already(device: &Stored<Device>) -> Error {
    let metadata = device.message.metadata.as_ref();
    let name = metadata.map_or("", |metadata| metadata.name.as_str());
    Error::new(
        ErrorKind::AlreadyExists,
        format!("The Session already has the Device {name}"),
    )
}
