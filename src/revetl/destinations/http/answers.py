"""What the grammar says of answers: their verdicts, results for each record, pages, jobs."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, model_validator

from revetl.destinations.http.syntax import CLOSED, Path, Pointer, Status, parameters
from revetl.one_or_many import OneOrMany

# What an answer, or one record of it, means.
#   ok, accepted    taken; taken and not applied yet
#   gone            there is no such record: what a delete wanted, a refusal of all else
#   exists          there is one already: refused, and found by the next plan where it can be looked up
#   invalid         this record, or the whole batch, because of its own values: it waits until its row changes
#   rejected        the same, whatever the cause: each run tries it again
#   denied, throttled, unavailable, ambiguous   as the HTTP session has them
Verdict = Literal[
    "ok", "accepted", "gone", "exists", "invalid", "rejected", "denied", "throttled", "unavailable", "ambiguous"
]
OfRecord = Literal["ok", "accepted", "gone", "exists", "invalid", "rejected"]
Unnamed = Literal["unknown", "ok", "accepted"]


class ApiStatusRow(BaseModel):
    """The first row that matches says it. `http`: a status, a class, or a list of them. `at` with `equals`: also what
    stands there in the body, one value or a list of those."""

    model_config = CLOSED

    http: Annotated[tuple[Status, ...], OneOrMany()]
    verdict: Verdict
    at: Pointer | None = None
    equals: Any = None

    @model_validator(mode="after")
    def _looks(self) -> Self:
        if ("equals" in self.model_fields_set) != (self.at is not None):
            raise ValueError("'at' and 'equals' go together")
        return self

    def matches_status(self, status: int) -> bool:
        return any(str(status) == s or (s.endswith("xx") and s[0] == str(status)[0]) for s in self.http)


class ResultVerdict(BaseModel):
    """What a sign in the result of one record means."""

    model_config = CLOSED

    at: Pointer
    equals: Any
    verdict: OfRecord


class ApiResults(BaseModel):
    """A list in the answer with a result for each record. A record is told by `key`, where the result repeats what
    `key_is` says (our key, the id there, or a column), by its number in the request, from 0, which stands at `key`
    (`by: index`), or by its place (`by: order`). `verdicts`: the first that matches, else it is `otherwise`. A record
    that no result names is unknown, unless the request says otherwise (`unnamed`). `optional`: the list stands only in
    an answer that refused something."""

    model_config = CLOSED

    at: Pointer = ""
    by: Literal["key", "index", "order"] = "key"
    key: Pointer | None = None
    key_is: str = "key"
    id: Pointer | None = None
    code: Pointer | None = None
    message: Pointer | None = None
    verdicts: tuple[ResultVerdict, ...] = ()
    otherwise: OfRecord = "ok"
    optional: bool = False

    @model_validator(mode="after")
    def _told(self) -> Self:
        if (self.by == "order") != (self.key is None):
            raise ValueError("say where the result names its record ('key'), or that they come in order ('by: order')")
        return self


class ApiPaging(BaseModel):
    """How a list goes on: `next` is a pointer to what `param` is given in the following request (a cursor), until
    nothing stands there; without it `param` counts: pages from `first`, or records (`counts: records`), until a page is
    empty. Without `param`, `next_url` is a pointer to the address of the next page, or `link_header` says that it
    stands in the header `Link`."""

    model_config = CLOSED

    param: str | None = None
    next: Pointer | None = None
    counts: Literal["pages", "records"] = "pages"
    first: int = 1
    next_url: Pointer | None = None
    link_header: bool = False

    @model_validator(mode="after")
    def _one_way_on(self) -> Self:
        ways = [self.param is not None, self.next_url is not None, self.link_header]
        if sum(ways) != 1:
            raise ValueError("say how the list goes on: by 'param', by 'next_url' or by 'link_header'")
        if self.param is None and self.next is not None:
            raise ValueError("'next' is what 'param' is given: an address is 'next_url'")
        return self


class ApiJob(BaseModel):
    """The call hands over a job, which is asked after until it has ended. It is told by its `id` in the answer, and
    asked after at `path`, which has `{job}` in it; or by its address: where `address` points in the answer, or in the
    header `Location`. `state` points to how it stands: `done`, the results say of which record; `failed`, it has ended
    and nothing of it was applied; `unknown`, it has ended and nobody says what was applied. In any other it runs.
    Without `state` it runs for as long as 202 is answered. `results` and `unnamed`: as of a request, in the answer
    that says that it is done, or in what stands at `results_path`, page by page. Without them a job that is done was
    applied whole. `message`: where the answer says why it failed."""

    model_config = CLOSED

    id: Pointer | None = None
    path: Path | None = None
    address: Pointer | None = None
    location: bool = False
    state: Pointer | None = None
    done: Annotated[tuple[Any, ...], OneOrMany()] = ()
    failed: Annotated[tuple[Any, ...], OneOrMany()] = ()
    unknown: Annotated[tuple[Any, ...], OneOrMany()] = ()
    results: Annotated[tuple[ApiResults, ...], OneOrMany()] = ()
    unnamed: Unnamed = "unknown"
    results_path: Path | None = None
    page: ApiPaging | None = None
    message: Pointer | None = None

    @model_validator(mode="after")
    def _can_be_followed(self) -> Self:
        if [self.id is not None, self.address is not None, self.location].count(True) != 1:
            raise ValueError("say by what a job is told: by 'id', by 'address' or by 'location'")
        if (self.id is None) != (self.path is None):
            raise ValueError("'id' and 'path' go together: a job that has an address is asked after there")
        for path in filter(None, (self.path, self.results_path)):
            if parameters(path) != ["job"]:
                raise ValueError(f"the path of a job has {{job}} in it once, and nothing else in {{}}: {path!r}")
        if self.results_path is not None and self.id is None:
            raise ValueError("'results_path' needs the job's 'id'")
        if (self.state is None) != (not self.done) or (self.state is None and (self.failed or self.unknown)):
            raise ValueError("'state' and 'done' go together: say where the state stands, and when the job is done")
        if self.page is not None and (self.results_path is None or any(r.by == "order" for r in self.results)):
            raise ValueError("'page' is of results at 'results_path' that name their records")
        if self.results_path is not None and not self.results:
            raise ValueError("'results_path' needs 'results': say what stands there")
        return self
