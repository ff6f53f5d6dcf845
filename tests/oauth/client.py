"""Off-the-shelf clients against Doorward: authlib for OAuth 2, joserfc for its JWTs.

    client.py BASE METHOD ID SECRET metadata
    client.py BASE METHOD ID SECRET token [SCOPE]
    client.py BASE METHOD ID SECRET introspect TOKEN
    client.py BASE METHOD ID SECRET revoke TOKEN
    client.py - - - - jwt KEY_SET_FILE TOKEN

METHOD is how the client shows who it is. What came of it is printed as JSON.
"""

import json
import os
import sys

# The tests stay on this machine.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from joserfc import jwt
from joserfc.jwk import KeySet


def metadata(base):
    """What the server says of itself, with its public address replaced by the one that tests reach."""
    answer = requests.get(base + "/.well-known/oauth-authorization-server", timeout=30)
    answer.raise_for_status()
    about = AuthorizationServerMetadata(answer.json())
    for key in about.REGISTRY_KEYS:
        # authlib wants one at least, where RFC 8414 has a list that may be empty.
        if key != "response_types_supported":
            getattr(about, "validate_" + key)()
    return about, {
        key: value.replace(about["issuer"], base) if isinstance(value, str) else value for key, value in about.items()
    }


def main(base, method, client_id, secret, verb, *rest):
    if verb == "jwt":
        with open(rest[0]) as file:
            keys = KeySet.import_key_set(json.load(file))
        claims = jwt.decode(rest[1], keys, algorithms=["ES256"]).claims
        jwt.JWTClaimsRegistry(exp={"essential": True}).validate(claims)
        return claims
    about, reached = metadata(base)
    if verb == "metadata":
        return about
    client = OAuth2Session(
        client_id,
        secret,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        scope=rest[0] if verb == "token" and rest else None,
    )
    try:
        if verb == "token":
            return client.fetch_token(reached["token_endpoint"], grant_type="client_credentials")
        if verb == "introspect":
            return client.introspect_token(reached["introspection_endpoint"], token=rest[0]).json()
        if verb == "revoke":
            return {"status": client.revoke_token(reached["revocation_endpoint"], token=rest[0]).status_code}
    except OAuthError as error:
        return {"error": error.error}
    raise SystemExit(f"unknown verb {verb}")


print(json.dumps(main(*sys.argv[1:])))
