"""The same calls as Rekindle's, written as people usually write them.

FastAPI, pydantic and SQLAlchemy on SQLite; or boto3 on the very tables that
Rekindle uses. `go run ./infra/bench -only peer` measures it beside Rekindle.
Nothing else uses it.
"""
