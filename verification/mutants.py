"""Planted mistakes in the code that recovers, undoes and keeps policies: each must be found by the simulation, by the
state machine or by the tests that are named with it, or those prove nothing.

Every mutant is one edit of a copy of the sources. An edit that does not apply exactly once is an error: the code has
moved, and the mutant must move with it.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import Section

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).resolve().parents[1]
HISTORIES = int(os.environ.get("REVETL_MUTANT_HISTORIES", "600"))
SAMPLE = int(os.environ.get("REVETL_MUTANTS", "0"))  # how many of them are planted; 0: all
SEED = int(os.environ.get("REVETL_FIRST_SEED", "0"))


@dataclass(frozen=True)
class Mutant:
    """What a tired engineer might write. `by`: who must find it: simulation, machine, people, or a file of tests."""

    name: str
    file: str
    old: str
    new: str
    by: str = "simulation"


_LEASES, _LINKS_UNIT = "tests/unit/test_sync_leases.py", "tests/unit/test_sync_links.py"
_JOBS, _KINDS = "tests/contract/test_destination_jobs.py", "tests/contract/test_destination_kinds.py"
_HOSTILE, _HUB_HOSTILE = "tests/unit/test_http_hostile.py", "tests/unit/test_hubspot_hostile.py"
_RESTORED, _KEYED = "tests/unit/test_sync_restored.py", "tests/unit/test_sync_key_property.py"
_DOUBT, _STANDING = "tests/unit/test_sync_doubt.py", "tests/unit/test_sync_standing.py"
_VACATED, _SHARED = "tests/unit/test_vacated_fields.py", "tests/unit/test_sync_shared_records.py"
_REMOVALS = "tests/unit/test_sync_removals.py"
_PEOPLE = "tests/property/test_sync_people.py"
_MOVES, _MOVES_UNIT = "tests/property/test_sync_handovers.py", "tests/unit/test_sync_handovers.py"
_SYNC_LOST, _ENRICH_LOST = (
    "tests/simulation/test_sync_lost_connection.py",
    "tests/simulation/test_enrich_lost_connection.py",
)
_WAITING, _LINK_PLANS = "tests/unit/test_sync_waiting.py", "tests/unit/test_sync_link_plans.py"
_DISCONNECT = "tests/unit/test_sync_disconnect.py"
_LINKS, _SUSPECTS = "tests/property/test_sync_links.py", "tests/property/test_sync_suspects.py"
MUTANTS = (
    Mutant("nothing becomes in doubt after a crash", "sync/apply/doubts.py", "    if not count:\n        return 0\n", "    return 0\n"),
    Mutant("a record in doubt keeps its hash", "sync/apply/doubts.py", "            row_hash = NULL,\n            destination_id = CASE", "            destination_id = CASE"),
    Mutant("a create in flight is forgotten", "sync/apply/doubts.py", "AND f.op <> 'delete'", "AND FALSE"),
    Mutant("the id of a record that may be archived is trusted", "sync/apply/doubts.py", "CASE WHEN NOT f.id_is_dropped THEN coalesce({known}.destination_id, f.destination_id) END", "coalesce({known}.destination_id, f.destination_id)", _DOUBT),
    Mutant("an earlier doubt is kept though a later create may have landed", "sync/apply/doubts.py", "AND key IN (SELECT f.key FROM ({in_flight}) f WHERE f.op = 'create')", "AND FALSE", _DOUBT),
    Mutant("a lost create leaves what was in doubt before", "state/snapshot.py", "AND p.known AND p.op <> 'create' THEN", "AND p.known THEN", _DOUBT),
    Mutant("the id of a record whose delete was not answered is trusted", "state/snapshot.py", "CASE WHEN NOT ({dropped}) THEN coalesce(p.result_id, p.destination_id) END", "coalesce(p.result_id, p.destination_id)", _DOUBT),
    Mutant("the last record of the intent is left out", "sync/apply/doubts.py", "(p.ordinal < ? OR", "(p.ordinal < ? - 1 OR"),
    Mutant("a plan is said to be done when it begins", "sync/apply/checkpoint.py", "?, ?, ?, ?, 'applying', ?, 0", "?, ?, ?, ?, 'done', ?, 0"),
    Mutant("the intent is not written ahead", "sync/apply/checkpoint.py", "        if intent_until is not None:\n", "        if False:\n"),
    Mutant("a checkpoint is not one transaction", "sync/apply/checkpoint.py", "    with warehouse.transaction():\n        if done:\n", "    if True:\n        if done:\n"),
    Mutant("a lost answer is taken for applied", "state/snapshot.py", "CASE WHEN p.status IN ('ok', 'accepted') THEN p.row_hash END", "p.row_hash"),
    Mutant("a lost answer of a create leaves no trace", "state/snapshot.py", "(p.status IN ('ok', 'accepted') AND p.op <> 'delete') OR p.status = 'unknown'", "p.status IN ('ok', 'accepted') AND p.op <> 'delete'"),
    Mutant("in doubt is compared like any other row", "sync/plan/comparison.py", 'IN_DOUBT = "(d.known_key IS NOT NULL AND (d.known_hash IS NULL OR n.destination_id IS NULL))"', 'IN_DOUBT = "FALSE"'),
    Mutant("a record in doubt is looked for by its present value only", "sync/plan/matching.py", "*([earlier[i]] if doubts[i] or lost else [])", "*()"),
    Mutant("an outage is taken for a refusal of the records", "sync/apply/batch_writer.py", "            self.error = self.error or e\n            return False\n", "            outcomes = failed(batch, Status.OK, e)\n"),
    Mutant("a lost answer is taken for not applied", "sync/apply/batch_writer.py", "            outcomes = failed(batch, Status.UNKNOWN, e)\n        except CallError", "            outcomes = failed(batch, Status.REJECTED, e)\n        except CallError"),
    Mutant("a stop drops outcomes that are not written yet", "sync/apply/applier.py", "            self._take_in(Operation.UPDATE, ended)\n", "            self._take_in(Operation.UPDATE, ended)\n        self._done = []\n"),
    Mutant("a refresh that was stopped is forgotten", "sync/apply/checkpoint.py", "    if plan.full_refresh:\n", "    if False:\n", "machine"),
    Mutant("fill_blank writes over what stands there", "sync/plan/policies.py", '    if policy == "fill_blank":\n        return False\n', '    if policy == "fill_blank":\n        return True\n', "machine"),
    Mutant("a field that was kept is remembered as ours", "sync/plan/policies.py", "CASE WHEN k.verdict_{i} = 'kept' THEN {stands} ELSE {plan}.{after} END", "{plan}.{after}", "machine"),
    Mutant("a rollback writes over what a person has edited since", "sync/rollback/judge.py", "        if held == form(name, wrote_typed) or (vacated is not None and held == form(name, value)):\n", "        if True:\n", "machine"),
    Mutant("what was rolled back is sent again", "sync/rollback/plan.py", "    queue.replace(tables, restored, queue.ROLLED_BACK, now, run_id)\n", "    return\n", "machine"),
    Mutant("what was accepted is sent over", "sync/drift/resolution.py", 'queue.would_be_planned(tables, "n.row_hash") if chosen.accept else "FALSE"', '"FALSE"', "machine"),
    Mutant("a reassert sends what a rollback or an accepted value holds", "sync/drift/left_out.py", 'return f"key NOT IN (SELECT key FROM {tables.scratch(_SCRATCH)})"', 'return "TRUE"', "machine"),
    Mutant("what was reasserted is not found by the next sync", "sync/drift/resolution.py", 'SET {", ".join(sets)}, row_hash = {hash_}\n', 'SET {", ".join(sets)}\n', "machine"),
    Mutant("what was refused is sent again and again", "state/snapshot.py", "p.status IN ('rejected', 'skipped')", "p.status = 'skipped'", "machine"),
    Mutant("the state goes though something was refused", "sync/disconnect/disconnecting.py", '                if report.status == "done":\n', "                if True:\n", _DISCONNECT),
    Mutant("a destination that was left is sent to all the same", "sync/disconnect/disconnecting.py", "                await again(ctx, lambda: ctx.offload(_mark, ctx, known))\n", "", _DISCONNECT),
    Mutant("what comes back is the value before our last write, not before our first", "sync/disconnect/inventory.py", "if name not in before or self._is_broken(name, stood):", "if True:", _DISCONNECT),
    Mutant("a record that stood there when our create came is archived as ours", "sync/disconnect/inventory.py", ' and row["error_code"] != EXISTED', "", _DISCONNECT),
    Mutant("a record of ours loses what it is found by", "sync/disconnect/taking_back.py", "                    before.pop(name, None)\n", "                    pass\n", _DISCONNECT),
    Mutant("a lost lease is not noticed", "state/leases.py", "    if not warehouse.rows(f\"SELECT 1 FROM {leases} WHERE name = ?", "    if False and not warehouse.rows(f\"SELECT 1 FROM {leases} WHERE name = ?", _LEASES),
    Mutant("a transaction does not ask for the lease", "sync/leasing.py", "            yield\n            self._renew()\n", "            yield\n", _LEASES),
    Mutant("the process of a dead holder is not looked at", "state/leases.py", "        except ProcessLookupError:\n            return True\n", "        except ProcessLookupError:\n            return False\n", _LEASES),
    Mutant("a takeover does not look who else took it", "state/leases.py", "            if others:\n", "            if False:\n", _LEASES),
    Mutant("a wave does not wait for the one before", "sync/apply/applier.py", "if starts or (leaving and", "if (leaving and", _MOVES),
    Mutant("a record that is emptied is not in doubt", "sync/apply/checkpoint.py", "    snapshot.doubt_vacated(tables)\n", "", _MOVES_UNIT),
    Mutant("who follows a refused giver is sent all the same", "sync/apply/waves.py", "if change.ordinal in self.follows and self._still_held(change)", "if False", _MOVES_UNIT),
    Mutant("what was emptied in vain stays empty", "sync/apply/writes_aside.py", "lines = self._waves.to_give_back()\n", "lines: list[VacatedLine] = []\n", _MOVES_UNIT),
    Mutant("who was emptied and refused is no more than refused", "sync/apply/waves.py", "        if outcome.status is Status.UNKNOWN or self.to_give(line):\n", "        if outcome.status is Status.UNKNOWN:\n", _VACATED),
    Mutant("a lost answer of who was emptied does not say so", "sync/apply/waves.py", "        if outcome.status is Status.UNKNOWN or self.to_give(line):\n", "        if outcome.status is not Status.UNKNOWN and self.to_give(line):\n", _VACATED),
    Mutant("what an earlier run left empty stays so where its row is refused", "sync/apply/wave_reading.py", "    if not left:\n", "    if True:\n", _VACATED),
    Mutant("what an earlier run left empty stays so where its value is withheld", "sync/apply/waves.py", "        return not taken or line.earlier.keys() > line.wanted.keys()\n", "        return not taken\n", _VACATED),
    Mutant("a line that is withheld gives nothing back", "sync/apply/waves.py", "and (line.withheld or self.answered.get(ordinal) in certain)", "and self.answered.get(ordinal) in certain", _VACATED),
    Mutant("what was given back aside is not known to stand there", "sync/apply/waves.py", "**self.given_back.get(outcome.ordinal, {})}", "}", _VACATED),
    Mutant("drift takes what we emptied for a person's edit", "sync/drift/comparison.py", "if not of_theirs and column.name in self._left_empty", "if False and column.name in self._left_empty", _VACATED),
    Mutant("our key that a hand-over emptied is not given back", "sync/disconnect/taking_back.py", "        if not vacated:\n            return row\n", "        if True:\n            return row\n", _VACATED),
    Mutant("without match_on nobody is looked for by our key", "sync/plan/matching.py", "if spec.created_through is None or not", "if spec.match_on is None or not", _KEYED),
    Mutant("what stood in an archived property counts as standing there", "sync/plan/new_fields.py", "    if not gone:\n", "    if True:\n", "tests/unit/test_sync_new_fields.py"),
    Mutant("drift makes tables of a sync that was disconnected", "sync/drift/reading.py", "if not await again(ctx, lambda: ctx.offload(snapshot.stands, ctx.warehouse, spec.name)):", "if False:", _DISCONNECT),
    Mutant("a record that another sync sends is archived", "sync/plan/removals.py", "    if shared := await run.on_tables(_stood_on_by_others):\n", "    if shared := list[_Withheld]():\n", _SHARED),
    Mutant("a disconnect clears a field that another sync sends", "sync/disconnect/taking_back.py", "leave_shared, others, found, fields=True)", "leave_shared, others, found, fields=False)", _SHARED),
    Mutant("a rollback archives a record that another sync sends", "sync/rollback/decisions.py", "await run.on_tables(leave_shared, others, found, fields=False)", "found", _SHARED),
    Mutant("who keeps its value does not withhold it along the chain", "sync/plan/handover_order.py", "waiting += [(taker, hold.key) for taker in takers if taker.key != hold.key]", "pass", _MOVES),
    Mutant("a record in doubt is taken to hold what it was last known to hold", "sync/plan/handover_reading.py", "if written.get(f.name) is not None]", "if False]", _MOVES_UNIT),
    Mutant("a field that was withheld is forgotten", "sync/plan/handovers.py", "WHERE ordinal IN (SELECT moved_to FROM {scratch} WHERE NOT whole AND ({withheld}))", "WHERE FALSE", _MOVES_UNIT),
    Mutant("links are sent without an intent", "sync/links/sending.py", "        await run.on_tables(answers.intend, low, high, record.run_id, looked.found)\n", "", _LINKS),
    Mutant("a link without an answer is taken for refused", "sync/links/answers.py", "WHERE p.status IN ('rejected', 'skipped') AND", "WHERE p.status IN ('rejected', 'skipped', 'unknown') AND", _LINKS_UNIT),
    Mutant("a link that stood before us is taken for ours", "sync/links/reading.py", "ours = line.ours or line.type not in kinds or (line.type == implied and line.alone_by_another)", "ours = True", _LINKS_UNIT),
    Mutant("what a person tied is taken for tied by us alone", "sync/links/reading.py", "alone = not kinds or line.alone_by_another or (line.alone and line.type in kinds)", "alone = True", _LINKS_UNIT),
    Mutant("a removal in doubt is sent again whatever was linked since", "sync/links/reading.py", "                if line.type not in kinds:\n                    looked.done.add(line.ordinal)\n", "", _LINKS_UNIT),
    Mutant("refused links wait behind exit 0", "sync/engine.py", "refused += sum(links.refused.values()) + ", "refused += ", _LINKS_UNIT),
    Mutant("a link goes before the record that takes its place is there", "sync/links/comparison.py", "w.key IS NULL AND u.key IS NULL", "w.key IS NULL", _LINKS_UNIT),
    Mutant("a removed link is remembered", "sync/links/answers.py", "p.op = 'unlink' AND p.status IN ('ok', 'accepted') AND", "FALSE AND", _LINKS_UNIT),
    Mutant("buckets with as many rows are taken for equal", "sync/plan/suspects.py", "            OR s.digest IS DISTINCT FROM n.digest\n", "", _SUSPECTS),
    Mutant("only the source's rows of a bucket are joined", "sync/plan/comparison.py", "                {of_snapshot}\n            ) n", "            ) n", _SUSPECTS),
    Mutant("what a broken-off run hoped for is counted", "sync/apply/recovery.py", "runs.recount(warehouse, str(run_id))", "pass", "tests/unit/test_sync_engine.py"),
    Mutant("the job of a run that was killed is followed by nobody", "sync/apply/recovery.py", "    followed, given_up = await jobs.follow_earlier(run, destination)\n", "    followed, given_up = {}, 0\n", _JOBS),
    Mutant("a job is asked after before its id is durable", "sync/apply/jobs.py", "        await self.remember(job)\n", "", _JOBS),
    Mutant("a call that is refused as a whole rejects all that is in it", "sync/apply/batch_writer.py", "            if len(batch) > 1:\n", "            if False:\n", _KINDS),
    Mutant("the second half of a refused batch is not sent", "sync/apply/batch_writer.py", "        await write(second)\n", "        pass\n", _KINDS),
    Mutant("an accepted record is sent again", "state/snapshot.py", "CASE WHEN p.status IN ('ok', 'accepted') THEN p.row_hash END", "CASE WHEN p.status = 'ok' THEN p.row_hash END", _KINDS),
    Mutant("a changed event is sent as another one", "sync/plan/events.py", "AND NOT ({another})", "AND FALSE", _KINDS),
    Mutant("a rollback guesses what stood at a destination that can't be read", "sync/rollback/judge.py", "        if stood is None and not self._knows_nulls:\n", "        if False:\n", _KINDS),
    Mutant("a checkpoint that took place is written twice", "sync/apply/checkpoint.py", "    if not done or not _is_written(tables, record.run_id, done[0]):\n", "    if True:\n", _SYNC_LOST),
    Mutant("a plan that is read on begins anew", "sync/apply/plan_stream.py", '"ordinal > ?", [self._read_until]', '"ordinal > ?", [-1]', _SYNC_LOST),
    Mutant("a kept answer is written though the ledger has it", "enrich/execution/answer_spool.py", "        if not found or not found.issubset(_UNKNOWN):\n", "        if not found:\n", _ENRICH_LOST),
    Mutant("answers in flight are thrown away with the connection", "enrich/execution/provider_worker.py", "            await self._drain()\n            raise\n        except BaseException:\n", "            await self._in_flight.cancel()\n            raise\n        except BaseException:\n", _ENRICH_LOST),
    Mutant("calls leave while answers wait for the connection", "enrich/execution/provider_worker.py", "told = self._failing or run.warehouse_failed or", "told = self._failing or", _ENRICH_LOST),
    Mutant("a cause outside of the row waits for the row", "sync/retry/due.py", "AND in_row IS NOT TRUE AND", "AND FALSE AND", _WAITING),
    Mutant("a pause never ends", "sync/retry/due.py", "coalesce(next_try <= ?, TRUE)", "coalesce(next_try <= ?, TRUE) AND FALSE", _WAITING),
    Mutant("a pause is as long each time", "state/snapshot.py", "coalesce(p.tries, 0) + 1,", "1,", _WAITING),
    Mutant("a run that leaves refused records waiting ends well", "sync/engine.py", "if refused > run.spec", "if False and refused > run.spec", _WAITING),
    Mutant("what is withheld again is said every hour", "sync/retry/due.py", "    reasons = _counted(tables, same)\n", "    reasons = {}\n", _WAITING),
    Mutant("what has nothing left to send waits on", "sync/retry/due.py", "key IN (SELECT key FROM {found} WHERE nothing_to_send)", "FALSE", _WAITING),
    Mutant("links go to a record that was merged away", "sync/links/sending.py", "    if counts.changes and await today.learn(run, destination):\n", "    if False:\n", _LINK_PLANS),
    Mutant("links of what a plan removes are planned as removals", "sync/links/link_plan.py", "    follows = await run.on_tables(following.follows)\n", "    follows = False\n", _LINK_PLANS),
    Mutant("a plan counts links that stand there already", "sync/links/link_plan.py", "counts = await run.on_tables(_list, await _looked_at(run, destination, counts))", "counts = await run.on_tables(_list, counts)", _LINK_PLANS),
    Mutant("a model that lost its column of links breaks no guardrail", "sync/plan/guardrails.py", "    if share <= limit:\n", "    if True:\n", _LINK_PLANS),
    Mutant("a saved plan removes who came back", "sync/engine.py", "            await run.on_tables(came_back.withhold)\n", "", "tests/unit/test_sync_saved_plans.py"),
    Mutant("what is tried again breaks a guardrail", "sync/plan/guardrails.py", "WHERE known AND tries = 0", "WHERE known", _WAITING),
    Mutant("what a person decided is tried again by itself", "sync/retry/queue.py", 'TRIED_AGAIN = ("rejected", "skipped")', 'TRIED_AGAIN = ("rejected", "skipped", "unknown", "rolled_back")', _WAITING),
    Mutant("the passwords of ~/.netrc are taken for ours", "http/transport.py", "trust_env=False", "trust_env=https", _HOSTILE),
    Mutant("a body is read to its end, however long it is", "http/body.py", "        if came > most_bytes or held > most_bytes:\n", "        if False:\n", _HOSTILE),
    Mutant("a proxy's password stands in the message", "http/proxy.py", 'f"{variable} does not hold the address of a proxy", hint=hint) from None', 'f"{variable}: {value}", hint=hint) from None', _HOSTILE),
    Mutant("a cursor that was followed is followed again", "destinations/hubspot/paging.py", "str(after) in self._seen or ", "", _HUB_HOSTILE),
    Mutant("a record that can't be read is taken for none", "destinations/hubspot/api.py", "return shapes.is_as_documented(body) and (not looks_up or shapes.names_its_results(body))", "return True", _HUB_HOSTILE),
    Mutant("what is nested too deep is handed on", "json_documents.py", "    if _is_deeper(data, MOST_LEVELS):\n", "    if False:\n", "tests/property/test_hostile_answers.py"),
    Mutant("aliases are followed without end", "documents.py", "        if self._values > MOST_VALUES:\n", "        if self._values > 10**7:\n", "tests/unit/test_documents.py"),
    Mutant("a list of customers is for everybody", "private_files.py", "_MODE = 0o600", "_MODE = 0o644", "tests/unit/test_private_files.py"),
    Mutant("a run that the warehouse has forgotten is taken for known", "sync/restored.py", "if kept is not None and not await run.on_tables(_knows, kept.last):", "if False:", _RESTORED),
    Mutant("a record is not looked for by its key", "sync/plan/matching.py", "by_key = keyed.get(line.key)", "by_key = None", _KEYED),
    Mutant("a key that a person took away stays away", "sync/plan/standing_comparison.py", "            changed.append(self._tables.spec.key_property)\n", "            pass\n", _KEYED),
    Mutant("a backup of the time before the key asks nobody", "sync/restored.py", "return since is not None and _knows(tables, since) and", "return since is not None and", _KEYED),
    Mutant("a run that heals part of an older state passes for all", "sync/engine.py", "        if (plan.changes or plan.links.changes) and older is None:\n", "        if plan.changes or plan.links.changes:\n", _RESTORED),
    Mutant("an erasure is not taken over from its file", "privacy/erased_file.py", "for h in sorted(of_file - known)]", "for h in ()]", _RESTORED),
    Mutant("the seal of a saved plan is not looked at", "sync/plan/saved.py", "        if known.file_digest not in (None, file.digest):", "        if False:", "tests/unit/test_sync_saved_plans.py"),
    Mutant("escapes in a text are not undone when it is searched for the erased", "privacy/mentions.py", "        if depth < _NESTED:\n", "        if False:\n", "tests/unit/test_mentions.py"),
    Mutant("a console shows data as it is", "cli/safe_console.py", "text if control else for_terminal_lines(text)", "text", "tests/unit/test_safe_text.py"),
    Mutant("several of ours write one record that was merged", "sync/plan/same_record.py", "t.holder <> t.own AND {of_leavers}", "FALSE AND {of_leavers}", _PEOPLE),
    Mutant("who left the model takes a merged record away", "sync/plan/same_record.py", "{leaves(tables, \"p\")} AS leaves", "FALSE AS leaves", _STANDING),
    Mutant("who left takes a person along who was merged into their record", "sync/plan/removals.py", "    if any(id_ in foreign for id_ in others) or", "    if", _REMOVALS),
    Mutant("who left takes away a record that is somebody else by now", "sync/plan/removals.py", "    return SOMEBODY_ELSE.format(leaver.id, match_on) if leaver.is_somebody_else else None\n", "    return None\n", _REMOVALS),
    Mutant("who was to be erased and stands there again is passed over", "sync/plan/removals.py", "    if read and run.spec.erases:\n", "    if False:\n", _REMOVALS),
    Mutant("a rollback archives a merged record", "sync/rollback/judge.py", "if not self._unseen and merged_records.was_merged(", "if False and merged_records.was_merged(", _REMOVALS),
    Mutant("a merged record is told our email", "sync/plan/standing_comparison.py", 'if name in self._unique and row["known"]', 'if False and row["known"]', _STANDING),
    Mutant("an archived record is not looked for again", "sync/plan/standing.py", "            if look_again:\n", "            if False:\n", _STANDING),
    Mutant("what stood there is not kept", "sync/plan/standing.py", "found = coalesce(s.found, {plan}.found)", "found = {plan}.found", _STANDING),
    Mutant("a write that is on its way is taken for one that never was", "sync/plan/standing.py", "        await run.on_tables(_keep_what_is_not_applied_yet)\n", "        pass\n", _STANDING),
    Mutant("what is equal there is not remembered as our row has it", "sync/plan/equal_forms.py", "SET row_hash = p.row_hash, {values}", "SET row_hash = p.row_hash", _STANDING),
    Mutant("what was not applied is remembered as sent", "sync/apply/checkpoint.py", "    if not fitting:\n        return\n", "    return\n", _STANDING),
    Mutant("what stands there is not read before it is changed", "sync/plan/standing.py", "    if not isinstance(destination, ReadsBack) or not (count := await run.on_tables(_count)):\n", "    if count := 1:\n", "people"),
    Mutant("a key of the model whose record was merged is passed over by who adopts it", "sync/plan/adoption.py", "            AND (op = 'delete' OR {clears(tables, tables.plan)})\n        \"\"\"\n    )\n\n\ndef _leave_out", "        \"\"\"\n    )\n\n\ndef _leave_out", _STANDING),
    Mutant("a new key adopts ours that a person merged", "sync/plan/found_holders.py", "        if former or known not in stands or stands", "        if known in stands and stands", _STANDING),
    Mutant("a new key adopts a record that holds the key of another", "sync/plan/found_holders.py", "    if tables.spec.key_property is not None:\n", "    if False:\n", _KEYED),
    Mutant("who adopts what stands there with its values has no claim to it", "sync/plan/same_record.py", "WHERE {_UNDECIDED} OR (p.adopted AND p.outcome = 'ok')", "WHERE {_UNDECIDED}", _STANDING),
    Mutant("a circle is withheld though one of it may be empty", "sync/plan/handover_order.py", "if able := [h for h in circle if h.vacatable]:", "if able := [h for h in circle if False]:", _MOVES),
    Mutant("a few pause as many do", "sync/retry/due.py", "WHERE {outside}\", int) <= FEW:", "WHERE {outside}\", int) <= -1:", _WAITING),
    Mutant("who waits for a value of ours is not tried with a few others", "sync/retry/due.py", "WHERE ({outside}) OR ({ours})\"", "WHERE ({outside})\"", _WAITING),
    Mutant("what is to be made again is taken for lost", "sync/restored.py", "AND (f.counts LIKE", "AND FALSE AND (f.counts LIKE", _RESTORED),
    Mutant("an older state is not read back", "sync/restored.py", 'if older is None or spec.mode == "insert":', "if True:", _RESTORED),
    Mutant("after a restore what people wrote is written over", "sync/plan/standing_comparison.py", "if self._refresh is not Refresh.READ_BACK or row", "if True or row", _RESTORED),
    Mutant("after a restore a person's archived record is made again where it had our key", "sync/restored.py", "if plan.create and not (spec", "if plan.create and not keyed and not (spec", _KEYED),
    Mutant("a plan that was altered is read", "sync/plan/saved.py", "    if claimed != digest:\n", "    if False:\n", "tests/unit/test_sync_saved_plans.py"),
    Mutant("marks of direction reach a terminal", "safe_text.py", '_UNSAFE = re.compile(f"[{_UNSEEN}]")', '_UNSAFE = re.compile("[\\x00-\\x1f\\x7f-\\x9f]")', "tests/unit/test_safe_text.py"),
    Mutant("a formula behind a blank is computed", "safe_text.py", "([\\s{_UNSEEN}]*)([=@", "()([=@", "tests/unit/test_safe_text.py"),
    Mutant("what is packed is unpacked to its end", "http/body.py", "self._zlib.decompress(piece, max(room, 0) + 1)", "self._zlib.decompress(piece)", _HOSTILE),
    Mutant("what others write for us is for everybody", "private_files.py", "os.umask(0o077)", "os.umask(0o022)", "tests/unit/test_private_files.py"),
)  # fmt: skip


def plant(mutant: Mutant, folder: Path) -> Path:
    """A copy of the sources with the mistake in it; the folder to import from."""
    target = folder / "src"
    shutil.copytree(ROOT / "src", target, ignore=shutil.ignore_patterns("__pycache__", "_starter"))
    path = target / "revetl" / mutant.file
    text = path.read_text("utf-8")
    if text.count(mutant.old) != 1:
        raise RuntimeError(f"the mutant {mutant.name!r} applies {text.count(mutant.old)} times to {mutant.file}")
    path.write_text(text.replace(mutant.old, mutant.new), "utf-8")
    return target


def found_by(mutant: Mutant | None, by: str, limit: int) -> str | None:
    """What found it: `history 7`, or the name of a test; None where nothing did. Without a mutant: the code as it is."""
    with tempfile.TemporaryDirectory() as folder:
        source = plant(mutant, Path(folder)) if mutant else ROOT / "src"
        done = subprocess.run(
            [sys.executable, "-m", "verification.mutants", "hunt", by, str(limit)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{source}{os.pathsep}{ROOT}"},
            capture_output=True,
            text=True,
            check=False,
        )
    imported, _, rest = done.stdout.partition("\n")
    if done.returncode or not Path(imported).is_relative_to(source):
        raise RuntimeError(
            f"the hunt for {mutant and mutant.name!r} failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}"
        )
    return rest.splitlines()[-1].strip() or None


def hunt(by: str, limit: int) -> None:
    """Prints where revetl was imported from, and at last what found something."""
    import revetl

    print(revetl.__file__, flush=True)
    if by.startswith("tests/"):
        import pytest

        noted = _Failures()
        if pytest.main([by, "-q", "-x", "--no-header", "--tb=no", "-p", "no:cacheprovider"], [noted]) > 1:
            raise SystemExit("the tests could not be run")
        print(f"\n{next(iter(noted.names), '')}")
        return
    from verification import machine, people, simulation

    play = {"machine": machine.play, "people": people.play, "simulation": simulation.play}[by]
    found = next((seed + 1 for seed in range(limit) if play(range(seed, seed + 1)).failures), None)
    print(f"\nhistory {found}" if found else "")


class _Failures:
    """A pytest plugin: the names of the tests that failed."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.names.append(report.nodeid.rpartition("::")[2].partition("[")[0])


def measure() -> Section:
    for by in ("simulation", "machine", "people"):
        if (alarm := found_by(None, by, 20)) is not None:
            raise RuntimeError(f"the {by} finds something in the code as it is: {alarm}")
    rows: list[tuple[str, ...]] = []
    missed = 0
    planted = random.Random(SEED).sample(MUTANTS, SAMPLE) if 0 < SAMPLE < len(MUTANTS) else MUTANTS
    for mutant in planted:
        found = found_by(mutant, mutant.by, HISTORIES)
        missed += found is None
        rows.append((mutant.name, f"`{mutant.file}`", mutant.by, found or "**not found**"))
        print(f"  {mutant.name}: {found}", file=sys.stderr, flush=True)
    drawn = f" ({len(planted)} of {len(MUTANTS)}, drawn with seed {SEED})" if len(planted) < len(MUTANTS) else ""
    return Section(
        title="Planted mistakes",
        workload=(
            f"Each row is one edit of the code{drawn}. The simulation or the state machine plays up to {HISTORIES} histories, "
            "or the named tests run; the last column says which of them noticed first."
        ),
        header=("mistake", "file", "must be found by", "found by"),
        rows=rows,
        verdict=f"Caught: {len(planted) - missed} of {len(planted)}" + (": met." if not missed else ": NOT met."),
    )


if __name__ == "__main__":
    hunt(sys.argv[2], int(sys.argv[3]))
