"""Pages of who has signed in: plans to approve, what was asked and what became of it, the audit log; and the forms.

A form does what a route of `/v1` does, by the same handler, so the page can do nothing that the API refuses.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from revetl.accounts.audit import AuditLog
from revetl.accounts.plan_reviews import PlanReviews, ReviewedPlan
from revetl.accounts.roles import Right
from revetl.errors import ConfigError
from revetl.service.access import TokenBook
from revetl.service.api.app import Api
from revetl.service.operations.accepting import Asker
from revetl.service.operations.running import OperationRunner
from revetl.service.operations.tables import OperationTable, ServiceOperation
from revetl.service.page.app import Page
from revetl.service.page.sessions import COOKIE, LASTS_S
from revetl.service.page.visitors import check_csrf, form_of
from revetl.service.problems import ServiceProblem
from revetl.state import saved_plans
from revetl.state.sync_tables import resolve
from revetl.sync.plan import lines
from revetl.sync.plan.summary import PlanLine
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

_LINES = 50
_ROWS = 100
# Of a form: the handler of /v1 that it calls, which fields are the path's and which the body's.
_FORMS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "make_plan": ((), ("syncs",)),
    "approve_plan": (("plan",), ()),
    "apply_plan": (("plan",), ()),
    "run_sync": (("sync",), ()),
    "retry_sync": (("sync",), ("codes",)),
    "look_at_drift": (("sync",), ("resolve",)),
    "roll_back": (("run_id",), ()),
}
_LISTS = {"syncs", "codes"}


class ActPages:
    """Beside `page`, which draws and knows who visits."""

    def __init__(self, page: Page, api: Api, tokens: TokenBook, runner: OperationRunner) -> None:
        self._page, self._api, self._tokens, self._runner = page, api, tokens, runner

    def routes(self) -> list[Route]:
        safe = self._page.safe
        return [
            Route("/sign-in", safe(self._sign_in), methods=["GET", "POST"]),
            Route("/sign-out", safe(self._sign_out), methods=["POST"]),
            Route("/plans", safe(self._plans), methods=["GET"]),
            Route("/plans/{plan}", safe(self._plan), methods=["GET"]),
            Route("/operations", safe(self._operations), methods=["GET"]),
            Route("/operations/{operation_id}", safe(self._operation), methods=["GET"]),
            Route("/audit", safe(self._audit), methods=["GET"]),
            Route("/acts/{handler}", safe(self._act), methods=["POST"]),
        ]

    async def _sign_in(self, request: Request) -> Response:
        visitor = await self._page.visitor(request)
        if request.method == "GET":
            return self._page.html("sign_in.html", visitor=visitor, title="Sign in", wrong=None)
        form = await form_of(request)
        address = request.client.host if request.client is not None else "unknown"
        try:
            token = await self._tokens.find(form.get("token", "").strip(), address)
        except ServiceProblem as problem:
            wrong = "That token is not known, or is over." if problem.status == 401 else problem.detail
            return self._page.html("sign_in.html", problem.status, visitor=visitor, title="Sign in", wrong=wrong)
        before = request.cookies.get(COOKIE)
        if before:
            self._page.sessions.end(before)
        response = RedirectResponse("/", 303)
        response.set_cookie(
            COOKIE,
            self._page.sessions.begin(token.token_id),
            max_age=int(LASTS_S),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    async def _sign_out(self, request: Request) -> Response:
        check_csrf(await self._page.visitor(request), await form_of(request))
        self._page.sessions.end(request.cookies.get(COOKIE, ""))
        response = RedirectResponse("/", 303)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    async def _act(self, request: Request) -> Response:
        form, visitor = await form_of(request), await self._page.visitor(request)
        check_csrf(visitor, form)
        handler = request.path_params["handler"]
        if handler not in _FORMS or visitor.session is None:
            raise ServiceProblem("not-found", "There is no such act.")
        in_path, in_body = _FORMS[handler]
        body: dict[str, Any] = {"reason": form["reason"]} if form.get("reason") else {}
        body |= {name: form[name].split("\n") if name in _LISTS else form[name] for name in in_body if form.get(name)}
        address = request.client.host if request.client is not None else "unknown"
        found = await self._api.perform(
            handler,
            Asker(visitor.principal, f"page from {address}"),
            path={name: form.get(name, "") for name in in_path},
            body=json.dumps(body).encode(),
            key="-".join([handler, *(form[name] for name in ("resolve",) if form.get(name)), form.get("key", "")]),
            secret=visitor.session.csrf,
        )
        operation_id = getattr(found, "operation_id", None)
        return RedirectResponse(f"/operations/{operation_id}" if operation_id else f"/plans/{form['plan']}", 303)

    async def _plans(self, request: Request) -> Response:
        visitor = await self._page.visitor(request)
        found = await self._read(lambda warehouse: PlanReviews(warehouse).newest(_ROWS))
        shown = [(plan, json.loads(plan.document)["syncs"]) for plan in found]
        project = self._page.project
        names = [spec.name for spec in project.syncs(verified=False)] if visitor.acts else []
        return self._page.html(
            "plans.html", visitor=visitor, title="Plans", plans=shown, syncs=names, needed=project.approvals
        )

    async def _plan(self, request: Request) -> Response:
        visitor = await self._page.visitor(request)
        after = request.query_params.get("after", "")
        which = request.query_params.get("sync", "")

        def read(warehouse: Warehouse) -> tuple[ReviewedPlan, list[tuple[int, PlanLine]], str, ServiceOperation | None]:
            plan = PlanReviews(warehouse).find(request.path_params["plan"])
            if plan is None:
                raise ServiceProblem("not-found", "There is no plan of this id.")
            syncs = {each["sync"]: each for each in json.loads(plan.document)["syncs"]}
            first = next((name for name, each in syncs.items() if each["lines"]), next(iter(syncs)))
            chosen = which if which in syncs else first
            applied = OperationTable(warehouse).find(plan.applied_by) if plan.applied_by else None
            return plan, self._lines(warehouse, syncs[chosen], after), chosen, applied

        plan, found, chosen, applied = await self._read(read)
        return self._page.html(
            "plan.html",
            visitor=visitor,
            title="Plan",
            plan=plan,
            syncs=json.loads(plan.document)["syncs"],
            sync=chosen,
            lines=found[:_LINES],
            following=found[_LINES - 1][0] if len(found) > _LINES else None,
            needed=self._page.project.approvals,
            applied=applied,
        )

    def _lines(self, warehouse: Warehouse, entry: Mapping[str, Any], after: str) -> list[tuple[int, PlanLine]]:
        """None where they were dropped: applied, erased, or too old."""
        specs = {spec.name: spec for spec in self._page.project.syncs(verified=False)}
        copy = saved_plans.copy_of(warehouse, entry["plan_id"])
        if entry["sync"] not in specs or not warehouse.columns(copy):
            return []
        try:
            tables = resolve(warehouse, specs[entry["sync"]])
        except ConfigError:  # the model is not built as it is declared now
            return []
        start = int(after) if after.isdecimal() and len(after) < 18 else None
        return lines.read_saved(tables, table(copy), after=start, limit=_LINES + 1)

    async def _operations(self, request: Request) -> Response:
        visitor = await self._page.visitor(request)
        found = await self._read(lambda warehouse: OperationTable(warehouse).newest(_ROWS))
        shown = [self._runner.find(each.operation_id) or each for each in found]
        return self._page.html("operations.html", visitor=visitor, title="Operations", operations=shown)

    async def _operation(self, request: Request) -> Response:
        visitor, id_ = await self._page.visitor(request), request.path_params["operation_id"]
        found, plan = self._runner.find(id_), self._runner.plan(id_)
        if found is None:
            found, plan = await self._read(
                lambda warehouse: (OperationTable(warehouse).find(id_), PlanReviews(warehouse).made_by(id_))
            )
        if found is None:
            raise ServiceProblem("not-found", "There is no operation of this id.")
        return self._page.html("operation.html", visitor=visitor, title=found.kind, operation=found, plan=plan)

    async def _audit(self, request: Request) -> Response:
        visitor = await self._page.visitor(request)
        if visitor.session is None or not visitor.principal.may(Right.DECIDE):
            raise ServiceProblem("not-allowed", "The audit log is for approvers.")
        asked = {name: request.query_params.get(name, "")[:200] for name in ("actor", "subject")}
        found = await self._read(
            lambda warehouse: AuditLog(warehouse).newest(_ROWS, actor=asked["actor"], subject=asked["subject"])
        )
        return self._page.html("audit.html", visitor=visitor, title="Audit log", events=found, said=asked)

    async def _read(self, read: Callable[[Warehouse], Any]) -> Any:
        return await self._page.read(read)
