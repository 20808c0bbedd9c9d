"""--quiet, --verbose, --log-format and --log-file: where the log goes, what is in it, and what never is."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import stat
from importlib import import_module
from pathlib import Path

import pytest

from revetl.cli import main as shell
from revetl.cli.logs import JsonFormatter, LineFormatter
from revetl.clock import SystemClock
from tests.support.cli_project import NAME, call

LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) revetl\.[\w.]+ ")


@pytest.mark.parametrize("before", [True, False], ids=["before the command", "after it"])
def test_a_log_in_json_has_the_run_its_steps_and_its_counts(
    project: Path, capsys: pytest.CaptureFixture[str], before: bool
) -> None:
    flags = ["--verbose", "--log-format", "json"]
    code, out, err = call(capsys, *([*flags, "sync", "--json"] if before else ["sync", "--json", *flags]))
    assert code == 0
    (report,) = json.loads(out)
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    found = {line["message"]: line for line in lines}
    assert {"run started", "plan frozen", "batch answered", "run finished"} <= set(found)
    assert {line["run_id"] for line in lines if "run_id" in line} == {report["run_id"]}
    assert (found["plan frozen"]["create"], found["plan frozen"]["sync"]) == (5, NAME)
    assert (found["batch answered"]["records"], found["batch answered"]["ok"]) == (5, 5)
    assert (found["run finished"]["status"], found["run finished"]["ok"]) == ("done", 5)
    assert {"at", "level", "logger", "message"} <= set(lines[0])


def test_a_file_is_its_owners_and_is_appended_to(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "revetl.log"
    file.touch(0o644)
    for _ in range(2):
        code, _, err = call(capsys, "sync", "--log-file", str(file))
        assert code == 0
        assert not LINE.search(err), "nothing of it is on stderr"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = file.read_text("utf-8").splitlines()
    assert all(LINE.match(line) for line in lines)
    assert sum("run finished" in line for line in lines) == 2
    assert not any(" DEBUG " in line for line in lines), "batches and calls only with --verbose"


def test_a_log_holds_no_value_no_key_and_no_secret(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a good run, of a refused one, and of a vendor that is away; as text and as JSON."""

    async def wait_less(_: SystemClock, seconds: float) -> None:
        await asyncio.sleep(seconds / 100)

    monkeypatch.setattr(SystemClock, "sleep", wait_less)  # between attempts on the vendor that is away
    file = project / "revetl.log"
    flags = ("--verbose", "--log-file", str(file))
    assert call(capsys, *flags, "sync")[0] == 0
    assert call(capsys, *flags, "--log-format", "json", "explain", f"{project.name}-1")[0] == 0
    connections = project / "profiles/connections.yml"
    connections.write_text(connections.read_text("utf-8").replace("pat-test", "pat-bad-canary"), "utf-8")
    assert call(capsys, *flags, "sync", "--full-refresh")[0] == 4
    connections.write_text(
        re.sub(r"http://[^'\"]+", "http://127.0.0.1:1/canary-path", connections.read_text()), "utf-8"
    )
    assert call(capsys, *flags, "sync", "--full-refresh")[0] == 1
    said = file.read_text("utf-8")
    assert said.count("run finished") + said.count("plan frozen") >= 3
    for marked in ("pat-test", "pat-bad-canary", "canary-path", f"@{project.name}.example", "P 1", "Traceback"):
        assert marked not in said
    assert not re.search(rf"{project.name}-\d", said.replace(str(project), "")), "no key of a record"


def test_quiet_leaves_out_notes_and_keeps_results_and_errors(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def of(*flags: str) -> tuple[int, str, str]:
        assert call(capsys, "plan", "--out", str(project / "plan.json"))[0] == 0
        return call(capsys, *flags, "apply", str(project / "plan.json"))

    code, out, err = of()
    assert (code, "sent by the next sync" in err) == (0, True)
    code, out, err = of("--quiet")
    assert (code, err) == (0, "")
    assert NAME in out
    code, out, err = call(capsys, "-q", "sync", "-s", "nothing")
    assert (code, out, "nothing" in err) == (2, "", True)


def test_nothing_is_logged_where_nobody_asked(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "--verbose", "sync")[0] == 0
    code, _, err = call(capsys, "sync")
    assert (code, LINE.search(err)) == (0, None), "the flags of one command are not those of the next"
    assert [h for h in logging.getLogger("revetl").handlers if type(h).__module__ == "revetl.cli.logs"] == []


def test_a_file_that_cannot_be_written_is_a_usage_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "--log-file", str(tmp_path / "none/x.log"), "schema", "project")
    assert (code, out, "--log-file" in err) == (2, "", True)


@pytest.mark.parametrize("name", list(shell.COMMANDS))
def test_every_command_takes_the_flags(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for before in (True, False):
        flags = ["--quiet", "--verbose", "--log-format", "json"]
        assert shell.run([*flags, name, "--help"] if before else [name, *flags, "--help"]) == 0
    taken = [opt for p in import_module(f"revetl.cli.commands.{name}").command.params for opt in p.opts]
    assert len(taken) == len({*taken}), "no flag of a command means two things"


def test_a_traceback_that_was_asked_for_is_shown_beside_them() -> None:
    assert shell._debugging(["--log-file", "x", "--debug", "sync"])
    assert not shell._debugging(["--log-file", "x", "sync", "--debug"])


def test_a_line_is_one_line_and_steers_no_terminal() -> None:
    record = logging.makeLogRecord({"name": "revetl.x", "msg": "a\nb\x1b[31m", "sync": "c\rd", "exc_info": None})
    line = LineFormatter().format(record)
    assert line.isprintable()
    assert line.endswith(r"a\nb\x1b[31m sync=c\rd")
    assert "\n" not in JsonFormatter().format(record)


def test_an_exception_in_a_record_is_not_written() -> None:
    try:
        raise ValueError("a customer's value")
    except ValueError as e:
        record = logging.makeLogRecord({"name": "revetl.x", "msg": "failed", "exc_info": (type(e), e, e.__traceback__)})
    for formatter in (LineFormatter(), JsonFormatter()):
        assert "customer" not in formatter.format(record)
