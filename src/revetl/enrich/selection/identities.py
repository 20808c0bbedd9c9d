"""By what a question names whom it is about, so that a person is asked about once, whatever else a list says of him.

An *identity* is an input that a provider can tell somebody by, or several together that are enough: each of its
`sufficient` sets, and each of their inputs. Its digest is the same for the same person in another list, with more
columns or fewer. `enrichment_identities` holds those of every question that was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from revetl.enrich.selection.query import Query, compose
from revetl.providers.grammar import ProviderSpec
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import literal, table

# Of a person's employer: "Acme, Inc." and "ACME INCORPORATED" are one. A company's own form tells it from others.
LEGAL_FORMS = (
    "ab|ag|as|bv|co|company|corp|corporation|gmbh|inc|incorporated|kg|kk|limited|llc|llp|lp|ltd|ltda|nv|oy|plc|pte|pty|"
    "sa|sarl|sas|se|spa|srl"
)


# A number that so many people share tells nobody.
MOST_ALIKE = 20

_JOIN = " || chr(31) || "
# 64 bits: every question that is read carries its digests, and the ledger keeps them.
_DIGITS = 16


class Identities:
    """Of the questions to one provider, over a relation with columns `in_<input>`."""

    def __init__(self, warehouse: Warehouse, provider: ProviderSpec, inputs: Collection[str]) -> None:
        """`inputs`: those that the waterfall has at all."""
        groups = _groups(provider, inputs)
        self._strips_legal_form = provider.entity == "person"
        self._members: dict[str, tuple[str, ...]] = {
            name: (name,) for name in sorted({name for group in groups for name in group})
        }
        self._members |= {"+".join(group): group for group in groups}
        self.enough = identities_of(provider, inputs)
        self._provider = provider.name
        self._asked = table(relation(warehouse, "enrichment_identities"))
        self._warehouse = warehouse

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._members)

    def enough_members(self) -> list[tuple[str, ...]]:
        """The inputs of each identity that is enough, in the order of their names."""
        return [self._members[name] for name in sorted(self.enough)]

    def any_asked(self) -> bool:
        query = f"SELECT 1 FROM {self._asked} WHERE provider = ? LIMIT 1"
        return bool(self._warehouse.rows(query, [self._provider]))

    def digests(self, column: Callable[[str], str]) -> dict[str, str]:
        """Identity → its digest in SQL, NULL where an input lacks. `column` gives the SQL of an input, as text."""
        return {
            name: f"substr(md5({_JOIN.join(self._form(member, column(member)) for member in members)}), 1, {_DIGITS})"
            for name, members in self._members.items()
        }

    def same(self, questions: Query, column: Callable[[str], str]) -> Query:
        """Of `questions` (request_hash and inputs) those about whom the provider was asked before with other inputs:
        request_hash, `earlier` (that question) and `whole` (1: it named them by all that this one does, so this one
        can find nothing more). Where the two say different things of somebody they are not about the same one."""
        enough = ", ".join(map(literal, sorted(self.enough)))
        return compose(
            """
            WITH wanted AS ({wanted}),
            asked AS (
                SELECT DISTINCT request_hash, identity, digest
                FROM {asked}
                WHERE provider = {provider}
            ),
            shared AS (
                SELECT DISTINCT w.request_hash, a.request_hash AS earlier
                FROM wanted w
                JOIN asked a
                    ON a.identity = w.identity
                    AND a.digest = w.digest
                WHERE w.identity IN ({enough})
                  AND a.request_hash <> w.request_hash
            )
            SELECT
                s.request_hash,
                s.earlier,
                min(CASE WHEN w.identity IN ({enough}) AND a.digest IS NULL THEN 0 ELSE 1 END) AS whole
            FROM shared s
            JOIN wanted w ON w.request_hash = s.request_hash
            LEFT JOIN asked a
                ON a.request_hash = s.earlier
                AND a.identity = w.identity
            GROUP BY s.request_hash, s.earlier
            HAVING sum(CASE WHEN a.digest <> w.digest THEN 1 ELSE 0 END) = 0
            """,
            wanted=self._unpivoted(questions, column, self.names),
            asked=self._asked,
            provider=Query("?", (self._provider,)),
            enough=enough,
        )

    def covered(self, questions: Query, column: Callable[[str], str], *, best_known_first: bool) -> Query:
        """Of `questions` those (request_hash) that need no call beside another one of them: that names the same person
        by all that they do, and says nothing that differs. `best_known_first`: they are asked in this order; else it is
        left to chance, and only two that name him by the same are one for certain."""
        order = "w.identities > m.identities OR (w.identities = m.identities AND p.other < p.request_hash)"
        # Only who shares an identity that is enough is compared. Of a long list these are few, while a first name is
        # shared by thousands: two sides that held it too might be joined by it.
        return compose(
            """
            WITH identified AS ({identified}),
            shared AS (
                SELECT identity, digest
                FROM identified
                GROUP BY identity, digest
                HAVING count(*) BETWEEN 2 AND {most_alike}
            ),
            alike AS (
                SELECT i.request_hash, i.identity, i.digest
                FROM identified i
                JOIN shared s
                    ON s.identity = i.identity
                    AND s.digest = i.digest
            ),
            named AS ({named}),
            counted AS (
                SELECT
                    request_hash,
                    count(*) AS identities,
                    sum(CASE WHEN identity IN ({enough}) THEN 1 ELSE 0 END) AS enough
                FROM named
                GROUP BY request_hash
            ),
            pairs AS (
                SELECT DISTINCT a.request_hash, b.request_hash AS other
                FROM alike a
                JOIN alike b
                    ON b.identity = a.identity
                    AND b.digest = a.digest
                WHERE b.request_hash <> a.request_hash
            ),
            compared AS (
                SELECT
                    p.request_hash,
                    p.other,
                    sum(CASE WHEN b.identity IN ({enough}) THEN 1 ELSE 0 END) AS enough,
                    sum(CASE WHEN a.digest <> b.digest THEN 1 ELSE 0 END) AS differing
                FROM pairs p
                JOIN named a ON a.request_hash = p.request_hash
                LEFT JOIN named b
                    ON b.request_hash = p.other
                    AND b.identity = a.identity
                GROUP BY p.request_hash, p.other
            )
            SELECT p.request_hash
            FROM compared p
            JOIN counted m ON m.request_hash = p.request_hash
            JOIN counted w ON w.request_hash = p.other
            WHERE p.differing = 0
              AND p.enough = m.enough
              AND ({is_asked_first})
            """,
            identified=self._unpivoted(questions, column, self.enough),
            named=self._unpivoted(
                compose(
                    "SELECT * FROM ({questions}) AS k WHERE request_hash IN (SELECT request_hash FROM alike)",
                    questions=questions,
                ),
                column,
                self.names,
            ),
            enough=", ".join(map(literal, sorted(self.enough))),
            most_alike=str(MOST_ALIKE),
            is_asked_first=order if best_known_first else "w.enough = p.enough AND p.other < p.request_hash",
        )

    def _unpivoted(self, questions: Query, column: Callable[[str], str], among: Collection[str]) -> Query:
        """(request_hash, identity, digest), a row for each identity `among` these that a question has."""
        digests = self.digests(column)
        cases = " ".join(f"WHEN {literal(name)} THEN {digests[name]}" for name in sorted(among))
        return compose(
            """
            SELECT DISTINCT u.request_hash, u.identity, u.digest
            FROM (
                SELECT q.request_hash, n.identity, CASE n.identity {cases} END AS digest
                FROM ({questions}) AS q
                CROSS JOIN ({names}) AS n
            ) AS u
            WHERE u.digest IS NOT NULL
            """,
            cases=cases,
            questions=questions,
            names=" UNION ALL ".join(f"SELECT {literal(name)} AS identity" for name in sorted(among)),
        )

    def _form(self, name: str, cell: str) -> str:
        """Without letter case and, of a company's name, without punctuation."""
        text = f"lower(trim({cell}))"
        if name not in ("company_name", "name"):
            return text
        text = f"trim(replace(replace(replace({text}, '.', ''), ',', ' '), '  ', ' '))"
        if not self._strips_legal_form:
            return text
        return f"regexp_replace({text}, {literal(f'( ({LEGAL_FORMS}))+$')}, '')"


def _groups(provider: ProviderSpec, inputs: Collection[str]) -> list[tuple[str, ...]]:
    return [tuple(sorted(group)) for group in provider.sufficient if all(name in inputs for name in group)]


def identities_of(provider: ProviderSpec, inputs: Collection[str]) -> frozenset[str]:
    """By each of which the provider can tell whom it is asked about."""
    return frozenset("+".join(group) for group in _groups(provider, inputs))


def is_covered(digests: Mapping[str, str], enough: Collection[str], others: Collection[Mapping[str, str]]) -> bool:
    """Whether one of `others` names the same person by all that `digests` does, and says nothing else of him."""
    named = [name for name in digests if name in enough]
    return any(
        all(other.get(name) == digests[name] for name in named)
        and all(other.get(name, digest) == digest for name, digest in digests.items())
        for other in others
    )
