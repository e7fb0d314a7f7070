"""Operations as data: how each is asked for. A path may have places, `/v1/things/{id}`, which stand for one segment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from engines.model import Operation

BodyKind = Literal["json", "multipart", "none"]


@dataclass(frozen=True, slots=True)
class Shape:
    """How a client asks for one operation."""

    methods: tuple[bytes, ...]
    path: str
    body: BodyKind
    """What its request carries; where it is `none` the model is named elsewhere."""


STORED: Final = {
    Operation.RESPONSE: Shape((b"GET", b"DELETE"), Operation.RESPONSE.value, "none"),
    Operation.RESPONSE_CANCEL: Shape((b"POST",), Operation.RESPONSE_CANCEL.value, "none"),
}
"""Those about an answer that an engine keeps. Its id says which engine and which model."""

FORMS: Final = {
    operation: Shape((b"POST",), operation.value, "multipart")
    for operation in (Operation.TRANSCRIPTIONS, Operation.TRANSLATIONS, Operation.IMAGE_EDITS)
}
"""Those that bring a file."""

SHAPES: Final[Mapping[Operation, Shape]] = {
    operation: STORED.get(operation) or FORMS.get(operation) or Shape((b"POST",), operation.value, "json")
    for operation in Operation
}
"""All others post a JSON object to a fixed path."""


class Paths:
    """Which operation a path means: one look-up where no path has a place, and for unknown paths a walk of the rest."""

    __slots__ = ("_exact", "_patterns")

    def __init__(self, shapes: Mapping[Operation, Shape]) -> None:
        """Raises ValueError for a path that two operations have."""
        self._exact: dict[bytes, Operation] = {}
        self._patterns: list[tuple[list[bytes], Operation]] = []
        for operation, shape in shapes.items():
            path = shape.path.encode()
            if b"{" in path:
                self._patterns.append((path.split(b"/"), operation))
            elif path in self._exact:
                raise ValueError(f"two operations have the path {shape.path}")
            else:
                self._exact[path] = operation

    def get(self, path: bytes) -> Operation | None:
        """The operation of a request's path (without its query); None when it is no operation's."""
        found = self._exact.get(path)
        if found is None and self._patterns:
            segments = path.split(b"/")
            for pattern, operation in self._patterns:
                if len(pattern) == len(segments) and all(
                    wanted == given or (wanted.startswith(b"{") and given != b"")
                    for wanted, given in zip(pattern, segments, strict=True)
                ):
                    return operation
        return found

    def __contains__(self, path: bytes) -> bool:
        return self.get(path) is not None


PATHS: Final = Paths(SHAPES)

OPERATION_KEYS: Final = {
    operation: (Operation.RESPONSES if operation in STORED else operation).value for operation in Operation
}
"""What routing knows an operation by: who answers one has its answers. To ask an enum for its value costs 0.1 us."""
