"""Requests, as Qdrant's OpenAPI document says them, in the words of Qdrant's engine."""

import qdrant_edge as engine
from qdrant_client.http import models as rest

from refusal import Refusal, require_only


def engine_config(request: rest.CreateCollection) -> engine.EdgeConfig:
    require_only(request, "vectors", "sparse_vectors")
    if not isinstance(request.vectors, dict):
        raise Refusal(501, "This door to Qdrant's engine has only vectors with names")
    return engine.EdgeConfig(
        vectors={name: _dense(params) for name, params in request.vectors.items()},
        sparse_vectors={name: _sparse(params) for name, params in (request.sparse_vectors or {}).items()},
    )


def _dense(params: rest.VectorParams) -> engine.EdgeVectorParams:
    require_only(params, "size", "distance")
    return engine.EdgeVectorParams(size=params.size, distance=getattr(engine.Distance, params.distance.value))


def _sparse(params: rest.SparseVectorParams) -> engine.EdgeSparseVectorParams:
    require_only(params, "modifier")
    return engine.EdgeSparseVectorParams(modifier=engine.Modifier.Idf if params.modifier == rest.Modifier.IDF else None)


def engine_point(point: rest.PointStruct) -> engine.Point:
    if not isinstance(point.vector, dict):
        raise Refusal(501, "This door to Qdrant's engine has only vectors with names")
    vectors = {name: _vector(vector) for name, vector in point.vector.items()}
    return engine.Point(id=point.id, vector=vectors, payload=point.payload or {})


def engine_query(request: rest.QueryRequest) -> engine.QueryRequest:
    require_only(request, "query", "using", "filter", "limit", "with_payload")
    return engine.QueryRequest(
        query=engine.Query.Nearest(_vector(request.query), using=request.using),
        filter=_filter(request.filter),
        limit=request.limit or 10,
        with_payload=request.with_payload is True,
    )


def _vector(vector: object) -> list[float] | engine.SparseVector:
    if isinstance(vector, rest.SparseVector):
        if len(set(vector.indices)) != len(vector.indices) or len(vector.indices) != len(vector.values):
            raise Refusal(422, "Validation error in JSON body: [indices: must be unique and as many as the values]")
        return engine.SparseVector(vector.indices, vector.values)
    if isinstance(vector, list) and all(isinstance(value, (int, float)) for value in vector):
        return vector
    raise Refusal(501, f"This door to Qdrant's engine has no {type(vector).__name__} as a vector")


def _filter(request: rest.Filter | None) -> engine.Filter | None:
    if request is None:
        return None
    require_only(request, "must")
    conditions = request.must if isinstance(request.must, list) else [request.must]
    return engine.Filter(must=[_condition(condition) for condition in conditions])


def _condition(condition: object) -> engine.FieldCondition:
    if not isinstance(condition, rest.FieldCondition) or not isinstance(condition.match, rest.MatchValue):
        raise Refusal(501, "This door to Qdrant's engine has only conditions on the value of a field")
    require_only(condition, "key", "match")
    return engine.FieldCondition(key=condition.key, match=engine.MatchValue(condition.match.value))
