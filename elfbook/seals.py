"""The seal that each record of the log bears. Pure."""

from __future__ import annotations

import contextlib
import hashlib
import hmac

from elfbook.errors import StoreCorrupt, Untrusted
from elfbook.wire import OTHER_KEY, decode

RECORD_SEAL_BYTES = 16


class RecordSeal:
    """Binds a record to its place: a keyed hash of its subject, of what it was written over, and of its
    body, which stands behind the body.

    A sequence that is named as the one written over means one record only, so together with the
    seals these names make a chain: no record can be altered, moved, left out or put in unnoticed.
    """

    def __init__(self, key: bytes) -> None:
        own = hashlib.sha256(key).digest()
        self._begun = hashlib.blake2b(key=own, digest_size=RECORD_SEAL_BYTES, person=b"elfbook record")

    def _of(self, body: bytes, subject: str, over: str) -> bytes:
        made = self._begun.copy()
        made.update(f"{subject}\n{over}\n".encode())
        made.update(body)
        return made.digest()

    def put_on(self, body: bytes, subject: str, over: str) -> bytes:
        """The body with its seal. `over` is what the headers say that it is written over."""
        return body + self._of(body, subject, over)

    def take_off(self, data: bytes, subject: str, over: str, what: str = "a record") -> bytes:
        """The body; Untrusted unless it was sealed with this key for this very place."""
        body = data[:-RECORD_SEAL_BYTES]
        if hmac.compare_digest(self._of(body, subject, over), data[-RECORD_SEAL_BYTES:]):
            return body
        why = "was altered or moved in the store, or written by someone without this mycelium's key"
        with contextlib.suppress(StoreCorrupt):
            decode(data, object)  # all of it is one value, and nothing stands behind that
            why = "bears no seal: it was written by another program, or by an elfbook that knew no seals"
        raise Untrusted(f"{what} {why}", hint=OTHER_KEY)
