"""What a vendor in the sandbox is: a small core, and capabilities that it may add.

A package that brings a vendor of its own subclasses `SandboxVendor` and names the class in the entry-point group
`revetl.sandboxes`. `docs/design/sandbox.md` shows a whole one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, runtime_checkable

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from revetl.clock import Clock
from revetl.sandbox.settings import SandboxSettings

if TYPE_CHECKING:
    from revetl.sandbox.data_vendors.billing import Bill

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
T = TypeVar("T")


class VendorOptions(BaseModel):
    """What may be set of one vendor. A vendor adds fields, each with a default; one that takes nothing uses this."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class VendorContext:
    """What every vendor is built from. Time is `clock`'s, never the machine's, so that a test may move it."""

    settings: SandboxSettings
    clock: Clock
    _shared: dict[Any, Any] = field(default_factory=dict, repr=False)

    def shared(self, make: Callable[[SandboxSettings], T]) -> T:
        """What several vendors read, made once per sandbox: the first call with `make` makes it."""
        if make not in self._shared:
            self._shared[make] = make(self.settings)
        made: T = self._shared[make]
        return made


class Routes:
    """The addresses of one vendor: its own paths, under the prefix where it is mounted."""

    def __init__(self, router: web.UrlDispatcher, mount: str) -> None:
        self._router = router
        self._mount = mount

    def add(self, method: str, path: str, handler: Handler) -> None:
        """`path` as the vendor's documentation has it; `{name}` in it is `request.match_info["name"]`."""
        self._router.add_route(method, self._mount + path, handler)

    def get(self, path: str, handler: Handler) -> None:
        self.add("GET", path, handler)

    def post(self, path: str, handler: Handler) -> None:
        self.add("POST", path, handler)


class SandboxVendor(Protocol):
    """One vendor, with its state. Built once per sandbox as `Class(context, options)`: `context` is a `VendorContext`,
    `options` an instance of its `Options`, validated.

    `name` is what the registry knows it by. It answers below `mount`: None is `/<name>`, "" the root.
    """

    name: ClassVar[str]
    mount: ClassVar[str | None] = None
    Options: ClassVar[type[VendorOptions]] = VendorOptions

    def add_routes(self, routes: Routes) -> None:
        """Says once which handler answers at which path."""
        ...

    def reset(self, *, keep_records: bool = False) -> None:
        """Back to the state after the start: no counts, no limits used. Records go too, unless they are kept."""
        ...

    def stats(self, *, calls: bool = False) -> dict[str, Any]:
        """What it has seen, as JSON: counts, and mappings of counts. `calls`: with each call, where it keeps them."""
        ...

    def settle(self) -> None:
        """Books what is due by now. Called before anybody reads what the vendor charged or counted."""
        return

    async def close(self) -> None:
        """Ends what it runs in the background. The last thing that is called."""
        return


@runtime_checkable
class ChargingVendor(Protocol):
    """A capability: it sends invoices. Its stats stand under `providers`, its lines in `/_sandbox/invoice`."""

    bill: Bill


@runtime_checkable
class EditableVendor(Protocol):
    """A capability: a person may change a record by hand, past the API, as somebody at the company does."""

    def has_object(self, name: str) -> bool:
        """Whether it has objects of this name."""
        ...

    def edit(self, document: dict[str, Any]) -> tuple[int, Any]:
        """`{"object": …, "id": … | "match": {property: value}, "properties": {…}}`. HTTP status and JSON of the
        answer: the record as it then is, 404 where there is none. In the vendor's history it is a person's write."""
        ...


@runtime_checkable
class PersistentVendor(Protocol):
    """A capability: its records outlive the server where there is a `data_dir`."""

    @property
    def version(self) -> int:
        """Another number after every change, a reset included: what is written is compared by it."""
        ...

    def dump(self) -> dict[str, Any]:
        """All of its records, as JSON."""
        ...

    def restore(self, document: dict[str, Any]) -> None:
        """Takes over what `dump` gave, before anything is served. ValueError where another version wrote it."""
        ...


def mount_of(vendor: SandboxVendor | type[SandboxVendor]) -> str:
    """The prefix of its paths; "" is the root."""
    return f"/{vendor.name}" if vendor.mount is None else vendor.mount
