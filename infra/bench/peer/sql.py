"""The store on SQLite, by SQLAlchemy's ORM."""

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, Index, create_engine, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload, sessionmaker
from sqlalchemy.orm.exc import StaleDataError

from . import domain
from .domain import MAX_ATTEMPTS, SESSION_TOUCH, TIMED_OUT, LostRace, Status
from .store import Loaded

# How many projects a sweep writes in one transaction.
SWEEP_BATCH = 500


class Base(DeclarativeBase):
    pass


class Tenant(Base):
    __tablename__ = "tenants"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    subscription_state: Mapped[str | None]


class Session(Base):
    __tablename__ = "sessions"

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    expires_at: Mapped[datetime]
    last_seen: Mapped[datetime]


class Project(Base):
    __tablename__ = "projects"
    __table_args__ = (Index("projects_status_started", "execution_status", "execution_started_at"),)

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(primary_key=True)
    uid: Mapped[str]
    version: Mapped[int] = mapped_column()
    name: Mapped[str | None]
    description: Mapped[str | None]
    objectives: Mapped[str | None]
    activation_code_hash: Mapped[str | None]
    activation_code_revoked_at: Mapped[datetime | None]
    execution_status: Mapped[str]
    execution_id: Mapped[int | None]
    attempt: Mapped[int] = mapped_column(default=0)
    execution_started_at: Mapped[datetime | None]
    claimed_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    execution_completed_at: Mapped[datetime | None]
    execution_error: Mapped[str | None]
    output_folder_path: Mapped[str | None]
    progress_percent: Mapped[int] = mapped_column(default=0)
    progress_message: Mapped[str] = mapped_column(default="")
    attempts: Mapped[list["Attempt"]] = relationship(
        order_by="Attempt.execution_id.desc()", cascade="all, delete-orphan"
    )

    # Each UPDATE has WHERE version = :read, and raises StaleDataError where
    # another came first.
    __mapper_args__ = {"version_id_col": version}


class Attempt(Base):
    __tablename__ = "attempts"
    __table_args__ = (ForeignKeyConstraint(["tenant_id", "project_id"], ["projects.tenant_id", "projects.project_id"]),)

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(primary_key=True)
    execution_id: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int]
    started_at: Mapped[datetime | None]
    claimed_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    error: Mapped[str | None]
    output_folder_path: Mapped[str | None]
    operation: Mapped[str | None]
    key_hash: Mapped[str | None]


def open_engine(path: str):
    # As many connections as the server has threads for calls.
    engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False}, pool_size=40)

    @event.listens_for(engine, "connect")
    def configure(connection, _record) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA busy_timeout=30000")

    return engine


class SQLStore:
    def __init__(self, path: str) -> None:
        self.engine = open_engine(path)
        self.sessions = sessionmaker(self.engine, expire_on_commit=False)
        Base.metadata.create_all(self.engine)

    def load(self, token_hash: str, tenant_id: str, project_id: str) -> Loaded:
        with self.sessions() as db:
            return (
                db.get(Session, token_hash),
                db.get(Project, (tenant_id, project_id), options=[selectinload(Project.attempts)]),
                db.get(Tenant, tenant_id),
            )

    def touch(self, session: domain.Session, at: datetime) -> None:
        with self.sessions.begin() as db:
            row = db.get(Session, session.token_hash)
            if row and at - row.last_seen >= SESSION_TOUCH:
                row.last_seen = at

    def running_project(self, tenant_id: str) -> str | None:
        with self.sessions() as db:
            return db.scalar(
                select(Project.project_id)
                .where(Project.tenant_id == tenant_id, Project.execution_status == Status.RUNNING)
                .limit(1)
            )

    def start(self, project: Project, attempt: domain.Attempt) -> None:
        try:
            with self.sessions.begin() as db:
                db.add(project)
                project.execution_status = Status.RUNNING
                project.execution_id = attempt.execution_id
                project.attempt = attempt.attempt
                project.execution_started_at = attempt.started_at
                project.output_folder_path = attempt.output_folder_path
                project.execution_completed_at = project.execution_error = None
                project.claimed_at = project.heartbeat_at = None
                project.progress_percent, project.progress_message = 0, ""
                project.attempts.insert(0, Attempt(**vars(attempt)))
                del project.attempts[MAX_ATTEMPTS:]
        except StaleDataError as error:
            raise LostRace from error

    def sweep(self, cutoff: datetime, at: datetime) -> int:
        # What people write: load what is stuck, set its fields, commit. In
        # batches, so that a large one neither fills the memory nor holds the
        # database for long.
        stuck = (
            select(Project)
            .where(Project.execution_status == Status.RUNNING, Project.execution_started_at < cutoff)
            .options(selectinload(Project.attempts))
            .order_by(Project.execution_started_at)
            .limit(SWEEP_BATCH)
        )
        failed = 0
        while True:
            with self.sessions.begin() as db:
                batch = db.scalars(stuck).all()
                for project in batch:
                    project.execution_status = Status.FAILED
                    project.execution_error = TIMED_OUT
                    project.execution_completed_at = at
                    for attempt in project.attempts:
                        if attempt.execution_id == project.execution_id:
                            attempt.outcome, attempt.error, attempt.completed_at = "timed_out", TIMED_OUT, at
            failed += len(batch)
            if len(batch) < SWEEP_BATCH:
                return failed
