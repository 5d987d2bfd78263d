"""The same app as Lambda functions: `handler` for the HTTP calls, `cleanup` for the schedule."""

from typing import Any

from mangum import Mangum

from .app import app
from .app import sweep as sweep_now
from .store import get_store

get_store()  # while the function starts, not at its first call

handler = Mangum(app, lifespan="off")


def cleanup(_event: dict[str, Any], _context: object) -> dict[str, Any]:
    return sweep_now(get_store()).model_dump(mode="json")
