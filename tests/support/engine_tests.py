"""Which files test the sync engine and the enrichment engine. Each of them runs on each warehouse: a test takes its
warehouse from `tests.support.warehouses.the_warehouse`, and says nothing that only one of them understands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# What they show → files. `python -m verification warehouses` has a row of each.
GROUPS: Mapping[str, Sequence[str]] = {
    "sync: plan, apply, doubt, modes, guardrails, policies": (
        "tests/unit/test_sync_engine.py",
        "tests/unit/test_sync_doubt.py",
        "tests/unit/test_sync_full_refresh.py",
        "tests/unit/test_sync_guardrails.py",
        "tests/unit/test_sync_plan_details.py",
        "tests/unit/test_sync_policies.py",
        "tests/unit/test_sync_retry.py",
        "tests/unit/test_sync_saved_plans.py",
        "tests/unit/test_sync_handovers.py",
        "tests/unit/test_sync_waiting.py",
        "tests/unit/test_sync_standing.py",
        "tests/unit/test_sync_nested.py",
    ),
    "sync: links": ("tests/unit/test_sync_links.py",),
    "sync: rollback and drift": ("tests/unit/test_sync_rollback.py", "tests/unit/test_sync_drift.py"),
    "sync: leaving a destination, sagas": ("tests/unit/test_sync_disconnect.py", "tests/unit/test_sagas.py"),
    "sync: leases, engines side by side": (
        "tests/unit/test_sync_leases.py",
        "tests/simulation/test_sync_side_by_side.py",
    ),
    "sync: state older than the destination": ("tests/unit/test_sync_restored.py",),
    "sync: after an upgrade": ("tests/unit/test_sync_upgrade.py",),
    "sync: crashes at any step": (
        "tests/property/test_sync_recovery.py",
        "tests/property/test_sync_handovers.py",
        "tests/property/test_sync_links.py",
        "tests/property/test_sync_waiting.py",
        "tests/property/test_rollback_recovery.py",
        "tests/property/test_sync_people.py",
    ),
    "sync: against HubSpot's sandbox": (
        "tests/simulation/test_sync_hubspot.py",
        "tests/simulation/test_rollback_hubspot.py",
        "tests/simulation/test_sync_people_hubspot.py",
    ),
    "enrichment: waterfall, stop rules, audits, forecast": (
        "tests/simulation/test_enrich_engine.py",
        "tests/simulation/test_enrich_in_parts.py",
        "tests/property/test_enrich_record_budget.py",
        "tests/simulation/test_enrich_stop_rules.py",
        "tests/simulation/test_enrich_audit.py",
        "tests/simulation/test_enrich_forecast.py",
        "tests/unit/test_enrich_in_doubt.py",
    ),
    "enrichment: crashes at any step, jobs": (
        "tests/simulation/test_enrich_crash.py",
        "tests/simulation/test_enrich_jobs.py",
    ),
    "enrichment: several runs at once": ("tests/simulation/test_enrich_together.py",),
    "enrichment: learning an order": (
        "tests/simulation/test_order_learn.py",
        "tests/simulation/test_order_replay.py",
    ),
}
# `make test` runs all of them on DuckDB, and on the others one test of each kind of thing that the engine asks of a
# warehouse. A test takes a second on Postgres and a few on Snowflake's stand-in.
_ALL = ("duckdb", "postgres", "snowflake")
_POSTGRES = ("duckdb", "postgres")
ALWAYS: Mapping[str, Sequence[str]] = {
    # plan, apply, clear
    "test_only_changed_fields_are_sent_and_a_null_clears": _ALL,
    "test_what_no_destination_could_hold_is_null_and_costs_nobody": _POSTGRES,
    "test_names_as_long_as_they_may_be": _POSTGRES,
    "test_columns_may_come_go_and_change_their_type": _POSTGRES,
    "test_a_swap_is_done_in_one_run_and_the_plan_says_how": _ALL,
    "test_a_value_that_nobody_gives_up_is_withheld_by_name_and_the_other_fields_are_sent": _POSTGRES,
    "test_rolling_back_a_swap_is_a_swap": _POSTGRES,
    "test_a_nested_value_is_sent_once_and_only_when_it_changed": _ALL,
    "test_another_order_of_keys_is_no_change_and_another_order_of_a_list_is_one": _ALL,
    "test_a_run_over_nested_values_is_rolled_back": _POSTGRES,
    "test_a_whole_row_goes_with_a_change_where_the_connector_asks_for_it": _POSTGRES,
    # merged, archived, equal there
    "test_of_two_that_were_merged_one_writes_and_the_other_is_withheld_by_name": _ALL,
    "test_what_was_archived_and_made_again_is_found_again": _POSTGRES,
    "test_the_key_of_the_main_value_need_not_have_changed": _POSTGRES,
    "test_what_is_equal_there_leaves_the_plan_and_is_known_from_then_on": _ALL,
    "test_what_was_taken_and_not_applied_is_told_so_and_is_no_drift": _ALL,
    # recovery
    "test_a_checkpoint_stands_whole_or_not_at_all": _ALL,
    "test_an_answer_that_is_lost_is_unknown_and_settled_by_the_next_run": _POSTGRES,
    "test_after_any_crashes_the_links_are_those_of_the_model": _POSTGRES,
    "test_who_lost_the_lease_writes_no_more_state_and_the_next_run_heals": _ALL,
    "test_a_run_of_the_earlier_version_that_died_is_recovered": _ALL,
    "test_a_plan_that_the_earlier_version_saved_is_applied": _ALL,
    # the retry queue
    "test_a_few_are_tried_each_run_and_many_after_a_pause_that_doubles": _ALL,
    "test_a_hold_of_our_own_is_decided_anew_and_said_once": _ALL,
    # rollback, links
    "test_what_a_run_overwrote_comes_back_field_by_field_and_stays": _ALL,
    "test_the_three_ways": _POSTGRES,
    "test_links_are_made_once_and_only_where_both_are_there": _POSTGRES,
    # leaving a destination, sagas
    "test_clearing_gives_back_what_stood_before_us": _ALL,
    "test_links_that_it_made_go_with_it": _POSTGRES,
    # the ledger
    "test_equal_lookups_are_one_call_and_later_ones_are_served_from_it": _POSTGRES,
    "test_a_job_that_outlives_us_is_fetched_and_not_paid_for_again": _POSTGRES,
}
