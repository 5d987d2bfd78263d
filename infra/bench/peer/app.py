"""The HTTP calls: run, restart, status, and the sweep.

The checks come in Rekindle's order, but for one: FastAPI reads a body's JSON
before it asks for the session.
"""

import os
import re
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from .domain import (
    SESSION_TOUCH,
    TIMEOUT,
    Attempt,
    LostRace,
    Operation,
    Project,
    Refusal,
    Session,
    Status,
    Tenant,
    check_attempt,
    check_session,
    check_start,
    next_execution_id,
    now,
    sha256,
    trial_slot_taken,
)
from .store import Store, get_store

OUTPUT_BASE = os.environ.get("OUTPUT_BASE", "/tmp/output").rstrip("/")
PROJECT_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
MAX_RACES = 8
STARTED = {Operation.RUN: "started", Operation.RESTART: "restarted"}


@asynccontextmanager
async def lifespan(_app: FastAPI):
    get_store()
    yield


app = FastAPI(title="Projects", lifespan=lifespan)


@app.exception_handler(Refusal)
async def refused(_request: Request, refusal: Refusal) -> JSONResponse:
    return JSONResponse(refusal.body, refusal.status)


@app.exception_handler(RequestValidationError)
async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
    problem = "; ".join(f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors())
    detail = f"The request body is not what this call takes: {problem}"
    return JSONResponse({"code": "body_invalid", "detail": detail, "problem": problem}, 400)


def milliseconds(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


Stamp = Annotated[datetime, PlainSerializer(milliseconds)]


class StartBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    expected_attempt: int | None = Field(default=None, ge=0)


class Started(BaseModel):
    success: bool = True
    message: str
    execution_id: int
    status: Status = Status.RUNNING
    output_folder_path: str | None


class Progress(BaseModel):
    percent: int
    message: str


class AttemptAnswer(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    execution_id: int
    attempt: int
    started_at: Stamp | None
    claimed_at: Stamp | None
    completed_at: Stamp | None
    outcome: str | None
    error: str | None
    output_folder_path: str | None


class StatusAnswer(BaseModel):
    project_id: str
    name: str
    execution_status: Status
    execution_id: int | None
    attempt: int
    execution_started_at: Stamp | None
    claimed_at: Stamp | None
    execution_completed_at: Stamp | None
    execution_error: str | None
    output_folder_path: str | None
    progress: Progress
    heartbeat_at: Stamp | None
    times_out_at: Stamp | None
    can_run: bool
    can_restart: bool
    blocked_reason: str | None
    blocked_code: str | None
    attempts: list[AttemptAnswer]


class Swept(BaseModel):
    cutoff: Stamp
    failed: int


class Caller:
    """A tenant whose session has been checked, with the project that the call is about."""

    def __init__(self, session: Session, project: Project | None, tenant: Tenant | None) -> None:
        self.session = session
        self.found = project
        self.tenant = tenant

    @property
    def project(self) -> Project:
        if self.found is None:
            raise Refusal(404, "project_not_found", "Project not found")
        return self.found


StoreDep = Annotated[Store, Depends(get_store)]


def get_caller(project_id: str, store: StoreDep, x_session_token: Annotated[str, Header()] = "") -> Caller:
    token = x_session_token.strip()
    if not token:
        raise Refusal(401, "session_missing", "Session token required: send it in the X-Session-Token header")
    tenant_id, _, secret = token.rpartition(".")
    if not tenant_id or not secret or len(token) > 512:
        raise Refusal(401, "session_invalid", "Unknown session token: please sign in")
    found, project, tenant = store.load(sha256(token), tenant_id, project_id)
    at = now()
    session = check_session(found, tenant_id, at)
    if at - session.last_seen >= SESSION_TOUCH:
        store.touch(session, at)
    if not PROJECT_ID.fullmatch(project_id):
        raise Refusal(
            400,
            "project_id_invalid",
            "A project id is 1 to 100 characters of a-z, 0-9, - and _, and begins with a letter or a digit",
        )
    return Caller(session, project, tenant)


CallerDep = Annotated[Caller, Depends(get_caller)]


@app.get("/api/tenant/projects/{project_id}/status")
def status(caller: CallerDep) -> StatusAnswer:
    p = caller.project
    operation = Operation.RESTART if p.execution_status == Status.FAILED else Operation.RUN
    blocked: dict[str, object] = {}
    try:
        check_start(operation, p, caller.tenant)
    except Refusal as refusal:
        blocked = refusal.body
    running = p.execution_status == Status.RUNNING and p.execution_started_at
    return StatusAnswer(
        project_id=p.project_id,
        name=p.name or "",
        execution_status=Status(p.execution_status),
        execution_id=p.execution_id,
        attempt=p.attempt,
        execution_started_at=p.execution_started_at,
        claimed_at=p.claimed_at,
        execution_completed_at=p.execution_completed_at,
        execution_error=p.execution_error,
        output_folder_path=p.output_folder_path,
        progress=Progress(percent=p.progress_percent, message=p.progress_message),
        heartbeat_at=p.heartbeat_at,
        times_out_at=p.execution_started_at + TIMEOUT if running else None,
        can_run=not blocked and operation is Operation.RUN,
        can_restart=not blocked and operation is Operation.RESTART,
        blocked_reason=blocked.get("detail"),
        blocked_code=blocked.get("code"),
        attempts=[AttemptAnswer.model_validate(a) for a in p.attempts],
    )


def launch(execution_id: int) -> None:
    """Where the work would begin: there is none."""


class Start:
    """A call that starts a project: what run and restart have in common."""

    def __init__(
        self,
        caller: CallerDep,
        store: StoreDep,
        background: BackgroundTasks,
        body: StartBody | None = None,
        idempotency_key: Annotated[str | None, Header()] = None,
    ) -> None:
        self.caller = caller
        self.store = store
        self.background = background
        self.expected_attempt = body.expected_attempt if body else None
        self.key_hash = None
        if idempotency_key is not None:
            if not (0 < len(idempotency_key) <= 255 and idempotency_key.isascii() and idempotency_key.isprintable()):
                raise Refusal(
                    400, "idempotency_key_invalid", "An Idempotency-Key is 1 to 255 printable ASCII characters"
                )
            self.key_hash = sha256(idempotency_key)

    def begin(self, operation: Operation) -> Started:
        project, tenant = self.caller.project, self.caller.tenant
        for _ in range(MAX_RACES):
            earlier = next((a for a in project.attempts if self.key_hash and a.key_hash == self.key_hash), None)
            if earlier:
                return replay(operation, earlier)
            check_attempt(project, self.expected_attempt)
            check_start(operation, project, tenant)
            if tenant.subscription_state == "trialing" and (other := self.store.running_project(tenant.tenant_id)):
                raise trial_slot_taken(other)
            attempt = next_attempt(project, operation, self.key_hash)
            try:
                self.store.start(project, attempt)
            except LostRace:
                token_hash = self.caller.session.token_hash
                _, found, tenant = self.store.load(token_hash, project.tenant_id, project.project_id)
                project = Caller(self.caller.session, found, tenant).project
                continue
            self.background.add_task(launch, attempt.execution_id)
            return started(operation, attempt)
        raise Refusal(503, "contended", "Too many requests for this project at once: try again in a moment")


def next_attempt(project: Project, operation: Operation, key_hash: str | None) -> Attempt:
    at = now()
    execution_id = next_execution_id(project.execution_id, at)
    return Attempt(
        execution_id=execution_id,
        attempt=project.attempt + 1,
        started_at=at,
        output_folder_path=f"{OUTPUT_BASE}/{project.tenant_id}/{project.uid}/{execution_id}/",
        operation=operation.value,
        key_hash=key_hash,
    )


def replay(operation: Operation, earlier: Attempt) -> Started:
    if earlier.operation != operation:
        detail = f"This Idempotency-Key was used for {earlier.operation}; use a new key for another operation"
        raise Refusal(422, "idempotency_key_reused", detail, operation=earlier.operation)
    return started(operation, earlier)


def started(operation: Operation, attempt: Attempt) -> Started:
    return Started(
        message=f"Project execution {STARTED[operation]} successfully",
        execution_id=attempt.execution_id,
        output_folder_path=attempt.output_folder_path,
    )


StartDep = Annotated[Start, Depends()]


@app.post("/api/tenant/projects/{project_id}/run")
def run(start: StartDep) -> Started:
    return start.begin(Operation.RUN)


@app.post("/api/tenant/projects/{project_id}/restart")
def restart(start: StartDep) -> Started:
    return start.begin(Operation.RESTART)


@app.post("/internal/sweep")
def sweep(store: StoreDep) -> Swept:
    """For the scheduler on this machine, as Rekindle's function is for its schedule."""
    at = now()
    cutoff = at - TIMEOUT
    cutoff -= timedelta(microseconds=cutoff.microsecond % 1000)
    return Swept(cutoff=cutoff, failed=store.sweep(cutoff, at))
