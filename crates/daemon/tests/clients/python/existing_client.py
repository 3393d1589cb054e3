"""Does over gRPC what existing command-line clients do, and holds the replies to what those clients need.

They crash where `metadata`, `spec`, `status` or a reference is absent; they compare specs with what they sent; they
repeat calls that end in some codes. TOKEN is that of an administrator. Fails at the first thing that is not as
expected.
"""

import os
import re
import time

from grpc import StatusCode

from contract import check, connect, messages, refused, service

meta = messages("meta")
core = messages("core")
auth_messages = messages("auth")
user_messages = messages("user")

USER_AGENT = "octelium-cli/0.30.0"
LISTED = [
    "User", "Group", "Namespace", "Service", "Session", "Secret", "Credential", "Device", "Authenticator", "Policy",
    "IdentityProvider", "Region", "Gateway", "Config",
]  # fmt: skip
# Kinds whose `status`, with these references, the clients read without checking that it is set.
WITH_STATUS = {
    "Service": ["namespaceRef", "regionRef"],
    "Session": ["userRef"],
    "Credential": ["userRef"],
    "Device": ["userRef"],
    "Authenticator": ["userRef"],
    "IdentityProvider": [],
    "Gateway": ["regionRef", "nodeRef"],
    "Region": [],
}


class Client:
    """A command-line client that has logged in."""

    def __init__(self, channel) -> None:
        self.channel = channel
        self.core = service("core", channel)
        self.user = service("user", channel)
        self.auth = service("auth", channel)
        self.login()

    def login(self) -> None:
        request = auth_messages.AuthenticateWithAuthenticationTokenRequest(authenticationToken=os.environ["TOKEN"])
        # The client sends a stale refresh token from the state of an earlier login, if there is one.
        stale = [("x-octelium-refresh-token", "A" * 180)]
        self.tokens = self.auth.AuthenticateWithAuthenticationToken(request, metadata=stale, timeout=10)
        check(self.tokens.expiresIn > 0 and self.tokens.refreshTokenExpiresIn > 0, self.tokens)

    def call(self, method: str, request, service=None):
        metadata = [("x-octelium-auth", self.tokens.accessToken)]
        return getattr(service or self.core, method)(request, metadata=metadata, timeout=10)

    def call_auth(self, method: str, request):
        metadata = [("x-octelium-refresh-token", self.tokens.refreshToken)]
        return getattr(self.auth, method)(request, metadata=metadata, timeout=10)


def check_item(kind: str, item) -> None:
    name = item.metadata.name
    check(item.apiVersion == "core/v1" and item.kind == kind, f"apiVersion and kind of {kind} {name}")
    check(item.HasField("metadata") and item.HasField("spec"), f"metadata and spec of {kind} {name}")
    check(item.metadata.uid and item.metadata.HasField("createdAt"), f"uid and createdAt of {kind} {name}")
    if kind in WITH_STATUS:
        check(item.HasField("status"), f"status of {kind} {name}")
        for reference in WITH_STATUS[kind]:
            check(item.status.HasField(reference), f"status.{reference} of {kind} {name}")
            check(getattr(item.status, reference).name, f"status.{reference}.name of {kind} {name}")


def list_all(client: Client, kind: str, **fields) -> list:
    """All pages, as `apply` reads them."""
    items, page = [], 0
    while True:
        request = getattr(core, f"List{kind}Options")(common=meta.CommonListOptions(page=page), **fields)
        reply = client.call(f"List{kind}", request)
        check(reply.kind == f"{kind}List" and reply.HasField("listResponseMeta"), f"List{kind}: {reply}")
        items.extend(reply.items)
        if not reply.listResponseMeta.hasMore:
            check(reply.listResponseMeta.totalCount == len(items), f"totalCount of List{kind}")
            return items
        page += 1


def status(client: Client) -> None:
    found = client.call("GetStatus", user_messages.GetStatusRequest(), client.user)
    check(found.HasField("user") and found.user.HasField("metadata"), found)
    check(found.session.status.type == user_messages.GetStatusResponse.Session.Status.CLIENT, found)
    # Called before each refresh. A Cluster without Authenticators does not have to implement it.
    try:
        available = client.call_auth("GetAvailableAuthenticator", auth_messages.GetAvailableAuthenticatorRequest())
        check(not available.HasField("mainAuthenticator"), available)
    except Exception as error:  # noqa: BLE001
        check(error.code() == StatusCode.UNIMPLEMENTED, error)


def lists(client: Client) -> None:
    for kind in LISTED:
        for item in list_all(client, kind):
            check_item(kind, item)
            if kind not in ("Service", "Policy"):
                found = client.call(f"Get{kind}", meta.GetOptions(name=item.metadata.name))
                check(found.metadata.uid == item.metadata.uid, f"Get{kind} by name")
            by_uid = client.call(f"Get{kind}", meta.GetOptions(uid=item.metadata.uid))
            check(by_uid.metadata.name == item.metadata.name, f"Get{kind} by uid")
        past = getattr(core, f"List{kind}Options")(common=meta.CommonListOptions(page=9_000))
        refused(lambda past=past, kind=kind: client.call(f"List{kind}", past), StatusCode.NOT_FOUND)
        far = getattr(core, f"List{kind}Options")(common=meta.CommonListOptions(page=10_001))
        refused(lambda far=far, kind=kind: client.call(f"List{kind}", far), StatusCode.INVALID_ARGUMENT)
        refused(
            lambda kind=kind: client.call(f"Get{kind}", meta.GetOptions(name="nobody-has-this-name")),
            StatusCode.NOT_FOUND,
        )
    config = client.call("GetClusterConfig", core.GetClusterConfigRequest())
    check_item("ClusterConfig", config)
    updated = client.call("UpdateClusterConfig", config)
    check(updated.spec == config.spec, "the spec of ClusterConfig")


def named(name: str):
    return meta.Metadata(
        name=name,
        displayName="A name to show",
        description="A text",
        labels={"team": "a-team"},
        annotations={"note": "Some text"},
        tags=["one", "two"],
        picURL="https://example.com/a.png",
    )


def desired() -> list:
    """One of each kind that the clients create, in the order in which `apply` creates them."""
    allow = core.Policy.Spec.Rule(effect=core.Policy.Spec.Rule.ALLOW, condition=core.Condition(matchAny=True))
    web = core.Service.Spec(mode=core.Service.Spec.HTTP, isPublic=True)
    web.config.upstream.url = "http://127.0.0.1:9"
    web.authorization.policies.append("policy-one")
    workload = core.User.Spec(type=core.User.Spec.WORKLOAD, groups=["group-one"])
    workload.session.accessTokenDuration.minutes = 5
    workload.attrs.update({"costCentre": "x", "isOld": False, "levels": [1, 2]})
    secret = core.Secret(metadata=named("secret-one"), spec=core.Secret.Spec())
    secret.data.valueBytes = b"a secret value"
    config = core.Config(metadata=named("config-one"), spec=core.Config.Spec())
    config.data.value = "a value"
    return [
        ("Policy", core.Policy(metadata=named("policy-one"), spec=core.Policy.Spec(rules=[allow]))),
        ("Namespace", core.Namespace(metadata=named("space-one"), spec=core.Namespace.Spec())),
        ("Group", core.Group(metadata=named("group-one"), spec=core.Group.Spec())),
        ("User", core.User(metadata=named("user-one"), spec=workload)),
        ("Secret", secret),
        ("Config", config),
        ("Service", core.Service(metadata=named("web-one"), spec=web)),
        ("Service", core.Service(metadata=named("web-two.space-one"), spec=web)),
    ]


def full_name(kind: str, name: str) -> str:
    return name if kind != "Service" or "." in name else f"{name}.default"


def resources(client: Client) -> None:
    for kind, wanted in desired():
        created = client.call(f"Create{kind}", wanted)
        check_item(kind, created)
        refused(lambda kind=kind, wanted=wanted: client.call(f"Create{kind}", wanted), StatusCode.ALREADY_EXISTS)
        name = full_name(kind, wanted.metadata.name)
        listed = [item for item in list_all(client, kind) if item.metadata.name == name]
        check(len(listed) == 1, f"{kind} {name} is listed once")
        for found in (created, client.call(f"Get{kind}", meta.GetOptions(name=name)), listed[0]):
            check(found.spec == wanted.spec, f"the spec of {kind} comes back as sent: {found.spec}")
            check(found.metadata.name == name, f"the name of {kind}: {found.metadata.name}")
            for field in ("displayName", "description", "labels", "annotations", "picURL"):
                same = getattr(found.metadata, field) == getattr(wanted.metadata, field)
                check(same, f"metadata.{field} of {kind} comes back as sent")
            check(not hasattr(found, "data") or not found.HasField("data"), f"{kind} does not show its data")

        # Updates with the message that was read, including server-set fields, and with the original message.
        found.metadata.description = "Another text"
        if hasattr(wanted, "data"):
            found.data.CopyFrom(wanted.data)
        check(client.call(f"Update{kind}", found).metadata.description == "Another text", f"Update{kind}")
        wanted.metadata.ClearField("labels")
        updated = client.call(f"Update{kind}", wanted)
        check(not updated.metadata.labels and updated.spec == wanted.spec, f"Update{kind} replaces")
        check(updated.metadata.uid == created.metadata.uid, f"Update{kind} keeps the uid")

    in_space = list_all(client, "Service", namespaceRef=meta.ObjectReference(name="space-one"))
    check([item.metadata.name for item in in_space] == ["web-two.space-one"], "Services of a Namespace")
    service = client.call("GetService", meta.GetOptions(name="web-two.space-one"))
    check(service.status.primaryHostname == "web-two.space-one", service.status)
    check(service.status.port == 9, service.status)


def orders(client: Client) -> None:
    order_by = meta.CommonListOptions.OrderBy
    by_name = meta.CommonListOptions(orderBy=order_by(type=order_by.NAME))
    names = [item.metadata.name for item in client.call("ListPolicy", core.ListPolicyOptions(common=by_name)).items]
    check(names == sorted(names), names)
    backwards = meta.CommonListOptions(orderBy=order_by(type=order_by.NAME, mode=order_by.DESC), itemsPerPage=2)
    reply = client.call("ListPolicy", core.ListPolicyOptions(common=backwards))
    check([item.metadata.name for item in reply.items] == names[::-1][:2], reply)
    check(reply.listResponseMeta.hasMore and reply.listResponseMeta.itemsPerPage == 2, reply.listResponseMeta)
    # The request of `--order-reverse` without another order flag.
    client.call("ListPolicy", core.ListPolicyOptions(common=meta.CommonListOptions(orderBy=order_by(mode=order_by.DESC))))


def large_lists(client: Client) -> None:
    """Lists of more than libraries read by default (4 MiB), page by page as `apply` reads them."""
    rules = [
        core.Policy.Spec.Rule(
            effect=core.Policy.Spec.Rule.DENY,
            condition=core.Condition(match=f'ctx.user.metadata.name == "{"x" * 8_900}"'),
        )
        for _ in range(10)
    ]
    names = [f"large-{number:02}" for number in range(60)]
    for name in names:
        client.call("CreatePolicy", core.Policy(metadata=meta.Metadata(name=name), spec=core.Policy.Spec(rules=rules)))
    listed = [item.metadata.name for item in list_all(client, "Policy")]
    check([name for name in listed if name.startswith("large-")] == names, "every large Policy is listed once")
    for name in names:
        client.call("DeletePolicy", meta.DeleteOptions(name=name))


def mistakes(client: Client) -> None:
    def refuse(method: str, request, *codes: StatusCode) -> None:
        message = refused(lambda: client.call(method, request), *codes)
        check(len(message) > 0, f"{method} says what is wrong")

    invalid = StatusCode.INVALID_ARGUMENT
    refuse("CreateUser", core.User(metadata=named("No Name"), spec=core.User.Spec(type=core.User.Spec.HUMAN)), invalid)
    refuse("CreateUser", core.User(metadata=named("user-two")), invalid)
    refuse("CreateUser", core.User(metadata=named("user-two"), spec=core.User.Spec()), invalid)
    refuse("CreateUser", core.User(spec=core.User.Spec(type=core.User.Spec.HUMAN)), invalid)
    absent = core.User.Spec(type=core.User.Spec.HUMAN, groups=["no-such-group"])
    refuse("CreateUser", core.User(metadata=named("user-two"), spec=absent), invalid, StatusCode.NOT_FOUND)
    broken = core.Condition(match="ctx.user.spec.type ==")
    rule = core.Policy.Spec.Rule(effect=core.Policy.Spec.Rule.ALLOW, condition=broken)
    refuse("CreatePolicy", core.Policy(metadata=named("policy-two"), spec=core.Policy.Spec(rules=[rule])), invalid)
    nobody = core.User(metadata=named("nobody-has-this-name"), spec=core.User.Spec(type=core.User.Spec.HUMAN))
    refuse("UpdateUser", nobody, StatusCode.NOT_FOUND)
    refuse("DeleteUser", meta.DeleteOptions(name="nobody-has-this-name"), StatusCode.NOT_FOUND)
    refuse("DeleteUser", meta.DeleteOptions(), invalid)
    refuse("GetUser", meta.GetOptions(), invalid)
    refuse("DeleteUser", meta.DeleteOptions(name="root"), StatusCode.PERMISSION_DENIED)
    refuse("DeleteNamespace", meta.DeleteOptions(name="octelium-api"), StatusCode.PERMISSION_DENIED)
    refuse("DeleteService", meta.DeleteOptions(name="default.octelium-api"), StatusCode.PERMISSION_DENIED)
    refuse("DeleteGroup", meta.DeleteOptions(name="group-one"))
    refuse("DeleteNamespace", meta.DeleteOptions(name="space-one"))


def credential(name: str, kind: int, **fields):
    spec = core.Credential.Spec(type=kind, user="user-one", **fields)
    return core.Credential(metadata=meta.Metadata(name=name), spec=spec)


def credentials(client: Client) -> None:
    types = core.Credential.Spec
    sessions = core.Session.Status

    def generate(name: str):
        reference = meta.ObjectReference(name=name)
        return client.call("GenerateCredentialToken", core.GenerateCredentialTokenRequest(credentialRef=reference))

    def login(token: str):
        request = auth_messages.AuthenticateWithAuthenticationTokenRequest(authenticationToken=token)
        return client.auth.AuthenticateWithAuthenticationToken(request, timeout=10)

    expires_at = {"seconds": int(time.time()) + 3_600}
    created = client.call(
        "CreateCredential",
        credential(
            "cred-token",
            types.AUTH_TOKEN,
            sessionType=sessions.CLIENT,
            maxAuthentications=1,
            expiresAt=expires_at,
            authorization=types.Authorization(policies=["policy-one"]),
        ),
    )
    check_item("Credential", created)
    check(re.fullmatch(r"[a-z0-9]{4}-[a-z0-9]{4}", created.status.id), created.status)
    token = generate("cred-token").authenticationToken.authenticationToken
    check(150 <= len(token) <= 220 and re.fullmatch(r"[A-Za-z0-9_-]+", token), "the form of a token")
    login(token)
    refused(lambda: login(token), StatusCode.UNAUTHENTICATED)

    client.call("CreateCredential", credential("cred-rotated", types.AUTH_TOKEN, sessionType=sessions.CLIENT))
    old = generate("cred-rotated").authenticationToken.authenticationToken
    before = login(old)
    new = generate("cred-rotated").authenticationToken.authenticationToken
    refused(lambda: login(old), StatusCode.UNAUTHENTICATED)
    metadata = [("x-octelium-auth", before.accessToken)]
    status_request = user_messages.GetStatusRequest()
    refused(lambda: client.user.GetStatus(status_request, metadata=metadata, timeout=10), StatusCode.UNAUTHENTICATED)
    login(new)

    made = client.call("CreateCredential", credential("cred-client", types.OAUTH2, sessionType=sessions.CLIENTLESS))
    pair = generate("cred-client").oauth2Credentials
    check(pair.clientID == made.status.id and pair.clientSecret, "the id of an OAuth2 client")

    client.call("CreateCredential", credential("cred-access", types.ACCESS_TOKEN, sessionType=sessions.CLIENT))
    access = generate("cred-access").accessToken.accessToken
    metadata = [("x-octelium-auth", access)]
    found = client.user.GetStatus(user_messages.GetStatusRequest(), metadata=metadata, timeout=10)
    check(found.user.metadata.name == "user-one", found)

    names = {"cred-token", "cred-rotated", "cred-client", "cred-access"}
    listed = list_all(client, "Credential", userRef=meta.ObjectReference(name="user-one"))
    check({item.metadata.name for item in listed} == names, listed)
    for item in listed:
        check_item("Credential", item)
    owned = list_all(client, "Session", userRef=meta.ObjectReference(name="user-one"))
    check(len(owned) >= 2, owned)
    for item in owned:
        check_item("Session", item)
        check(item.spec.HasField("expiresAt"), item)
    refused(
        lambda: client.call("CreateCredential", credential("cred-past", types.AUTH_TOKEN, expiresAt={"seconds": 1})),
        StatusCode.INVALID_ARGUMENT,
    )
    for name in names:
        client.call("DeleteCredential", meta.DeleteOptions(name=name))
    refused(lambda: login(new), StatusCode.UNAUTHENTICATED)


def unserved(client: Client) -> None:
    """What is not there yet ends cleanly, without a client trying again and again."""
    tunnel = client.channel.stream_stream("/octelium.api.main.user.v1.MainService/Connect")
    metadata = [("x-octelium-auth", client.tokens.accessToken)]
    # With any other status, the clients reconnect every two seconds.
    stops = (StatusCode.INVALID_ARGUMENT, StatusCode.PERMISSION_DENIED, StatusCode.NOT_FOUND)
    initialize = user_messages.ConnectRequest.Initialize(
        connectionType=user_messages.ConnectRequest.Initialize.WIREGUARD,
        serviceOptions=user_messages.ConnectRequest.Initialize.ServiceOptions(serveAll=True),
    )
    first = user_messages.ConnectRequest(initialize=initialize).SerializeToString()
    for message in (b"", b"\x0a\x00", first):
        refused(lambda message=message: next(tunnel(iter([message]), metadata=metadata, timeout=10)), *stops)
    # The call of `octelium config`, for a Service without settings and for one that does not exist.
    settings = user_messages.SetServiceConfigsRequest(name="web-one.default")
    check(not client.call("SetServiceConfigs", settings, client.user).configs, "no settings are needed")
    absent = user_messages.SetServiceConfigsRequest(name="nobody-has-this-name")
    refused(lambda: client.call("SetServiceConfigs", absent, client.user), StatusCode.NOT_FOUND)
    client.call("ListService", user_messages.ListServiceOptions(), client.user)
    client.call("ListNamespace", user_messages.ListNamespaceOptions(), client.user)


def refreshes(client: Client) -> None:
    request = auth_messages.AuthenticateWithRefreshTokenRequest()
    for _ in range(5):
        client.tokens = client.call_auth("AuthenticateWithRefreshToken", request)
    # Too many refreshes: the client keeps its current tokens.
    refused(lambda: client.call_auth("AuthenticateWithRefreshToken", request), StatusCode.ALREADY_EXISTS)
    status(client)


def clean_up(client: Client) -> None:
    for kind, wanted in reversed(desired()):
        name = full_name(kind, wanted.metadata.name)
        client.call(f"Delete{kind}", meta.DeleteOptions(name=name))
        refused(lambda kind=kind, name=name: client.call(f"Get{kind}", meta.GetOptions(name=name)), StatusCode.NOT_FOUND)


def main() -> None:
    with connect(USER_AGENT) as channel:
        client = Client(channel)
        for step in (
            status, lists, resources, lists, orders, large_lists, mistakes, credentials, unserved, refreshes, clean_up,
        ):  # fmt: skip
            step(client)
            print(step.__name__, flush=True)
        client.call_auth("Logout", auth_messages.LogoutRequest())
        request = core.ListUserOptions()
        refused(lambda: client.call("ListUser", request), StatusCode.UNAUTHENTICATED)
        print("logout")


main()
