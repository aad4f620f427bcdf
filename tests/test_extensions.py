"""Another package adds one of each kind, in one file, through real entry points, and the commands use them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from emofuse.cli.main import main
from emofuse.datasets import DATASETS
from emofuse.export import WRITERS
from emofuse.faces import DETECTORS
from emofuse.fusion import METHODS
from emofuse.nets.catalogue import NETWORKS
from emofuse.testing import check_dataset, check_detector, check_fusion, check_writer
from support.outside_package import ENTRY_POINTS


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry points of the outside package, where pip would put them."""
    folder = tmp_path / "site" / "outside_package-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-package\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(folder.parent)


@pytest.fixture
def clips(talk: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("happiness-1.mp4", "anger-1.mp4"):
        shutil.copy(talk, folder / name)
    return folder


def run(*arguments: object) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    assert not stopped.value.code


@pytest.mark.usefixtures("installed")
def test_predict_uses_a_detector_and_a_writer_of_another_package(talk, tmp_path):
    out = tmp_path / "out"
    run("predict", talk, "--detector", "centre", "--format", "tsv", "--out", out)
    table = pd.read_csv(out / "talk.tsv", sep="\t")
    assert (table["status"] == "ok").any()
    assert json.loads((out / "summary.json").read_text())["files"][0]["detector"] == "centre:1"


@pytest.mark.usefixtures("installed")
def test_evaluate_uses_a_data_set_and_a_fusion_of_another_package(clips, tmp_path):
    scores = tmp_path / "scores"
    run("predict", clips, "--detector", "centre", "--out", scores)
    second = shutil.copytree(scores, tmp_path / "second")
    run("evaluate", scores, second, "--data", clips, "--fuse", "equal-weights", "--out", tmp_path / "evaluation")
    evaluation = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert evaluation["data"] == "named-clips"
    assert [s["system"] for s in evaluation["systems"]] == ["scores", "second"] + [
        "equal-weights"
    ] * 2  # in-sample, cross-fitted


@pytest.mark.usefixtures("installed")
def test_parts_of_another_package_keep_their_contracts(clips):
    check_dataset(DATASETS["named-clips"], clips)
    check_detector(DETECTORS["centre"](lambda name: Path(name), None))
    check_writer(WRITERS["tsv"])
    check_fusion(METHODS["equal-weights"])


@pytest.mark.usefixtures("installed", "one_thread")
def test_a_network_of_another_package_keeps_its_contract():
    pytest.importorskip("torch")
    from emofuse.testing import check_network

    check_network(NETWORKS["energies"])
