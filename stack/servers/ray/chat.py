"""Chat: SmolLM2-135M-Instruct on llama.cpp."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ray import serve

import weights
from loopback import listen_on_loopback_only

NAME = "smollm2-135m-instruct"

CONTEXT_TOKENS = 2048
"""Of one conversation, answer included."""
AT_ONCE = 4
"""Conversations that are batched; others wait for one of them to end."""
MOST_ACCEPTED = 64


def refuse_error(chunk: dict[str, Any]) -> None:
    """The engine streams what it finds wrong as a chunk."""
    if "error" not in chunk:
        return
    error = chunk["error"]
    raise (ValueError if error.get("code") == 400 else RuntimeError)(error["message"])


@serve.deployment(name="chat", max_ongoing_requests=MOST_ACCEPTED, ray_actor_options={"num_cpus": 0.5})
class ChatModel:
    """Requests and answers are those of OpenAI's chat completions, as llama.cpp's own server understands them."""

    def __init__(self) -> None:
        import xllamacpp

        listen_on_loopback_only()
        settings = xllamacpp.CommonParams()
        settings.model.path = str(weights.CHAT)
        settings.n_ctx = CONTEXT_TOKENS * AT_ONCE
        settings.n_parallel = AT_ONCE
        # A second thread spins while it waits for the first, which costs a small or busy machine more than it brings.
        settings.cpuparams.n_threads = 1
        settings.cpuparams_batch.n_threads = 1
        # The library opens a port of its own beside, on loopback. Nobody is to use it.
        settings.api_keys = [secrets.token_urlsafe()]
        self.engine = xllamacpp.Server(settings)
        self.threads = ThreadPoolExecutor(MOST_ACCEPTED)
        self.running = 0

    async def complete(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer in one piece. Raises ValueError for a request that does not hold."""
        answer: dict[str, Any] = {}
        async for chunk in self.generate({**request, "stream": False}):
            answer = chunk
        return answer

    async def stream(self, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The answer in chunks as they are generated. Raises ValueError for a request that does not hold."""
        async for chunk in self.generate({**request, "stream": True}):
            yield chunk

    async def count_running(self) -> int:
        return self.running

    async def generate(self, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Stops the engine at its next token when nobody listens any more. Raises ValueError for a request that does not hold."""
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        is_left = False

        def receive(chunk: dict[str, Any]) -> bool:
            loop.call_soon_threadsafe(chunks.put_nowait, chunk)
            return is_left

        def run() -> None:
            try:
                # A cache of earlier prompts would let the same request compute differently the second time.
                answer = self.engine.handle_chat_completions({**request, "cache_prompt": False}, receive)
                if answer is not None:
                    receive(answer)
            finally:
                loop.call_soon_threadsafe(chunks.put_nowait, None)

        self.running += 1
        generation = loop.run_in_executor(self.threads, run)
        generation.add_done_callback(lambda _: self.end())
        try:
            while (chunk := await chunks.get()) is not None:
                refuse_error(chunk)
                yield {**chunk, "model": NAME}
            await generation
        finally:
            is_left = True

    def end(self) -> None:
        self.running -= 1
