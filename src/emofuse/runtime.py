"""Nets at prediction time: ONNX Runtime, with threads and device chosen once for a whole run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from emofuse.errors import BundleError, SettingsError

# Device name -> ONNX Runtime execution provider, best first; `auto` takes the first that is there.
PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
DEVICES = ("auto", *PROVIDERS)

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Spread(Protocol):
    """As `map`: what `work` makes of each item, in their order."""

    def __call__(self, work: Callable[[_In], _Out], items: Iterable[_In], /) -> Iterable[_Out]: ...


@dataclass(frozen=True)
class Engine:
    """How nets are run: `threads` (0: one for each core) and `device` ("auto", "cpu", "cuda").

    Raises:
        SettingsError: the device is unknown or not available, or threads is negative.
    """

    threads: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise SettingsError(f"--device {self.device}: unknown; choose one of {', '.join(DEVICES)}.")
        if self.threads < 0:
            raise SettingsError(f"--threads {self.threads}: give 0 (one for each core) or more.")
        if self.device != "auto" and PROVIDERS[self.device] not in onnxruntime.get_available_providers():
            raise SettingsError(
                f"--device {self.device}: this installation of ONNX Runtime cannot use it; "
                "install onnxruntime-gpu, or use --device cpu."
            )

    @property
    def cores(self) -> int:
        """Threads that a net may use."""
        return self.threads or os.cpu_count() or 1

    def spread(self) -> Spread:
        """A `map` whose work is done by as many threads as a net may use.

        For small nets: threads of one inference wait for each other at every layer, and two take longer than one.
        """
        return ThreadPoolExecutor(self.cores, "emofuse").map if self.cores > 1 else map

    @property
    def providers(self) -> list[str]:
        """Execution providers in order of preference; the CPU always stands last."""
        available = onnxruntime.get_available_providers()
        chosen = list(PROVIDERS.values()) if self.device == "auto" else [PROVIDERS[self.device]]
        return [p for p in dict.fromkeys([*chosen, PROVIDERS["cpu"]]) if p in available]


class Net:
    """One ONNX file, ready to run.

    Raises:
        BundleError: the file is no ONNX net.
    """

    def __init__(self, path: Path, engine: Engine) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = engine.cores
        options.log_severity_level = 3
        # Waiting threads that spin take the cores away from the video decoder.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=engine.providers)
        except Exception as error:  # ONNX Runtime's own exceptions have no common base
            reason = str(error).splitlines()[0]
            raise BundleError(f"{path}: not an ONNX net that can be run ({reason}).") from None
        self._input = self._session.get_inputs()[0].name
        self.outputs = {o.name: o.shape for o in self._session.get_outputs()}

    def __call__(self, batch: NDArray[np.float32], output: str) -> NDArray[np.float32]:
        """Output `output` for a batch float32 [n, ...]."""
        return self.several(batch, (output,))[0]

    def several(self, batch: NDArray[np.float32], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Several outputs of one run."""
        results: list[NDArray[np.float32]] = self._session.run(list(outputs), {self._input: batch})
        return results
