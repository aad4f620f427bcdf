"""Running ONNX networks: the only place that opens their sessions, with threads and device chosen once for a run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from emofuse.core.cores import check_at_once, usable_cores
from emofuse.core.registry import nearest
from emofuse.errors import BundleError, EmofuseError, SettingsError
from emofuse.runtime import openvino

# Device name -> ONNX Runtime execution provider, best first; `auto` takes the first that is available.
PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
DEVICES = ("auto", *PROVIDERS, openvino.NAME)  # OpenVINO is an engine of its own, beside ONNX Runtime

# Items of one inference on the CPU. Larger ones save 5 % of a small network's time, but fewer can run in parallel.
PIECE = 4
_MOST_DECODER_THREADS = 16  # each keeps frames of its own

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Map(Protocol):
    """The signature of `map`: the results of `function` for each item, in order."""

    def __call__(self, function: Callable[[_In], _Out], items: Iterable[_In], /) -> Iterable[_Out]: ...


@dataclass(frozen=True)
class Engine:
    """How networks are run: `threads` (0: one for each core) and `device` ("auto", "cpu", "cuda", "openvino").

    Raises:
        SettingsError: the device is unknown or not available, or threads is negative or many times the cores.
    """

    threads: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            suggestion = nearest(self.device, DEVICES)
            raise SettingsError(f"--device {self.device}: unknown{suggestion}; choose one of {', '.join(DEVICES)}.")
        check_at_once("--threads", self.threads)
        if self.device == openvino.NAME:
            openvino.check_installed()
        elif self.device != "auto" and PROVIDERS[self.device] not in onnxruntime.get_available_providers():
            raise SettingsError(
                f"--device {self.device}: this installation of ONNX Runtime cannot use it; "
                "install onnxruntime-gpu, or use --device cpu."
            )

    @property
    def cores(self) -> int:
        """Number of threads that a network may use."""
        return self.threads or usable_cores()

    @property
    def decoder_threads(self) -> int:
        """Number of threads of a video decoder."""
        return min(self.cores + (self.threads == 0 and self.cores > 1), _MOST_DECODER_THREADS)

    @property
    def single_threaded(self) -> Engine:
        """The same device with one thread for each inference."""
        return replace(self, threads=1)

    @property
    def on_onnx_runtime(self) -> Engine:
        """The same in ONNX Runtime, for inputs of changing sizes, for each of which OpenVINO prepares itself anew."""
        return replace(self, device="cpu") if self.device == openvino.NAME else self

    @property
    def providers(self) -> list[str]:
        """Execution providers in order of preference; the CPU is always last."""
        if self.device == openvino.NAME:
            # Detectors of faces and of speech use ONNX Runtime.
            return [openvino.provider(), PROVIDERS["cpu"]]
        available = onnxruntime.get_available_providers()
        chosen = list(PROVIDERS.values()) if self.device == "auto" else [PROVIDERS[self.device]]
        return [p for p in dict.fromkeys([*chosen, PROVIDERS["cpu"]]) if p in available]

    def fallback_note(self, provider: str) -> str:
        """Why the provider that a network runs on is not the preferred one, or ""."""
        preferred = self.providers[0]
        if provider == preferred:
            return ""
        return (
            f"--device {self.device}: ONNX Runtime lists {preferred}, but runs on the CPU; install the driver and "
            f"libraries that onnxruntime {onnxruntime.__version__} needs, or use --device cpu."
        )

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
    provider: the execution provider that is used. metadata: text that the file holds about itself; empty with OpenVINO.

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
        try:
            self._session = _session(path, engine)
        except SettingsError:
            raise
        except Exception as failure:  # exceptions of the engines have no common base
            reason = (str(failure).splitlines() or [type(failure).__name__])[0]
            raise error(f"{path}: cannot be read as an ONNX network ({reason}); {remedy}.") from None
        self.provider = str(self._session.get_providers()[0])
        self._on_cpu = self.provider != PROVIDERS["cuda"]
        if self._on_cpu and engine.device == "cuda":
            raise SettingsError(
                f"--device {engine.device}: is listed, but ONNX Runtime opened {path.name} on the CPU; install the "
                f"driver and libraries that onnxruntime {onnxruntime.__version__} needs, or use --device cpu."
            )
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

    def run_in_pieces(self, outputs: Sequence[str], batch: NDArray[Any], parallel_map: Map) -> list[NDArray[Any]]:
        """Several outputs for a batch of the only input, which on the CPU is divided among the threads of a map.

        The last bits of a sum depend on the threads and the size of its inference. With one thread for each inference
        (`Engine.single_threaded`) and pieces of `PIECE` items, results do not depend on the number of threads.
        """
        if not self._on_cpu or len(batch) <= PIECE:
            return self.run(outputs, batch)
        pieces = [batch[n : n + PIECE] for n in range(0, len(batch), PIECE)]
        results = parallel_map(lambda piece: self.run(outputs, piece), pieces)
        return [np.concatenate(arrays) for arrays in zip(*results, strict=True)]


def _session(path: Path, engine: Engine) -> Any:
    if engine.device == openvino.NAME:
        # With one thread for each inference, several may run at once, each in a stream of its own.
        return openvino.OpenVinoSession(path, threads=engine.cores, streams=usable_cores() if engine.cores == 1 else 1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = engine.cores
    options.log_severity_level = 3
    # Idle threads that spin take cores away from the video decoder.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with warnings.catch_warnings():  # of a provider that is not used; the caller checks which one is
        warnings.simplefilter("ignore", UserWarning)
        return onnxruntime.InferenceSession(str(path), options, providers=engine.providers)
