"""What is talked about: an agent, a session, and the options of the messages to come."""

import uuid
from dataclasses import dataclass, field

from agents import Profile
from memory import OnBusy, RedisMemoryService
from memory.ids import encode_id
from tasks import ChatOptions
from tasks.job.images import check_images
from tasks.process.configuration import Settings
from tasks.process.services import producer_services
from worker.cli.chat.image_file import read_image


@dataclass
class Conversation:
    """One conversation as its user has set it. `model`, `system_prompt` and `tools` are None where
    the agent's profile decides. Raises memory.InvalidInput for an id that no agent or session may
    have."""

    agent: str
    session: str
    on_busy: OnBusy = OnBusy.ENQUEUE
    model: str | None = None
    system_prompt: str | None = None
    tools: list[str] | None = None
    images: list[str] = field(default_factory=list)
    """Those of the next message, base64."""
    unconfirmed: dict[str, str] = field(default_factory=dict)
    """Of messages that may have been stored: the job's id by all that was sent."""

    def __post_init__(self) -> None:
        encode_id(self.agent, what="agent")
        encode_id(self.session, what="session")

    @property
    def settings(self) -> Settings:
        """The settings of the process."""
        return producer_services().settings

    @property
    def profile(self) -> Profile:
        """The agent's profile."""
        return self.settings.profiles.of(self.agent)

    @property
    def tool_names(self) -> list[str]:
        """What the agent's tools are called."""
        return [tool.function.rpartition(".")[2] for tool in self.profile.tools]

    @property
    def memory(self) -> RedisMemoryService:
        """What keeps the history."""
        return RedisMemoryService.from_settings(self.settings.memory)

    def begin_session(self, session: str) -> None:
        """Go on in another session; empty: in a new one. Raises memory.InvalidInput."""
        if session:
            encode_id(session, what="session")
        self.session = session or f"chat-{uuid.uuid4().hex[:8]}"

    def use_agent(self, agent: str) -> None:
        """Go on with another agent, as its profile has it. Raises memory.InvalidInput."""
        encode_id(agent, what="agent")
        self.agent = agent
        self.model = self.system_prompt = self.tools = None

    def attach(self, path: str) -> None:
        """Send the image of a file with the next message. Raises OSError, or InvalidJob for one
        that no message may have."""
        image = read_image(path, max_bytes=self.settings.max_image_bytes)
        most = self.settings.queue.max_images
        max_bytes = self.settings.max_image_bytes
        check_images([*self.images, image], max_count=most, max_bytes=max_bytes)
        self.images.append(image)

    def options(self) -> ChatOptions:
        """The options of a message that is sent now; its images are no longer the next one's."""
        images, self.images = self.images, []
        return ChatOptions(
            model=self.model,
            system_prompt=self.system_prompt,
            tools=self.tools,
            images=images or None,
            on_busy=self.on_busy,
        )

    def task_id(self, text: str, options: ChatOptions) -> str:
        """The id under which a message is sent. One that Redis has not confirmed gets its first id
        when the same is sent again, so it is answered once; `confirm` ends that."""
        new_id = str(uuid.uuid4())
        return self.unconfirmed.setdefault(self._sent_as(text, options), new_id)

    def confirm(self, text: str, options: ChatOptions) -> None:
        """Redis has said whether the message is in: the same text is a new message from now on."""
        self.unconfirmed.pop(self._sent_as(text, options), None)

    def _sent_as(self, text: str, options: ChatOptions) -> str:
        return repr((self.agent, self.session, text, options))
