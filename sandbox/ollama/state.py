"""What the routes of one stand-in share."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sandbox.ollama import catalog
from sandbox.ollama.call_log import CallLog
from sandbox.ollama.records import Profile
from sandbox.ollama.runners import Runners
from sandbox.ollama.scenarios import SCENARIOS, Scenario, scenario_of
from sandbox.ollama.script import Script


@dataclass(slots=True)
class StandInState:
    """The models, what is scripted for them, and the calls so far."""

    call_log: CallLog = field(default_factory=CallLog)
    script: Script = field(default_factory=Script)
    profile: Profile = "0.33"
    token_s: float = 0.0
    """The pace of models that are no scenario's, in seconds per token."""
    models: list[str] = field(default_factory=lambda: list(catalog.INSTALLED))
    pulled: set[str] = field(default_factory=set)
    """Models that were missing until they were pulled."""
    runners: Runners = field(init=False)

    def __post_init__(self) -> None:
        self.runners = Runners(self.call_log)

    def own_scenario(self, model: str) -> Scenario:
        """How `model` behaves unless a script says otherwise. Raises UnknownScenario."""
        if catalog.full_name(model) in self.pulled:
            return SCENARIOS["ok"]
        scenario = scenario_of(model)
        return replace(SCENARIOS["ok"], token_s=self.token_s) if scenario is None else scenario

    def install(self, models: Sequence[str]) -> None:
        """List these models in /api/tags, too."""
        for model in models:
            if (name := catalog.full_name(model)) not in self.models:
                self.models.append(name)

    def pull(self, model: str) -> None:
        """The model has been downloaded: it is installed and, if it was missing, healthy."""
        if self.own_scenario(model).refusal == "missing":
            self.pulled.add(catalog.full_name(model))
        self.install([model])

    def reset(self) -> None:
        """Forget calls, counters and scripts; models stay loaded."""
        self.script.clear()
        self.call_log.reset()
