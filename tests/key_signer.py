"""A program with a key of its own that signs requests as docs/api.md says; written from there, not from the gateway."""

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.gateway_doubles import NOW_US, VENUE


class Signer:
    """Holds a private key and, once registered, its id."""

    def __init__(self, seed: int = 1, venue: str = VENUE) -> None:
        """Make the key of a seed."""
        self.private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"%d" % seed).digest())
        self.venue = venue
        self.key_id = ""

    @property
    def public_text(self) -> str:
        """Return the public half as it is registered."""
        return base64.b64encode(self.private.public_key().public_bytes_raw()).decode()

    def headers(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        time_us: int = NOW_US,
        window_ms: int = 5_000,
        **named: str,
    ) -> dict[str, str]:
        """Return the headers of a signed request; `named`: idempotency_key and request_time, which are signed too."""
        digest = hashlib.sha256(body).hexdigest()
        own, sent = named.get("idempotency_key", ""), named.get("request_time", "")
        when = [f"{time_us}", f"{window_ms}"]
        lines = ["tidemark-v1", self.venue, self.key_id, *when, method, target, own, sent, digest]
        headers = {
            "Tidemark-Key": self.key_id,
            "Tidemark-Time": f"{time_us}",
            "Tidemark-Window": f"{window_ms}",
            "Tidemark-Signature": base64.b64encode(self.private.sign("\n".join(lines).encode())).decode(),
        }
        headers |= {"Idempotency-Key": own} if own else {}
        return headers | ({"Request-Time": sent} if sent else {})
