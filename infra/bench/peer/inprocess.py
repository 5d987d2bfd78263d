"""Times the calls in this process, without a server: one after the other.

python -m peer.inprocess DATABASE SEED SESSION N

Prints JSON: nanoseconds a call, by its name.
"""

import json
import sys
import time
from typing import Any

import uvloop

from .app import app
from .seed import fill
from .sql import SQLStore


async def call(method: str, path: str, session: str) -> tuple[int, bytes]:
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"x-session-token", session.encode())],
        "scheme": "http",
        "server": ("localhost", 80),
        "client": ("localhost", 1),
    }
    status, body = 0, b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, body
        status = message.get("status", status)
        body += message.get("body", b"")

    await app(scope, receive, send)
    return status, body


async def main(session: str, n: int) -> dict[str, float]:
    took = {}
    for verb, method, project in (("status", "GET", "check-status-0"), ("run", "POST", ""), ("restart", "POST", "")):
        await call("GET", "/api/tenant/projects/check-status-0/status", session)
        began = time.perf_counter_ns()
        for i in range(n):
            status, body = await call(method, f"/api/tenant/projects/{project or f'{verb}-1-{i}'}/{verb}", session)
            if status != 200:
                raise SystemExit(f"{verb} was answered with {status} {body!r}")
        took[verb] = (time.perf_counter_ns() - began) / n
    return took


if __name__ == "__main__":
    database, path, token, count = sys.argv[1:]
    with open(path) as file:
        fill(SQLStore(database), json.load(file))
    print(json.dumps(uvloop.run(main(token, int(count)))))
