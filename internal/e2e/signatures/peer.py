"""Signs and verifies requests with two other implementations of RFC 9421.

    peer.py send|verify LIBRARY ALGORITHM KEYFILE KEYID CAFILE <requests >results

Requests and results are JSON lists. KEYFILE is a file of `userinfo key new signature`, or a key in PEM.
"""

import base64
import json
import secrets
import sys

import http_message_signatures as hms
import requests
import requests_http_signature as rhs

ALGORITHMS = {"hmac-sha256": hms.algorithms.HMAC_SHA256, "ed25519": hms.algorithms.ED25519}
PREFIX = b"userinfo-signature-key-1:"


class Keys(hms.HTTPSignatureKeyResolver):
    """Resolves the id of one key."""

    def __init__(self, key_id, file):
        with open(file, "rb") as f:
            text = f.read()
        self.key_id = key_id
        self.key = base64.b64decode(text[len(PREFIX):]) if text.startswith(PREFIX) else text

    def resolve_private_key(self, key_id):
        if key_id != self.key_id:
            raise KeyError(key_id)
        return self.key

    resolve_public_key = resolve_private_key


def sign(library, algorithm, keys, request):
    """Signs a prepared request."""
    components = ["@method", "@authority", "@target-uri"]
    if "TTL" in request.headers:
        components.append("ttl")
    if library == "requests-http-signature":
        rhs.HTTPSignatureAuth(
            signature_algorithm=algorithm, key_resolver=keys, key_id=keys.key_id, covered_component_ids=components, use_nonce=True
        )(request)
        return
    # This library signs path and query instead of the URI, and sends no alg, so that both ways are tested.
    components[2:3] = ["@path", "@query"]
    hms.HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=keys).sign(
        request, key_id=keys.key_id, nonce=secrets.token_urlsafe(16), include_alg=False, covered_component_ids=components,
        body=request.body or None,
    )


def send(library, algorithm, keys, ca, wanted):
    session = requests.Session()
    session.trust_env = False
    session.verify = ca
    body = base64.b64decode(wanted["body"] or "")
    request = requests.Request(wanted["method"], wanted["url"], headers=wanted["header"], data=body or None).prepare()
    sign(library, algorithm, keys, request)
    change = wanted["change"]
    if change == "replay":
        session.send(request).raise_for_status()
    elif change == "path":
        request.url += "x"
    elif change == "ttl":
        request.headers["TTL"] = "86400"
    elif change == "body":
        request.body = request.body[:-1] + b"X"
    elif change:
        raise ValueError(change)
    response = session.send(request)
    return {"status": response.status_code, "text": response.text}


def verify(library, algorithm, keys, ca, wanted):
    body = base64.b64decode(wanted["body"] or "")
    request = requests.Request(wanted["method"], wanted["url"], headers=wanted["header"], data=body or None).prepare()
    required = ["@method", "@authority", "@target-uri"]
    try:
        if library == "requests-http-signature":
            result = rhs.HTTPSignatureAuth.verify(
                request, signature_algorithm=algorithm, key_resolver=keys, require_components=required
            )
        else:
            (result,) = hms.HTTPMessageVerifier(signature_algorithm=algorithm, key_resolver=keys).verify(
                request, require_components=required, body=body
            )
    except hms.InvalidSignature as e:
        return {"status": 401, "text": str(e)}
    return {"status": 200, "text": result.parameters["keyid"]}


def main():
    what, library, algorithm, key_file, key_id, ca = sys.argv[1:]
    keys = Keys(key_id, key_file)
    do = {"send": send, "verify": verify}[what]
    json.dump([do(library, ALGORITHMS[algorithm], keys, ca, wanted) for wanted in json.load(sys.stdin)], sys.stdout)


main()
