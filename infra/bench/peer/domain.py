"""What a project is, who may start it, and how the refusals read."""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

SESSION_IDLE = timedelta(minutes=30)
SESSION_TOUCH = timedelta(minutes=5)
TIMEOUT = timedelta(hours=24)
TIMED_OUT = "Execution timed out: it was running for more than 24 hours"
MAX_ATTEMPTS = 10
ID_EPOCH = datetime(2025, 1, 1)


class Status(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class Operation(StrEnum):
    RUN = "run"
    RESTART = "restart"


class Refusal(Exception):
    """An answer that its receiver can act on."""

    def __init__(self, status: int, code: str, detail: str, /, **fields: object) -> None:
        super().__init__(detail)
        self.status = status
        self.body = {"code": code, "detail": detail, **fields}


class LostRace(Exception):
    """The project changed between its reading and its writing."""


@dataclass
class Session:
    token_hash: str
    tenant_id: str
    expires_at: datetime
    last_seen: datetime


@dataclass
class Tenant:
    tenant_id: str
    subscription_state: str | None = None


@dataclass
class Attempt:
    execution_id: int
    attempt: int
    started_at: datetime | None = None
    claimed_at: datetime | None = None
    completed_at: datetime | None = None
    outcome: str | None = None
    error: str | None = None
    output_folder_path: str | None = None
    operation: str | None = None
    key_hash: str | None = None


@dataclass
class Project:
    tenant_id: str
    project_id: str
    uid: str
    version: int
    execution_status: Status
    name: str | None = None
    description: str | None = None
    objectives: str | None = None
    activation_code_hash: str | None = None
    activation_code_revoked_at: datetime | None = None
    execution_id: int | None = None
    attempt: int = 0
    execution_started_at: datetime | None = None
    claimed_at: datetime | None = None
    heartbeat_at: datetime | None = None
    execution_completed_at: datetime | None = None
    execution_error: str | None = None
    output_folder_path: str | None = None
    progress_percent: int = 0
    progress_message: str = ""
    attempts: list[Attempt] = field(default_factory=list)  # newest first


def now() -> datetime:
    """The time in UTC, without a zone: SQLite keeps none."""
    return datetime.now(UTC).replace(tzinfo=None)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def next_execution_id(previous: int | None, at: datetime) -> int:
    milliseconds = max((at - ID_EPOCH) // timedelta(milliseconds=1), 0)
    return max((previous or 0) + 1, milliseconds << 10 | secrets.randbits(10))


def check_session(session: Session | None, tenant_id: str, at: datetime) -> Session:
    if session is None or session.tenant_id != tenant_id:
        raise Refusal(401, "session_invalid", "Unknown session token: please sign in")
    if at >= session.expires_at:
        raise Refusal(401, "session_expired", "Session expired: please sign in again")
    if at - session.last_seen >= SESSION_IDLE:
        raise Refusal(401, "session_idle", "Session expired after 30 minutes without use: please sign in again")
    return session


def check_attempt(project: Project, expected: int | None) -> None:
    if expected is not None and expected != project.attempt:
        status = project.execution_status
        raise Refusal(
            409,
            "attempt_differs",
            f"The project is at attempt {project.attempt} with status {status}, not at the attempt that you expected",
            attempt=project.attempt,
            status=status,
        )


SUBSCRIPTION_REFUSALS = {
    None: ("subscription_missing", "Your account has no subscription: projects can't be created or run without one"),
    "past_due": (
        "subscription_past_due",
        "Your subscription is past due: settle the open invoice to create and run projects",
    ),
    "canceled": ("subscription_canceled", "Your subscription was canceled: renew it to create and run projects"),
    "unpaid": ("subscription_unpaid", "Your subscription is unpaid: pay it to create and run projects"),
    "suspended": ("subscription_suspended", "Your account is suspended: contact support to create and run projects"),
}


def check_start(operation: Operation, project: Project, tenant: Tenant | None) -> None:
    """Raises why the project may not start now. The order is part of the contract."""
    status = project.execution_status
    if operation is Operation.RESTART and status != Status.FAILED:
        detail = f"Only failed projects can be restarted. Current status: {status}"
        raise Refusal(400, "project_not_failed", detail, status=status)
    if operation is Operation.RUN and status != Status.PENDING:
        detail = f"Only pending projects can be run. Current status: {status}"
        if status == Status.FAILED:
            raise Refusal(400, "project_failed_use_restart", detail + ". Use restart to run it again", status=status)
        raise Refusal(400, "project_not_pending", detail, status=status)
    state = tenant.subscription_state if tenant else None
    if state not in ("active", "trialing"):
        if state in SUBSCRIPTION_REFUSALS:
            raise Refusal(400, *SUBSCRIPTION_REFUSALS[state])
        detail = f"Your subscription does not allow creating and running projects. Current state: {state}"
        raise Refusal(400, "subscription_unknown", detail, subscription_state=state)
    if not project.activation_code_hash:
        raise Refusal(400, "activation_code_missing", "The project has no activation code: assign one to run it")
    if project.activation_code_revoked_at:
        raise Refusal(
            400, "activation_code_revoked", "The project's activation code was revoked: assign another to run it"
        )
    for name in ("name", "description", "objectives"):
        if not (getattr(project, name) or "").strip():
            raise Refusal(400, "field_missing", f"The project has no {name}: fill it in to run the project", field=name)


def trial_slot_taken(running_project_id: str) -> Refusal:
    return Refusal(
        400,
        "trial_slot_taken",
        f"A trial runs one project at a time, and {running_project_id} is running",
        running_project_id=running_project_id,
    )
