"""An application that authenticates with an authentication token through a plain gRPC client.

Reads from the environment:
  ADDRESS   where the Cluster listens, `127.0.0.1:8443`
  DOMAIN    the domain of the Cluster with its port, `localhost:8443`
  CA_CERT   the file with the certificate authority of the Cluster
  TOKEN     an authentication token
  PROTO     the folder of the `.proto` files

Makes its stubs from the `.proto` files, tells what it did in one JSON object on stdout, and fails at the
first thing that is not as expected.
"""

import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

import grpc
from grpc_tools import protoc

PACKAGES = ("meta", "core", "auth", "user")


def make_stubs(proto: Path, out: str) -> None:
    files = [f"octelium/api/main/{name}/v1/{name}.proto" for name in PACKAGES]
    include = Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{proto}", f"-I{include}", f"--python_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(arguments + files) != 0:
        sys.exit("the .proto files do not compile")
    sys.path.insert(0, out)


def stubs(package: str):
    name = f"octelium.api.main.{package}.v1.{package}_pb2"
    return importlib.import_module(name), importlib.import_module(f"{name}_grpc")


def expect_code(code: grpc.StatusCode, call) -> str:
    """The message of the error with this code that `call` must end in."""
    try:
        call()
    except grpc.RpcError as error:
        if error.code() != code:
            sys.exit(f"expected {code}, got {error.code()}: {error.details()}")
        return error.details()
    sys.exit(f"expected {code}, got success")


def main() -> None:
    auth_pb, auth_grpc = stubs("auth")
    user_pb, user_grpc = stubs("user")
    host = "octelium-api." + os.environ["DOMAIN"]
    credentials = grpc.ssl_channel_credentials(Path(os.environ["CA_CERT"]).read_bytes())
    options = [
        ("grpc.default_authority", host),
        ("grpc.ssl_target_name_override", host.rpartition(":")[0] or host),
    ]
    with grpc.secure_channel(os.environ["ADDRESS"], credentials, options) as channel:
        auth = auth_grpc.MainServiceStub(channel)
        user = user_grpc.MainServiceStub(channel)

        def status(access_token: str):
            metadata = [("x-octelium-auth", access_token)]
            return user.GetStatus(user_pb.GetStatusRequest(), metadata=metadata, timeout=10)

        def refresh(refresh_token: str):
            metadata = [("x-octelium-refresh-token", refresh_token)]
            request = auth_pb.AuthenticateWithRefreshTokenRequest()
            return auth.AuthenticateWithRefreshToken(request, metadata=metadata, timeout=10)

        def login(token: str):
            request = auth_pb.AuthenticateWithAuthenticationTokenRequest(authenticationToken=token)
            return auth.AuthenticateWithAuthenticationToken(request, timeout=10)

        expect_code(grpc.StatusCode.UNAUTHENTICATED, lambda: login("A" * 180))
        expect_code(grpc.StatusCode.UNAUTHENTICATED, lambda: status("A" * 180))

        first = login(os.environ["TOKEN"])
        assert first.expiresIn > 0 and first.refreshTokenExpiresIn >= first.expiresIn, first
        found = status(first.accessToken)

        # A token is not accepted in place of another.
        expect_code(grpc.StatusCode.UNAUTHENTICATED, lambda: status(first.refreshToken))
        expect_code(grpc.StatusCode.UNAUTHENTICATED, lambda: status(os.environ["TOKEN"]))
        expect_code(grpc.StatusCode.UNAUTHENTICATED, lambda: refresh(first.accessToken))

        second = refresh(first.refreshToken)
        assert second.accessToken != first.accessToken
        # A request that was under way with the token before is still answered.
        status(first.accessToken)
        status(second.accessToken)
        # The reply was lost: the same refresh gives the same tokens.
        again = refresh(first.refreshToken)
        assert again.accessToken == second.accessToken
        assert again.refreshToken == second.refreshToken

        # Field 1000 is nobody's.
        raw = channel.unary_unary("/octelium.api.main.user.v1.MainService/GetStatus")
        metadata = [("x-octelium-auth", second.accessToken)]
        unknown_field = expect_code(
            grpc.StatusCode.INVALID_ARGUMENT,
            lambda: raw(b"\xc0\x3e\x01", metadata=metadata, timeout=10),
        )

        metadata = [("x-octelium-refresh-token", second.refreshToken)]
        auth.Logout(auth_pb.LogoutRequest(), metadata=metadata, timeout=10)
        expect_code(grpc.StatusCode.UNAUTHENTICATED, lambda: status(second.accessToken))
        expect_code(grpc.StatusCode.UNAUTHENTICATED, lambda: refresh(second.refreshToken))

    session_type = found.session.status.DESCRIPTOR.fields_by_name["type"].enum_type
    print(
        json.dumps(
            {
                "user": found.user.metadata.name,
                "session": found.session.metadata.name,
                "sessionType": session_type.values_by_number[found.session.status.type].name,
                "expiresIn": first.expiresIn,
                "refreshTokenExpiresIn": first.refreshTokenExpiresIn,
                "unknownField": unknown_field,
            }
        )
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        make_stubs(Path(os.environ["PROTO"]), directory)
        main()
