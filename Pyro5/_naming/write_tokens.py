"""Write tokens: the secret texts that authorize clients to change registrations, and the files that contain them."""
from __future__ import annotations

LEAST_TOKEN_CHARS = 16  # rules out tokens that can be guessed, and common handshake values
MOST_FILE_CHARS = 4096


def read_token(path: str) -> str:
    """Read a token from a file that contains nothing else.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file does not contain a valid token; the text names the file but reveals nothing of its contents.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return checked_token(file.read(MOST_FILE_CHARS + 1).strip())
    except UnicodeDecodeError:
        # Without the cause: it contains the bytes of the file, which may be a token.
        raise ValueError("%s does not contain a write token: it is not a text file" % path) from None
    except ValueError as x:
        raise ValueError("%s does not contain a write token: %s" % (path, x)) from None


def checked_token(token: str) -> str:
    """Return the token if it is valid.

    Raises:
        TypeError: it is not a str.
        ValueError: it is too short, too long, or contains whitespace.
    """
    if not isinstance(token, str):
        raise TypeError("a write token must be a str, not %s" % type(token).__name__)
    if not LEAST_TOKEN_CHARS <= len(token) <= MOST_FILE_CHARS:
        raise ValueError("a write token must have %d to %d characters, not %d"
                         % (LEAST_TOKEN_CHARS, MOST_FILE_CHARS, len(token)))
    # A line break at its end would be easy to overlook, and the token would never match.
    if token.split() != [token]:
        raise ValueError("a write token must not contain spaces or line breaks")
    return token
