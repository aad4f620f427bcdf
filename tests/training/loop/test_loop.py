from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emofuse.errors import OutputError, SettingsError, ShapeError  # noqa: E402
from emofuse.training.loop import (  # noqa: E402
    CHECKPOINT,
    OPTIMISERS,
    Balance,
    Callbacks,
    Epoch,
    Examples,
    Faces,
    Machine,
    Progress,
    TrainingData,
    evaluate,
    fit,
    fresh,
)
from emofuse.training.loop.state import FORMAT  # noqa: E402
from support.small_trainings import (  # noqa: E402 (torch may be missing)
    OFTEN,
    PLAIN,
    SETTINGS,
    SMALL,
    TRAIN,
    VALIDATION,
    Residuals,
    examples,
    layers,
    same_weights,
    stopping,
    trained,
)

pytestmark = pytest.mark.usefixtures("one_thread")

QUIET = Callbacks(events=False)
FACES = TrainingData(TRAIN, VALIDATION)


# Resuming


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, epoch):
    whole = trained(tmp_path / "whole", build=Residuals, data=FACES)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", build=Residuals, data=FACES, callbacks=stopping(epoch=epoch))
    torch.rand(7)  # what else was drawn in between does not matter
    assert same_weights(trained(tmp_path / "parts", build=Residuals, data=FACES), whole)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_run_killed_at_any_steps_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, optimiser):
    settings = replace(SETTINGS, optimiser=optimiser, lr=0.01, mixup=0.4, polish_epochs=1)
    whole = trained(tmp_path / "whole", settings=settings)
    rng = np.random.default_rng(len(optimiser))
    for at in sorted({(int(e), int(s)) for e, s in rng.integers((0, 1), (4, 4), (4, 2))}):
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "parts", settings=settings, machine=OFTEN, callbacks=stopping(at=at))
        torch.rand(7)
    assert same_weights(trained(tmp_path / "parts", settings=settings, machine=OFTEN), whole)


def test_a_convolutional_network_killed_within_an_epoch_ends_with_the_same_weights(tmp_path):
    whole = trained(tmp_path / "whole", build=Residuals, data=FACES)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", build=Residuals, data=FACES, machine=OFTEN, callbacks=stopping(at=(1, 2)))
    assert same_weights(trained(tmp_path / "parts", build=Residuals, data=FACES), whole)


def test_a_resumed_run_ends_with_the_checkpoint_of_an_uninterrupted_one(tmp_path):
    from safetensors.torch import load_file

    trained(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", machine=OFTEN, callbacks=stopping(at=(1, 2)))
    trained(tmp_path / "parts")
    whole, parts = (load_file(tmp_path / name / CHECKPOINT) for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert [k for k in whole if not torch.equal(whole[k], parts[k])] == []


def test_a_checkpoint_within_an_epoch_is_written_when_it_is_due(tmp_path):
    clock = iter(range(0, 10_000, 30))  # 30 s pass at every call
    written: list[int] = []

    def step(progress: Progress) -> None:
        written.append((tmp_path / "c" / CHECKPOINT).exists())

    watch = Callbacks(step=step, clock=lambda: float(next(clock)), events=False)
    settings = replace(SETTINGS, epochs=1, batch=2)
    trained(tmp_path / "c", settings=settings, machine=Machine(checkpoint_minutes=3), callbacks=watch)
    assert 2 < written.index(True) < 9


def test_a_resumed_run_reports_only_its_own_epochs_and_returns_all(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, callbacks=stopping(epoch=0))
    reported: list[Epoch] = []
    net = fresh(layers, seed=9)
    history = fit(
        net, SMALL, settings=SETTINGS, folder=tmp_path, callbacks=Callbacks(epoch=reported.append, events=False)
    )
    assert [e.epoch for e in reported] == [1, 2]
    assert [e.epoch for e in history] == [0, 1, 2]


def test_a_finished_training_is_not_repeated(tmp_path):
    first = trained(tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes()
    assert same_weights(trained(tmp_path), first)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


@pytest.mark.parametrize("changed", [{"lr": 0.1}, {"epochs": 4}, {"seed": 5}, {"batch": 6}, {"mixup": 0.1}], ids=str)
def test_a_checkpoint_of_other_settings_is_refused(tmp_path, changed):
    trained(tmp_path, settings=replace(SETTINGS, epochs=1))
    with pytest.raises(
        SettingsError, match="safetensors: a checkpoint of a training with other settings; delete it or"
    ):
        trained(tmp_path, settings=replace(SETTINGS, **({"epochs": 1} | changed)))


def test_a_checkpoint_of_another_network_or_of_other_targets_is_refused(tmp_path):
    trained(tmp_path)
    fewer = TrainingData(examples(23, seed=0, side=12), SMALL.validation)
    for more in ({"build": lambda: layers(dropout=0.3)}, {"data": fewer}, {"data": PLAIN}):
        with pytest.raises(SettingsError, match="a checkpoint of a training with other settings"):
            trained(tmp_path, **more)


def test_a_checkpoint_is_valid_on_another_machine(tmp_path):
    trained(tmp_path)
    trained(tmp_path, machine=Machine(device="cpu", prefetch=0))


KILLED = """
import sys
import torch
torch.set_num_threads(1)
sys.path.insert(0, "tests")
from support.small_trainings import OFTEN, SETTINGS, trained
from dataclasses import replace
from pathlib import Path
trained(Path(sys.argv[1]), settings=replace(SETTINGS, epochs=60, batch=4, optimiser="adamw"), machine=OFTEN)
"""


@pytest.mark.slow
def test_a_process_killed_repeatedly_ends_with_the_weights_of_an_uninterrupted_one(tmp_path):
    from safetensors.torch import load_file

    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", KILLED]
    rng = np.random.default_rng(0)
    kills = 0
    for _ in range(40):
        process = subprocess.Popen([*command, str(tmp_path / "parts")], cwd=root)
        try:
            assert process.wait(timeout=2.5 + rng.uniform(0, 1.5)) == 0
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    assert kills > 0
    subprocess.run([*command, str(tmp_path / "parts")], cwd=root, check=True)
    subprocess.run([*command, str(tmp_path / "whole")], cwd=root, check=True)
    whole, parts = (load_file(tmp_path / name / CHECKPOINT) for name in ("whole", "parts"))
    assert [k for k in whole if not torch.equal(whole[k], parts[k])] == []


# What training does


def test_the_same_seed_gives_the_same_weights_and_another_seed_different_ones(tmp_path):
    one, two = trained(tmp_path / "a"), trained(tmp_path / "b")
    other = trained(tmp_path / "c", settings=replace(SETTINGS, seed=5))
    assert same_weights(one, two)
    assert not same_weights(one, other)


def test_training_on_a_learnable_set_reduces_the_loss(tmp_path):
    net = fresh(Residuals, seed=9)
    before = evaluate(net, VALIDATION).loss
    settings = replace(SETTINGS, epochs=6, warmup_epochs=0.5)
    history = fit(net, FACES, settings=settings, folder=tmp_path, callbacks=QUIET)
    after = evaluate(net, VALIDATION)
    assert after.loss < before / 2
    assert after.measures["accuracy"] == 1.0
    assert history[-1].train_loss < history[0].train_loss / 2


@pytest.mark.parametrize("keep", ["loss", "accuracy", "uar", "cpm"])
def test_the_network_ends_with_the_weights_of_its_best_epoch(tmp_path, keep):
    net = fresh(layers, seed=9)
    settings = replace(SETTINGS, epochs=5, lr=0.3, keep=keep)
    history = fit(net, SMALL, settings=settings, folder=tmp_path, callbacks=QUIET)
    values = [-e.validation_loss if keep == "loss" else e.measures[keep] for e in history]
    best = history[max(range(5), key=lambda k: (values[k], k))]
    judged = evaluate(net, SMALL.validation)
    assert (judged.loss, judged.measures) == (best.validation_loss, best.measures)


def test_training_stops_after_patience_epochs_without_improvement(tmp_path):
    settings = replace(SETTINGS, epochs=30, lr=0.0, keep="loss", patience=2)
    history = fit(fresh(layers, seed=9), SMALL, settings=settings, folder=tmp_path, callbacks=QUIET)
    assert len(history) == 3
    again = fit(fresh(layers, seed=9), SMALL, settings=settings, folder=tmp_path, callbacks=QUIET)
    assert again == history


def test_accumulating_two_batches_equals_a_batch_twice_as_large(tmp_path):
    def build() -> torch.nn.Module:
        return layers(dropout=0)

    settings = replace(SETTINGS, mixup=0.4, label_smoothing=0.1, balance=Balance("inverse"))
    one = trained(tmp_path / "one", build=build, settings=settings)
    two = trained(tmp_path / "two", build=build, settings=replace(settings, batch=4, accumulate=2))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_polish_epochs_use_their_own_targets(tmp_path):
    flipped = replace(SMALL.train, polish_targets=np.roll(SMALL.train.targets, 3, axis=1))
    settings = replace(SETTINGS, epochs=1, polish_epochs=4, polish_lr=0.3, ema_decay=None, keep="loss")
    validation = replace(SMALL.validation, targets=np.roll(SMALL.validation.targets, 3, axis=1))
    net = trained(tmp_path, data=TrainingData(flipped, validation), settings=settings)
    assert evaluate(net, validation).measures["accuracy"] == 1.0


def test_without_an_average_the_network_itself_is_kept(tmp_path):
    settings = replace(SETTINGS, ema_decay=None, epochs=1)
    net = trained(tmp_path, settings=settings)
    kept, _ = FORMAT.read(tmp_path / CHECKPOINT, framework="pt")
    assert not [k for k in kept if k.startswith("average.")]
    assert all(torch.equal(kept[f"net.{k}"], v) for k, v in net.state_dict().items())


MEAN = replace(SETTINGS, ema_decay=None, swa_start_epoch=1, lr=0.01)


def test_the_averaged_weights_are_the_mean_of_all_steps_from_the_swa_epoch_on(tmp_path):
    from safetensors.torch import load_file

    net, steps = fresh(Residuals, seed=9), []

    def step(progress: Progress) -> None:
        if progress.epoch >= 1:
            steps.append({k: v.detach().clone() for k, v in net.named_parameters()})

    fit(net, FACES, settings=MEAN, folder=tmp_path, callbacks=Callbacks(step=step, events=False))
    kept = load_file(tmp_path / CHECKPOINT)
    for name in steps[0]:
        mean = torch.stack([s[name] for s in steps]).mean(dim=0)
        torch.testing.assert_close(kept[f"average.module.{name}"], mean, atol=1e-6, rtol=1e-5)


def test_batch_norms_of_averaged_weights_are_measured_with_them(tmp_path):
    still = TrainingData(TRAIN, VALIDATION, Faces(augment=None))
    settings = replace(MEAN, epochs=3, batch=len(TRAIN), lr=0.3)
    net = trained(tmp_path, build=Residuals, data=still, settings=settings)
    seen: list[torch.Tensor] = []
    net.stem[1].register_forward_hook(lambda _, given, __: seen.append(given[0]))
    evaluate(net, TRAIN, prepare=still.prepare)
    torch.testing.assert_close(net.stem[1].running_mean, seen[0].mean(dim=(0, 2, 3)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(net.stem[1].running_var, seen[0].var(dim=(0, 2, 3)), atol=1e-5, rtol=1e-4)


def test_batch_norms_of_frozen_layers_are_not_measured_anew(tmp_path):
    start = fresh(Residuals, seed=9).state_dict()
    net = trained(tmp_path, build=Residuals, data=FACES, settings=replace(MEAN, frozen=("stem",)))
    changed = {k.split(".")[0] for k, v in net.state_dict().items() if not torch.equal(v, start[k])}
    assert changed == {"stages", "classify"}


@pytest.mark.parametrize("at", [(0, 2), (1, 1), (2, 2)])
def test_averaging_resumes_from_a_checkpoint(tmp_path, at):
    whole = trained(tmp_path / "whole", build=Residuals, data=FACES, settings=MEAN)
    with pytest.raises(KeyboardInterrupt):
        trained(
            tmp_path / "parts", build=Residuals, data=FACES, settings=MEAN, machine=OFTEN, callbacks=stopping(at=at)
        )
    assert same_weights(trained(tmp_path / "parts", build=Residuals, data=FACES, settings=MEAN), whole)


def test_a_training_that_ends_before_the_swa_epoch_keeps_the_network_itself(tmp_path):
    plain = trained(tmp_path / "plain", settings=replace(SETTINGS, ema_decay=None, epochs=1))
    assert same_weights(trained(tmp_path / "mean", settings=replace(MEAN, lr=SETTINGS.lr, epochs=1)), plain)


def test_frozen_layers_and_their_batch_norms_do_not_change(tmp_path):
    start = fresh(Residuals, seed=9).state_dict()
    net = trained(tmp_path, build=Residuals, data=FACES, settings=replace(SETTINGS, epochs=1, frozen=("stem",)))
    changed = {k.split(".")[0] for k, v in net.state_dict().items() if not torch.equal(v, start[k])}
    assert changed == {"stages", "classify"}


def test_a_sequence_network_is_trained_on_every_labelled_step(tmp_path):
    rng = np.random.default_rng(0)
    waves = rng.normal(0, 1, (40, 5, 4)).astype(np.float32)
    targets = np.eye(2, dtype=np.float32)[(waves[..., 0] > 0).astype(int)]
    targets[rng.random((40, 5)) < 0.3] = 0  # nobody has labelled these

    class AsIs:
        def draw(self, n, generator):
            return {}

        def __call__(self, batch, draws=None, *, strength=1.0):
            return batch

    data = TrainingData(Examples(waves[:30], targets[:30]), Examples(waves[30:], targets[30:]), AsIs())
    settings = replace(SETTINGS, epochs=12, batch=10, optimiser="adam")
    net = trained(tmp_path, build=lambda: torch.nn.Linear(4, 2), data=data, settings=replace(settings, lr=0.3))
    assert evaluate(net, data.validation, prepare=AsIs()).measures["accuracy"] > 0.9


def test_progress_reports_each_step(tmp_path):
    steps: list[Progress] = []
    trained(tmp_path, settings=replace(SETTINGS, epochs=2), callbacks=Callbacks(step=steps.append, events=False))
    assert [(p.epoch, p.step, p.epochs, p.steps) for p in steps[2:4]] == [(0, 3, 2, 3), (1, 1, 2, 3)]
    assert len(steps) == 6


# What can go wrong


def test_fewer_examples_than_a_batch_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="fit: 24 examples do not fill one batch of 25; give more examples or"):
        trained(tmp_path, settings=replace(SETTINGS, batch=25))


def test_a_loss_that_is_not_finite_ends_the_training_and_keeps_the_last_checkpoint(tmp_path):
    sick = fresh(layers, seed=9)

    def poison(progress: Progress) -> None:
        if (progress.epoch, progress.step) == (1, 1):
            sick[1].weight.data.fill_(math.inf)

    with pytest.raises(
        SettingsError, match=r"fit: loss became nan in epoch 2, step 2 of 3, at a learning rate of 0\.0"
    ) as e:
        fit(sick, SMALL, settings=SETTINGS, folder=tmp_path, callbacks=Callbacks(step=poison, events=False))
    assert "\n" not in str(e.value)
    healthy = fresh(layers, seed=9)
    assert len(fit(healthy, SMALL, settings=SETTINGS, folder=tmp_path, callbacks=QUIET)) == 3


def test_weights_that_are_not_finite_are_never_written_to_a_checkpoint(tmp_path):
    sick = fresh(layers, seed=9)

    def poison(progress: Progress) -> None:
        if (progress.epoch, progress.step) == (1, 3):
            sick[1].weight.data.fill_(math.nan)

    with pytest.raises(SettingsError, match="fit: weights became nan in epoch 2"):
        fit(
            sick,
            SMALL,
            settings=SETTINGS,
            folder=tmp_path,
            machine=OFTEN,
            callbacks=Callbacks(step=poison, events=False),
        )
    assert len(trained(tmp_path).state_dict()) == 4


def test_targets_with_other_classes_than_the_network_are_refused(tmp_path):
    with pytest.raises(
        ShapeError, match=r"returns logits of the shape \(5,\) .* but targets are \(7,\); build the network for 7"
    ):
        trained(tmp_path, build=lambda: layers(5))


def test_training_and_validation_with_different_classes_are_refused(tmp_path):
    few = replace(SMALL.validation, targets=np.eye(2, dtype=np.float32)[np.zeros(10, int)])
    with pytest.raises(SettingsError, match=r"targets of training have the shape \(7,\), those of validation \(2,\)"):
        trained(tmp_path, data=replace(SMALL, validation=few))


def test_an_empty_validation_split_is_refused(tmp_path):
    none = Examples(np.zeros((0, 12, 12), np.uint8), np.zeros((0, 7), np.float32))
    with pytest.raises(SettingsError, match="the validation split is empty"):
        trained(tmp_path, data=replace(SMALL, validation=none))


def test_a_single_class_is_refused(tmp_path):
    alike = replace(SMALL.train, targets=np.eye(7, dtype=np.float32)[np.full(24, 3)])
    with pytest.raises(SettingsError, match="all training examples are of class 3; give"):
        trained(tmp_path, data=replace(SMALL, train=alike))


def test_a_split_without_labels_is_refused(tmp_path):
    blank = replace(SMALL.validation, targets=np.zeros((10, 7), np.float32))
    with pytest.raises(SettingsError, match="no example of the validation split is labelled"):
        trained(tmp_path, data=replace(SMALL, validation=blank))


def test_an_error_while_reading_examples_is_raised_unchanged(tmp_path):
    class Broken:
        def __len__(self):
            return 24

        def __getitem__(self, rows):
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        trained(tmp_path, data=replace(SMALL, train=Examples(Broken(), SMALL.train.targets)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"optimiser": "adamv"}, r"optimiser 'adamv': unknown \(did you mean 'adam"),
        ({"schedule": "cosin"}, r"schedule 'cosin': unknown \(did you mean 'cosine'\?\); choose constant, cosine"),
        ({"keep": "recall"}, "keep 'recall': unknown; choose loss, "),
        ({"balance": Balance("logg")}, r"class weight rule 'logg': unknown \(did you mean 'log'\?\)"),
    ],
    ids=str,
)
def test_an_unknown_name_suggests_the_nearest(tmp_path, changed, message):
    with pytest.raises(SettingsError, match=message):
        trained(tmp_path, settings=replace(SETTINGS, **changed))


def test_a_full_disk_keeps_the_last_checkpoint_and_is_reported_in_one_line(tmp_path):
    whole = trained(tmp_path / "whole")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    good: list[bytes] = []

    def fill(epoch: Epoch) -> None:
        good.append((tmp_path / "c" / CHECKPOINT).read_bytes())
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(good[0]) // 2, before[1]))

    try:
        with pytest.raises(OutputError, match=r"c/checkpoint\.safetensors: cannot be written \(File too large\)") as e:
            trained(tmp_path / "c", callbacks=Callbacks(epoch=fill, events=False))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(e.value)
    assert (tmp_path / "c" / CHECKPOINT).read_bytes() == good[0]
    assert sorted(os.listdir(tmp_path / "c")) == [CHECKPOINT, "history.csv"]
    assert same_weights(trained(tmp_path / "c"), whole)
