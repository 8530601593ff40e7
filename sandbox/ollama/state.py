"""What the routes of one stand-in share."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sandbox.ollama import catalog
from sandbox.ollama.call_log import CallLog
from sandbox.ollama.errors import Refused
from sandbox.ollama.reply import windows
from sandbox.ollama.reply.records import Profile
from sandbox.ollama.request import names
from sandbox.ollama.request.bodies import ModelRequest
from sandbox.ollama.runners import Limits, Runners, Wanted
from sandbox.ollama.scenarios import MISSING, SCENARIOS, Scenario, scenario_of
from sandbox.ollama.script import Script


@dataclass(slots=True)
class StandInState:
    """The models, what is scripted for them, and the calls so far."""

    call_log: CallLog = field(default_factory=CallLog)
    script: Script = field(default_factory=Script)
    profile: Profile = "0.33"
    token_s: float = 0.0
    is_marked: bool = True
    """The pace of models that are no scenario's, in seconds per token."""
    limits: Limits = field(default_factory=Limits)
    no_cloud: bool = False
    """As OLLAMA_NO_CLOUD: models of the cloud are refused. Otherwise the server is signed in."""
    models: dict[str, str] = field(default_factory=dict)
    """The installed models: the spelling of each by its folded name."""
    copies: dict[str, str] = field(default_factory=dict)
    """What `ollama cp` made: the folded name of the original by that of the copy."""
    pulled: set[str] = field(default_factory=set)
    """Models that were missing until they were pulled, folded."""
    runners: Runners = field(init=False)

    def __post_init__(self) -> None:
        self.runners = Runners(self.call_log, self.limits)
        self.install(catalog.INSTALLED)

    def own_scenario(self, model: str) -> Scenario:
        """How `model` behaves unless a script says otherwise.

        Raises Refused for what is no name, UnknownScenario.
        """
        original = self._original(model)
        if original in self.pulled:
            return SCENARIOS["ok"]
        scenario = scenario_of(original)
        plain = replace(SCENARIOS["ok"], token_s=self.token_s, is_marked=self.is_marked)
        return plain if scenario is None else scenario

    def is_of_cloud(self, model: str, what: str = "remote model is unavailable") -> bool:
        """Whether the cloud answers for `model`. Raises Refused (403) where it is off."""
        if not names.is_of_cloud(model):
            return False
        if self.no_cloud:
            raise Refused(403, f"ollama cloud is disabled: {what}")
        return True

    def weights(self, model: str) -> str:
        """What tells models apart in memory: a copy has its original's."""
        return catalog.digest(self._original(model))

    def wanted(self, asked: ModelRequest, scenario: Scenario) -> Wanted:
        """What the request needs of the runners."""
        return Wanted(
            name=self.models[names.parse(asked.model).folded],
            weights=self.weights(asked.model),
            options=windows.wanted_options(asked, scenario),
            load_s=scenario.load_s + (scenario.first_s if scenario.load_refusal else 0.0),
            slots=scenario.slots,
            keep_alive_s=asked.keep_alive_s,
            load_refusal=scenario.load_refusal,
        )

    def listed(self) -> dict[str, tuple[str, Scenario]]:
        """The weights and the scenario of each installed model, by its name."""
        return {
            name: (self.weights(name), self.own_scenario(name)) for name in self.models.values()
        }

    def install(self, models: Sequence[str]) -> None:
        """List these models in /api/tags, too; each under the spelling that came first."""
        for model in models:
            name = names.parse(model)
            self.models.setdefault(name.folded, name.short)

    def copy(self, source: str, destination: str) -> None:
        """A second name for the same weights. Raises Refused."""
        if not self.own_scenario(source).is_installed:
            raise Refused(404, f'model "{source}" not found')
        self.copies[names.parse(destination).folded] = self._original(source)
        self.install([destination])

    def pull(self, model: str) -> None:
        """The model has been downloaded: it is installed and, if it was missing, healthy."""
        if self.own_scenario(model).refusal == MISSING:
            self.pulled.add(self._original(model))
        self.install([model])

    def reset(self) -> None:
        """Forget calls, counters and scripts; models stay loaded."""
        self.script.clear()
        self.call_log.reset()

    def _original(self, model: str) -> str:
        folded = names.parse(model).folded
        return self.copies.get(folded, folded)
