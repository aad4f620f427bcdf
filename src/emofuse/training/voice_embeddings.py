"""Embeddings of the windows of recordings by a network on chunks, cut and encoded exactly as in prediction.

They are computed once and cached, also those of augmented copies of the recordings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from emofuse.core.arrays import ArrayFormat
from emofuse.core.chunks import SAMPLES_PER_FRAME, Chunks
from emofuse.core.files import digest
from emofuse.core.types import Clip
from emofuse.errors import DataError
from emofuse.inference.audio_stages import FrameWindows
from emofuse.nets.pretrained import tensor_bytes
from emofuse.nets.speech_encoder import Frames, SpeechEncoder
from emofuse.training import loop as fit
from emofuse.training.audio_cache import AudioCache, blocks, mapped

_FORMAT = ArrayFormat("cache of embeddings", 1, remedy="delete it", error=DataError)
_PIECE_SECONDS = 10.0  # of long audio that are augmented at a time, so that a change of speed hardly moves the labels


class WindowEmbedding(NamedTuple):
    """The embedding float32 [features] of a window in [start, end) ticks."""

    start: int
    end: int
    values: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class WindowEmbeddings:
    """Embeddings of the windows with speech of clips, cached beside their audio.

    augment: the changes of augmented copies.
    """

    cache: AudioCache
    net: SpeechEncoder
    chunks: Chunks
    augment: fit.Waveforms

    def __call__(self, clip: Clip, copy: int = 0) -> list[WindowEmbedding]:
        """Embeddings of a clip, in order; of the recording itself, or of an augmented copy from number 1 on.

        Raises:
            DataError: the clip has no file.
            MediaError: its audio cannot be read.
        """
        audio = self.cache.path(clip)
        if audio is None:
            return []
        identity = self._identity | {"audio": audio.stem}
        if copy:
            identity |= {"copy": copy, "augment": asdict(self.augment)}
        path = audio.with_name(f"{digest(identity)}.safetensors")
        try:
            arrays, _ = _FORMAT.read(path)
        except DataError:  # missing or incomplete
            arrays = self._embedded(np.array(mapped(audio)), seed=int(digest(identity)[:15], 16) if copy else None)
            _FORMAT.write(path, arrays)
        rows = (arrays["start"].tolist(), arrays["end"].tolist(), arrays["values"])
        return [WindowEmbedding(*row) for row in zip(*rows, strict=True)]

    @cached_property
    def _identity(self) -> dict[str, Any]:
        found = hashlib.sha256()
        for tensor in self.net.encoder.state_dict().values():
            found.update(tensor_bytes(tensor).data)
        activity = self.cache.stages.activity.identity
        return {"net": found.hexdigest(), "activity": activity} | {
            "windows": asdict(self.cache.windows),
            "chunks": asdict(self.chunks),
        }

    def _embedded(self, samples: NDArray[np.float32], *, seed: int | None) -> dict[str, NDArray[Any]]:
        windows = self.cache.windows
        if seed is not None:
            samples = self._augmented(samples, seed)
        embedder = _Embedder(self.net, self.chunks, windows.samples[0] // SAMPLES_PER_FRAME)
        stage = FrameWindows(self.cache.stages.cutter(windows), embedder)
        found = [score for block in blocks(samples, windows.rate_hz) for score in stage.push(block)] + stage.close()
        spoken = [(s.start, s.end, s.probabilities) for s in found if s.probabilities is not None]
        features = len(self.net.mean)
        return {
            "start": np.array([start for start, _, _ in spoken], np.int64),
            "end": np.array([end for _, end, _ in spoken], np.int64),
            "values": np.array([values for _, _, values in spoken], np.float32).reshape(-1, features),
        }

    def _augmented(self, samples: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        draws = self.augment.draw(1, torch.Generator().manual_seed(seed))
        changed = [self.augment(torch.from_numpy(piece)[None], draws)[0].numpy() for piece in self._pieces(samples)]
        return np.concatenate(changed) if changed else samples

    def _pieces(self, samples: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        size = round(_PIECE_SECONDS * self.cache.windows.rate_hz)
        return (samples[first : first + size] for first in range(0, len(samples), size))


class _Embedder:
    """Takes the place of the scorer of windows, and returns their embeddings."""

    def __init__(self, net: SpeechEncoder, chunks: Chunks, frames: int) -> None:
        self.chunks, self.frames, self._net = chunks, frames, net
        before, inside, _ = chunks.frames
        self._encode = Frames(net, slice(before, before + inside))

    def encode(self, chunks: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(self._encode(torch.from_numpy(chunks)).numpy(), np.float32)

    def score(self, frames: NDArray[np.float32], speech: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            embedding, _ = self._net.pool(torch.from_numpy(frames)[None], torch.from_numpy(speech)[None])
        return np.asarray(embedding[0].numpy(), np.float32)
