"""Where the configuration comes from: a file that may change, or a text that does not."""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
from collections.abc import Mapping

from gateway.settings import Loaded, load_settings, read_source


class Source:
    """A file, or a text, with what the command line put in the place of its `server` section."""

    def __init__(
        self,
        path: pathlib.Path | None,
        text: str | None = None,
        *,
        server: Mapping[str, str | int] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self._text = text
        self.server = dict(server or {})
        self._environ = os.environ if environ is None else environ

    @property
    def base(self) -> pathlib.Path:
        return self.path.parent if self.path is not None else pathlib.Path()

    def fingerprint(self) -> bytes:
        """Changes when the file does, or a file it refers to. Reading costs 50 us; a parse, every two seconds, would
        hold the interpreter for 15 ms in the middle of somebody's stream (measured)."""
        assert self.path is not None
        digest = hashlib.sha256()
        for path in (self.path, *self._referenced(self.path)):
            try:
                content = path.read_bytes()
            except OSError as error:
                content = str(error.errno).encode()
            digest.update(len(content).to_bytes(8, "big") + content)
        return digest.digest()

    def _referenced(self, path: pathlib.Path) -> list[pathlib.Path]:
        try:
            text = path.read_text(encoding="utf-8-sig", errors="replace")
        except OSError:
            return []
        return [self.base / name for name in re.findall(r"\$\{file:([^}]+)\}", text)]

    def load(self) -> tuple[str, Loaded]:
        """Read and check it. Raises ConfigError."""
        # Read once: what the workers are sent is what was checked here.
        text = self._text if self.path is None else read_source(self.path)
        assert text is not None
        name = None if self.path is None else str(self.path)
        return text, load_settings(text, self._environ, server=self.server, base=self.base, name=name)
