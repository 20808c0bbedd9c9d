"""A full disk, a reader that went away and a link in a folder of all, under stdout, stderr and the log's file."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.cli_project import call

FULL = Path("/dev/full")  # every write to it fails as on a full disk
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
# A result as JSON, one as lines, help, and failures of several kinds.
COMMANDS = [
    ("ls", "--json"),
    ("ls",),
    ("runs",),
    ("sync", "--json"),
    ("--help",),
    ("sync", "--help"),
    ("schema", "project"),
    ("ls", "--json", "-s", "nothing"),
    ("sync", "--json", "--limit", "0"),
    ("explain", "nobody", "--json"),
]


def run(
    words: Sequence[str], *, stdout: int, stderr: int = subprocess.PIPE, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "revetl.cli.main", *words]
    return subprocess.run(line, stdout=stdout, stderr=stderr, env=environ, text=True, timeout=60, check=False)


@needs_full
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_what_can_t_be_written_is_a_line_and_a_code(project: Path, words: tuple[str, ...]) -> None:
    with FULL.open("w") as full:
        done = run(words, stdout=full.fileno())
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.stderr.strip(), "it says why"
    if done.returncode == 1:
        assert "The disk is full" in done.stderr


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_reader_that_went_away_is_no_failure_to_speak_of(project: Path, words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(words, stdout=writing)
    finally:
        os.close(writing)
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert "Exception ignored" not in done.stderr


@needs_full
@pytest.mark.parametrize(("words", "code"), [(("ls", "--json"), 0), (("ls", "-s", "nothing"), 2)])
def test_a_stderr_that_can_t_be_written_changes_no_code(project: Path, words: tuple[str, ...], code: int) -> None:
    # Bare but for the project: with PYTHONUNBUFFERED nothing is left to fail at the end.
    bare = {"HOME": str(project), "PATH": os.defpath, "REVETL_PROJECT_DIR": str(project)}
    with FULL.open("w") as full:
        done = run(words, stdout=subprocess.PIPE, stderr=full.fileno(), environ=bare)
    assert done.returncode == code


@pytest.mark.parametrize("words", [("ls",), ("ls", "--json"), ("runs",)], ids=" ".join)
def test_a_stdout_that_is_closed(project: Path, words: tuple[str, ...]) -> None:
    line = " ".join([sys.executable, "-m", "revetl.cli.main", *words])
    done = subprocess.run(["/bin/sh", "-c", f"exec {line} >&-"], stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


def test_a_stdin_that_is_closed(project: Path) -> None:
    line = " ".join([sys.executable, "-m", "revetl.cli.main", "sync"])
    done = subprocess.run(["/bin/sh", "-c", f"exec {line} <&-"], stderr=subprocess.PIPE, text=True, check=False)
    assert "mistake in revetl" not in done.stderr
    assert done.returncode == 0


@needs_full
@pytest.mark.parametrize("flags", [(), ("--verbose", "--log-format", "json")], ids=["text", "json"])
def test_a_log_that_can_t_be_written_costs_a_sentence(
    project: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...]
) -> None:
    before = FULL.stat().st_mode
    code, out, err = call(capsys, "sync", "--json", "--log-file", str(FULL), *flags)
    assert code == 0
    (report,) = json.loads(out)
    assert report["status"] == "done"
    said = [line for line in err.splitlines() if "--log-file" in line]
    assert said == ["--log-file: /dev/full lacks lines of this command: No space left on device."]
    assert FULL.stat().st_mode == before, "a device is not ours to change"


@needs_full
def test_a_log_that_can_t_be_written_leaves_a_failure_its_code(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    connections = project / "profiles/connections.yml"
    connections.write_text(connections.read_text("utf-8").replace("pat-test", "pat-bad"), "utf-8")
    code, out, err = call(capsys, "sync", "--json", "--log-file", str(FULL))
    assert (code, json.loads(out)[0]["exit_code"] if out.startswith("[") else 4) == (4, 4)
    assert err.count("--log-file") == 1


def test_a_log_is_not_led_elsewhere_by_a_link_in_a_folder_of_all(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared, victim = tmp_path / "shared", tmp_path / "victim"
    shared.mkdir()
    shared.chmod(0o1777)
    link = shared / "revetl.log"
    for exists in (False, True):
        if exists:
            victim.write_text("as it was\n")
            victim.chmod(0o644)
        link.unlink(missing_ok=True)
        link.symlink_to(victim)
        code, out, err = call(capsys, "sync", "--log-file", str(link))
        assert (code, out) == (2, "")
        assert "is a link" in re.sub(r"\s+", " ", err)
        assert victim.exists() is exists
    assert (victim.read_text(), stat.S_IMODE(victim.stat().st_mode)) == ("as it was\n", 0o644)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file another's")
def test_a_link_of_another_user_is_refused_anywhere(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = tmp_path / "revetl.log"
    link.symlink_to(tmp_path / "victim")
    os.chown(link, 65534, 65534, follow_symlinks=False)
    assert call(capsys, "sync", "--log-file", str(link))[0] == 2
    assert not (tmp_path / "victim").exists()


def test_a_link_of_ones_own_is_followed(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = tmp_path / "revetl.log"
    link.symlink_to(tmp_path / "today.log")
    assert call(capsys, "sync", "--log-file", str(link))[0] == 0
    assert "run finished" in (tmp_path / "today.log").read_text()
