"""Embeddings: all-MiniLM-L6-v2 on ONNX Runtime."""

import asyncio
from typing import Any

from ray import serve

import weights
from loopback import listen_on_loopback_only

NAME = "all-minilm-l6-v2"

MOST_TOKENS = 256
"""What the model was trained on; of a longer text the beginning counts."""


@serve.deployment(name="embeddings", max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.5})
class EmbeddingModel:
    def __init__(self) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        listen_on_loopback_only()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(weights.EMBEDDINGS), options)
        self.tokenizer = Tokenizer.from_file(str(weights.EMBEDDINGS_TOKENIZER))
        self.tokenizer.enable_truncation(MOST_TOKENS)
        self.tokenizer.no_padding()

    async def embed(self, texts: list[str]) -> tuple[list[bytes], int]:
        """A vector of 32-bit floats of length 1 for each text, and how many tokens they had together."""
        encodings = self.tokenizer.encode_batch(texts)
        vectors = await asyncio.to_thread(lambda: [self.embed_one(encoding) for encoding in encodings])
        return vectors, sum(len(encoding.ids) for encoding in encodings)

    def embed_one(self, encoding: Any) -> bytes:
        """Each text alone: the model is quantised by what is in the batch, so a text's neighbours would change its vector."""
        import numpy

        inputs = {"input_ids": encoding.ids, "attention_mask": encoding.attention_mask, "token_type_ids": encoding.type_ids}
        [states] = self.session.run(None, {name: numpy.array([values], dtype=numpy.int64) for name, values in inputs.items()})
        mean = states[0].mean(axis=0)
        return (mean / numpy.linalg.norm(mean)).astype(numpy.float32).tobytes()
