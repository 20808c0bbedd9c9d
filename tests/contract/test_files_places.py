"""Each place for files, past the contract: a name is made once, failures are told apart, hosts are known ones alone."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import asyncssh
import httpx
import pytest

from revetl.clock import SystemClock
from revetl.destinations.files.connector import store_of
from revetl.destinations.files.local import LocalStore
from revetl.destinations.files.options import Options
from revetl.destinations.files.sftp import SftpStore
from revetl.destinations.files.spool import SpooledFile, spooled
from revetl.destinations.files.store import FileStore
from revetl.errors import Ambiguous, CallError, ConfigError, Denied, Throttled, Unavailable
from tests.support.file_servers import files_in_bucket, lasting_s3, lasting_sftp
from tests.support.files import files_below
from tests.support.gcs import GcsStandIn

OURS, THEIRS = b"ours\n" * 100_000, b"theirs"


def place(kind: str, folder: Path) -> tuple[FileStore, Any]:
    """A store, and what reads the files there."""
    if kind == "s3":
        server = lasting_s3()
        bucket = server.new_bucket()
        options = {"url": f"s3://{bucket}/crm", "s3": server.options()}
        return store_of("lake", Options.model_validate(options), SystemClock()), lambda: files_in_bucket(
            server, bucket, "crm/"
        )
    if kind == "sftp":
        server_ = lasting_sftp()
        options = {"url": server_.url(folder), "sftp": server_.options()}
        return store_of("lake", Options.model_validate(options), SystemClock()), lambda: files_below(folder)
    return store_of("lake", Options.model_validate({"url": f"file://{folder}"}), SystemClock()), lambda: files_below(
        folder
    )


@pytest.mark.parametrize("kind", ["folder", "s3", "sftp"])
def test_a_name_is_made_once_and_never_written_over(kind: str, tmp_path: Path) -> None:
    store, files = place(kind, tmp_path)

    async def play() -> list[bool]:
        ours, theirs = spooled(OURS), spooled(THEIRS)
        said = [await store.create("people/2024/a.csv", ours), await store.create("people/2024/a.csv", theirs)]
        said += [await store.holds("people/2024/a.csv", file) for file in (ours, theirs)]
        await store.close()
        return said

    assert asyncio.run(play()) == [True, False, True, False]
    assert files() == {"people/2024/a.csv": OURS}, "and nothing else is left there"


@pytest.mark.parametrize("kind", ["folder", "sftp"])
def test_two_at_once_make_one(kind: str, tmp_path: Path) -> None:
    async def one() -> bool:
        store, _ = place(kind, tmp_path)
        try:
            return await store.create("a.csv", spooled(OURS))
        finally:
            await store.close()

    async def both() -> list[bool | BaseException]:
        return await asyncio.gather(one(), one(), return_exceptions=True)

    said = asyncio.run(both())
    # One may take the other's half for what a killed process left: it then tries again.
    assert said.count(True) == 1, said
    assert all(isinstance(answer, bool | Unavailable) for answer in said), said
    assert {path: content for path, content in files_below(tmp_path).items() if ".part" not in path} == {"a.csv": OURS}


class Watched:
    """A content that does something else once it was read to its end."""

    def __init__(self, file: SpooledFile, at_end: Callable[[], object]) -> None:
        self._file, self._at_end = file, at_end

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.content.read(size)
        if not chunk:
            self._at_end()
        return chunk


@pytest.mark.parametrize("other_is_done", [True, False])
@pytest.mark.parametrize("kind", ["folder", "sftp"])
def test_whose_half_another_attempt_removed_has_lost_or_tries_again(
    kind: str, other_is_done: bool, tmp_path: Path
) -> None:
    store, files = place(kind, tmp_path)

    def other() -> None:
        [part] = tmp_path.glob(".a.csv.*.part")
        part.unlink()
        if other_is_done:
            (tmp_path / "a.csv").write_bytes(THEIRS)

    file = spooled(OURS)

    async def play() -> None:
        with pytest.raises(Unavailable, match="another attempt at this file removed ours"):
            await store.create("a.csv", SpooledFile(Watched(file, other), 0, file.bytes, file.sha256))  # type: ignore[arg-type]
        file.content.seek(0)
        assert await store.create("a.csv", file) is not other_is_done
        await store.close()

    asyncio.run(play())
    assert files() == {"a.csv": THEIRS if other_is_done else OURS}


def test_what_another_attempt_removed_first_is_no_failure(tmp_path: Path) -> None:
    """Of a half that was listed, and of our own once it has its name."""
    store, files = place("sftp", tmp_path)
    assert isinstance(store, SftpStore)

    async def play() -> bool:
        await store.check()
        sftp, link = store._sftp, store._sftp.link

        async def listed(folder: str) -> list[str]:
            return [".a.csv.0123abcd.part"]

        async def linked(part: str, target: str) -> None:
            await link(part, target)
            await sftp.remove(part)

        sftp.listdir, sftp.link = listed, linked
        made = await store.create("a.csv", spooled(OURS))
        await store.close()
        return made

    assert asyncio.run(play())
    assert files() == {"a.csv": OURS}


@pytest.mark.parametrize("kind", ["folder", "sftp"])
def test_what_a_killed_process_left_goes_with_the_next_attempt(kind: str, tmp_path: Path) -> None:
    store, files = place(kind, tmp_path)
    (tmp_path / ".a.csv.0123abcd.part").write_bytes(b"half")
    (tmp_path / ".another.csv.0123abcd.part").write_bytes(b"of somebody else")

    async def play() -> None:
        assert await store.create("a.csv", spooled(OURS))
        await store.close()

    asyncio.run(play())
    assert files() == {"a.csv": OURS, ".another.csv.0123abcd.part": b"of somebody else"}


@pytest.mark.parametrize("kind", ["folder", "sftp"])
def test_the_folder_of_the_url_is_not_made(kind: str, tmp_path: Path) -> None:
    store, _ = place(kind, tmp_path / "not-mounted")
    assert "there is no folder" in str(failure(store, Denied))
    with pytest.raises(Denied, match="there is no folder"):
        asyncio.run(checked(store))
    assert list(tmp_path.iterdir()) == []


async def checked(store: FileStore) -> str:
    try:
        return await store.check()
    finally:
        await store.close()


def failure(store: FileStore, kind: type[CallError | ConfigError], content: bytes = THEIRS) -> CallError | ConfigError:
    async def play() -> None:
        try:
            await store.create("a.csv", spooled(content))
        finally:
            await store.close()

    with pytest.raises(kind) as raised:
        asyncio.run(play())
    assert type(raised.value) is kind
    return raised.value


# A folder.


def test_files_and_folders_are_for_their_owner_alone(tmp_path: Path) -> None:
    store, _ = place("folder", tmp_path)
    asyncio.run(store.create("people/a.csv", spooled(OURS)))
    assert stat.S_IMODE((tmp_path / "people/a.csv").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "people").stat().st_mode) == 0o700


@pytest.mark.parametrize("link", ["people", "people/2026", "people/2026/a.csv"])
def test_a_link_below_the_url_is_refused_and_named(tmp_path: Path, link: str) -> None:
    root, elsewhere = tmp_path / "real", tmp_path / "elsewhere"
    root.mkdir(), elsewhere.mkdir()
    (tmp_path / "url").symlink_to(root)  # the url itself may be one
    store, _ = place("folder", tmp_path / "url")
    assert asyncio.run(store.create("others/a.csv", spooled(OURS)))
    at = root / link
    at.parent.mkdir(parents=True, exist_ok=True)
    at.symlink_to(elsewhere if at.suffix == "" else elsewhere / "a.csv")
    for work in (store.create, store.holds):
        with pytest.raises(Denied, match=f"{link} in .*url is a link"):
            asyncio.run(work("people/2026/a.csv", spooled(OURS)))
    assert [*elsewhere.iterdir()] == []


def test_killed_between_any_two_calls_of_the_system_a_file_is_there_whole_or_not(tmp_path: Path) -> None:
    """A process of its own, killed by SIGKILL before the n-th of them; then another one makes the file."""
    step, met = 1, set[bool]()
    while True:
        root = tmp_path / str(step)
        root.mkdir()
        store, files = place("folder", root)
        assert isinstance(store, LocalStore)
        file = spooled(OURS)
        if not dies_at(step, lambda store=store, root=root, file=file: store._create(root / "people/a.csv", file)):  # type: ignore[misc]
            break
        standing = {path: content for path, content in files().items() if not path.endswith(".part")}
        assert standing in ({}, {"people/a.csv": OURS})
        met.add(bool(standing))
        made = asyncio.run(store.create("people/a.csv", spooled(OURS)))
        assert made is not bool(standing)
        assert files() == {"people/a.csv": OURS}
        step += 1
    assert met == {True, False}
    assert step > 5


def dies_at(step: int, work: Callable[[], object]) -> bool:
    """Whether a copy of this process came to that call of the file system, and was killed there."""
    child = os.fork()
    if not child:
        calls = 0

        def seen(event: str, _: object) -> None:
            nonlocal calls
            if event in ("open", "os.link", "os.mkdir", "os.remove", "os.unlink", "glob.glob", "os.scandir"):
                calls += 1
                if calls == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(seen)
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


# S3.


@contextmanager
def answering(status: int, code: str) -> Iterator[tuple[str, list[Any]]]:
    """(endpoint, the headers of requests): a store that answers everything so; 0 cuts the connection."""
    seen: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            seen.append(self.headers)
            self.rfile.read(int(self.headers["Content-Length"]))
            if not status:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            body = b"" if not code else f"<Error><Code>{code}</Code><Message>for secret-word</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def bucket_at(endpoint: str) -> FileStore:
    keys = {"access_key_id": "sender", "secret_access_key": "secret-word", "session_token": "secret-word"}
    options = {"url": "s3://exports", "s3": {"endpoint_url": endpoint, **keys}}
    return store_of("lake", Options.model_validate(options), SystemClock())


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", Denied),
        (403, "SignatureDoesNotMatch", Denied),
        (404, "NoSuchBucket", Denied),
        (409, "ConditionalRequestConflict", Unavailable),
        (503, "SlowDown", Throttled),
        (503, "ServiceUnavailable", Unavailable),
        (500, "InternalError", Ambiguous),
        (200, "", None),
        (200, "InternalError", Ambiguous),
        (0, "", Ambiguous),
    ],
)
def test_what_an_answer_of_s3_means(status: int, code: str, kind: type[CallError] | None) -> None:
    with answering(status, code) as (endpoint, seen):
        if kind is None:
            assert asyncio.run(bucket_at(endpoint).create("a.csv", spooled(OURS)))
        else:
            said = str(failure(bucket_at(endpoint), kind, OURS))
            assert "secret-word" not in said
            assert code in said
    assert len(seen) == 1, "repeated by us alone, who know what may have been applied"
    assert seen[0]["If-None-Match"] == "*"
    assert seen[0]["x-amz-checksum-sha256"]
    assert seen[0]["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=sender/")


def test_nobody_at_the_endpoint_is_unavailable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    failure(bucket_at(f"http://127.0.0.1:{port}"), Unavailable)


def test_without_credentials_nothing_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    options = {"url": "s3://exports", "s3": {"endpoint_url": "http://127.0.0.1:9"}}
    said = failure(store_of("lake", Options.model_validate(options), SystemClock()), Denied)
    assert "no credentials were found" in str(said)


# SFTP.


def test_a_host_with_another_key_is_not_talked_to(tmp_path: Path) -> None:
    server = lasting_sftp()
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().split()
    for line in (f"[127.0.0.1]:{server.port} {other[0]} {other[1]}\n", ""):
        (tmp_path / "known_hosts").write_text(line)
        options = {"url": server.url(tmp_path), "sftp": server.options(known_hosts=str(tmp_path / "known_hosts"))}
        said = str(failure(store_of("lake", Options.model_validate(options), SystemClock()), Denied))
        assert "does not stand in" in said
        assert [p.name for p in tmp_path.iterdir()] == ["known_hosts"]


def test_a_key_that_the_server_does_not_take_is_denied(tmp_path: Path) -> None:
    server = lasting_sftp()
    other = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    options = {"url": server.url(tmp_path), "sftp": server.options(private_key=other)}
    assert "refuses the user" in str(failure(store_of("lake", Options.model_validate(options), SystemClock()), Denied))


@pytest.mark.parametrize(
    ("wrong", "said"), [({"known_hosts": "/nowhere"}, "known_hosts: there is no file"), ({"private_key": "no"}, "read")]
)
def test_what_is_no_key_and_no_file_is_a_configuration_error(wrong: dict[str, str], said: str, tmp_path: Path) -> None:
    server = lasting_sftp()
    options = {"url": server.url(tmp_path), "sftp": server.options(**wrong)}
    assert said in str(failure(store_of("lake", Options.model_validate(options), SystemClock()), ConfigError))


class Linkless:
    """A server without links: what stands there, and what it was asked for."""

    def __init__(self, *standing: str, overwrites: bool = False) -> None:
        self.files, self.asked = {*standing}, list[str]()

    async def link(self, part: str, target: str) -> None:
        raise asyncssh.SFTPOpUnsupported("no links")

    async def lexists(self, path: str) -> bool:
        return path in self.files

    async def rename(self, part: str, target: str) -> None:
        self.asked.append("rename")
        self.files = self.files - {part} | {target}

    async def remove(self, path: str) -> None:
        self.files.remove(path)


def test_a_server_without_links_is_asked_for_a_rename_onto_a_free_name_alone() -> None:
    options = Options.model_validate(
        {"url": "sftp://me@files.example/in", "sftp": {"known_hosts": "h", "password": "p"}}
    )
    store = store_of("lake", options, SystemClock())
    assert isinstance(store, SftpStore)
    free, taken = Linkless("part"), Linkless("part", "a.csv")
    assert asyncio.run(store._named(free, "part", "a.csv")) is True
    assert asyncio.run(store._named(taken, "part", "a.csv")) is False
    assert (free.files, free.asked) == ({"a.csv"}, ["rename"])
    assert (taken.files, taken.asked) == ({"a.csv"}, [])


def test_a_connection_that_breaks_before_the_name_is_made_left_nothing(tmp_path: Path) -> None:
    """The next call makes a new one."""
    store, files = place("sftp", tmp_path)
    assert isinstance(store, SftpStore)

    class Cut:
        """A content that ends the connection half-way."""

        def __init__(self, file: SpooledFile) -> None:
            self._file = file

        def read(self, size: int) -> bytes:
            store._connection.abort()
            return self._file.content.read(size)

    async def play() -> None:
        file = spooled(OURS)
        with pytest.raises(Unavailable):
            await store.create("a.csv", SpooledFile(Cut(file), 0, file.bytes, file.sha256))  # type: ignore[arg-type]
        assert "a.csv" not in files()
        file.content.seek(0)
        assert await store.create("a.csv", file)
        await store.close()

    asyncio.run(play())
    assert files() == {"a.csv": OURS}


# GCS.


def play_gcs(cloud: GcsStandIn, *contents: bytes) -> list[bool | CallError]:
    """What became of each, made under one name."""
    options = {"url": "gs://exports/crm", "gcs": {"service_account": cloud.service_account}}

    async def play() -> list[bool | CallError]:
        store = store_of("lake", Options.model_validate(options), SystemClock(), httpx.MockTransport(cloud.answer))
        said: list[bool | CallError] = []
        for content in contents:
            try:
                said.append(await store.create("a.csv", spooled(content)))
                assert await store.holds("a.csv", spooled(content)) is said[-1]
            except CallError as e:
                said.append(e)
        await store.close()
        return said

    return asyncio.run(play())


LARGE = b"0123456789abcdef" * 2**20 + b"end"  # three pieces


def test_an_upload_to_gcs_in_pieces_makes_a_name_once() -> None:
    cloud = GcsStandIn("exports")
    assert play_gcs(cloud, LARGE, THEIRS) == [True, False]
    assert cloud.below("crm/") == {"a.csv": LARGE}


def test_who_ends_an_upload_to_gcs_second_makes_nothing() -> None:
    cloud = GcsStandIn("exports")
    piece = cloud._piece

    def other_is_first(request: httpx.Request) -> httpx.Response:
        cloud.objects.setdefault("crm/a.csv", (b"other", {}))
        return piece(request)

    cloud._piece = other_is_first  # type: ignore[method-assign]
    assert play_gcs(cloud, THEIRS) == [False]
    assert cloud.below("crm/") == {"a.csv": b"other"}


@pytest.mark.parametrize(
    ("content", "fail", "kind", "stands"),
    [
        (LARGE, [0], Unavailable, False),  # a piece that is not the last: nothing is seen
        (THEIRS, [0], Ambiguous, True),
        (THEIRS, [500], Ambiguous, False),
        (THEIRS, [403], Denied, False),
    ],
)
def test_what_an_answer_of_gcs_means(content: bytes, fail: list[int], kind: type[CallError], stands: bool) -> None:
    cloud = GcsStandIn("exports", fail=fail)
    [said] = play_gcs(cloud, content)
    assert type(said) is kind
    assert "upload_id" not in str(said)
    assert (cloud.below("crm/") == {"a.csv": content}) is stands


def test_a_bucket_that_is_not_there_is_denied() -> None:
    [said] = play_gcs(GcsStandIn("others"), THEIRS)
    assert type(said) is Denied


def test_what_is_no_key_of_a_service_account_is_said_without_it() -> None:
    options = {"url": "gs://exports", "gcs": {"service_account": '{"private_key": "secret-word"}'}}
    with pytest.raises(ConfigError, match="no JSON key of a service account") as refused:
        store_of("lake", Options.model_validate(options), SystemClock())
    assert "secret-word" not in str(refused.value)
