"""A folder behind SFTP, through asyncssh. Facts: docs/design/files.md."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from revetl.destinations.files.options import Location, SftpOptions
from revetl.destinations.files.spool import SpooledFile
from revetl.destinations.files.store import half_removed
from revetl.errors import Ambiguous, CallError, ConfigError, Denied, Unavailable

_CHUNK_BYTES = 2**18
_TIMEOUT_S = 30


class SftpStore:
    """A file is written under a name that readers pass over and then linked to its own: SFTP's own way to make a name
    only where none stands. A server that makes no links is asked for a rename, which SFTP says to refuse where the name
    stands; for a server that does not, it is looked before. What a killed process left goes with the next attempt."""

    def __init__(self, name: str, place: Location, options: SftpOptions) -> None:
        self._name, self._place, self._options = name, place, options
        # A folder below the user's home is written with a tilde, as for ssh.
        self._root = place.folder.removeprefix("/~/") if place.folder.startswith("/~/") else place.folder or "/"
        self._connection: Any = None
        self._sftp: Any = None

    async def check(self) -> str:
        async with self._asked() as sftp:
            if not await sftp.isdir(self._root):
                raise Denied(f"{self._name}: there is no folder {self._root}")
        return f"{self._place.user} at {self._place.host}, the folder {self._root}"

    async def create(self, path: str, file: SpooledFile) -> bool:
        target = f"{self._root}/{path}"
        folder, _, own = target.rpartition("/")
        part = f"{folder}/.{own}.{token_hex(4)}.part"
        async with self._asked() as sftp:
            if not await sftp.isdir(self._root):  # not made: it may be a disk that is not mounted
                raise Denied(f"{self._name}: there is no folder {self._root}")
            await sftp.makedirs(folder, exist_ok=True)
            for left in await sftp.listdir(folder):
                if left.startswith(f".{own}.") and left.endswith(".part"):
                    await self._removed(sftp, f"{folder}/{left}")
            async with sftp.open(part, "xb") as out:
                while chunk := file.content.read(_CHUNK_BYTES):
                    await out.write(chunk)
                await self._synced(out)
            if await self._size(sftp, part) != file.bytes:  # a full disk, or a quota, shows late
                raise Unavailable(f"{self._name}: {self._place.host} kept less than it was sent: is its disk full?")
        async with self._asked(in_doubt=True) as sftp:
            return await self._named(sftp, part, target)

    async def _named(self, sftp: Any, part: str, target: str) -> bool:
        """Whether the part has its name now; False where one stands."""
        import asyncssh

        try:
            try:
                await sftp.link(part, target)
                await self._removed(sftp, part)
            except asyncssh.SFTPOpUnsupported:
                if await sftp.lexists(target):
                    raise asyncssh.SFTPFailure("it stands") from None
                await sftp.rename(part, target)
        except (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):  # of a name that stands, version 3 has no code
            if not await sftp.lexists(target):
                raise
            await self._removed(sftp, part)
            return False
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            if await sftp.lexists(target):
                return False
            raise half_removed(self._name) from None
        return True

    async def _removed(self, sftp: Any, part: str) -> None:
        """Nothing of that name stands now. Another attempt may have been first."""
        import asyncssh

        with suppress(asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            await sftp.remove(part)

    async def _size(self, sftp: Any, part: str) -> int | None:
        import asyncssh

        try:
            size: int | None = await sftp.getsize(part)
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            raise half_removed(self._name) from None
        return size

    async def holds(self, path: str, file: SpooledFile) -> bool:
        target, digest = f"{self._root}/{path}", hashlib.sha256()
        async with self._asked() as sftp:
            if await sftp.getsize(target) != file.bytes:
                return False
            async with sftp.open(target, "rb") as found:
                while chunk := await found.read(_CHUNK_BYTES):
                    digest.update(chunk)
        return digest.hexdigest() == file.sha256

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            await self._connection.wait_closed()
            self._connection = self._sftp = None

    async def _synced(self, out: Any) -> None:
        """On its disk, where the server can be asked for it."""
        import asyncssh

        with suppress(asyncssh.SFTPOpUnsupported):
            await out.fsync()

    @asynccontextmanager
    async def _asked(self, *, in_doubt: bool = False) -> AsyncIterator[Any]:
        """The session, and what its failures mean. `in_doubt`: what was asked for may have been done."""
        try:
            import asyncssh
        except ImportError:
            raise ConfigError(f"{self._name}: SFTP needs asyncssh", hint="pip install 'revetl[files]'") from None
        try:
            if self._sftp is None:
                await self._connect()
            yield self._sftp
        except (asyncssh.PermissionDenied, asyncssh.HostKeyNotVerifiable) as e:
            raise self._refused(e) from None
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath, asyncssh.SFTPPermissionDenied) as e:
            raise Denied(f"{self._name}: {self._root}: {type(e).__name__}", code=type(e).__name__) from None
        except (asyncssh.Error, OSError) as e:
            kind = type(e).__name__
            if not isinstance(e, asyncssh.SFTPError) or isinstance(
                e, asyncssh.SFTPConnectionLost | asyncssh.SFTPNoConnection
            ):
                await self._dropped()
            failure: type[CallError] = Ambiguous if in_doubt else Unavailable
            raise failure(f"{self._name}: {self._place.host} failed ({kind})", code=kind) from None

    async def _connect(self) -> None:
        import asyncssh

        o = self._options
        if not await asyncio.to_thread(Path(o.known_hosts).is_file):
            raise ConfigError(f"{self._name}: known_hosts: there is no file {o.known_hosts}")
        keys = []
        if o.private_key is not None:
            phrase = o.passphrase.get_secret_value() if o.passphrase else None
            try:
                keys = [asyncssh.import_private_key(o.private_key.get_secret_value(), phrase)]
            except (asyncssh.KeyImportError, ValueError) as e:  # its message may quote the key
                message = f"{self._name}: private_key can't be read: {type(e).__name__}"
                raise ConfigError(message, hint="It is the whole file, with its line breaks.") from None
        self._connection = await asyncssh.connect(
            self._place.host,
            self._place.port or 22,
            username=self._place.user,
            password=o.password.get_secret_value() if o.password else None,
            client_keys=keys,
            known_hosts=o.known_hosts,
            config=None,
            agent_path=None,
            connect_timeout=_TIMEOUT_S,
            login_timeout=_TIMEOUT_S,
            keepalive_interval=_TIMEOUT_S,
        )
        self._sftp = await self._connection.start_sftp_client()

    async def _dropped(self) -> None:
        """The next call makes a new connection."""
        if self._connection is not None:
            self._connection.abort()
        self._connection = self._sftp = None

    def _refused(self, error: Exception) -> Denied:
        if type(error).__name__ == "HostKeyNotVerifiable":
            where = f"{self._place.host} does not stand in {self._options.known_hosts} with the key that it has"
            return Denied(f"{self._name}: {where}: nothing was sent to it")
        return Denied(f"{self._name}: {self._place.host} refuses the user {self._place.user}")
