"""`emofuse train active-speaker`: from clips of talking heads to the networks that find out who speaks.

Two speakers are set aside by a fixed rule (`set_aside`); the others are trained on. How well that works, and how
evidence becomes a probability, is measured by leaving each of them out once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from emofuse.core.files import atomic
from emofuse.errors import DataError
from emofuse.speech.active_speaker import FRAMES, MEL_FRAMES, normalised
from emofuse.training.active_speaker.batches import mouths_at, samples_at, spectra_of
from emofuse.training.active_speaker.clips import TalkingClip, read_clips
from emofuse.training.active_speaker.fit import SpeakerNets, SpeakerSettings, export_speaker, fit_speaker
from emofuse.training.loop import Progress

RESULT = "result.json"
_OTHERS = (1, 5, 7, 11, 13, 17)  # a mouth is compared with those of the clips so many places later
_REACH = 25  # frames on either side over which evidence is averaged
_STEP = 12  # frames between two decisions
_QUIET = 1.3  # of a spectrum's level: quieter frames are no speech

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class SpeakerTraining:
    """A training of the networks for active speakers.

    data: clips of one talking head each, with a column of speakers. out: folder of the networks and the result.
    aside: speakers who are not trained on; default: by the rule of the module.
    """

    data: Path
    out: Path
    settings: SpeakerSettings = field(default_factory=SpeakerSettings)
    aside: tuple[str, ...] = ()


@dataclass(frozen=True)
class SpeakerAccuracy:
    """Of speakers who were left out of the training: a talking mouth without its voice beside one with it.

    half_seconds, clips: fraction of decisions for the right mouth, each half second or once for each clip. auc: of the
    evidence of half seconds.
    """

    half_seconds: float
    clips: float
    auc: float


@dataclass(frozen=True, eq=False)
class _Evidence:
    """Mean evidence of right and wrong mouths at moments with speech, and for each clip whether the right one wins."""

    right: Doubles
    wrong: Doubles
    won: NDArray[np.bool_]

    @property
    def accuracy(self) -> SpeakerAccuracy:
        truth = np.append(np.ones(len(self.right)), np.zeros(len(self.wrong)))
        auc = float(roc_auc_score(truth, np.append(self.right, self.wrong)))
        return SpeakerAccuracy(float((self.right > self.wrong).mean()), float(self.won.mean()), auc)


def train_speaker(
    training: SpeakerTraining,
    *,
    report: Callable[[str], None] = lambda _: None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> SpeakerAccuracy:
    """Train the networks; returns the accuracy on speakers who were left out.

    Args:
        report: called with messages for the user. progress: called now and then during the training.
    Raises:
        DataError: the clips cannot be read, or there are fewer than two speakers to train on.
    """
    torch.set_num_threads(1)  # results do not depend on the number of cores
    clips = read_clips(training.data)
    speakers = sorted({clip.speaker for clip in clips})
    aside = set(training.aside or set_aside(speakers))
    trained = [speaker for speaker in speakers if speaker not in aside]
    if len(trained) < 2:
        raise DataError(f"{training.data}: {len(trained)} speakers to train on; give clips of at least two more.")
    report(f"{len(clips)} clips; trained on {', '.join(trained)}; set aside: {', '.join(sorted(aside)) or 'nobody'}")
    settings, parts = training.settings, list[_Evidence]()

    def fit(left_out: str | None, number: int) -> SpeakerNets:
        def step(done: int, loss: float) -> None:
            progress(Progress(number, len(trained) + 1, done, settings.steps, loss))

        chosen = [clip for clip in clips if clip.speaker in trained and clip.speaker != left_out]
        return fit_speaker(chosen, settings, progress=step)

    for number, speaker in enumerate(trained):
        nets = fit(speaker, number)
        parts.append(_evidence(nets, [clip for clip in clips if clip.speaker == speaker]))
        report(f"without {speaker}: {_line(parts[-1].accuracy)}")
    joint = _Evidence(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("right", "wrong", "won")))
    scale, bias = _calibrated(joint)
    nets = fit(None, len(trained))
    training.out.mkdir(parents=True, exist_ok=True)
    export_speaker(nets, training.out, scale=scale, bias=bias)
    result = {"settings": asdict(settings), "trained on": trained, "set aside": sorted(aside)}
    with atomic(training.out / RESULT) as partial:
        partial.write_text(json.dumps(result | {"left out": asdict(joint.accuracy)}, indent=2) + "\n")
    return joint.accuracy


def set_aside(speakers: Sequence[str]) -> list[str]:
    """The third and the last of the speakers in the order of their names; of fewer than four the last one.

    >>> set_aside(["a", "b", "c", "d", "e", "f"])
    ['c', 'f']
    """
    ordered = sorted(speakers)
    return [ordered[2], ordered[-1]] if len(ordered) > 3 else ordered[-1:]


def _line(accuracy: SpeakerAccuracy) -> str:
    return f"half seconds {accuracy.half_seconds:.3f}, clips {accuracy.clips:.3f}, AUC {accuracy.auc:.3f}"


def _calibrated(evidence: _Evidence) -> tuple[float, float]:
    """Scale and bias that turn mean evidence into the logarithm of the likelihood ratio of right and wrong mouths."""
    values = np.append(evidence.right, evidence.wrong)[:, None]
    truth = np.append(np.ones(len(evidence.right)), np.zeros(len(evidence.wrong)))
    model = LogisticRegression(C=1e6).fit(values, truth)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


@torch.no_grad()
def _evidence(nets: SpeakerNets, clips: Sequence[TalkingClip]) -> _Evidence:
    nets.mouth.eval()
    nets.voice.eval()
    outputs = [_outputs(nets, clip) for clip in clips]
    right, wrong, won = list[float](), list[float](), list[bool]()
    for n, (own, voice, loudness) in enumerate(outputs):
        speech = (loudness > loudness.max() - _QUIET) + 0.02
        for place in _OTHERS:
            other = outputs[(n + place) % len(outputs)][0]
            length = min(len(own), len(other))
            one, two = ((mouth[:length] * voice[:length]).sum(1) for mouth in (own, other))
            moments = np.arange(_STEP // 2, length, _STEP)
            moments = moments[[speech[max(m - 6, 0) : m + 6].mean() > 0.5 for m in moments]]
            right += _averaged(one, speech[:length])[moments].tolist()
            wrong += _averaged(two, speech[:length])[moments].tolist()
            won.append(bool(one @ speech[:length] > two @ speech[:length]))
    return _Evidence(np.array(right), np.array(wrong), np.array(won))


def _outputs(nets: SpeakerNets, clip: TalkingClip) -> tuple[Doubles, Doubles, Doubles]:
    """Outputs for mouth and voice [frames, width] of a whole clip, and the loudness of each frame."""
    margin = nets.mouth.margin
    frames = int(clip.seconds * FRAMES)
    grid = (np.arange(-margin, frames + margin) + 0.5) / FRAMES
    mouth = nets.mouth(torch.from_numpy(normalised(mouths_at(clip, grid)))[None])[0].double().numpy()
    spectra = spectra_of(samples_at(clip, -margin / FRAMES, frames + 2 * margin))
    voice = nets.voice(torch.from_numpy(spectra)[None])[0].double().numpy()
    loudness = spectra.mean(axis=1).reshape(-1, MEL_FRAMES).mean(axis=1)[margin:-margin]
    return mouth, voice, loudness.astype(np.float64)


def _averaged(values: Doubles, weights: Doubles) -> Doubles:
    """Means of the values around each, weighted by a triangle and by `weights`."""
    kernel = np.bartlett(2 * _REACH + 1)
    length = len(values)
    sums, total = (np.convolve(v, kernel)[_REACH:][:length] for v in (values * weights, weights))
    return np.asarray(sums / np.maximum(total, 1e-6))
