"""What every destination behind a `Session` has alike: it is open as long as its session is, and counts as it does."""

from __future__ import annotations

from typing import Self

from revetl.http import Session


class SessionDestination:
    """`name` and `_session` are set by who inherits."""

    name: str
    _session: Session

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    async def __aenter__(self) -> Self:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.__aexit__(*exc)

    @property
    def tls_version(self) -> str | None:
        return self._session.tls_version

    @property
    def requests(self) -> int:
        return self._session.requests

    @property
    def retries(self) -> int:
        return self._session.retries
