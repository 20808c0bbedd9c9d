"""YAML with lines: every mistake names its place and the nearest valid name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from revetl.documents import parse, read_yaml, render_env
from revetl.errors import ConfigError, Problem


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    threads: int = 1
    token: str = ""


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    parts: list[Inner] = []
    by_name: dict[str, Inner] = {}


def doc(tmp_path: Path, text: str):
    path = tmp_path / "x.yml"
    path.write_text(text, encoding="utf-8")
    return read_yaml(path)


def problems(error: pytest.ExceptionInfo[ConfigError]) -> list[tuple[int | None, str, str | None]]:
    return [(p.line, p.message, p.hint) for p in error.value.problems]


def test_lines_of_keys_and_items(tmp_path: Path) -> None:
    d = doc(tmp_path, "name: a\nparts:\n  - threads: 1\n  -\n    threads: 2\n")
    assert d.line(("name",)) == 1
    assert d.line(("parts", 1, "threads")) == 5
    assert d.line(("parts", 0, "nothing", "here")) == 3  # the nearest that exists


def test_misspelt_key_names_line_and_nearest(tmp_path: Path) -> None:
    d = doc(tmp_path, "name: a\nparts:\n  - threads: 1\n  - treads: 2\nby_name:\n  one: {tokn: x}\n")
    with pytest.raises(ConfigError) as e:
        parse(d, Outer)
    assert problems(e) == [
        (4, "'treads' is not known here", "Did you mean 'threads'?"),
        (6, "'tokn' is not known here", "Did you mean 'token'?"),
    ]
    assert str(e.value).startswith(f"{tmp_path / 'x.yml'}:4: ")


def test_all_mistakes_at_once_and_no_values(tmp_path: Path) -> None:
    d = doc(tmp_path, "parts:\n  - threads: s3cret-value\n    extra: s3cret-value\n")
    with pytest.raises(ConfigError) as e:
        parse(d, Outer)
    assert len(e.value.problems) == 3
    assert "s3cret-value" not in str(e.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: 1\nb: [1, 2\nc: 3\n", 3), ("a: 1\n\tb: 2\n", 2), ("a: b: c\n", 1), ("a: *nothing\n", 1)],
)
def test_broken_yaml_names_the_line(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(ConfigError) as e:
        doc(tmp_path, text)
    assert e.value.problems[0].line == line
    assert "not valid YAML" in str(e.value)


@pytest.mark.parametrize(
    "text",
    ["a: 1\x00\n", "a: !!python/object:os.system x\n", "? [1, 2]\n: x\n", "{{}: 1}\n", "a: &a [*a]\n", "<<: 3\n"],
)
def test_what_is_not_plain_yaml_is_a_config_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        doc(tmp_path, text)


def test_not_utf8_and_missing(tmp_path: Path) -> None:
    (tmp_path / "l.yml").write_bytes(b"a: \xff\xfe\n")
    with pytest.raises(ConfigError, match="can't be read"):
        read_yaml(tmp_path / "l.yml")
    with pytest.raises(ConfigError, match="no such file"):
        read_yaml(tmp_path / "none.yml")


def test_a_key_twice_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as e:
        doc(tmp_path, "a: 1\nb: 2\na: 3\n")
    assert problems(e) == [(3, "the key 'a' stands twice", None)]


def test_merge_keys_are_merged(tmp_path: Path) -> None:
    d = doc(tmp_path, "base: &b {x: 1, y: 2}\nother:\n  <<: *b\n  y: 3\n")
    assert d.data["other"] == {"x": 1, "y": 3}


def test_env_var(tmp_path: Path) -> None:
    d = doc(tmp_path, "a: \"{{ env_var('SET') }}-{{ env_var('UNSET', 'dflt') }}\"\nb: [1, \"{{env_var('SET')}}\"]\n")
    assert render_env(d, {"SET": "v"}).data == {"a": "v-dflt", "b": [1, "v"]}


def test_env_var_missing_names_variable_and_line(tmp_path: Path) -> None:
    d = doc(tmp_path, "a: 1\nb:\n  token: \"{{ env_var('NOT_THERE') }}\"\n")
    with pytest.raises(ConfigError) as e:
        render_env(d, {})
    assert [(p.line, p.message) for p in e.value.problems] == [(3, "the environment variable NOT_THERE is not set")]


def test_other_jinja_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only"):
        render_env(doc(tmp_path, 'a: "{{ var(1) }}"\n'), {})


def test_a_value_that_looks_like_jinja_is_not_rendered_again(tmp_path: Path) -> None:
    assert render_env(doc(tmp_path, "a: \"{{ env_var('X') }}\"\n"), {"X": "{{ y }}"}).data == {"a": "{{ y }}"}


def test_part_keeps_its_lines(tmp_path: Path) -> None:
    part = doc(tmp_path, "a: 1\nb:\n  c:\n    d: 2\n").part(("b", "c"))
    assert part.data == {"d": 2}
    assert part.line(("d",)) == 4
    assert part.line(("zzz",)) == 3


def mistake(tmp_path: Path, raw: bytes) -> Problem:
    path = tmp_path / "x.yml"
    path.write_bytes(raw)
    with pytest.raises(ConfigError) as e:
        read_yaml(path)
    (problem,) = e.value.problems
    assert problem.path == path
    return problem


BOMB = b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("raw", "line", "words"),
    [
        (BOMB, 5, "aliases"),
        (BOMB.partition(b"a6:")[0], 5, "aliases"),  # a million values: enough to notice, not to die of
        (b"x: 1\na: " + b"[" * 50_000, 2, "levels"),
        (b"a: " + b"[" * 50_000 + b"]" * 50_000, 1, "levels"),
        (b"a: " + b"{a: " * 50_000, 1, "levels"),
        (b"- " * 50_000 + b"x", 1, "levels"),
        (b"? " * 50_000 + b"x", 1, "levels"),
        (b"".join(b" " * n + b"a:\n" for n in range(1_000)), 101, "levels"),
        (b"a: &a [*a]", None, "holds itself"),
        (b"x: 1\n? [1, 2]\n: y\n", 2, "can't be a key"),
        (b"x: 1\nday: 2024-13-45\n", 2, "is none"),
        (b"x: 1\nn: " + b"9" * 5_000, 2, "is none"),
        *((b"x: 1\nt: !!" + said, 2, "is none") for said in (b"bool maybe", b"int ''", b"float ''", b"timestamp abc")),
        (b"x: 1\n!!bool maybe: 2", 2, "is none"),
        (b"x: 1\nname: M\xfcller\n", 2, "UTF-8"),
        ("name: Müller\n".encode("utf-16"), 1, "UTF-16"),
        (b"x: 1\nname: a\x00b\n", 2, "character"),
        (b"x: 1\nname: a\x1bb\n", 2, "character"),
    ],
)
def test_what_no_parser_should_eat_is_a_mistake_at_its_line(
    tmp_path: Path, raw: bytes, line: int | None, words: str
) -> None:
    problem = mistake(tmp_path, raw)
    assert words in problem.message
    assert problem.line == line


@pytest.mark.parametrize(
    ("raw", "line", "words"),
    [
        (b"".join(b"- &a%d x\n- *a%d\n" % (n, n) for n in range(10_001)), 20_001, "10,000 anchors"),
        (b"m0: &m0 {k: 1}\n" + b"".join(b"m%d: &m%d {<<: *m%d, k%d: 1}\n" % (n, n, n - 1, n) for n in range(1, 30_000)),
         159, "aliases stand for more than 50,000"),
        (b"- &a [1, 2, 3, 4]\n" + b"- *a\n" * 10_001, 10_002, "aliases stand for more than 50,000"),
        (b"-\n" * 210_000, 200_000, "200,000 values"),
        (b"k: 1\n" * 210_000, 100_000, "200,000 values"),
        (b"".join(b"%%TAG !a%d! tag:x,%d:\n" % (n, n) for n in range(101)) + b"---\na: 1\n", 101, "%TAG"),
        (b"x: 1\nn: 1" + b":1" * 400_000, 2, "written like a int"),  # base 60: PyYAML takes a minute and a half
        (b"x: 1\nn: !!float '1" + b":1" * 400_000 + b"'", 2, "written like a float"),
        (b"a: 1\n---\n" + b"[" * 50_000, 2, "expected a single document"),
    ],
    ids=["anchors", "merges", "aliases", "values", "keys", "tag handles", "base 60", "base 60 by tag", "documents"],
)  # fmt: skip
def test_what_would_take_seconds_to_read_is_refused_before_it_is_read(
    tmp_path: Path, raw: bytes, line: int, words: str
) -> None:
    """Nothing is timed here: without the bounds each takes from four seconds to minutes, or ends the process."""
    problem = mistake(tmp_path, raw)
    assert words in f"{problem.message} {problem.hint}"
    assert problem.line == line


def test_of_many_mistakes_a_hundred_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_bytes(b"k: 1\n" * 500)
    with pytest.raises(ConfigError) as e:
        read_yaml(path)
    assert len(e.value.problems) == 100


def test_aliases_in_a_key_are_not_written_out(tmp_path: Path) -> None:
    assert len(mistake(tmp_path, BOMB.replace(b"a8: &a8", b"? &a8") + b": 1\n").message) < 200


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_bytes("\ufeffname: Müller\n".encode())
    assert read_yaml(path).data == {"name": "Müller"}


def test_a_directory_or_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, words in ((tmp_path, "is a directory"), (tmp_path / "pipe", "is no file")):
        with pytest.raises(ConfigError, match=words):
            read_yaml(path)


def test_a_few_aliases_and_merges_are_what_they_were(tmp_path: Path) -> None:
    d = doc(tmp_path, "base: &b {a: 1, b: [x]}\none: {<<: *b, a: 2}\ntwo: [*b, *b]\n")
    assert d.data["one"] == {"a": 2, "b": ["x"]}
    assert d.data["two"] == [{"a": 1, "b": ["x"]}] * 2


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("1:30", "counted in sixties"),
        ("1:30.5", "counted in sixties"),
        ("1_000", "underscores"),
        ("0_1.5", "underscores"),
        ("010", "counted in eights"),
    ],
)
def test_a_number_that_yaml_takes_for_another_is_a_mistake_at_its_line(tmp_path: Path, number: str, said: str) -> None:
    document = doc(tmp_path, f"name: x\nby_name:\n  a: {{threads: {number}}}\n")
    with pytest.raises(ConfigError) as e:
        parse(document, Outer)
    (line, message, hint) = problems(e)[0]
    assert (line, message.partition(":")[0]) == (3, "by_name.a.threads")
    assert said in message
    assert "in quotes" in str(hint)
    assert number not in message
    with pytest.raises(ConfigError, match="threads: a number"):
        parse(render_env(document).part(("by_name", "a")), Inner)


def test_plain_numbers_and_texts_in_quotes_are_none_of_these(tmp_path: Path) -> None:
    text = "name: '1:30'\nby_name: {a: {threads: 0, token: '1_000'}, b: {threads: 0x1F}, c: {threads: +10}}\n"
    found = parse(doc(tmp_path, text), Outer)
    assert [inner.threads for inner in found.by_name.values()] == [0, 31, 10]
