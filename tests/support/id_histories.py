"""Histories of golden ids: who belongs together, build after build; and, in plain Python, which ids must come of it."""

from __future__ import annotations

import csv
import hashlib
import json
import random
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from revetl.warehouse.open import open_warehouse
from tests.support.dbt_process import DBT

REPOSITORY = Path(__file__).resolve().parents[2]
MARTS = REPOSITORY / "dbt_project/models/marts"
ENTITIES = ("contact", "company")
Member = tuple[str, str]  # entity, member_key
# One build: member → (cluster_key, created_at).
Build = dict[Member, tuple[str, str | None]]


def seeded_history(seed: int, builds: int) -> list[Build]:
    """Up to eight members that come, go, join, part, and get other dates. Each part of chance is the seed's."""
    dice = random.Random(seed)
    entity = ENTITIES[seed % 2]
    names = [f"h{seed // 2:04d}:{place}" for place in range(dice.randint(2, 8))]
    history: list[Build] = []
    groups = _partition(dice, names)
    earlier = [groups]
    for _ in range(builds):
        kind = dice.random()
        if kind < 0.35:
            groups = _joined(dice, groups)
        elif kind < 0.6:
            groups = _parted(dice, groups)
        elif kind < 0.75:
            groups = dice.choice(earlier)
        elif kind < 0.85:
            groups = _partition(dice, names)
        earlier.append(groups)
        gone = {name for name in names if dice.random() < 0.12}
        build: Build = {}
        for group in groups:
            here = [name for name in group if name not in gone]
            for name in here:
                day = None if dice.random() < 0.15 else f"2024-01-{dice.randint(1, 4):02d}"
                build[entity, name] = (min(here), day)
        history.append(build)
    return history


def _partition(dice: random.Random, names: Sequence[str]) -> list[list[str]]:
    groups = defaultdict(list)
    for name in names:
        groups[dice.randint(1, 4)].append(name)
    return list(groups.values())


def _joined(dice: random.Random, groups: Sequence[list[str]]) -> list[list[str]]:
    if len(groups) < 2:
        return list(groups)
    one, other = dice.sample(range(len(groups)), 2)
    rest = [group for place, group in enumerate(groups) if place not in (one, other)]
    return [*rest, groups[one] + groups[other]]


def _parted(dice: random.Random, groups: Sequence[list[str]]) -> list[list[str]]:
    place = dice.randrange(len(groups))
    group = list(groups[place])
    dice.shuffle(group)
    cut = dice.randint(0, len(group))
    pieces = [piece for piece in (group[:cut], group[cut:]) if piece]
    return [*groups[:place], *pieces, *groups[place + 1 :]]


@dataclass
class Memory:
    """The oracle: what lasting ids must be, one build after the other."""

    latest: dict[Member, str] = field(default_factory=dict)
    held: dict[Member, str] = field(default_factory=dict)  # of the members that are there
    ever: dict[tuple[str, str], set[Member]] = field(default_factory=lambda: defaultdict(set))
    had: dict[Member, set[str]] = field(default_factory=lambda: defaultdict(set))
    age: dict[tuple[str, str], tuple[int, int, str]] = field(default_factory=dict)  # build; undated last; oldest date
    built: int = 0

    def build(self, members: Build) -> dict[Member, str]:
        """Member → golden id."""
        clusters: dict[tuple[str, str], list[Member]] = defaultdict(list)
        for member, (name, _) in members.items():
            clusters[member[0], name].append(member)
        overlaps: dict[tuple[tuple[str, str], str], int] = defaultdict(int)
        for cluster, inside in clusters.items():
            for member in inside:
                if member in self.latest:
                    overlaps[cluster, self.latest[member]] += 1
        ids: dict[tuple[str, str], str] = {}
        self._take(overlaps, ids)
        again: dict[tuple[tuple[str, str], str], int] = {}
        used = {(cluster[0], given) for cluster, given in ids.items()}
        for cluster, inside in clusters.items():
            if cluster in ids or not any(member in self.latest for member in inside):
                continue
            for given in {given for member in inside for given in self.had[member]}:
                had = self.ever[cluster[0], given]
                shared = len(had & set(inside))
                if 2 * shared >= len(had) and (cluster[0], given) not in used:
                    again[cluster, given] = shared
        self._take(again, ids)
        taken = set(self.ever)
        for cluster, inside in clusters.items():
            if cluster not in ids:
                first = min(inside, key=lambda m: (members[m][1] is None, members[m][1] or "", m[1]))
                ids[cluster] = _hash(*first)
                if (cluster[0], ids[cluster]) in taken:
                    ids[cluster] = _hash(*first, str(self.built + 1))
        return self._remember(members, {m: ids[m[0], name] for m, (name, _) in members.items()})

    def _take(self, overlaps: Mapping[tuple[tuple[str, str], str], int], ids: dict[tuple[str, str], str]) -> None:
        used = {(cluster[0], given) for cluster, given in ids.items()}
        order = sorted(overlaps, key=lambda o: (-overlaps[o], *self.age[o[0][0], o[1]], o[1], o[0][1]))
        for cluster, given in order:
            if cluster not in ids and (cluster[0], given) not in used:
                ids[cluster] = given
                used.add((cluster[0], given))

    def _remember(self, members: Build, ids: dict[Member, str]) -> dict[Member, str]:
        changed = {m for m, given in ids.items() if self.held.get(m) != given}
        gone = self.held.keys() - ids.keys()
        if changed or gone:
            self.built += 1
        for member in changed:
            name = (member[0], ids[member])
            day = members[member][1]
            first = self.age.get(name, (self.built, 1, ""))
            self.ever[name].add(member)
            self.had[member].add(ids[member])
            self.age[name] = min(first, (first[0], int(day is None), day or ""))
        self.latest |= ids
        self.held = dict(ids)
        return ids


def _hash(*texts: str) -> str:
    if len(texts) == 3:
        texts = (texts[0], texts[1], f"build {texts[2]}")
    return hashlib.md5("|".join(texts).encode(), usedforsecurity=False).hexdigest()


def write_project(directory: Path, builds: Sequence[Build], output: Mapping[str, Any]) -> None:
    """A dbt project in which model `build_N` is what the Nth build remembers: each begins with a copy of the one
    before. The last is `golden_id_assignments`, with the history and the redirects of the starter over it."""
    for part in ("models", "seeds"):
        (directory / part).mkdir(parents=True)
    shutil.copytree(REPOSITORY / "dbt_project/macros", directory / "macros")
    with (directory / "seeds/builds.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["build", "entity", "member_key", "cluster_key", "created_at"])
        for number, build in enumerate(builds, 1):
            # Neither the order of rows nor where a cluster stands among them may matter.
            for (entity, key), (cluster, day) in sorted(build.items(), reverse=bool(number % 2)):
                rows.writerow([number, entity, key, cluster, day])
    head = "name: histories\nprofile: it\nversion: '1.0.0'\n"
    (directory / "dbt_project.yml").write_text(head, encoding="utf-8")
    profile = {"it": {"target": "it", "outputs": {"it": dict(output)}}}
    (directory / "profiles.yml").write_text(json.dumps(profile), encoding="utf-8")
    for number in range(1, len(builds) + 1):
        before = f"create table {{{{ this }}}} as select * from {{{{ ref('build_{number - 1}') }}}}"
        config = f"materialized='lasting_ids', pre_hook=\"{before}\"" if number > 1 else "materialized='lasting_ids'"
        name = "golden_id_assignments" if number == len(builds) else f"build_{number}"
        (directory / f"models/{name}.sql").write_text(
            f"{{{{ config({config}) }}}}\n"
            f"select entity, member_key, cluster_key, cast(created_at as timestamp) as created_at\n"
            f"from {{{{ ref('builds') }}}}\nwhere build = {number}\n",
            encoding="utf-8",
        )
    for name in ("golden_id_history", "golden_id_redirects"):
        shutil.copy(MARTS / f"{name}.sql", directory / "models")
        shutil.copy(MARTS / f"{name}.yml", directory / "models")


@dataclass(frozen=True)
class Played:
    """What the warehouse remembers: per build member → golden id, and the rows of the two models over it."""

    ids: list[dict[Member, str]]
    assignments: list[tuple[Any, ...]]
    history: list[tuple[Any, ...]]
    redirects: list[tuple[Any, ...]]


def play(directory: Path, builds: Sequence[Build], output: Mapping[str, Any]) -> Played:
    write_project(directory, builds, output)
    command = [*DBT, "--no-use-colors", "build", "--full-refresh"]
    command += ["--project-dir", str(directory), "--profiles-dir", str(directory)]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        raise AssertionError(done.stdout[-4000:])
    ids = []
    with closing(open_warehouse(dict(output), root=directory, state_schema="revetl")) as warehouse:
        for number in range(1, len(builds) + 1):
            name = "golden_id_assignments" if number == len(builds) else f"build_{number}"
            rows = warehouse.rows(
                f"SELECT entity, member_key, golden_id FROM analytics.{name} WHERE ended_build IS NULL"
            )
            found = {(str(entity), str(key)): str(given) for entity, key, given in rows}
            if len(found) != len(rows):
                raise AssertionError("a member has two ids")
            ids.append(found)

        def read(columns: str, name: str) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in warehouse.rows(f"SELECT {columns} FROM analytics.{name}")]

        return Played(
            ids,
            read("entity, member_key, golden_id, began_build, ended_build, is_latest", "golden_id_assignments"),
            read("entity, build, event, from_id, to_id, n_members", "golden_id_history"),
            read("entity, golden_id, current_golden_id", "golden_id_redirects"),
        )


def together(histories: Sequence[Sequence[Build]]) -> list[Build]:
    """Many histories as one: their members have names of their own."""
    return [
        {m: said for history in histories for m, said in history[place].items()} for place in range(len(histories[0]))
    ]


def expected(builds: Sequence[Build]) -> list[dict[Member, str]]:
    memory = Memory()
    return [dict(memory.build(build)) for build in builds]
