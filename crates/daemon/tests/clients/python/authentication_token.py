"""An application that authenticates with an authentication token through a plain gRPC client.

Tells what it found in one JSON object on stdout; fails at the first thing that is not as expected.
"""

import json
import os

from grpc import StatusCode

from contract import check, connect, messages, refused, service

auth_messages = messages("auth")
user_messages = messages("user")


def main() -> None:
    with connect() as channel:
        auth = service("auth", channel)
        user = service("user", channel)

        def status(access_token: str):
            metadata = [("x-octelium-auth", access_token)]
            return user.GetStatus(user_messages.GetStatusRequest(), metadata=metadata, timeout=10)

        def status_as_bearer(access_token: str):
            metadata = [("authorization", f"bearer {access_token}")]
            return user.GetStatus(user_messages.GetStatusRequest(), metadata=metadata, timeout=10)

        def refresh(refresh_token: str):
            metadata = [("x-octelium-refresh-token", refresh_token)]
            request = auth_messages.AuthenticateWithRefreshTokenRequest()
            return auth.AuthenticateWithRefreshToken(request, metadata=metadata, timeout=10)

        def login(token: str):
            request = auth_messages.AuthenticateWithAuthenticationTokenRequest(authenticationToken=token)
            return auth.AuthenticateWithAuthenticationToken(request, timeout=10)

        refused(lambda: login("A" * 180), StatusCode.UNAUTHENTICATED)
        refused(lambda: status("A" * 180), StatusCode.UNAUTHENTICATED)

        first = login(os.environ["TOKEN"])
        check(0 < first.expiresIn <= first.refreshTokenExpiresIn, first)
        found = status(first.accessToken)
        status_as_bearer(first.accessToken)

        # A token of one type is not accepted as another.
        refused(lambda: status(first.refreshToken), StatusCode.UNAUTHENTICATED)
        refused(lambda: status(os.environ["TOKEN"]), StatusCode.UNAUTHENTICATED)
        refused(lambda: refresh(first.accessToken), StatusCode.UNAUTHENTICATED)
        refused(lambda: login(first.accessToken), StatusCode.UNAUTHENTICATED)

        second = refresh(first.refreshToken)
        check(second.accessToken != first.accessToken, "new tokens")
        # A request in flight with the previous token is still answered.
        status(first.accessToken)
        status(second.accessToken)
        # If the reply is lost, the same refresh returns the same tokens.
        again = refresh(first.refreshToken)
        check(again.accessToken == second.accessToken, "the same access token")
        check(again.refreshToken == second.refreshToken, "the same refresh token")

        # The contract has no field 1000.
        raw = channel.unary_unary("/octelium.api.main.user.v1.MainService/GetStatus")
        metadata = [("x-octelium-auth", second.accessToken)]
        unknown_field = refused(
            lambda: raw(b"\xc0\x3e\x01", metadata=metadata, timeout=10),
            StatusCode.INVALID_ARGUMENT,
        )

        metadata = [("x-octelium-refresh-token", second.refreshToken)]
        auth.Logout(auth_messages.LogoutRequest(), metadata=metadata, timeout=10)
        refused(lambda: status(second.accessToken), StatusCode.UNAUTHENTICATED)
        refused(lambda: refresh(second.refreshToken), StatusCode.UNAUTHENTICATED)

    session_types = found.session.status.DESCRIPTOR.fields_by_name["type"].enum_type
    print(
        json.dumps(
            {
                "user": found.user.metadata.name,
                "session": found.session.metadata.name,
                "sessionType": session_types.values_by_number[found.session.status.type].name,
                "expiresIn": first.expiresIn,
                "refreshTokenExpiresIn": first.refreshTokenExpiresIn,
                "unknownField": unknown_field,
            }
        )
    )


main()
