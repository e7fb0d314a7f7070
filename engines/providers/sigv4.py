"""AWS request signing, version 4, by botocore: what Bedrock takes in place of a bearer token.

It costs some 150 us a request, all of it botocore's, and only where it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Sign = Callable[[bytes, str, bytes], bytes]
"""Method, URL and body of a request to header lines."""


@dataclass(frozen=True, slots=True)
class Signing:
    """Whose signature, and for what."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    region: str
    service: str

    @property
    def secrets(self) -> tuple[str | None, ...]:
        """What a request tells of it, and an answer must not."""
        return self.access_key_id, self.session_token


def signer(signing: Signing) -> Sign:
    """What signs requests. Raises ImportError where botocore is not installed."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    credentials = Credentials(signing.access_key_id, signing.secret_access_key, signing.session_token)
    auth = SigV4Auth(credentials, signing.service, signing.region)

    def sign(method: bytes, url: str, body: bytes) -> bytes:
        request = AWSRequest(method.decode(), url, data=body)
        auth.add_auth(request)
        return "".join([f"{name.lower()}: {value}\r\n" for name, value in request.headers.items()]).encode()

    return sign
