"""An API server of our own making, which answers what a real one was recorded to answer (`transcripts.json`).

`Api` is the server without sockets: one request, one answer, or a watch's events. `serving` puts it behind HTTP on
loopback for clients that know no other way, such as Helm. What it knows: objects with resource versions and watches
that resume, expire and time out; every patch type; field ownership and its conflicts; /scale; Leases. What it does not
do: run pods, controllers or admission, and validate beyond what is written here.
"""

from __future__ import annotations

from tests.kubernetes.fake_api.api import Answer, Api, Request
from tests.kubernetes.fake_api.server import serving

__all__ = ["Answer", "Api", "Request", "serving"]
