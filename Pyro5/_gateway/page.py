"""The gateway's page: a single file without external resources, with a policy that allows only the script in it."""
from __future__ import annotations

import base64
import functools
import hashlib
import pkgutil
import re

from .responses import Response

__all__ = ["page"]


@functools.lru_cache(maxsize=None)
def page() -> Response:
    """Return the response with the page."""
    # pkgutil finds it inside a zip file, too.
    data = pkgutil.get_data(__package__ or "", "page.html") or b""
    # Hashes instead of 'unsafe-inline': a script that gets into the page by an error in it is not run.
    policy = ("default-src 'none'; connect-src 'self'; img-src data:; style-src %s; script-src %s; base-uri 'none'; "
              "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
              % (_hashes(data, b"style"), _hashes(data, b"script")))
    return Response(200, "text/html; charset=utf-8", data, (
        ("Content-Security-Policy", policy), ("Referrer-Policy", "no-referrer"), ("Cache-Control", "no-cache"),
        ("X-Content-Type-Options", "nosniff")))


def _hashes(html: bytes, element: bytes) -> str:
    """Return the policy's source expressions for the contents of these elements."""
    contents = re.findall(b"<%s>(.*?)</%s>" % (element, element), html, re.DOTALL)
    return " ".join("'sha256-%s'" % base64.b64encode(hashlib.sha256(each).digest()).decode("ascii") for each in contents)
