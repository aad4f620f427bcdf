"""Audio of a file as one mono waveform on the clip's clock: sample k of the output is at k / rate seconds.

Clip time 0 is the same moment as in `emofuse.media.video`. Audio that begins later is preceded by zeros, gaps in its
timestamps are filled with zeros, overlaps are trimmed, and the delay of encoders is removed as the container says.
Memory does not grow with the length of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, groupby

import av
import av.error
import numpy as np
import soxr
from av.audio.stream import AudioStream
from av.container import InputContainer

from emofuse.core.files import printable
from emofuse.core.time import TICKS_PER_SECOND, ticks
from emofuse.errors import MediaError, SettingsError, ShapeError
from emofuse.media.audio_clock import AudioClock, Gap, Piece, sample_time
from emofuse.media.channels import Downmix, Floats, channel_names, channels_of, finite
from emofuse.media.container import MediaFile, audio_stream, clock_zero, packets, time_of, video_stream, warn
from emofuse.media.frame_index import FrameIndex

# Timestamps of audio are often rounded to a millisecond, and those of browsers and phones jitter by a few. Up to this
# much is not a gap: filling it would put a click into every block. It is less than the shortest common packet (20 ms).
_SLACK = ticks(Fraction(15, 1000))
_SHORT_GAP = ticks(10)  # is filled wherever it leads
_UNCONFIRMED = ticks(1)  # may be filled wherever it leads if no timestamps follow that confirm it
_LONG_GAP = ticks(3600)  # all gaps together may be this long, or as long as the audio, where no video limits them
_STILL = ticks(1)  # a shorter video is a picture, which limits nothing
_MIN_RATE_HZ, _MAX_RATE_HZ = 1000, 2_000_000  # of real audio; others come from damaged headers
_NO_SAMPLES = np.empty(0, np.float32)


@dataclass(frozen=True, eq=False)
class AudioBlock:
    """Consecutive mono samples, float32 [n], in [-1, 1]; start in ticks, clip time. NaN and infinities become zeros.

    Raises:
        ShapeError: there is more than one channel.
    """

    samples: Floats
    start: int
    rate_hz: int

    def __post_init__(self) -> None:
        if np.ndim(self.samples) != 1:
            raise ShapeError(f"AudioBlock: samples have shape {np.shape(self.samples)}; give one channel, [n].")
        object.__setattr__(self, "samples", finite(self.samples))

    @property
    def end(self) -> int:
        """Ticks, where the last sample ends."""
        return self.start + sample_time(len(self.samples), self.rate_hz)


class Resampler:
    """Converts a waveform, piece by piece, to another rate: the n-th sample keeps its time.

    seconds_held: how much of the waveform it may hold back until more is pushed.
    """

    _HELD = 2048  # samples of the lower rate; soxr's filter holds back up to about 1,300

    def __init__(self, rate_in_hz: int, rate_out_hz: int) -> None:
        same = rate_in_hz == rate_out_hz
        self._stream = None if same else soxr.ResampleStream(rate_in_hz, rate_out_hz, 1, "float32", "HQ")
        self.seconds_held = 0.0 if same else self._HELD / min(rate_in_hz, rate_out_hz)

    def push(self, samples: Floats) -> Floats:
        """The samples that are ready, float32 [m]."""
        return samples if self._stream is None else self._stream.resample_chunk(samples)

    def close(self) -> Floats:
        """The samples that the filter still holds."""
        return _NO_SAMPLES if self._stream is None else self._stream.resample_chunk(_NO_SAMPLES, last=True)


class AudioReader:
    """The audio of a video or audio file, read from the start in blocks.

    `end` is None until all blocks have been read, since headers only estimate it; then it is the end of the audio in
    ticks, which may be before or after the end of the video. `warnings` lists problems of a file that can be read
    nevertheless.

    Args:
        source: a path, or a `MediaFile` that was opened to see whether it has audio.
        rate_hz: sample rate of the output.
        track: index of the audio stream, one of `MediaFile.audio_tracks`; default: the one that players would play.
    Raises:
        MediaError: the file cannot be read, or has no audio.
        SettingsError: the rate is below 1.
    """

    def __init__(
        self, source: str | os.PathLike[str] | MediaFile, *, rate_hz: int = 16000, track: int | None = None
    ) -> None:
        check_sample_rate(rate_hz, "AudioReader")
        self._file = MediaFile.of(source)
        self.path = self._file.path
        self.rate_hz = rate_hz
        self._track = track
        self.end: int | None = None
        self.warnings: list[str] = []
        self._video_end: int | None = None
        self._opened: tuple[InputContainer, AudioStream] | None = self._open()

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._opened is not None:
            self._opened[0].close()

    def blocks(self, seconds: float = 1.0) -> Iterator[AudioBlock]:
        """Contiguous blocks of this length from clip time 0; the last one is shorter. Each call reads from the start.

        A file whose audio cannot be decoded yields no block, and a warning.

        Raises:
            SettingsError: a block would hold no sample.
        """
        size = round(seconds * self.rate_hz)
        if size < 1:
            raise SettingsError(f"blocks of {seconds} s at {self.rate_hz} Hz hold no sample; give more seconds.")
        return self._blocks(size)

    def _blocks(self, size: int) -> Iterator[AudioBlock]:
        done, held, waiting = 0, 0, list[Floats]()
        for piece in self._resampled():
            waiting.append(piece)
            held += len(piece)
            if held < size:
                continue
            samples = np.concatenate(waiting)
            while len(samples) >= size:
                yield AudioBlock(samples[:size], sample_time(done, self.rate_hz), self.rate_hz)
                samples, done = samples[size:], done + size
            waiting, held = [samples], len(samples)
        if held:
            yield AudioBlock(np.concatenate(waiting), sample_time(done, self.rate_hz), self.rate_hz)
        self.end = sample_time(done + held, self.rate_hz)
        if not self.end:
            warn(self.warnings, "none of the audio could be decoded")

    def _resampled(self) -> Iterator[Floats]:
        """Pieces at the output rate, within [-1, 1]: lossy codecs and the filter overshoot a little."""
        rate, resampler = 0, None
        for samples, rate_in in chain(self._mono(), [(_NO_SAMPLES, 0)]):
            if rate_in != rate:  # also at the end, where the filter returns what it holds
                if resampler is not None:
                    yield np.clip(resampler.close(), -1, 1)
                resampler, rate = Resampler(rate_in, self.rate_hz) if rate_in else None, rate_in
            if resampler is not None:
                yield np.clip(resampler.push(samples), -1, 1)

    def _mono(self) -> Iterator[tuple[Floats, int]]:
        """Mixed samples and their rate, in step with the clock."""
        cancelled = Fraction()
        for (names, rate), pieces in groupby(self._aligned(), lambda piece: (piece.names, piece.rate_hz)):
            mix = Downmix(names, rate)
            for piece in pieces:
                for samples in mix.push(piece.samples):
                    yield samples, rate
            for samples in mix.close():
                yield samples, rate
            cancelled += Fraction(mix.cancelled, rate)
        if cancelled:
            reason = "the channels of its audio cancel each other, as with a microphone in opposite phase"
            warn(self.warnings, f"{reason}: the loudest channel is used for {float(cancelled):.1f} s")

    def _aligned(self) -> Iterator[Piece]:
        opened, self._opened = self._opened, None
        container, stream = opened or self._open()
        with closing(container):
            unit = stream.time_base or Fraction(1, TICKS_PER_SECOND)
            clock = AudioClock(max(_SLACK, round(unit * TICKS_PER_SECOND * 3 / 2)), self._is_plausible)
            yield from clock.aligned(self._pieces(container, stream))
        if clock.ignored:
            reason = "they contradict their neighbours or the length of the clip"
            warn(self.warnings, f"ignored timestamps of the audio: {clock.ignored}; {reason}")

    def _pieces(self, container: InputContainer, stream: AudioStream) -> Iterator[Piece]:
        """The decoded pieces of the stream; clip time is that of all streams of the file."""
        zero, unit = clock_zero(container), stream.time_base or Fraction(1, TICKS_PER_SECOND)
        damaged = 0
        for packet in chain(packets(container, stream, self.warnings), (None,)):
            try:
                for frame in stream.decode(packet):
                    names, rate = channel_names(frame), frame.sample_rate
                    if not _MIN_RATE_HZ <= rate <= _MAX_RATE_HZ:
                        raise ValueError(f"sample rate of {rate} Hz")
                    claimed = time_of(frame.pts, unit)
                    yield Piece(channels_of(frame), names, rate, None if claimed is None else claimed - zero)
            except (av.error.FFmpegError, ValueError):  # zeros take the place of what is missing
                damaged += packet is not None
        if damaged:
            warn(self.warnings, f"{damaged} audio packets could not be decoded")

    def _is_plausible(self, gap: Gap) -> bool:
        """Whether a gap may be filled: it does not lead far beyond the video, or is no longer than a break."""
        beyond = _SHORT_GAP if gap.confirmed else _UNCONFIRMED
        if gap.length <= beyond:
            return True
        end = self._end_of_video()
        if end > _STILL and gap.start <= end + _SHORT_GAP:
            return gap.start + gap.length <= max(gap.start, end) + beyond
        return gap.length + gap.filled <= _LONG_GAP + gap.start - gap.filled

    def _end_of_video(self) -> int:
        """Ticks of clip time; 0 if there is no video. Reads the whole file, so it is called only where it matters."""
        if self._video_end is None:
            container = self._file.take_container()
            with closing(container):
                stream = video_stream(container)
                self._video_end = 0
                if stream is not None:
                    timeline = FrameIndex.of(container, stream, packets(container, stream, []), []).timeline
                    self._video_end = int(timeline.end[-1]) if len(timeline) else 0
        return self._video_end

    def _open(self) -> tuple[InputContainer, AudioStream]:
        container = self._file.take_container()
        stream = audio_stream(container, self._track)
        if stream is not None:
            return container, stream
        with closing(container):
            reason = "has no audio. Give a recording with audio, or use its video alone."
            if container.streams.audio:
                reason = "its audio is in an unknown format. Convert it to WAV or AAC."
            raise MediaError(f"{printable(self.path)}: {reason}")


def check_sample_rate(rate_hz: int, where: str) -> None:
    """Check that a sample rate is at least 1.

    Raises:
        SettingsError: it is not; the message begins with `where`.
    """
    if rate_hz < 1:
        raise SettingsError(f"{where}: the sample rate is {rate_hz} Hz; give 1 or more, e.g. 16000.")
