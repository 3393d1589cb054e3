"""An upstream that verifies who asks, by a library of its own (PyJWT) and the Cluster's published keys.

Tells the claims in one JSON object on stdout; fails at the first thing that is not as expected.
"""

import json
import os
import ssl

import jwt
from jwt import PyJWKClient


def main() -> None:
    assertion = os.environ["TOKEN"]
    issuer = "https://" + os.environ["DOMAIN"]
    audience = os.environ["AUDIENCE"]
    trust = ssl.create_default_context(cafile=os.environ["CA_CERT"])
    keys = PyJWKClient(issuer + "/.well-known/octelium/jwks.json", ssl_context=trust)
    key = keys.get_signing_key_from_jwt(assertion)

    def verify(token: str, wanted: str) -> dict:
        required = ["iss", "aud", "sub", "iat", "exp", "jti"]
        return jwt.decode(
            token,
            key,
            algorithms=["EdDSA"],
            audience=wanted,
            issuer=issuer,
            options={"require": required},
        )

    claims = verify(assertion, audience)
    refused(lambda: verify(assertion, "https://other.example.com"), jwt.InvalidAudienceError)
    head, body, signature = assertion.split(".")
    other = jwt.utils.base64url_encode(json.dumps({**claims, "name": "root"}).encode()).decode()
    refused(lambda: verify(f"{head}.{other}.{signature}", audience), jwt.InvalidSignatureError)
    print(json.dumps(claims))


def refused(act, error) -> None:
    try:
        act()
    except error:
        return
    raise AssertionError(f"not refused by {error.__name__}")


main()
