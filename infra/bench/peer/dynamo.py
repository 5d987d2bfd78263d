"""The store on DynamoDB, by boto3, on Rekindle's own tables and items."""

from datetime import UTC, datetime
from typing import Any

import boto3
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config
from botocore.exceptions import ClientError

from .domain import MAX_ATTEMPTS, TIMED_OUT, Attempt, LostRace, Project, Session, Status, Tenant
from .store import Loaded

SHARDS = 16


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def unstamp(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None) if text else None


def shard_of(tenant_id: str, project_id: str) -> str:
    """The partition of the index of running projects: FNV-1a of the key."""
    h = 0x811C9DC5
    for byte in f"{tenant_id}\0{project_id}".encode():
        h = (h ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"running#{(h ^ h >> 16) % SHARDS:02d}"


def read_session(item: dict[str, Any]) -> Session:
    return Session(
        token_hash=item["token_hash"],
        tenant_id=item["tenant_id"],
        expires_at=unstamp(item["expires_at"]),
        last_seen=unstamp(item["last_seen"]),
    )


def read_project(item: dict[str, Any]) -> Project:
    progress = item.get("progress", {})
    return Project(
        tenant_id=item["tenant_id"],
        project_id=item["project_id"],
        uid=item.get("project_uid", ""),
        version=int(item["version"]),
        execution_status=Status(item["execution_status"]),
        name=item.get("name"),
        description=item.get("description"),
        objectives=item.get("objectives"),
        activation_code_hash=item.get("activation_code_hash"),
        activation_code_revoked_at=unstamp(item.get("activation_code_revoked_at")),
        execution_id=int(item["execution_id"]) if "execution_id" in item else None,
        attempt=int(item["attempt"]),
        execution_started_at=unstamp(item.get("execution_started_at")),
        claimed_at=unstamp(item.get("claimed_at")),
        heartbeat_at=unstamp(item.get("heartbeat_at")),
        execution_completed_at=unstamp(item.get("execution_completed_at")),
        execution_error=item.get("execution_error"),
        output_folder_path=item.get("output_folder_path"),
        progress_percent=int(progress.get("percent", 0)),
        progress_message=progress.get("message", ""),
        attempts=sorted(
            (read_attempt(int(key), entry) for key, entry in item["attempts"].items()),
            key=lambda a: a.execution_id,
            reverse=True,
        ),
    )


def read_attempt(execution_id: int, item: dict[str, Any]) -> Attempt:
    return Attempt(
        execution_id=execution_id,
        attempt=int(item["number"]),
        started_at=unstamp(item.get("started_at")),
        claimed_at=unstamp(item.get("claimed_at")),
        completed_at=unstamp(item.get("completed_at")),
        outcome=item.get("outcome"),
        error=item.get("error"),
        output_folder_path=item.get("output_folder_path"),
        operation=item.get("operation"),
        key_hash=item.get("key_hash"),
    )


class DynamoStore:
    def __init__(self, projects: str, tenants: str, sessions: str) -> None:
        # As many connections as the server has threads for calls. The client of
        # a resource takes and gives Python's own types, and is safe to share.
        resource = boto3.resource("dynamodb", config=Config(max_pool_connections=40))
        self.db = resource.meta.client
        self.projects, self.tenants, self.sessions = projects, tenants, sessions

    def load(self, token_hash: str, tenant_id: str, project_id: str) -> Loaded:
        wanted = {
            self.sessions: {"Keys": [{"token_hash": token_hash}], "ConsistentRead": True},
            self.projects: {"Keys": [{"tenant_id": tenant_id, "project_id": project_id}], "ConsistentRead": True},
            self.tenants: {"Keys": [{"tenant_id": tenant_id, "record": "tenant"}], "ConsistentRead": True},
        }
        found: dict[str, dict[str, Any]] = {}
        while wanted:
            answer = self.db.batch_get_item(RequestItems=wanted)
            found |= {table: items[0] for table, items in answer["Responses"].items() if items}
            wanted = answer.get("UnprocessedKeys", {})
        session, project, tenant = (found.get(t) for t in (self.sessions, self.projects, self.tenants))
        return (
            read_session(session) if session else None,
            read_project(project) if project else None,
            Tenant(tenant["tenant_id"], tenant.get("subscription_state")) if tenant else None,
        )

    def touch(self, session: Session, at: datetime) -> None:
        try:
            self.db.update_item(
                TableName=self.sessions,
                Key={"token_hash": session.token_hash},
                UpdateExpression="SET last_seen = :at",
                ConditionExpression="attribute_exists(token_hash)",
                ExpressionAttributeValues={":at": stamp(at)},
            )
        except self.db.exceptions.ConditionalCheckFailedException:
            pass  # it has gone since, and stays gone

    def running_project(self, tenant_id: str) -> str | None:
        request: dict[str, Any] = {
            "TableName": self.projects,
            "KeyConditionExpression": Key("tenant_id").eq(tenant_id),
            "FilterExpression": Attr("execution_status").eq(Status.RUNNING.value),
            "ConsistentRead": True,
        }
        while True:
            page = self.db.query(**request)
            if page["Items"]:
                return page["Items"][0]["project_id"]
            if "LastEvaluatedKey" not in page:
                return None
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def start(self, project: Project, attempt: Attempt) -> None:
        forgotten = project.attempts[MAX_ATTEMPTS - 1 :]
        entry = {
            "number": attempt.attempt,
            "started_at": stamp(attempt.started_at),
            "output_folder_path": attempt.output_folder_path,
            "operation": attempt.operation,
        }
        if attempt.key_hash:
            entry["key_hash"] = attempt.key_hash
        removed = [
            "execution_error, execution_completed_at, progress, claimed_at, heartbeat_at, execution_outcome",
            *(f"attempts.#old{i}" for i in range(len(forgotten))),
        ]
        try:
            self.db.update_item(
                TableName=self.projects,
                Key={"tenant_id": project.tenant_id, "project_id": project.project_id},
                UpdateExpression="SET execution_status = :running, status_shard = :shard, execution_id = :id,"
                " attempt = :attempt, execution_started_at = :at, output_folder_path = :output, attempts.#id = :entry"
                " ADD version :one REMOVE " + ", ".join(removed),
                ConditionExpression="execution_status = :was AND version = :version",
                ExpressionAttributeNames={"#id": str(attempt.execution_id)}
                | {f"#old{i}": str(a.execution_id) for i, a in enumerate(forgotten)},
                ExpressionAttributeValues={
                    ":running": Status.RUNNING.value,
                    ":shard": shard_of(project.tenant_id, project.project_id),
                    ":id": attempt.execution_id,
                    ":attempt": attempt.attempt,
                    ":at": stamp(attempt.started_at),
                    ":output": attempt.output_folder_path,
                    ":entry": entry,
                    ":one": 1,
                    ":was": project.execution_status.value,
                    ":version": project.version,
                },
            )
        except self.db.exceptions.ConditionalCheckFailedException as error:
            raise LostRace from error

    def sweep(self, cutoff: datetime, at: datetime) -> int:
        # What people write: query the index, update one by one.
        failed = 0
        pages = self.db.get_paginator("query")
        for shard in range(SHARDS):
            for page in pages.paginate(
                TableName=self.projects,
                IndexName="status-started-at",
                KeyConditionExpression=Key("status_shard").eq(f"running#{shard:02d}")
                & Key("execution_started_at").lt(stamp(cutoff)),
            ):
                failed += sum(self.fail(item, at) for item in page["Items"])
        return failed

    def fail(self, item: dict[str, Any], at: datetime) -> bool:
        try:
            self.db.update_item(
                TableName=self.projects,
                Key={"tenant_id": item["tenant_id"], "project_id": item["project_id"]},
                UpdateExpression="SET execution_status = :failed, execution_error = :error,"
                " execution_completed_at = :at, execution_outcome = :outcome,"
                " attempts.#id.outcome = :outcome, attempts.#id.#error = :error, attempts.#id.completed_at = :at"
                " ADD version :one REMOVE status_shard",
                ConditionExpression="execution_status = :running AND execution_id = :id",
                ExpressionAttributeNames={"#id": str(item["execution_id"]), "#error": "error"},
                ExpressionAttributeValues={
                    ":failed": Status.FAILED.value,
                    ":error": TIMED_OUT,
                    ":at": stamp(at),
                    ":outcome": "timed_out",
                    ":one": 1,
                    ":running": Status.RUNNING.value,
                    ":id": item["execution_id"],
                },
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False  # it has ended since
            raise
        return True
