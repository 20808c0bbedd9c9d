"""What is told of dbt's log: by node where a node failed, by dbt's own reason where it did not get that far."""

from __future__ import annotations

import json
from typing import Any

from revetl.project.dbt import _explanation, _Log


def event(name: str, msg: str = "", level: str = "info", node: str = "", kind: str = "model", **data: Any) -> str:
    info = {"name": name, "msg": msg, "level": level, "invocation_id": "i"}
    # dbt writes the word None where a node has no status.
    node_info = {"node_name": node, "resource_type": kind, "node_path": f"models/{node}", "node_status": "None"}
    return json.dumps({"info": info, "data": {"node_info": node_info if node else {}, "msg": msg, **data}})


def told(*lines: str) -> str:
    log = _Log(None)
    log.read(lines)
    return _explanation("build", 1, log)


def test_a_unit_test_that_failed_is_shown_row_by_row() -> None:
    said = told(
        event("LogTestResult", "FAIL 1", "error", node="keeps_the_best", kind="unit_test", status="fail"),
        event("RunResultFailure", "Failure in unit_test keeps_the_best", "error", node="keeps_the_best"),
        event(
            "RunResultError", level="error", node="keeps_the_best", msg="\nactual differs\n\n@@,id,email\r\n→,a→b,x\n"
        ),
    )
    assert said == (
        "dbt build: 1 failed\n"
        "  unit_test keeps_the_best (models/keeps_the_best):\n    actual differs\n    @@,id,email\n    →,a→b,x"
    )


def test_a_traceback_is_left_out_where_there_is_a_reason() -> None:
    reason = event("MainEncounteredError", "Encountered an error:\n[Errno 28] No space left on device", "error")
    trace = event("MainStackTrace", "Traceback (most recent call last):\n  File …", "error")
    assert "Traceback" not in told(reason, trace)
    assert "No space left on device" in told(reason, trace)
    assert "Traceback" in told(trace)


def test_a_skipped_ephemeral_model_is_told_without_its_kind() -> None:
    """As dbt 1.11 does where a test above an ephemeral model fails."""
    skipped = {"info": {"name": "SkippingDetails", "msg": "SKIP", "level": "info", "invocation_id": "i"}}
    skipped["data"] = {"node_info": {"node_name": "int_payments", "node_status": "skipped"}, "status": "skipped"}  # type: ignore[assignment]
    failed = event("LogTestResult", "FAIL 1", "error", node="not_null_id", kind="test", status="fail")
    assert told(json.dumps(skipped), failed).startswith("dbt build: 1 failed")
