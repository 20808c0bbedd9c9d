"""A folder of this machine, or one that is mounted."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

from revetl.destinations.files.options import Location
from revetl.destinations.files.spool import SpooledFile
from revetl.destinations.files.store import half_removed
from revetl.errors import Ambiguous, CallError, Denied, Unavailable

T = TypeVar("T")

_MODE = 0o600  # they hold customers
_FOLDER_MODE = 0o700
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}


class LocalStore:
    """A file is written under a name that readers pass over and then linked to its own: a link is refused where one
    stands, and before it is there the file is not seen. What a killed process left goes with the next attempt."""

    def __init__(self, name: str, place: Location) -> None:
        self._name, self._root = name, Path(place.folder)

    async def check(self) -> str:
        def look() -> str:
            self._at_root()
            if not os.access(self._root, os.W_OK | os.X_OK):
                raise Denied(f"{self._name}: {self._root} can't be written to")
            return f"the folder {self._root}, {shutil.disk_usage(self._root).free / 10**9:,.1f} GB free"

        return await self._in_thread(look)

    async def create(self, path: str, file: SpooledFile) -> bool:
        return await self._in_thread(lambda: self._create(self._inside(path), file))

    async def holds(self, path: str, file: SpooledFile) -> bool:
        def look() -> bool:
            descriptor = os.open(self._inside(path), os.O_RDONLY | os.O_NOFOLLOW)
            with os.fdopen(descriptor, "rb") as found:
                return hashlib.file_digest(found, "sha256").hexdigest() == file.sha256

        return await self._in_thread(look)

    async def close(self) -> None:
        pass

    def _create(self, target: Path, file: SpooledFile) -> bool:
        self._at_root()
        made = [folder for folder in target.parents if not folder.exists()]
        target.parent.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
        for left in target.parent.glob(f".{target.name}.*.part"):
            left.unlink(missing_ok=True)
        part = target.with_name(f".{target.name}.{token_hex(4)}.part")
        with _removed(part):
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "wb") as out:
                shutil.copyfileobj(file.content, out)
                out.flush()
                os.fsync(out.fileno())
            try:
                os.link(part, target)
            except FileExistsError:
                return False
            except FileNotFoundError:
                raise half_removed(self._name) from None
            except OSError as e:
                if e.errno in _NO_LINKS:
                    raise Denied(f"{self._name}: the file system of {self._root} makes no hard links") from None
                raise
        try:
            for folder in (target.parent, *(f.parent for f in made)):
                _sync(folder)
        except OSError as e:
            raise Ambiguous(
                f"{self._name}: {target.name} may be lost should the machine fail now ({_word(e)})"
            ) from None
        return True

    def _inside(self, path: str) -> Path:
        """The file's full name. Denied where a part below the url is a link: whoever can write there would choose where
        files of customers go. The url itself may be one."""
        at = self._root
        for part in Path(path).parts:
            at /= part
            if at.is_symlink():
                shown = at.relative_to(self._root)
                raise Denied(f"{self._name}: {shown} in {self._root} is a link; files are written to real folders only")
        return at

    def _at_root(self) -> None:
        """The folder itself is not made: where it is missing, it may be a disk that is not mounted."""
        if not self._root.is_dir():
            raise Denied(f"{self._name}: there is no folder {self._root}")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except OSError as e:
            raise self._failure(e) from None

    def _failure(self, error: OSError) -> CallError:
        message = f"{self._name}: {self._root}: {_word(error)}"
        return Denied(message) if error.errno in _DENIED else Unavailable(message)


@contextmanager
def _removed(part: Path) -> Iterator[None]:
    try:
        yield
    finally:
        part.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """A new name is durable once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _word(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else type(error).__name__
