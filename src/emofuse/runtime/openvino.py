"""ONNX networks in OpenVINO, which is optional: faster than ONNX Runtime for networks in int8 on most x86 CPUs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emofuse.errors import SettingsError

NAME = "openvino"
_REMEDY = "pip install 'emofuse[openvino]', or use --device cpu"


class _Port(NamedTuple):
    """An input or output as ONNX Runtime describes it."""

    name: str
    shape: list[int | None]
    type: str


def provider() -> str:
    """Names OpenVINO, with its version, beside ONNX Runtime's execution providers."""
    return f"OpenVINO {version(NAME)}"


def check_installed() -> None:
    """Raise SettingsError if OpenVINO is not installed."""
    if NAME not in sys.modules and find_spec(NAME) is None:
        raise SettingsError(f"--device {NAME}: OpenVINO is not installed; {_REMEDY}.")


@cache
def _core() -> Any:
    # Importing OpenVINO sends an event to its maker if this package can be imported; it has no other use here.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise SettingsError(f"--device {NAME}: OpenVINO cannot be loaded ({error}); {_REMEDY}.") from None
    return openvino.Core()


class OpenVinoSession:
    """The methods of an ONNX Runtime session that `OnnxNetwork` uses; they may be called from several threads.

    Computes in float32 and, where the network says so, in int8: bfloat16, OpenVINO's default, ruins log-mel spectra.

    Args:
        threads: of one inference. streams: number of inferences that can run at once.
    """

    def __init__(self, path: Path, *, threads: int, streams: int) -> None:
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": str(threads * streams),
            "NUM_STREAMS": str(streams),
        }
        core = _core()
        self._net = core.compile_model(core.read_model(str(path)), "CPU", settings)
        self._local = threading.local()  # an inference request serves one thread at a time

    def get_inputs(self) -> list[_Port]:
        return [_port(p) for p in self._net.inputs]

    def get_outputs(self) -> list[_Port]:
        return [_port(p) for p in self._net.outputs]

    def get_modelmeta(self) -> SimpleNamespace:
        return SimpleNamespace(custom_metadata_map={})

    def get_providers(self) -> list[str]:
        return [provider()]

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Copies of these outputs."""
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._net.create_infer_request()
        request.infer({name: np.ascontiguousarray(values) for name, values in inputs.items()})
        return [request.get_tensor(name).data.copy() for name in outputs]


def _port(port: Any) -> _Port:
    kind = {"f32": "float", "f16": "float16", "i64": "int64", "i32": "int32"}.get(port.element_type.type_name, "other")
    shape = [int(d.get_length()) if d.is_static else None for d in port.partial_shape]
    return _Port(port.any_name, shape, f"tensor({kind})")
