"""What the calls need of a database. PEER_STORE chooses: "sqlite" or "dynamodb"."""

import os
from datetime import datetime
from functools import cache
from typing import Protocol

from .domain import Attempt, Project, Session, Tenant

Loaded = tuple[Session | None, Project | None, Tenant | None]


class Store(Protocol):
    def load(self, token_hash: str, tenant_id: str, project_id: str) -> Loaded:
        """Reads a session, a project with its attempts, and its tenant."""

    def touch(self, session: Session, at: datetime) -> None:
        """Records a session's use."""

    def running_project(self, tenant_id: str) -> str | None:
        """The id of a project of the tenant that is running."""

    def start(self, project: Project, attempt: Attempt) -> None:
        """Begins an execution of the project as it was read; LostRace if it has changed."""

    def sweep(self, cutoff: datetime, at: datetime) -> int:
        """Fails what is running since before the cutoff, and counts it."""


@cache
def get_store() -> Store:
    # Each store's packages are imported only where it is used: a start is
    # measured too.
    kind = os.environ.get("PEER_STORE", "sqlite")
    if kind == "sqlite":
        from .sql import SQLStore

        return SQLStore(os.environ["PEER_DATABASE"])
    if kind == "dynamodb":
        from .dynamo import DynamoStore

        return DynamoStore(os.environ["PROJECTS_TABLE"], os.environ["TENANTS_TABLE"], os.environ["SESSIONS_TABLE"])
    raise ValueError(f"PEER_STORE is {kind!r}, and must be sqlite or dynamodb")
