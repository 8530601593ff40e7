"""Whether the model servers would answer a chat job, and what they are asked for."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from llm import LLMSettings, is_cloud, is_installed
from tasks.process.configuration import Settings
from worker.checks.findings import Finding, Level
from worker.checks.tls import speaks_tls
from worker.extras import OR_TRY
from worker.model_servers import LOOPBACK, ModelServer, model_servers

OLLAMA_PORT = 11434


def check_models(settings: Settings) -> list[Finding]:
    """Everything about the models."""
    return [
        *check_ollama(settings),
        check_calls(settings),
        *check_window(settings),
        *check_key(settings),
        *check_cloud(settings),
    ]


def check_ollama(settings: Settings) -> list[Finding]:
    """Whether each Ollama answers, and one of them has every model that an agent may ask for."""
    servers = model_servers(settings.llm)
    answering = [server for server in servers if not server.trouble]
    models = settings.models if answering else ()
    return [*_servers(servers), *(_model(model, answering) for model in models)]


def check_calls(settings: Settings) -> Finding:
    """Whether jobs that wait for a busy model wait where they can be seen."""
    if not settings.llm.is_bounded:
        advice = "set OLLAMA_NUM_PARALLEL as Ollama has it: jobs then wait in order, and visibly"
        return Finding("model calls", Level.OK, "not limited: Ollama queues them", advice)
    servers = [settings.llm.at(url) for url in settings.llm.servers]
    found = ", ".join(
        f"{' or '.join(dict.fromkeys(_calls(server, model) for server in servers))} for {model}"
        for model in settings.models
    )
    return Finding("model calls", Level.OK, found)


def _calls(server: LLMSettings, model: str) -> str:
    return f"{server.parallel_calls(model) or 'any number'} at once"


def check_window(settings: Settings) -> list[Finding]:
    """Whether a window that is set costs loads on a server that others use too."""
    named = {
        "LLM_NUM_CTX": settings.llm.num_ctx,
        "LLM_NUM_CTX_BY_MODEL": settings.llm.num_ctx_by_model,
    }
    given = [name for name, value in named.items() if value]
    if not settings.llm.shared or not given:
        return []
    found = (
        f"{' and '.join(given)} is sent, and OLLAMA_SHARED is true: each change to a program that "
        "asks for another window loads the model again, for up to a minute"
    )
    advice = (
        "set OLLAMA_CONTEXT_LENGTH at Ollama itself and unset this; or OLLAMA_SHARED=false if "
        "no other program uses it"
    )
    return [Finding("model window", Level.WARN, found, advice)]


def check_key(settings: Settings) -> list[Finding]:
    """Whether what opens a gateway can be read on its way."""
    open_to_all = [
        url
        for url in settings.llm.servers
        if settings.llm.at(url).headers
        and urlsplit(url).scheme == "http"
        and urlsplit(url).hostname not in LOOPBACK
    ]
    if not open_to_all:
        return []
    found = f"a key or headers are sent unencrypted to {', '.join(open_to_all)}"
    return [
        Finding("model key", Level.WARN, found, "use https, unless the network is Griot's alone")
    ]


def check_cloud(settings: Settings) -> list[Finding]:
    """Whether conversations may leave the network for Ollama's cloud."""
    own = [model for model in settings.models if is_cloud(model)]
    allowed = ["any that a job names (CHAT_CLOUD_MODELS)"] if settings.queue.cloud_models else []
    if not own and not allowed:
        return []
    found = f"conversations may go to Ollama's cloud: {', '.join([*own, *allowed])}"
    advice = "name other models in the profiles and OLLAMA_MODEL, unless this is what you want"
    return [
        Finding("cloud models", Level.WARN, found, "unset CHAT_CLOUD_MODELS" if not own else advice)
    ]


def _servers(servers: Sequence[ModelServer]) -> list[Finding]:
    is_out = all(server.trouble for server in servers)
    level = Level.FAIL if is_out else Level.WARN
    return [
        Finding("ollama", level, one.trouble, _advice_on(one, is_out=is_out))
        if one.trouble
        else Finding("ollama", Level.OK, f"{one.url}, {len(one.installed)} models")
        for one in servers
    ]


def _advice_on(server: ModelServer, *, is_out: bool) -> str:
    """What to do about a server that cannot be used: that depends on who answers in its place."""
    setting = "OLLAMA_BASE_URL" if is_out else "OLLAMA_BASE_URLS"
    if advice := advice_on_other(server.url, setting):
        return advice
    # Without a port the scheme's own is asked: most often it was forgotten.
    port = "" if urlsplit(server.url).port else f" (Ollama's port is {OLLAMA_PORT})"
    return f"start it, or correct host and port in {setting}{port}{OR_TRY if is_out else ''}"


def advice_on_other(url: str, setting: str) -> str:
    """What to do where something listens at the address of an Ollama that does not answer, and is
    another program or wants another scheme; empty where nothing listens. Takes two seconds at most.
    """
    at = urlsplit(url)
    has_tls = at.scheme == "https"
    answers_in_tls = speaks_tls(at.hostname or "", at.port or (443 if has_tls else 80))
    if answers_in_tls is None:
        return ""
    if answers_in_tls is not has_tls:
        return f"write {'https' if answers_in_tls else 'http'}:// in {setting}"
    return f"something listens there: restart it if it is your Ollama, else correct {setting}"


def _model(model: str, servers: Sequence[ModelServer]) -> Finding:
    # It is fetched from nowhere, and stands in a list only where somebody has pulled its name.
    if is_cloud(model):
        return Finding("model", Level.OK, f"{model}, answered by Ollama's cloud")
    lacking = [server.url for server in servers if not is_installed(model, server.installed)]
    if not lacking:
        return Finding("model", Level.OK, model)
    if len(lacking) == len(servers):
        advice = f"run `ollama pull {model}`, or set OLLAMA_MODEL"
        return Finding("model", Level.FAIL, f"{model} is not installed", advice)
    found = f"{model} is not installed at {', '.join(lacking)}"
    return Finding("model", Level.WARN, found, f"run `ollama pull {model}` there")
