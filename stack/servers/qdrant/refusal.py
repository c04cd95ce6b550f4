"""An answer other than 200, in the shape that Qdrant's clients read."""

from pydantic import BaseModel


class Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def require_only(model: BaseModel, *names: str) -> None:
    """Refuses what the door does not pass on to the engine, so that nothing that was asked for is ignored."""
    given = {name for name in model.model_fields_set if getattr(model, name) is not None}
    lacking = sorted(given - set(names))
    if lacking:
        raise Refusal(501, f"This door to Qdrant's engine has no {', '.join(lacking)} in {type(model).__name__}")
