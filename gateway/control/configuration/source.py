"""Where the configuration comes from: a file that may change, or a text that does not."""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
from collections.abc import Iterable, Mapping

from engines.files import NotNow, NotReadable, content_or_reason, read_regular
from gateway.control.configuration.reader import Wanted
from gateway.control.configuration.reading import Reading, in_thread
from gateway.settings import Loaded, load_settings, read_source
from gateway.settings.document import MAX_BYTES
from gateway.settings.load import MAX_CA_BYTES
from gateway.settings.sealed import Sealed


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
        assert self.path is not None
        digest = hashlib.sha256()
        for path in (self.path, *self._referenced(self.path)):
            content = content_or_reason(path, MAX_BYTES)
            digest.update(len(content).to_bytes(8, "big") + content)
        for name in authorities:
            content = content_or_reason(pathlib.Path(name), MAX_CA_BYTES)
            digest.update(len(content).to_bytes(8, "big") + content)
        return digest.digest()

    def _referenced(self, path: pathlib.Path) -> list[pathlib.Path]:
        try:
            text = read_regular(path, MAX_BYTES).decode("utf-8-sig", "replace")
        except NotNow:
            raise
        except NotReadable:
            return []
        return [self.base / name for name in re.findall(r"\$\{file:([^}]+)\}", text)]

    def load(self) -> Loaded:
        """Read and check it here and now, before there is anybody to hold up. Raises ConfigError."""
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
