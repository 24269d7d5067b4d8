"""Gives the generated requests what schemathesis leaves out, as most services could not take it."""

from urllib.parse import quote, unquote_to_bytes

import schemathesis

# Byte for byte, so that a key keeps its length, and to bytes that are not mapped, so that one from a link stays as it is.
RARE = bytes.maketrans(b"012345", b"/\x00%?\xff{")

# Of a longer key, the escapes could exceed maxLength, which schemathesis applies to them.
LONGEST = 1000


@schemathesis.hook
def before_call(context, case, kwargs):
    """Puts slashes, NUL and bytes that are not UTF-8 into keys."""
    key = case.path_parameters.get("key")
    if isinstance(key, str) and len(key) <= LONGEST:
        case.path_parameters["key"] = quote(unquote_to_bytes(key).translate(RARE), safe="")


@schemathesis.deserializer("application/octet-stream")
def octets(context, response):
    """A character for each byte, for the schema to look at."""
    return response.content.decode("latin-1")
