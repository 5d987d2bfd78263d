"""Fills the SQLite database from a seed file of Rekindle's local stack.

python -m peer.seed DATABASE SEED
"""

import json
import sys
from datetime import UTC, datetime, timedelta

from .domain import now, sha256
from .sql import Attempt, Project, Session, SQLStore, Tenant


def moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None) if text else None


def fill(store: SQLStore, seed: dict) -> None:
    at = now()
    with store.sessions.begin() as db:
        for t in seed["tenants"]:
            db.add(Tenant(tenant_id=t["tenant_id"], subscription_state=t.get("subscription_state")))
            if token := t.get("session_token"):
                db.add(
                    Session(
                        token_hash=sha256(token),
                        tenant_id=t["tenant_id"],
                        expires_at=at + timedelta(hours=24),
                        last_seen=at,
                    )
                )
        for s in seed.get("sessions", []):
            db.add(
                Session(
                    token_hash=sha256(s["session_token"]),
                    tenant_id=s["tenant_id"],
                    expires_at=moment(s.get("expires_at")) or at + timedelta(hours=24),
                    last_seen=moment(s.get("last_seen")) or at,
                )
            )
        for p in seed["projects"]:
            db.add(project(p))


def project(p: dict) -> Project:
    started, completed = moment(p.get("execution_started_at")), moment(p.get("execution_completed_at"))
    status, execution_id = p.get("execution_status", "pending"), p.get("execution_id")
    row = Project(
        tenant_id=p["tenant_id"],
        project_id=p["project_id"],
        uid="uid-" + p["project_id"],
        name=p.get("name"),
        description=p.get("description"),
        objectives=p.get("objectives"),
        activation_code_hash=sha256(p["activation_code"]) if p.get("activation_code") else None,
        execution_status=status,
        execution_id=execution_id,
        attempt=p.get("attempt", 0),
        execution_started_at=started,
        execution_completed_at=completed,
        execution_error=p.get("execution_error"),
    )
    if execution_id:
        row.attempts.append(
            Attempt(
                execution_id=execution_id,
                attempt=row.attempt,
                started_at=started,
                completed_at=completed,
                outcome=status if status in ("completed", "failed") else None,
                error=row.execution_error,
                operation="run",
            )
        )
    return row


if __name__ == "__main__":
    database, path = sys.argv[1:]
    with open(path) as file:
        fill(SQLStore(database), json.load(file))
