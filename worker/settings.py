"""The settings of a worker process itself, from the environment and `.env`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from memory import EnvSettings
from memory.env_file import ENV_FILE
from tasks.process.configuration import checked

MOST_TURNS = 2000
"""What a pool may grow to; the bound of WORKER_CONCURRENCY."""


class WorkerSettings(EnvSettings):
    """Where the logs go."""

    # An empty LOG_FILE says that there is none; `_empty_is_not_given` drops the others.
    model_config = SettingsConfigDict(env_ignore_empty=False)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", validation_alias="LOG_LEVEL", description=("Lowest level that is logged")
    )
    log_format: Literal["line", "json"] = Field(
        default="line",
        validation_alias="LOG_FORMAT",
        description="line: for people; json: one JSON object for each line, for what collects logs",
    )
    log_file: Annotated[Path | None, BeforeValidator(lambda given: given or None)] = Field(
        default=Path("logs/app.log"),
        validation_alias="LOG_FILE",
        description="Log file besides the terminal; empty: none",
    )
    alive_file: Annotated[Path | None, BeforeValidator(lambda given: given or None)] = Field(
        default=None,
        validation_alias="WORKER_ALIVE_FILE",
        description="A file touched every few seconds while the worker or beat does its work; "
        "empty: none",
    )
    log_max_bytes: int = Field(
        default=10_000_000,
        ge=10_000,
        le=1_000_000_000,
        validation_alias="LOG_MAX_BYTES",
        description="Size at which the log file is rotated, bytes; five are kept",
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_not_given(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        kept = ("LOG_FILE", "log_file")
        return {name: value for name, value in given.items() if value != "" or name in kept}


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


def check_process_settings() -> None:
    """Read what a process needs only once it runs, where a wrong one could end nothing any more.
    Raises ConfigurationError."""
    checked(WorkerSettings)
    checked(MetricsSettings)


def flower_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What `.env` says of Flower, which itself reads only the environment, and the environment does
    not; an empty value is none."""
    path = Path(ENV_FILE)
    found = dotenv_values(path) if path.is_file() else {}
    return {
        name.upper(): value
        for name, value in found.items()
        if value and name.upper().startswith("FLOWER_") and name.upper() not in environment
    }


class FlowerAccess(BaseSettings):
    """Who may reach Flower, by its own variables in the environment and `.env`."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    address: str | None = Field(default=None, validation_alias="FLOWER_ADDRESS")
    port: str = Field(default="5555", validation_alias="FLOWER_PORT")
    unix_socket: str = Field(default="", validation_alias="FLOWER_UNIX_SOCKET")
    basic_auth: SecretStr | None = Field(default=None, validation_alias="FLOWER_BASIC_AUTH")
    auth: SecretStr | None = Field(default=None, validation_alias="FLOWER_AUTH")
