"""A task on its way to where it is carried out, and what comes back: bytes that any process can be sent."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from emofuse.errors import EmofuseError

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Attempt:
    """What came of trying a task once: one of an outcome, an error, a defect, and the way it was lost."""

    outcome: Any = None
    error: EmofuseError | None = None
    defect: tuple[Exception, str] | None = None  # and its traceback
    lost: str | None = None


class Pool(Protocol):
    """Carries out tasks, named so that they can be told apart.

    memory_bytes: how much all that run at once may need unless said otherwise; None if others see to it.
    """

    memory_bytes: int | None

    @property
    def room(self) -> bool:
        """Whether one more can be started."""

    def start(self, name: str, given: Any, memory_bytes: int) -> None:
        """Begin a task and come back at once."""

    def ended(self) -> list[tuple[str, Attempt]]:
        """Wait until something that was started ends, well or not."""

    def close(self) -> None:
        """Stop all, finished or not."""


def packed(function: Function, given: Any) -> bytes:
    """A task on its way to another process."""
    return pickle.dumps((function, given))


def carry_out(task: bytes) -> bytes:
    """Do a packed task; the packed attempt on its way back."""
    try:
        function, given = pickle.loads(task)
        content = pickle.dumps(Attempt(function(given)))
        pickle.loads(content)
        return content
    except EmofuseError as error:
        return pickle.dumps(Attempt(error=error))
    except Exception as error:
        return pickle.dumps(Attempt(defect=(_portable(error), traceback.format_exc())))


def _portable(error: Exception) -> Exception:
    """The error, or something like it where it cannot be taken apart and put together again."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
