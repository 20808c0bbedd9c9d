"""The HTTP sink: each batch is one POST of a JSON array of `{key, op, fields}`. A short form of `type: http`.

An answer of 2xx means that every record of the batch was taken, a refusal that none was: the endpoint has no way to say
which record it means, so the engine halves a refused batch. The receiver keys by `key`, so a repeat overwrites: that
is what makes a push to it repeatable. Dates travel as ISO 8601, decimals as numbers' text, bytes not at all.
Nothing can be looked up or read back: it is write-only.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.destinations.http import HttpApi
from revetl.destinations.http import Options as ApiOptions
from revetl.destinations.http_sink.options import Options
from revetl.http import Transport


class HttpSink(HttpApi):
    def __init__(self, name: str, options: Options, clock: Clock, transport: Transport | None = None) -> None:
        query = dict(parse_qsl(urlsplit(options.url).query))
        super().__init__(name, as_http(options), clock, transport, secrets=[*query.values()])


def as_http(options: Options) -> ApiOptions:
    """The same as options of `type: http`."""
    url = urlsplit(options.url)
    path = url.path or "/"
    push = {"method": "POST", "path": path, "query": dict(parse_qsl(url.query)), "rows": options.batch_rows}
    push["shape"] = "change"
    return ApiOptions.model_validate(
        {
            "base_url": options.url.partition("?")[0].removesuffix(url.path),
            "headers": options.headers,
            "concurrency": options.concurrency,
            "allow_insecure": options.allow_insecure,
            "check": {"method": "POST", "path": path, "body": "[]"},  # an empty batch, to be taken like any other
            "status": [
                # Of these every record would be refused: the address or the method is wrong, not a record.
                {"http": [404, 405, 410, 415], "verdict": "denied"},
                {"http": "2xx", "verdict": "ok"},
            ],
            "objects": {"*": {"upsert": push, "delete": push}},
        }
    )


def connect(name: str, options: Options, clock: Clock) -> Destination:
    return HttpSink(name, options, clock)
