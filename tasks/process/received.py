"""How a worker sees a message: without what its sender could have put there freely."""

from celery.worker.request import Request

from memory.ids import is_id
from memory.quoting import is_name, quoted
from tasks.process.unshown import NOT_SHOWN

_IDS = ("root_id", "parent_id", "group")


class UnshownRequest(Request):  # type: ignore[misc]  # Celery ships no types
    """A received message: the log, events and remote control show its task and ids, no more.

    A name that is none (`shadow`), an id that is none and a count that is none are taken out.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._show("()", NOT_SHOWN)
        facts = self._request_dict
        if not is_name(facts.get("shadow")):
            self.name, facts["shadow"] = self._type, None
        for name in _IDS:
            if not (isinstance(given := facts.get(name), str) and is_id(given)):
                facts[name] = None
        self._root_id, self._parent_id = facts["root_id"], facts["parent_id"]
        if type(facts.get("retries")) is not int:
            facts["retries"] = 0

    def _show(self, args: str, kwargs: str) -> None:
        self._argsrepr, self._kwargsrepr = args, kwargs
        self._request_dict.update(argsrepr=args, kwargsrepr=kwargs)

    def info(self, safe: bool = False) -> dict[str, object]:
        """What `celery inspect` shows: always the safe form."""
        shown: dict[str, object] = super().info(safe=True)
        places = self.delivery_info.items()
        return shown | {"delivery_info": {name: _plain(value) for name, value in places}}


def _plain(value: object) -> object:
    return quoted(value).strip("'") if isinstance(value, str) else value
