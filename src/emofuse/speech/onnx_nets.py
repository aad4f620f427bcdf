"""ONNX nets that a user brings, opened with errors that say what is wrong with the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnxruntime as ort

from emofuse.errors import WeightsError

CPU = ("CPUExecutionProvider",)


def open_net(path: Path, what: str, *, threads: int = 1, providers: Sequence[str] = CPU) -> ort.InferenceSession:
    """A net ready to run; threads 0: one for each core.

    Raises:
        WeightsError: the file is missing, or cannot be read as ONNX.
    """
    if not path.is_file():
        raise WeightsError(f"{what}: there is no file {path}; `emofuse weights list` says what belongs where.")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that spin between two runs take the cores that decode the recording.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # ONNX Runtime has a class of its own for each of its status codes
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{what}: {path} cannot be read as ONNX ({reason}); fetch it again.") from None
