"""Where the configuration comes from: a file that may change, or a text that does not."""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from engines.files import NotNow, NotReadable, content_or_reason, read_regular
from gateway.control.configuration.reader import Wanted
from gateway.control.configuration.reading import Reading, in_thread
from gateway.settings import Loaded, load_settings, read_source
from gateway.settings.document import MAX_BYTES
from gateway.settings.load import MAX_CA_BYTES, ca_files
from gateway.settings.sealed import Sealed


class Begun(NamedTuple):
    """The configuration that a gateway begins with: read once, for all that is made of it."""

    loaded: Loaded
    fingerprint: bytes
    """Of its files; of the document and what it refers to, as they were before they were read."""


class Source:
    """A file, or a text, with what the command line put in the place of its `server` section."""

    def __init__(
        self,
        path: pathlib.Path | None,
        text: str | None = None,
        *,
        server: Mapping[str, str | int] | None = None,
        environ: Mapping[str, str] | None = None,
        reading: Reading = in_thread,
    ) -> None:
        """`reading` is how a running gateway reads it again."""
        self.path = path
        self._text = text
        self.server = dict(server or {})
        self._reading = reading
        self._environ = os.environ if environ is None else environ

    @property
    def base(self) -> pathlib.Path:
        return self.path.parent if self.path is not None else pathlib.Path()

    def fingerprint(self, authorities: Iterable[str] = ()) -> bytes:
        """Changes when the file does, or a file it refers to, or one of `authorities` (`ca_file` of engines).

        Blocks as long as the disk does: call it in a thread. Raises NotNow when it cannot be told.
        """
        return self._document() + _digest(map(pathlib.Path, authorities), MAX_CA_BYTES)

    def _document(self) -> bytes:
        assert self.path is not None
        return _digest((self.path, *self._referenced(self.path)), MAX_BYTES)

    def begin(self) -> Begun:
        """Read and check it here and now, before there is anybody to hold up. Raises ConfigError."""
        document = self._document() if self.path is not None else b""
        loaded = self.load()
        authorities = _digest(map(pathlib.Path, ca_files(loaded.settings)), MAX_CA_BYTES)
        return Begun(loaded, document + authorities)

    def _referenced(self, path: pathlib.Path) -> list[pathlib.Path]:
        try:
            text = read_regular(path, MAX_BYTES).decode("utf-8-sig", "replace")
        except NotNow:
            raise
        except NotReadable:
            return []
        return [self.base / name for name in re.findall(r"\$\{file:([^}]+)\}", text)]

    def load(self) -> Loaded:
        """Read and check it here and now. Raises ConfigError."""
        text = self._text if self.path is None else read_source(self.path)
        assert text is not None
        name = None if self.path is None else str(self.path)
        return load_settings(text, self._environ, server=self.server, base=self.base, name=name)

    async def read(self) -> Sealed:
        """Read and check it while streams run. Raises ConfigError."""
        return await self._reading(
            Wanted(
                path=None if self.path is None else os.fsencode(self.path),
                text=self._text,
                base=os.fsencode(self.base),
                server=self.server,
                environ=[(os.fsencode(name), os.fsencode(value)) for name, value in self._environ.items()],
            )
        )


def _digest(files: Iterable[pathlib.Path], most_bytes: int) -> bytes:
    digest = hashlib.sha256()
    for path in files:
        content = content_or_reason(path, most_bytes)
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.digest()
