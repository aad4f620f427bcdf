"""ONNX Runtime: the only place that opens its sessions, with threads and device chosen once for a whole run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import onnxruntime
from numpy.typing import NDArray

from emofuse.core.registry import nearest
from emofuse.errors import BundleError, EmofuseError, SettingsError

# Device name -> ONNX Runtime execution provider, best first; `auto` takes the first that is available.
PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
DEVICES = ("auto", *PROVIDERS)

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Map(Protocol):
    """The signature of `map`: the results of `function` for each item, in order."""

    def __call__(self, function: Callable[[_In], _Out], items: Iterable[_In], /) -> Iterable[_Out]: ...


@dataclass(frozen=True)
class Engine:
    """How networks are run: `threads` (0: one for each core) and `device` ("auto", "cpu", "cuda").

    Raises:
        SettingsError: the device is unknown or not available, or threads is negative.
    """

    threads: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            suggestion = nearest(self.device, DEVICES)
            raise SettingsError(f"--device {self.device}: unknown{suggestion}; choose one of {', '.join(DEVICES)}.")
        if self.threads < 0:
            raise SettingsError(f"--threads {self.threads}: give 0 (one for each core) or more.")
        if self.device != "auto" and PROVIDERS[self.device] not in onnxruntime.get_available_providers():
            raise SettingsError(
                f"--device {self.device}: this installation of ONNX Runtime cannot use it; "
                "install onnxruntime-gpu, or use --device cpu."
            )

    @property
    def cores(self) -> int:
        """Number of threads that a network may use."""
        return self.threads or os.cpu_count() or 1

    @property
    def providers(self) -> list[str]:
        """Execution providers in order of preference; the CPU is always last."""
        available = onnxruntime.get_available_providers()
        chosen = list(PROVIDERS.values()) if self.device == "auto" else [PROVIDERS[self.device]]
        return [p for p in dict.fromkeys([*chosen, PROVIDERS["cpu"]]) if p in available]

    def parallel_map(self) -> Map:
        """A `map` that uses as many threads as a network may use.

        For small networks: the threads of one inference wait for each other at every layer, so one image for each
        thread is faster than two threads for each image.
        """
        return ThreadPoolExecutor(self.cores, "emofuse").map if self.cores > 1 else map


ONE_THREAD = Engine(1, "cpu")


class OnnxNetwork:
    """An ONNX file, ready to run.

    inputs, outputs: shapes by name; a size that is not fixed is a name or None. input_types: such as "tensor(float)".
    metadata: text that the file holds about itself.

    Args:
        error: class of the errors; remedy: the end of their messages.
    Raises:
        EmofuseError: the file is missing, or is not an ONNX network that can be run.
    """

    def __init__(
        self,
        path: Path,
        engine: Engine = ONE_THREAD,
        *,
        error: Callable[[str], EmofuseError] = BundleError,
        remedy: str = "get the file again",
    ) -> None:
        if not path.is_file():
            raise error(f"{path}: there is no such file; {remedy}.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = engine.cores
        options.log_severity_level = 3
        # Idle threads that spin take cores away from the video decoder.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=engine.providers)
        except Exception as failure:  # ONNX Runtime's own exceptions have no common base
            reason = (str(failure).splitlines() or [type(failure).__name__])[0]
            raise error(f"{path}: cannot be read as an ONNX network ({reason}); {remedy}.") from None
        self.inputs = {i.name: list(i.shape) for i in self._session.get_inputs()}
        self.outputs = {o.name: list(o.shape) for o in self._session.get_outputs()}
        self.input_types = {i.name: str(i.type) for i in self._session.get_inputs()}
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, batch: NDArray[Any], output: str) -> NDArray[Any]:
        """One output for a batch of the only input."""
        return self.run((output,), batch)[0]

    def run(self, outputs: Sequence[str], inputs: NDArray[Any] | Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Several outputs of one inference.

        Args:
            inputs: arrays by name, or one array if there is only one input.
        """
        feed = inputs if isinstance(inputs, Mapping) else {next(iter(self.inputs)): inputs}
        results: list[NDArray[Any]] = self._session.run(list(outputs), feed)
        return results
