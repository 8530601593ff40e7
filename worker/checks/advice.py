"""What to do about a server of Celery's that cannot be used, by what it says."""

import re

from memory.redis.failures import FULL_OF_CLIENTS
from tasks.process.configuration import BROKER, load_settings

_ADVICE = (
    (
        r"invalid username-password|WRONGPASS|NOAUTH|Authentication required|Login was refused|"
        r"ACCESS_REFUSED",
        "correct user and password in {where}",
    ),
    (r"DB index", "raise `databases` in redis.conf, or name another db with {setting}"),
    (FULL_OF_CLIENTS, "raise its maxclients, or run fewer processes"),
    (r"NOT_ALLOWED|vhost", "make that virtual host in RabbitMQ, or name another in {setting}"),
    (r"refused", "start it, or correct host and port in {where}"),
    (r"not known|name resolution|nodename", "there is no host of that name: correct {where}"),
)
_REFUSALS = re.compile("|".join(said for said, _ in _ADVICE[:2]))


def advice_on(error: Exception, setting: str) -> str:
    """What to do about a server that `setting` names."""
    said = str(error)
    queue = load_settings().queue
    given = queue.broker_url if setting == BROKER else queue.result_backend
    where = setting if given is not None else f"REDIS_URL (or give {setting})"
    for pattern, advice in _ADVICE:
        if re.search(pattern, said):
            return advice.format(setting=setting, where=where)
    return f"check {where}: rediss:// where the server has TLS, redis:// where not"


def is_refusal(error: Exception) -> bool:
    """Whether the server answers and will never take this address as it stands."""
    return _REFUSALS.search(str(error)) is not None


def raise_it(error: Exception, _: float) -> float:
    """For kombu, which otherwise waits two seconds and tries again whatever the error is."""
    raise error
