"""Fits both networks, so that the evidence of a mouth for its own voice exceeds that for any other one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from emofuse.core.files import atomic
from emofuse.faces.mouth import SIZE
from emofuse.nets.active_speaker import MouthNet, VoiceNet
from emofuse.speech.active_speaker import BANDS, CONTEXT, FRAMES, MEL_FRAMES
from emofuse.training.active_speaker.batches import Batch, random_batch
from emofuse.training.active_speaker.clips import TalkingClip
from emofuse.training.loop.quantise import halve_onnx

MOUTH_NETWORK, VOICE_NETWORK = "active_speaker_mouth.onnx", "active_speaker_voice.onnx"
_MARGIN = 4  # frames at the ends of an example that are not evaluated
_WINDOWS = (18, 25, 37, 50)  # frames over which evidence is summed
_LAGS, _LEAST_LAG = 12, 5  # other moments of the same clip that are not its own, and frames to the nearest one
_STILL = 8  # mouths of a batch that are also shown standing still


@dataclass(frozen=True)
class SpeakerSettings:
    """Settings of the training.

    steps: batches of `batch` parts of clips. lr: the highest learning rate; it rises first and falls as a cosine.
    seed: of all randomness.
    """

    steps: int = 600
    batch: int = 20
    lr: float = 2e-3
    weight_decay: float = 0.05
    seed: int = 0


@dataclass(frozen=True, eq=False)
class SpeakerNets:
    """Both networks, and the factor of their mean evidence in the loss."""

    mouth: MouthNet
    voice: VoiceNet


def fit_speaker(
    clips: Sequence[TalkingClip], settings: SpeakerSettings, *, progress: Callable[[int, float], None]
) -> SpeakerNets:
    """Train on clips of any number of speakers.

    progress: called now and then with the number of finished steps and their mean loss.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    nets = SpeakerNets(MouthNet(margin=_MARGIN).train(), VoiceNet(margin=_MARGIN).train())
    scale = nn.Parameter(torch.tensor(1.0))
    weights = [*nets.mouth.parameters(), *nets.voice.parameters()]
    groups = [{"params": weights, "weight_decay": settings.weight_decay}, {"params": [scale], "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=settings.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.lr, total_steps=max(settings.steps, 20), pct_start=0.1
    )
    losses = list[float]()
    for step in range(1, settings.steps + 1):
        loss = _loss(nets, scale, random_batch(clips, settings.batch, rng), rng)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 5.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if step % 50 == 0 or step == settings.steps:
            progress(step, float(np.mean(losses)))
            losses.clear()
    return nets


def _loss(nets: SpeakerNets, scale: Tensor, batch: Batch, rng: np.random.Generator) -> Tensor:
    """A mouth has to find its voice among those of other clips and moments, a voice its mouth among those of others;
    and evidence is positive for own voices, negative for others, and for mouths that stand still."""
    mouths, voices = nets.mouth(batch.mouths), nets.voice(batch.spectra)
    n, frames, _ = mouths.shape
    width = int(rng.choice(_WINDOWS))
    first = int(rng.integers(0, frames - width + 1))
    inside = batch.inside[:, _MARGIN:-_MARGIN][:, first : first + width]
    own = mouths[:, first : first + width] * inside[..., None]
    drawn = {int(lag) for lag in rng.integers(-first, frames - width - first + 1, _LAGS) if abs(lag) >= _LEAST_LAG}
    lags = sorted({0, *drawn})
    sums = [torch.einsum("btd,ctd->bc", own, voices[:, first + lag : first + lag + width]) for lag in lags]
    factor = 3 * scale.exp()
    evidence = factor * torch.stack(sums, -1) / inside.sum(1)[:, None, None].clamp(min=5)  # [mouth, voice, lag]
    now = lags.index(0)
    aim = torch.arange(n)
    finds_voice = functional.cross_entropy(evidence.reshape(n, -1), aim * len(lags) + now)
    finds_mouth = functional.cross_entropy(evidence[:, :, now].T, aim)
    positive = evidence[aim, aim, now]
    negative = torch.cat([evidence[aim, (aim + k) % n, now] for k in (1, 2, 3)])
    middle = batch.mouths[:_STILL, frames // 2 : frames // 2 + 1].expand(-1, batch.mouths.shape[1], -1, -1)
    still = nets.mouth(middle + 0.05 * torch.randn(middle.shape))[:, first : first + width]
    standing = factor * (still * voices[:_STILL, first : first + width]).sum(-1).mean(1)
    signs = functional.softplus(-positive).mean() + functional.softplus(negative).mean()
    total: Tensor = finds_voice + 0.5 * finds_mouth + signs + 0.5 * functional.softplus(standing).mean()
    return total


def export_speaker(nets: SpeakerNets, folder: Path, *, scale: float, bias: float) -> tuple[Path, Path]:
    """Write both networks as ONNX with inputs of one second and its context, and weights in half precision.

    scale, bias: turn the mean evidence of frames into a log-likelihood ratio; the network for mouths holds them.
    """
    frames = FRAMES + 2 * CONTEXT
    metadata = {"scale": repr(scale), "bias": repr(bias)}
    return (
        _exported(nets.mouth, torch.zeros(1, frames, SIZE, SIZE), folder / MOUTH_NETWORK, metadata),
        _exported(nets.voice, torch.zeros(1, frames * MEL_FRAMES, BANDS), folder / VOICE_NETWORK, {}),
    )


def _exported(net: MouthNet | VoiceNet, example: Tensor, path: Path, metadata: dict[str, str]) -> Path:
    import onnx

    net.eval()
    margin, net.margin = net.margin, CONTEXT
    try:
        with atomic(path) as partial, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a newer exporter needs further packages
            torch.onnx.export(
                net,
                (example,),
                str(partial),
                input_names=["chunk"],
                output_names=["agreement"],
                opset_version=17,
                dynamo=False,
            )
            halve_onnx(partial, partial)
            model = onnx.load(partial)
            onnx.helper.set_model_props(model, metadata)
            onnx.save(model, partial)
    finally:
        net.margin = margin
    return path
