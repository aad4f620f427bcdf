from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from emofuse.core.files import file_digest  # noqa: E402
from emofuse.errors import OutputError, WeightsError  # noqa: E402
from emofuse.nets.catalogue import NETWORKS, all_published_weights, network_for, published_weights  # noqa: E402
from emofuse.nets.cnn14 import Cnn14  # noqa: E402
from emofuse.nets.mobilefacenet import MobileFaceNet  # noqa: E402
from emofuse.nets.pretrained import FORMAT, convert, import_weights, load_pretrained, origin, save_trained  # noqa: E402
from emofuse.nets.speech_encoder import SpeechEncoder  # noqa: E402
from emofuse.nets.vggface import VGGFace  # noqa: E402
from emofuse.nets.vggface2 import VGGFace2  # noqa: E402
from emofuse.training.loop import fresh  # noqa: E402
from support import tiny_networks  # noqa: E402 (torch may be missing)
from support.weight_files import (  # noqa: E402
    average_image,
    cut,
    in_net,
    pann_shapes,
    pann_state,
    resnet_layers,
    shared_weights,
    vgg_layers,
    write_keras,
    write_mat7,
    write_mat73,
    write_whisper,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def tiny(monkeypatch) -> None:
    """Every network is tiny in these tests."""

    tiny = {
        "vggface2": (VGGFace2, tiny_networks.VGGFACE2),
        "vggface": (VGGFace, tiny_networks.VGGFACE),
        "mobilefacenet": (MobileFaceNet, tiny_networks.MOBILEFACENET),
        "speech-encoder": (SpeechEncoder, tiny_networks.SPEECH_ENCODER),
        "cnn14-16k": (Cnn14, tiny_networks.CNN14),
        "cnn14-32k": (Cnn14, replace(tiny_networks.CNN14, logmel=replace(tiny_networks.CNN14.logmel, window=128))),
    }
    for name, (module, settings) in tiny.items():
        builder = partial(
            lambda module, settings, classes, tiny: module(replace(settings, classes=classes)), module, settings
        )
        monkeypatch.setitem(NETWORKS._own, name, replace(NETWORKS[name], builder=builder))


def built(name: str):
    """The network that weights of a name are for, with the classes of their file."""
    return network_for(name).build(published_weights(name).classes)


def original(name: str, folder: Path, *, seed: int = 0) -> Path:
    """A file as it would be published, for the tiny net of that name."""
    settings, rng = built(name).settings, np.random.default_rng(seed)
    path = folder / published_weights(name).file
    if name == "vggface2":
        return write_keras(path, resnet_layers(settings, rng))
    if name == "mobilefacenet":
        net = fresh(lambda: MobileFaceNet(tiny_networks.MOBILEFACENET), seed=seed)
        torch.save({k: v for k, v in net.state_dict().items() if not k.startswith(net.head)}, path)
        return path
    if name == "whisper-tiny-en":
        return write_whisper(path, fresh(lambda: SpeechEncoder(settings), seed=seed).encoder)
    if name.startswith("pann"):
        widths, logmel = settings.widths, settings.logmel
        shapes = pann_shapes(window=logmel.window, mels=logmel.mels, widths=widths, hidden=settings.hidden)
        torch.save({"model": {k: torch.from_numpy(v) for k, v in pann_state(shapes, rng).items()}}, path)
        return path
    layers = vgg_layers(settings, rng, classes=settings.classes)
    write = write_mat7 if name == "vggface" else write_mat73
    return write(path, in_net(layers, average_image(settings.size, rng)))


NAMES = ("vggface2", "vggface", "vggfer", "mobilefacenet", "pann-16k", "pann-32k", "whisper-tiny-en")


def test_these_tests_cover_all_published_weights():
    assert tuple(weights.name for _, weights in all_published_weights() if not weights.bundle) == NAMES


def test_weights_that_come_with_the_package_are_not_imported(tmp_path):
    with pytest.raises(WeightsError, match=r"weights 'expression' are part of emofuse; leave out --weights"):
        convert(tmp_path / "w.safetensors", "expression")


@pytest.mark.parametrize("name", NAMES)
def test_an_imported_file_loads_the_same_weights_as_the_published_one(tmp_path, name):
    path = original(name, tmp_path)
    imported = import_weights(path, name, out=tmp_path / "out" / "w.safetensors")
    nets = [fresh(network_for(name).build, seed=3) for _ in range(2)]
    fresh_names = [
        load_pretrained(n, p, name=name, fresh_head=True) for n, p in zip(nets, (path, imported), strict=True)
    ]
    one, two = (net.state_dict() for net in nets)
    assert fresh_names[0] == fresh_names[1] != ()
    assert all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize("name", NAMES)
def test_an_imported_file_records_its_origin_and_equal_files_are_imported_as_equal_bytes(tmp_path, name):
    path = original(name, tmp_path)
    first, second = (import_weights(path, name, out=tmp_path / f"{n}.safetensors") for n in (1, 2))
    arrays, _ = FORMAT.read(first)
    assert origin(first) == {
        "name": name,
        "file": published_weights(name).file,
        "sha256": file_digest(path),
        "form": published_weights(name).form,
    }
    assert set(arrays) == set(convert(path, name))
    assert first.read_bytes() == second.read_bytes()


def test_a_fresh_head_is_unchanged_and_named(tmp_path):
    net = fresh(lambda: VGGFace2(tiny_networks.VGGFACE2), seed=3)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    names = load_pretrained(net, original("vggface2", tmp_path), name="vggface2", fresh_head=True)
    same = {k for k, v in net.state_dict().items() if torch.equal(v, before[k])}
    assert names == ("dense.weight", "dense.bias", "classify.weight", "classify.bias")
    assert {k for k in same if not k.endswith("num_batches_tracked")} == set(names)


def test_a_head_that_is_not_in_the_file_must_be_fresh(tmp_path):
    with pytest.raises(WeightsError, match=r"'dense.weight' is missing in the file .* fresh_head=True keeps"):
        load_pretrained(VGGFace2(tiny_networks.VGGFACE2), original("vggface2", tmp_path), name="vggface2")


@pytest.mark.parametrize("imported", [False, True])
def test_a_classifier_of_other_classes_must_be_fresh(tmp_path, imported):
    path = original("vggface", tmp_path)
    path = import_weights(path, "vggface", out=tmp_path / "w.safetensors") if imported else path
    net = VGGFace(replace(tiny_networks.VGGFACE, classes=8))
    with pytest.raises(WeightsError, match=r"'layers.fc8.weight' is \[2622, 10\] in the file and \[8, 10\] in the net"):
        load_pretrained(net, path, name="vggface")
    assert load_pretrained(net, path, name="vggface", fresh_head=True) == (
        "layers.fc8.weight",
        "layers.fc8.bias",
    )


def test_a_classifier_of_the_same_classes_is_loaded_from_the_file(tmp_path):
    path = original("vggfer", tmp_path)
    net = VGGFace(tiny_networks.VGGFACE)
    assert load_pretrained(net, path, name="vggfer") == ()
    assert torch.equal(net.layers["fc8"].weight, convert(path, "vggfer")["layers.fc8.weight"])


def test_a_network_is_unchanged_if_the_file_does_not_match(tmp_path):
    net = fresh(lambda: VGGFace2(tiny_networks.VGGFACE2), seed=3)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(WeightsError):
        load_pretrained(net, original("vggface2", tmp_path), name="vggface2", fresh_head=False)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


FOUND = {
    "vggface2": "an HDF5 file",
    "vggface": "a MATLAB 5 to 7 file",
    "vggfer": "a MATLAB 7.3 file",
    "mobilefacenet": "a zip archive, as torch writes them",
    "pann-16k": "a zip archive, as torch writes them",
    "pann-32k": "a zip archive, as torch writes them",
    "whisper-tiny-en": "a safetensors file",
}
TORCH = {"mobilefacenet", "pann-16k", "pann-32k"}


@pytest.mark.parametrize(("name", "found"), list(permutations(NAMES, 2)))
def test_a_file_of_another_network_is_refused_in_one_line_with_its_kind(tmp_path, name, found):
    path = original(found, tmp_path)
    with pytest.raises(WeightsError) as error:
        convert(path, name)
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    if {name, found} == {"vggface", "vggfer"}:  # one network, with other classes
        assert "'fc8/filters' has shape" in message
    elif {name, found} <= TORCH or (name in TORCH and found == "whisper-tiny-en"):  # torch reads safetensors too
        assert "is missing" in message or "conv_real.weight' has shape" in message
    elif {"vggface2", "vggfer"} == {name, found} or (name, found) == ("vggface", "vggface2"):  # all are HDF5
        assert "not a Keras weight file" in message or "not a MatConvNet file" in message
    else:
        assert f"found {FOUND[found]}" in message


@pytest.mark.parametrize("name", NAMES)
def test_a_truncated_file_is_refused(tmp_path, name):
    path = cut(original(name, tmp_path))
    with pytest.raises(WeightsError, match=f"^[^\n]*found {FOUND[name]}[^\n]*check that it is the right file"):
        convert(path, name)


@pytest.mark.parametrize("name", NAMES)
def test_a_truncated_imported_file_is_refused(tmp_path, name):
    path = cut(import_weights(original(name, tmp_path), name, out=tmp_path / "w.safetensors"))
    # One that is published as safetensors too may be a truncated original.
    neither = "neither `emofuse weights import` nor `emofuse train` wrote whole"
    with pytest.raises(WeightsError, match=neither if name != "whisper-tiny-en" else "right file and complete"):
        load_pretrained(network_for(name).build(), path, name=name)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_and_an_empty_file_are_refused(tmp_path, name):
    with pytest.raises(WeightsError, match=r"w.bin: cannot be read .No such file"):
        convert(tmp_path / "w.bin", name)
    (tmp_path / "w.bin").touch()
    with pytest.raises(WeightsError, match=r"w.bin: expected an? .*, found an empty file"):
        convert(tmp_path / "w.bin", name)


def test_an_imported_file_of_another_name_is_refused(tmp_path):
    path = import_weights(original("vggface", tmp_path), "vggface", out=tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"expected weights 'vggfer', .* found weights 'vggface'"):
        load_pretrained(VGGFace(tiny_networks.VGGFACE), path, name="vggfer")


def test_a_safetensors_file_of_another_program_is_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="found a file that neither `emofuse weights import` nor `emofuse"):
        load_pretrained(VGGFace(tiny_networks.VGGFACE), tmp_path / "w.safetensors", name="vggfer")


def test_weights_of_another_network_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="weights 'vggface2' are for VGGFace2, not for MobileFaceNet"):
        load_pretrained(MobileFaceNet(tiny_networks.MOBILEFACENET), tmp_path / "w.h5", name="vggface2")


@pytest.mark.parametrize("name", ["vggface", "vggfer"])
def test_a_network_trained_here_is_a_start_for_every_network_of_its_kind(tmp_path, name):
    trained = fresh(lambda: VGGFace(tiny_networks.VGGFACE), seed=1).to(memory_format=torch.channels_last)
    save_trained(trained, tmp_path / "w.safetensors", name="stage", about={"licence": "mine"})
    net = fresh(lambda: VGGFace(tiny_networks.VGGFACE), seed=2)
    assert load_pretrained(net, tmp_path / "w.safetensors", name=name) == ()
    assert all(torch.equal(v, trained.state_dict()[k]) for k, v in net.state_dict().items())
    assert origin(tmp_path / "w.safetensors") == {
        "name": "stage",
        "net": "VGGFace",
        "form": "emofuse-train",
        "licence": "mine",
    }


def test_a_trained_network_of_another_kind_is_refused(tmp_path):
    save_trained(MobileFaceNet(tiny_networks.MOBILEFACENET), tmp_path / "w.safetensors", name="vggfer", about={})
    with pytest.raises(
        WeightsError, match=r"expected weights 'vggfer', or a VGGFace .*, found a MobileFaceNet trained as 'vggfer'"
    ):
        load_pretrained(VGGFace(tiny_networks.VGGFACE), tmp_path / "w.safetensors", name="vggfer")


def test_a_trained_network_of_another_size_is_refused(tmp_path):
    other = VGGFace(replace(tiny_networks.VGGFACE, hidden=12))
    save_trained(other, tmp_path / "w.safetensors", name="vggfer", about={})
    with pytest.raises(WeightsError, match=r"'layers.fc6.weight' is \[12, 96\] in the file and \[10, 96\] in the net"):
        load_pretrained(VGGFace(tiny_networks.VGGFACE), tmp_path / "w.safetensors", name="vggfer", fresh_head=True)


def test_a_published_file_has_no_recorded_origin(tmp_path):
    assert origin(original("vggface2", tmp_path)) == {}


def test_an_unknown_name_suggests_the_nearest(tmp_path):
    with pytest.raises(WeightsError, match=r"'vgface2': unknown \(did you mean 'vggface2'\?\); choose vggface2, "):
        convert(tmp_path / "w.h5", "vgface2")


def test_a_torch_file_that_would_run_code_is_refused_and_not_run(tmp_path):
    class Touch:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    torch.save({"conv1.0.weight": Touch()}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"expected a torch file of tensors \(a state dict\)"):
        convert(tmp_path / "w.pt", "mobilefacenet")
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_cannot_be_written_raises_an_output_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="there is a file where a folder is needed"):
        import_weights(original("vggfer", tmp_path), "vggfer", out=tmp_path / "file" / "w.safetensors")


def test_the_published_mobilefacenet_is_imported_whole(tmp_path, monkeypatch):
    monkeypatch.undo()
    path = import_weights(shared_weights("mobilefacenet.pt"), "mobilefacenet", out=tmp_path / "w.safetensors")
    net = MobileFaceNet()
    assert load_pretrained(net, path, name="mobilefacenet", fresh_head=True) == (
        "classify.weight",
        "classify.bias",
    )
    published = torch.load(shared_weights("mobilefacenet.pt"), weights_only=True, map_location="cpu")
    assert all(torch.equal(net.state_dict()[k], v) for k, v in published.items())
