"""
Qdrant by REST, for a machine that can only install from package registries: none of them carries the server.

The engine is Qdrant's own (PyPI `qdrant-edge-py`), and so are the shapes of requests and answers: the models that Qdrant generates
from its OpenAPI document (PyPI `qdrant-client`) check each of them, unknown fields included. This door between the two is ours. It
has the routes that the platform's driver uses, and refuses what it does not pass on. It does not optimize segments, so a search
compares all vectors. Users run the vendor's server.

Usage: main.py FOLDER PORT, the key in QDRANT_API_KEY.
"""

import os
import sys
from contextlib import asynccontextmanager
from hmac import compare_digest
from importlib.metadata import version
from pathlib import Path

import qdrant_edge as engine
import uvicorn
from fastapi import Depends, FastAPI, Header
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from qdrant_client.http import models as rest

from collections_on_disk import Collections
from refusal import Refusal, require_only
from translation import engine_point, engine_query

API_KEY = os.environ["QDRANT_API_KEY"]
collections = Collections(Path(sys.argv[1]))


def require_key(api_key: str = Header(default="")) -> None:
    if not compare_digest(api_key, API_KEY):
        raise Refusal(401, "Invalid API key or JWT")


@asynccontextmanager
async def lifespan(_: FastAPI):
    yield
    collections.close()


class Answer(JSONResponse):
    """What an answer's result comes in."""

    def render(self, content: object) -> bytes:
        return super().render({"usage": None, "result": content, "status": "ok"})


app = FastAPI(lifespan=lifespan, openapi_url=None, default_response_class=Answer)
guarded = [Depends(require_key)]


def refusal(status: int, message: str) -> JSONResponse:
    return JSONResponse({"status": {"error": message}}, status)


@app.exception_handler(Refusal)
def refuse(_, error: Refusal) -> JSONResponse:
    return refusal(error.status, error.message)


@app.exception_handler(RequestValidationError)
def refuse_shape(_, error: RequestValidationError) -> JSONResponse:
    return refusal(400, f"Format error in JSON body: {error.errors()}")


@app.exception_handler(Exception)
def explain(_, error: Exception) -> JSONResponse:
    """The engine has one kind of error, and tells them apart by their words."""
    message = str(error)
    is_wrong_input = any(words in message for words in ("dimension error", "Not existing vector name", "Wrong input"))
    return refusal(400, f"Wrong input: {message}") if is_wrong_input else refusal(500, f"Service internal error: {message}")


@app.get("/readyz", response_class=JSONResponse)
def is_ready() -> str:
    return "all shards are ready"


@app.get("/", response_class=JSONResponse, dependencies=guarded)
def tell_version() -> rest.VersionInfo:
    return rest.VersionInfo(title="qdrant - vector search engine", version=f"edge {version('qdrant-edge-py')}")


@app.get("/collections", dependencies=guarded)
def list_collections() -> rest.CollectionsResponse:
    return rest.CollectionsResponse(collections=[rest.CollectionDescription(name=name) for name in collections.names()])


@app.get("/collections/{name}", dependencies=guarded)
def describe_collection(name: str) -> rest.CollectionInfo:
    return collections.get(name).info()


@app.put("/collections/{name}", dependencies=guarded)
def create_collection(name: str, request: rest.CreateCollection) -> bool:
    collections.create(name, request)
    return True


@app.delete("/collections/{name}", dependencies=guarded)
def drop_collection(name: str) -> bool:
    return collections.drop(name)


@app.put("/collections/{name}/index", dependencies=guarded)
def create_index(name: str, request: rest.CreateFieldIndex) -> rest.UpdateResult:
    if request.field_schema != rest.PayloadSchemaType.KEYWORD:
        raise Refusal(501, "This door to Qdrant's engine has only indexes of keywords")
    return change(name, engine.UpdateOperation.create_field_index(request.field_name, engine.KeywordIndexParams()))


@app.put("/collections/{name}/points", dependencies=guarded)
def upsert_points(name: str, request: rest.PointsList) -> rest.UpdateResult:
    require_only(request, "points")
    return change(name, engine.UpdateOperation.upsert_points([engine_point(point) for point in request.points]))


@app.post("/collections/{name}/points/delete", dependencies=guarded)
def delete_points(name: str, request: rest.PointIdsList) -> rest.UpdateResult:
    require_only(request, "points")
    return change(name, engine.UpdateOperation.delete_points(request.points))


def change(name: str, operation: engine.UpdateOperation) -> rest.UpdateResult:
    """Waits for the change whether it was asked to or not."""
    collections.get(name).change(operation)
    return rest.UpdateResult(status=rest.UpdateStatus.COMPLETED)


@app.post("/collections/{name}/points", dependencies=guarded)
def retrieve_points(name: str, request: rest.PointRequest) -> list[rest.Record]:
    require_only(request, "ids", "with_payload", "with_vector")
    found = collections.get(name).shard.retrieve(request.ids, request.with_payload is not False, request.with_vector or False)
    return [rest.Record(id=record.id, payload=record.payload, vector=record.vector) for record in found]


@app.post("/collections/{name}/points/count", dependencies=guarded)
def count_points(name: str, request: rest.CountRequest) -> rest.CountResult:
    require_only(request, "exact")
    return rest.CountResult(count=collections.get(name).shard.count(engine.CountRequest(exact=request.exact)))


@app.post("/collections/{name}/points/query/batch", dependencies=guarded)
def query_points(name: str, request: rest.QueryRequestBatch) -> list[rest.QueryResponse]:
    shard = collections.get(name).shard
    return [rest.QueryResponse(points=query(shard, search)) for search in request.searches]


def query(shard: engine.EdgeShard, request: rest.QueryRequest) -> list[rest.ScoredPoint]:
    found = shard.query(engine_query(request))
    return [rest.ScoredPoint(id=point.id, version=point.version, score=point.score, payload=point.payload) for point in found]


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", timeout_graceful_shutdown=2)
