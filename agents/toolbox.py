"""The tools of all agents: the functions that the profiles name, and no others."""

import pkgutil
from collections.abc import Sequence

from agents.errors import InvalidProfiles, InvalidTool, UnknownTool
from agents.profiles import Profile, Profiles, ToolSpec
from agents.settings import AgentSettings
from agents.tools import Tool
from memory.quoting import quoted


class Toolbox:
    """Imports every function that a profile names, when it is made. Raises InvalidProfiles.

    What a module raises while it is imported is passed on.
    """

    def __init__(self, profiles: Profiles, settings: AgentSettings) -> None:
        self._settings = settings
        # Resolved here and not where the profiles are read: a producer need not have the modules.
        # docs/decisions.md, "Tools are named in the profiles' file, and imported by workers only".
        self._tools: dict[ToolSpec, Tool] = {}
        for profile in (profiles.default, *profiles.by_id.values()):
            self._load(profile)

    @property
    def reads_calls_in_text(self) -> bool:
        """Whether calls that a model writes as text are calls (AGENT_TOOL_CALLS_IN_TEXT)."""
        return self._settings.tool_calls_in_text

    def of(self, profile: Profile, names: Sequence[str] | None = None) -> tuple[Tool, ...]:
        """The tools of an agent; of these only the named ones where `names` are given.

        Raises UnknownTool for a name that is none of them.
        """
        tools = {tool.name: tool for tool in (self._tools[spec] for spec in profile.tools)}
        if names is None:
            return tuple(tools.values())
        for name in names:
            if name not in tools:
                raise UnknownTool(f"tools: agent {profile.agent_id} has no tool {quoted(name)}")
        return tuple(tools[name] for name in dict.fromkeys(names))

    @property
    def hanging(self) -> dict[str, int]:
        """Of each tool that has any: how many of its calls were given up and keep a thread."""
        return {tool.name: tool.hanging for tool in self._tools.values() if tool.hanging}

    async def aclose(self) -> None:
        """End the processes of all tools."""
        for tool in self._tools.values():
            await tool.aclose()

    def _load(self, profile: Profile) -> None:
        for spec in profile.tools:
            try:
                self._tools[spec] = self._tools.get(spec) or self._tool(spec)
            except InvalidTool as exc:
                place = f"tools of agent {profile.agent_id}: {spec.function}"
                raise InvalidProfiles(f"{place} cannot be a tool: {exc}") from exc
        # The model calls a tool by its name alone, without the path.
        names = [self._tools[spec].name for spec in profile.tools]
        if len(set(names)) < len(names):
            raise InvalidProfiles(f"tools of agent {profile.agent_id}: two have the same name")

    def _tool(self, spec: ToolSpec) -> Tool:
        try:
            function = pkgutil.resolve_name(spec.function)
        except ModuleNotFoundError as exc:
            top = spec.function.partition(".")[0]
            if exc.name == top:
                raise InvalidTool(
                    f"there is no module {top!r}; put its folder on the worker's PYTHONPATH"
                ) from exc
            raise InvalidTool(f"{exc}; install it where the worker runs") from exc
        except (ImportError, AttributeError) as exc:
            raise InvalidTool(f"{exc}; correct its path in the profile") from exc
        settings = self._settings
        return Tool(
            function,
            timeout_s=settings.tool_timeout_s if spec.timeout_s is None else spec.timeout_s,
            max_result_bytes=settings.tool_result_bytes,
            in_process=spec.function if spec.process else None,
        )
