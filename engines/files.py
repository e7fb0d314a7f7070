"""Reads regular files of a bounded size, and nothing else: a pipe would block for ever, and a device never ends."""

from __future__ import annotations

import errno
import os
import pathlib
import stat


class NotReadable(Exception):
    """The file is not for reading; the message says why, without its name."""


class NotNow(NotReadable):
    """This process cannot open anything at the moment, which says nothing about the file."""


_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def content_or_reason(path: pathlib.Path, most_bytes: int) -> bytes:
    """The content, or why it cannot be read: for telling whether that has changed. Raises NotNow."""
    try:
        return read_regular(path, most_bytes)
    except NotNow:
        raise
    except NotReadable as error:
        return str(error).encode()


def read_regular(path: pathlib.Path, most_bytes: int) -> bytes:
    """The content of a regular file of at most `most_bytes`. Raises NotReadable for everything else."""
    try:
        # Opened first, then looked at: what was looked at by name may be another by the time it is opened.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        kind = NotNow if error.errno in _OURS else NotReadable
        raise kind((error.strerror or "unreadable").lower()) from None
    except ValueError:
        raise NotReadable("the path holds a NUL") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise NotReadable("it is not a regular file")
        data = b""
        while len(data) <= most_bytes and found.st_size <= most_bytes:
            part = os.read(descriptor, most_bytes + 1 - len(data))
            if not part:
                return data
            data += part
    except OSError as error:
        raise NotReadable((error.strerror or "unreadable").lower()) from None
    finally:
        os.close(descriptor)
    raise NotReadable(f"it is larger than {most_bytes // 1024} KiB")
