"""Collections, each a shard of Qdrant's engine in a folder of its own."""

import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

import qdrant_edge as engine
from qdrant_client.http import models as rest

from refusal import Refusal
from translation import engine_config

# What a server that nobody configured says of its collections.
HNSW = rest.HnswConfig(m=16, ef_construct=100, full_scan_threshold=10000)
OPTIMIZERS = rest.OptimizersConfig(
    deleted_threshold=0.2, vacuum_min_vector_number=1000, default_segment_number=0, flush_interval_sec=5
)
# Kept beside the shard, for the engine does not tell it.
DEFINITION = "definition.json"


@dataclass
class Collection:
    definition: rest.CreateCollection
    shard: engine.EdgeShard
    # The engine takes one change at a time.
    changing: threading.Lock = field(default_factory=threading.Lock)

    def change(self, operation: engine.UpdateOperation) -> None:
        with self.changing:
            self.shard.update(operation)

    def info(self) -> rest.CollectionInfo:
        info = self.shard.info()
        return rest.CollectionInfo(
            status=rest.CollectionStatus.GREEN,
            optimizer_status=rest.OptimizersStatusOneOf.OK,
            segments_count=info.segments_count,
            points_count=info.points_count,
            indexed_vectors_count=info.indexed_vectors_count,
            config=rest.CollectionConfig(
                params=rest.CollectionParams(vectors=self.definition.vectors, sparse_vectors=self.definition.sparse_vectors),
                hnsw_config=HNSW,
                optimizer_config=OPTIMIZERS,
            ),
            payload_schema={
                # There are no others: see the route that makes them.
                name: rest.PayloadIndexInfo(data_type=rest.PayloadSchemaType.KEYWORD, points=index.points)
                for name, index in info.payload_schema.items()
            },
        )


class Collections:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._making = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._by_name = {path.name: _open(path) for path in folder.iterdir()}

    def names(self) -> list[str]:
        return sorted(self._by_name)

    def get(self, name: str) -> Collection:
        found = self._by_name.get(name)
        if found is None:
            raise Refusal(404, f"Not found: Collection `{name}` doesn't exist!")
        return found

    def create(self, name: str, definition: rest.CreateCollection) -> None:
        if not name or len(name) > 255 or set(name) & set('<>:"/\\|?*\0') or name in (".", ".."):
            raise Refusal(422, "Validation error in path parameters: [collection_name: collection name is not valid]")
        with self._making:
            if name in self._by_name:
                raise Refusal(409, f"Wrong input: Collection `{name}` already exists!")
            path = self._folder / name
            # Whatever a start that was cut short left there.
            shutil.rmtree(path, ignore_errors=True)
            shard = engine.EdgeShard.create(str(path / "shard"), engine_config(definition))
            (path / DEFINITION).write_text(definition.model_dump_json())
            self._by_name[name] = Collection(definition, shard)

    def drop(self, name: str) -> bool:
        with self._making:
            found = self._by_name.pop(name, None)
            if found is None:
                return False
            with found.changing:
                found.shard.close()
            shutil.rmtree(self._folder / name)
            return True

    def close(self) -> None:
        for collection in self._by_name.values():
            collection.shard.close()


def _open(path: Path) -> Collection:
    definition = rest.CreateCollection.model_validate_json((path / DEFINITION).read_text())
    return Collection(definition, engine.EdgeShard.load(str(path / "shard")))
