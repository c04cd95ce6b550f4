"""The part of OpenAI's HTTP API that chat and embeddings need."""

import array
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Literal

import ray
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.exceptions import RayTaskError
from ray.serve.handle import DeploymentHandle

import chat
import embeddings
from loopback import listen_on_loopback_only

app = FastAPI(title="Models on Ray Serve", docs_url=None, redoc_url=None)


class Problem(Exception):
    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class ChatRequest(BaseModel):
    """What else the engine understands, such as `stop`, `seed` or `response_format`, is handed on as it is."""

    model_config = ConfigDict(extra="allow")
    model: str
    messages: list[dict[str, Any]] = Field(min_length=1)
    stream: bool = False


class EmbeddingRequest(BaseModel):
    model: str
    input: str | list[str] = Field(min_length=1)
    encoding_format: Literal["float", "base64"] = "float"


@app.exception_handler(Problem)
async def answer_problem(_request: Request, problem: Problem) -> JSONResponse:
    kind = "invalid_request_error" if problem.status < 500 else "server_error"
    error = {"message": problem.message, "type": kind, "param": None, "code": problem.code}
    return JSONResponse({"error": error}, problem.status)


@app.exception_handler(RequestValidationError)
async def answer_invalid(request: Request, invalid: RequestValidationError) -> JSONResponse:
    found = "; ".join(f"{'.'.join(map(str, error['loc'][1:]))}: {error['msg']}" for error in invalid.errors())
    return await answer_problem(request, Problem(400, found))


def describe(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(time.time()), "owned_by": "soma-stack"}


def require_model(asked: str, served: str) -> None:
    if asked != served:
        raise Problem(404, f'There is no model "{asked}" here. The one for this is "{served}".', "model_not_found")


async def heeding(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except RayTaskError as error:
        if isinstance(error.cause, ValueError):
            raise Problem(400, str(error.cause)) from error
        raise


async def server_sent_events(first: dict[str, Any], others: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    yield f"data: {json.dumps(first)}\n\n"
    async for chunk in others:
        yield f"data: {json.dumps(chunk)}\n\n"
    yield "data: [DONE]\n\n"


def as_base64(vector: bytes) -> str:
    return base64.b64encode(vector).decode()


def as_floats(vector: bytes) -> list[float]:
    return list(array.array("f", vector))


@serve.deployment(name="api", max_ongoing_requests=256, ray_actor_options={"num_cpus": 0.25})
@serve.ingress(app)
class Api:
    def __init__(self, api_key: str, chat_model: DeploymentHandle, embedding_model: DeploymentHandle) -> None:
        listen_on_loopback_only()
        self.chat_model = chat_model
        self.embedding_model = embedding_model
        self.authorization = f"Bearer {api_key}".encode()

    def check_key(self, request: Request) -> None:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, self.authorization):
            raise Problem(401, "The API key is wrong or missing.", "invalid_api_key")

    @app.get("/version")
    async def version(self) -> dict[str, str]:
        return {"version": ray.__version__}

    @app.get("/v1/models")
    async def models(self, request: Request) -> dict[str, Any]:
        self.check_key(request)
        return {"object": "list", "data": [describe(name) for name in (chat.NAME, embeddings.NAME)]}

    @app.get("/v1/running")
    async def running(self, request: Request) -> dict[str, int]:
        """Not OpenAI's: how many chats are being generated."""
        self.check_key(request)
        return {"chats": await self.chat_model.count_running.remote()}

    @app.post("/v1/chat/completions")
    async def complete(self, request: Request, asked: ChatRequest) -> Response:
        self.check_key(request)
        require_model(asked.model, chat.NAME)
        body = asked.model_dump()
        if not asked.stream:
            return JSONResponse(await heeding(self.chat_model.complete.remote(body)))
        chunks = self.chat_model.options(stream=True).stream.remote(body)
        # Once the first byte is out, the status is: so the request must have been found to hold.
        first = await heeding(anext(chunks))
        return StreamingResponse(server_sent_events(first, chunks), media_type="text/event-stream")

    @app.post("/v1/embeddings")
    async def embed(self, request: Request, asked: EmbeddingRequest) -> dict[str, Any]:
        self.check_key(request)
        require_model(asked.model, embeddings.NAME)
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        vectors, tokens = await self.embedding_model.embed.remote(texts)
        shown = as_base64 if asked.encoding_format == "base64" else as_floats
        return {
            "object": "list",
            "model": embeddings.NAME,
            "data": [{"object": "embedding", "index": index, "embedding": shown(vector)} for index, vector in enumerate(vectors)],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
