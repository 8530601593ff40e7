"""What an OpenAI-compatible server says of its models: GET /v1/models, and nothing else.

It has loaded what it serves, for good, and each model has one window.
"""

import asyncio

from llm.errors import LLMError, ModelNotFoundError
from llm.http.catalog import LOOK_S, ModelCatalog
from llm.openai.models import read_served
from llm.wire.models import Loaded, ModelDetails, full_name


class ServedModels(ModelCatalog):
    """The models of one server that loads none at a client's wish. Belongs to one event loop."""

    def is_elsewhere(self, model: str) -> bool:
        """True: whatever loads the model, a chat of ours does not."""
        return True

    async def is_at_work(self, model: str, has_begun: bool) -> bool:
        """Whether the server answers and has the model. Takes a second at most."""
        try:
            async with asyncio.timeout(LOOK_S):
                return full_name(model) in {full_name(one.name) for one in await self.loaded()}
        except (LLMError, TimeoutError):
            return False

    async def _look_at_loaded(self) -> tuple[Loaded, ...]:
        served = read_served(await self._server.lookup("/models"), base_url=self.base_url)
        self._loaded = {full_name(one.name): one for one in served}
        return served

    async def _look_at_details(self, model: str) -> ModelDetails:
        served = {full_name(one.name): one for one in await self.loaded()}
        found = served.get(full_name(model))
        if found is None:
            raise ModelNotFoundError(f"{self.base_url} does not serve a model '{model}'")
        details = ModelDetails(num_ctx=found.window_tokens or None)
        self._details[model] = self._clock(), details
        return details

    async def _list_installed(self) -> set[str]:
        return {full_name(one.name) for one in await self.loaded()}
