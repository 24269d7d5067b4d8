"""Adds cases that schemathesis does not generate, because most services cannot handle them."""

from urllib.parse import quote, unquote_to_bytes

import schemathesis

# Each byte maps to one byte, so a key keeps its length. No byte is both a source and a target, so a key that was translated
# before stays the same.
RARE = bytes.maketrans(b"012345", b"/\x00%?\xff{")

# schemathesis applies maxLength to the escaped key. The escapes of a longer key could exceed it.
LONGEST = 1000


@schemathesis.hook
def before_call(context, case, kwargs):
    """Puts slashes, NUL and bytes that are not UTF-8 into keys."""
    key = case.path_parameters.get("key")
    if isinstance(key, str) and len(key) <= LONGEST:
        case.path_parameters["key"] = quote(unquote_to_bytes(key).translate(RARE), safe="")


@schemathesis.deserializer("application/octet-stream")
def octets(context, response):
    """Returns one character for each byte, so that the schema applies to the value."""
    return response.content.decode("latin-1")
