"""README.md and docs/guides as programs: their fenced blocks, run in a shell as a reader would type them.

What a block is follows from the words behind its fence:

- ```console: lines that begin with `$ ` are run, in the order of the page; the lines below each have to be printed, in
  that order. `…` in a line stands for any text, and `…` alone for any lines. What follows ` # ` is a remark. A command
  ends with 0, or the page says with what: `$ echo $?`.
- ```yaml title="PATH" (or another language): the file PATH of the project. ```yaml append="PATH": added to its end.
- ```sql: is asked of the project's warehouse, one statement after the other.
- ```yaml of steps (`- run: …`), as of a workflow: each is run.
- ```crontab: its lines are run with cron's bare environment.
- ```ini title="x.service": ExecStart is run with the unit's.

`make` is only asked whether it has such a target, and `pip install` whether the package offers such an extra.

What differs from run to run (`VARYING`) has a form, and only the form is compared. A page's test may name words of the
page that stand for others (`stands_for`), such as a key.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

# The starter's variables that say where its vendors are, by the sandbox's address.
THE_STARTERS = {"HUBSPOT_BASE_URL": "{}", "SALESFORCE_BASE_URL": "{}/salesforce", "REVETL_SANDBOX_URL": "{}"}
REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = {
    path.relative_to(REPOSITORY).as_posix(): path
    for path in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs/guides").glob("*.md")))
}
# Where the same command prints something else each time, and what it always looks like.
VARYING = {
    "a run's id": r"\b\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{6}\b",
    "a run's short id": r"\b[0-9a-f]{6}\b",
    "a moment": r"\b(?:\d{4}-)?\d\d-\d\d \d\d:\d\d(?::\d\d)?\b",
    "a duration": r"\b\d+(?:\.\d+)? (?:ms|s|min)\b",
    "an address on this machine": r"\b127\.0\.0\.1:\d+\b",
    "an id at the sandbox": r"\b1000\d{5}\b",
    "an id at the sandbox's Salesforce": r"\b00[13]Sb[0-9A-Za-z]{12}\b",
}
_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r'(title|append)="([^"]+)"')
_LIMIT_S = 900


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `words`: what stands behind the fence; `line`: of the fence, from 1."""

    page: str
    line: int
    words: str
    text: str

    @property
    def language(self) -> str:
        return self.words.split(" ")[0]

    @property
    def file(self) -> tuple[str, str] | None:
        """("title" or "append", path) where the block is a file or a piece of one."""
        found = _TITLE.search(self.words)
        return (found[1], found[2]) if found else None

    def __str__(self) -> str:
        return f"{self.page}:{self.line} ```{self.words}"


def blocks(page: str) -> list[Block]:
    text = PAGES[page].read_text(encoding="utf-8")
    return [Block(page, text[: m.start()].count("\n") + 1, m[1].strip(), m[2]) for m in _BLOCK.finditer(text)]


def commands(text: str) -> list[tuple[str, list[str]]]:
    """(command, the lines shown below it) of a console block."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((re.sub(r"\s+#\s.*$", "", line[2:]), []))
        elif line.strip():
            assert found, f"a block begins with its command: {line}"
            found[-1][1].append(line)
    return found


def first_missing(shown: list[str], printed: str) -> str | None:
    """The first line of `shown` that is not printed below those before it; None where all are. Blanks count as one."""
    rest = [_form(line) for line in printed.splitlines()]
    for line in shown:
        pattern = ".*".join(re.escape(part.strip()) for part in _form(line).split("…"))
        at = next((i for i, candidate in enumerate(rest) if re.search(pattern, candidate)), None)
        if at is None:
            return line
        del rest[: at + 1]
    return None


def _form(line: str) -> str:
    for name, pattern in VARYING.items():
        line = re.sub(pattern, f"<{name}>", line)
    return " ".join(line.split())


def _steps(text: str) -> list[str]:
    """What the steps of a workflow run; none where the text is something else."""
    steps = yaml.safe_load(text)
    return [step["run"] for step in steps] if isinstance(steps, list) and all("run" in s for s in steps) else []


@dataclass
class Reader:
    """Somebody who goes through a page with a project at hand. `cwd` and `environ` are the shell's, and stay from one
    command to the next. `before`: what happens in the reader's world before a command that begins so."""

    cwd: Path
    environ: dict[str, str]
    ask: Callable[[str], object]  # runs one statement of SQL in the warehouse
    stands_for: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    before: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    printed: Mapping[str, str] = field(default_factory=dict)  # of commands that a fixture has run already
    # What the project's files read, to find the sandbox.
    addresses: dict[str, str] = field(default_factory=lambda: dict(THE_STARTERS))
    sandboxes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _code: int = 0
    _pty: tuple[int, int] | None = None

    def read(self, page: str, elsewhere: Mapping[str, str] | None = None) -> None:
        """Runs every block of the page. `elsewhere`: the words of a fence → who runs such blocks. AssertionError with
        the place in the page where something is not as it says, and for a block that nobody runs."""
        used = set()
        for block in blocks(page):
            if elsewhere and block.words in elsewhere:
                used.add(block.words)
                continue
            self.run(block)
        assert used == set(elsewhere or ()), f"{page} has no such block any more: {set(elsewhere or ()) - used}"

    def run(self, block: Block) -> None:
        text = block.text if block.language == "console" else self._with_our_words(block.text)
        if block.file is not None:
            self._write(block, text)
            if block.file[1].endswith(".service"):
                self._unit(block, text)
        elif block.language == "console":
            self._console(block, text)
        elif block.language == "sql":
            for statement in filter(str.strip, text.split(";")):
                self._ask(block, statement)
        elif block.language == "crontab":
            self._crontab(block, text)
        elif block.language == "yaml" and (steps := _steps(text)):
            for step in steps:
                printed = self.shell(step)
                assert self._code == 0, f"{block}\n{step}\nended with {self._code}\n{printed}"
        else:
            raise AssertionError(f"nobody runs {block}")

    def ask_inline(self, page: str) -> int:
        """Runs every `SELECT …` that stands in a sentence or a table. How many there were."""
        found = re.findall(r"`(SELECT [^`]+)`", PAGES[page].read_text(encoding="utf-8"), re.IGNORECASE)
        for statement in found:
            self._ask(Block(page, 0, "inline", statement), self._with_our_words(statement))
        return len(found)

    def _ask(self, block: Block, statement: str) -> None:
        try:
            self.ask(statement)
        except Exception as e:
            raise AssertionError(f"{block}\n{statement}\n{e}") from e

    def _with_our_words(self, text: str) -> str:
        for word, ours in self.stands_for.items():
            if word in text:
                text = text.replace(word, ours())
        return text

    def _write(self, block: Block, text: str) -> None:
        assert block.file is not None
        how, path = block.file
        target = self.cwd / path
        if how == "append":
            assert target.is_file(), f"{block}: there is no such file"
            text = target.read_text(encoding="utf-8") + text
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def _console(self, block: Block, text: str) -> None:
        lines = commands(text)
        for at, (command, shown) in enumerate(lines):
            for beginning, event in self.before.items():
                if command.startswith(beginning):
                    event()
            command, *shown = map(self._with_our_words, (command, *shown))
            if command.startswith("revetl sandbox start"):
                self.serve(command)
                continue
            if command == "echo $?":
                assert [line.strip() for line in shown] == [str(self._code)], f"{block}: ended with {self._code}"
                continue
            printed = self._special(block, command)
            if printed is None:
                printed = self.shell(command)
            code_is_shown = at + 1 < len(lines) and lines[at + 1][0] == "echo $?"
            assert self._code == 0 or code_is_shown, f"{block}\n$ {command}\nended with {self._code}\n{printed}"
            missing = first_missing(shown, printed)
            assert missing is None, f"{block}\n$ {command}\ndid not print: {missing}\nbut:\n{printed}"

    def _special(self, block: Block, command: str) -> str | None:
        """Commands that are not run here as they stand: None for every other one."""
        if command in self.printed:
            return self.printed[command]
        if command.startswith("make "):
            self._code = subprocess.run([*command.split(), "-n"], cwd=REPOSITORY, capture_output=True).returncode
            return ""
        if command.startswith("pip install "):
            self._code = 0
            package = self.cwd if "-e" in command.split() else REPOSITORY
            offered = tomllib.loads((package / "pyproject.toml").read_text("utf-8"))["project"]
            for extra in re.findall(r"\[(\w+)\]", command):
                assert extra in offered["optional-dependencies"], f"{block}: there is no extra {extra}"
            return ""
        return None

    def shell(self, command: str, environ: Mapping[str, str] | None = None) -> str:
        """What it prints, errors too. Folder and variables are taken over, unless it has an `environ` of its own."""
        state = Path(self.environ["GUIDE_STATE"])
        keep = "" if environ else f"\n__code=$?; pwd > {state}.cwd; env -0 > {state}.env; exit $__code"
        done = subprocess.run(
            ["bash", "-c", command + keep],
            cwd=self.cwd,
            env=dict(environ or self.environ),
            stdin=subprocess.DEVNULL if environ else self._terminal(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        self._code = done.returncode
        if not environ and (after := Path(f"{state}.cwd")).exists():
            self.cwd = Path(after.read_text().strip())
            pairs = Path(f"{state}.env").read_text().split("\0")
            self.environ = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        return done.stdout

    def _terminal(self) -> int:
        """A terminal at which somebody says yes, to whatever is asked."""
        if self._pty is None:
            self._pty = os.openpty()
            os.write(self._pty[0], b"y\n" * 50)
        return self._pty[1]

    def serve(self, command: str) -> None:
        """In another terminal, on a free port: the variables that connections.yml reads say which."""
        ready = Path(self.environ["GUIDE_STATE"] + f".ready{len(self.sandboxes)}")
        words = [*shlex.split(command)[1:], "--port", "0", "--ready-file", str(ready)]
        process = subprocess.Popen(
            [sys.executable, "-m", "revetl.cli.main", *words],
            cwd=self.cwd,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.sandboxes.append(process)
        deadline = time.monotonic() + 60
        while not ready.exists() or not ready.read_text().strip():
            assert process.poll() is None, f"{command} ended with {process.returncode}"
            assert time.monotonic() < deadline, command
            time.sleep(0.02)
        address = ready.read_text().strip()
        self.environ |= {name: form.format(address) for name, form in self.addresses.items()}

    def _crontab(self, block: Block, text: str) -> None:
        bare = {"HOME": self.environ["HOME"], "LOGNAME": "crm", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
        for line in filter(None, map(str.strip, text.splitlines())):
            if line.startswith("#"):
                continue
            if assigned := re.fullmatch(r"([A-Z_]+)\s*=\s*(.*)", line):
                bare[assigned[1]] = assigned[2].strip("'\"")
                continue
            *times, command = line.split(None, 5)
            assert len(times) == 5, f"{block}: {line}"
            assert all(re.fullmatch(r"[\d*/,-]+", word) for word in times), f"{block}: {line}"
            printed = self.shell(command, bare)
            assert self._code == 0, f"{block}\n{command}\nended with {self._code}\n{printed}"
            assert not printed, f"{block}: cron would mail this\n{printed}"

    def _unit(self, block: Block, text: str) -> None:
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd tells capitals apart
        parser.read_string(text)
        service = parser["Service"]
        bare = {"HOME": self.environ["HOME"], "PATH": "/usr/bin:/bin"}
        if "EnvironmentFile" in service:
            bare |= dict(line.split("=", 1) for line in Path(service["EnvironmentFile"]).read_text().splitlines())
        before, self.cwd = self.cwd, Path(service["WorkingDirectory"])
        printed = self.shell(service["ExecStart"], bare)
        self.cwd = before
        allowed = {0, *map(int, service.get("SuccessExitStatus", "").split())}
        assert self._code in allowed, f"{block}\n{service['ExecStart']}\nended with {self._code}\n{printed}"

    def close(self) -> None:
        for process in self.sandboxes:
            process.terminate()
        for process in self.sandboxes:
            process.wait(20)
        for descriptor in self._pty or ():
            os.close(descriptor)


@contextmanager
def reader(cwd: Path, state: Path, ask: Callable[[str], object], **environ: str) -> Iterator[Reader]:
    """In `cwd`, with the commands of this environment on the PATH; `state` is a folder that the shell may write to.
    Nothing of the machine's own set-up of revetl, dbt or the terminal is seen."""
    state.mkdir(parents=True, exist_ok=True)
    (state / "home").mkdir(exist_ok=True)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("REVETL_", "DBT_", "HUBSPOT_", "PYTEST_"))}
    programs = Path(sys.executable).parent
    made = Reader(
        cwd,
        {
            **inherited,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(state / "home"),
            "COLUMNS": "160",
            "NO_COLOR": "1",
            "GUIDE_STATE": str(state / "shell"),
            **environ,
        },
        ask,
    )
    try:
        yield made
    finally:
        made.close()
