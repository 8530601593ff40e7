"""Where a process shows its metrics, from the environment and `.env`."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from memory import EnvSettings


class MetricsSettings(EnvSettings):
    """The address of the metrics of a process; none where METRICS_PORT is not set."""

    port: int | None = Field(
        default=None,
        ge=1,
        le=65_000,
        validation_alias="METRICS_PORT",
        description="The first port on which processes show their metrics to Prometheus; each "
        "further one on the host takes the next that is free; empty: none",
    )
    host: str = Field(
        default="127.0.0.1",
        validation_alias="METRICS_HOST",
        description="The address that they listen on; the metrics have no password",
    )
    targets: Annotated[Path | None, BeforeValidator(lambda given: given or None)] = Field(
        default=None,
        validation_alias="METRICS_TARGETS",
        description="A folder for Prometheus' file_sd_configs: each process writes a file into it "
        "that names its address; empty: none",
    )
