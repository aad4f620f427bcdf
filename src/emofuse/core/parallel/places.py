"""Where tasks are carried out, by name and options."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from emofuse.core.parallel.jobs import Here, Processes, Ray, Where
from emofuse.core.registry import nearest
from emofuse.errors import SettingsError


@dataclass(frozen=True)
class Wish:
    """What options ask for: so many tasks at once, threads, and the address of a cluster; 0 and None for unsaid."""

    at_once: int = 0
    threads: int = 0
    address: str | None = None
    gpus: int = 0


PLACES: dict[str, Callable[[Wish], Where]] = {
    "here": lambda wish: Here(),
    "processes": lambda wish: Processes(wish.at_once or os.cpu_count() or 1, wish.threads),
    "ray": lambda wish: Ray(wish.address, wish.threads or 1, wish.gpus, wish.at_once),
}


def place(name: str | None, wish: Wish) -> Where:
    """The place of that name, or the one that the other options speak of.

    Raises:
        SettingsError: no such place, or the options contradict each other.

    >>> place(None, Wish()), place(None, Wish(at_once=2)), place(None, Wish(address="auto"))
    (Here(), Processes(count=2, cores=0), Ray(address='auto', cpus=1, gpus=0, at_once=0))
    """
    if name is None:
        name = "ray" if wish.address is not None else "processes" if wish.at_once > 1 else "here"
    if name not in PLACES:
        raise SettingsError(f"--on {name}: unknown{nearest(name, PLACES)}; choose {', '.join(PLACES)}.")
    where = PLACES[name](wish)
    if wish.address is not None and not isinstance(where, Ray):
        raise SettingsError(f"--on {name} --address {wish.address}: only --on ray has an address; leave one out.")
    if wish.at_once > 1 and isinstance(where, Here):
        raise SettingsError(f"--on {name} --jobs {wish.at_once}: one at a time is done here; say --on processes.")
    return where
