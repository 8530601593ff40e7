"""Servers and connections in a `with` statement: started, and closed at the end."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """Closed at the end of its `with` block."""

    @abstractmethod
    def close(self) -> None:
        """Give back everything that it holds. Safe to repeat."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Starting(Closing):
    """Started by its `with` statement unless it runs, and closed at the end of the block."""

    @property
    def is_running(self) -> bool:
        """Whether it was started before."""
        return False

    @abstractmethod
    def start(self) -> Self:
        """Start it and return when it answers."""

    def __enter__(self) -> Self:
        return self if self.is_running else self.start()
