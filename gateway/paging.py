"""Lists as OpenAI has them: a page of items, from behind one of them. Pure."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.errors import ApiError


class PageQuery(BaseModel):
    """Which page is asked for."""

    model_config = ConfigDict(extra="ignore")

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    after: Annotated[str | None, Field(max_length=600)] = None


Page = Annotated[PageQuery, Query()]


def page_of(items: Sequence[dict[str, object]], page: PageQuery) -> dict[str, object]:
    """A page of `items`, which are in ascending order. Raises ApiError where `after` is none."""
    found, limit = list(items) if page.order == "asc" else list(reversed(items)), page.limit
    if page.after is not None:
        at = next((at for at, one in enumerate(found) if one["id"] == page.after), None)
        if at is None:
            raise ApiError(400, "There is no item with this id.", param="after")
        found = found[at + 1 :]
    shown = found[:limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(found) > limit,
    }
