"""What the clients here have in common: stubs made from the `.proto` files, and a channel to the Cluster.

Read from the environment:
  ADDRESS   where the Cluster listens, `127.0.0.1:8443`
  DOMAIN    the domain of the Cluster with its port, `localhost:8443`
  CA_CERT   the file with the certificate authority of the Cluster
  TOKEN     an authentication token
  PROTO     the folder of the `.proto` files
"""

import importlib
import os
import sys
import tempfile
from pathlib import Path

import grpc
from grpc_tools import protoc

PACKAGES = ("meta", "core", "auth", "user")
# Existing clients retry a call with one of these statuses sixteen times, a second apart. Client errors must use others.
REPEATED = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}

_stubs = tempfile.TemporaryDirectory()


def _make_stubs(out: str) -> None:
    files = [f"octelium/api/main/{name}/v1/{name}.proto" for name in PACKAGES]
    well_known = Path(protoc.__file__).parent / "_proto"
    arguments = [
        "protoc",
        f"-I{os.environ['PROTO']}",
        f"-I{well_known}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
    ]
    if protoc.main(arguments + files) != 0:
        sys.exit("the .proto files do not compile")
    sys.path.insert(0, out)


_make_stubs(_stubs.name)


def messages(package: str):
    """The messages of `octelium.api.main.<package>.v1`."""
    return importlib.import_module(f"octelium.api.main.{package}.v1.{package}_pb2")


def service(package: str, channel: grpc.Channel):
    """A client of `octelium.api.main.<package>.v1.MainService`."""
    module = importlib.import_module(f"octelium.api.main.{package}.v1.{package}_pb2_grpc")
    return module.MainServiceStub(channel)


def connect(user_agent: str = "") -> grpc.Channel:
    """A channel to the API of the Cluster."""
    host = "octelium-api." + os.environ["DOMAIN"]
    credentials = grpc.ssl_channel_credentials(Path(os.environ["CA_CERT"]).read_bytes())
    options = [
        ("grpc.default_authority", host),
        ("grpc.ssl_target_name_override", host.rpartition(":")[0] or host),
    ]
    if user_agent:
        options.append(("grpc.primary_user_agent", user_agent))
    return grpc.secure_channel(os.environ["ADDRESS"], credentials, options)


def refused(call, *codes: grpc.StatusCode) -> str:
    """The message of the error that `call` must end in, with one of `codes` or one that is not repeated."""
    try:
        call()
    except grpc.RpcError as error:
        code = error.code()
        if (codes and code not in codes) or code in REPEATED:
            sys.exit(f"expected {codes or 'a refusal'}, got {code}: {error.details()}")
        return error.details()
    sys.exit(f"expected {codes or 'a refusal'}, got success")


def check(condition: bool, what) -> None:
    """Fails where `condition` does not hold."""
    if not condition:
        sys.exit(f"not as expected: {what}")
