"""What the commands of a conversation do."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from tasks import InvalidJob
from worker.cli.agents import agents_known
from worker.cli.chat.conversation import Conversation
from worker.cli.chat.replay import YOU, said_before
from worker.cli.chat.screen import Screen
from worker.cli.chat.session_file import export_to
from worker.cli.chat.slash import COMMANDS, RESET, SlashCommand, help_lines
from worker.cli.known_agents import unknown

NO_TOOLS = "none"


class Acts:
    """Carries the commands out. `cancel` gets whether also what waits is to be withdrawn."""

    def __init__(
        self,
        talk: Conversation,
        screen: Screen,
        *,
        last: int,
        cancel: Callable[[bool], Awaitable[None]],
    ) -> None:
        self._talk = talk
        self._screen = screen
        self._last = last
        self._cancel_reply = cancel
        self._by_name: Mapping[str, Callable[[str], Awaitable[None]]] = {
            "help": self._help,
            "cancel": self._cancel,
            "agent": self._agent,
            "new": self._new,
            "model": self._model,
            "system": self._system,
            "tools": self._tools,
            "image": self._image,
            "export": self._export,
            "quit": self._quit,
        }

    async def carry_out(self, command: SlashCommand) -> None:
        """Do what a command says, and tell it. Raises OSError, ChatError and MemoryServiceError."""
        act = self._by_name.get(command.name)
        if act is None:
            known = ", ".join(f"/{name}" for name in COMMANDS)
            self._screen.remark(
                f"There is no /{command.name}. There are {known}. To send it as a message, begin "
                "it with two slashes."
            )
        else:
            await act(command.argument)

    async def replay(self) -> None:
        """Show the last messages of the session. Raises MemoryServiceError."""
        talk = self._talk
        messages = await asyncio.to_thread(
            talk.memory.get_conversation_history, talk.agent, talk.session
        )
        said = said_before(messages, talk.agent)
        shown = said[-self._last :] if self._last else []
        if len(said) > len(shown):
            self._screen.remark(f"… {len(said) - len(shown)} earlier messages")
        for one in shown:
            style = "class:you" if one.who == YOU else "class:agent"
            self._screen.said(one.who, one.text, one.remark, style=style)

    def warn_unknown(self) -> None:
        """Say so where the default profile answers for the agent."""
        if said := unknown(self._talk.settings.profiles, self._talk.agent):
            self._screen.remark(f"({said})")

    async def _help(self, _: str) -> None:
        for line in help_lines():
            self._screen.remark(line)

    async def _cancel(self, which: str) -> None:
        await self._cancel_reply(which == "all")

    async def _agent(self, agent_id: str) -> None:
        if not agent_id:
            for one in agents_known(self._talk.settings):
                mark = "*" if one.agent_id == self._talk.agent else " "
                self._screen.remark(f"{mark} {one.agent_id}  {one.model}")
            return
        self._talk.use_agent(agent_id)
        self._screen.remark(f"(agent {agent_id}, session {self._talk.session})")
        self.warn_unknown()
        await self.replay()

    async def _new(self, session: str) -> None:
        self._talk.begin_session(session)
        self._screen.remark(f"(agent {self._talk.agent}, session {self._talk.session})")
        await self.replay()

    async def _model(self, name: str) -> None:
        talk = self._talk
        if name:
            talk.model = None if name == RESET else name
        own = talk.profile.model or talk.settings.llm.model
        self._screen.remark(f"(model: {talk.model or f'{own}, the agent’s own'})")

    async def _system(self, text: str) -> None:
        talk = self._talk
        if text:
            talk.system_prompt = None if text == RESET else text
        is_own = talk.system_prompt is None
        shown = talk.profile.system_prompt if is_own else talk.system_prompt
        self._screen.remark(f"(system prompt{', the agent’s own' if is_own else ''}: {shown})")

    async def _tools(self, names: str) -> None:
        talk, known = self._talk, self._talk.tool_names
        wanted = names.replace(",", " ").split()
        if strange := [one for one in wanted if one not in (*known, RESET, NO_TOOLS)]:
            raise InvalidJob(f"agent {talk.agent} has no tool {strange[0]}")
        if wanted:
            chosen = [one for one in wanted if one in known]
            talk.tools = None if RESET in wanted else chosen
        allowed = known if talk.tools is None else talk.tools
        marked = (f"{'*' if one in allowed else ' '} {one}" for one in known)
        self._screen.remark("\n".join(marked) or f"(agent {talk.agent} has no tools)")

    async def _image(self, path: str) -> None:
        talk = self._talk
        if path == RESET:
            talk.images.clear()
        elif path:
            await asyncio.to_thread(talk.attach, path)
        self._screen.remark(f"(images with the next message: {len(talk.images)})")

    async def _export(self, path: str) -> None:
        if not path:
            self._screen.remark("Name a file: /export FILE, with .md to read it")
            return
        file = await asyncio.to_thread(export_to, path, self._talk)
        self._screen.remark(f"(written to {file})")

    async def _quit(self, _: str) -> None:
        self._screen.leave()
