"""The network of the bundled face detector."""

import torch

from emofuse.nets.face_detector import STRIDES, FaceDetectorNet


def test_the_detector_has_at_most_120_000_parameters():
    assert sum(p.numel() for p in FaceDetectorNet().parameters()) <= 120_000


def test_there_is_one_map_per_stride_for_images_of_any_size():
    maps = FaceDetectorNet().eval()(torch.zeros(2, 1, 96, 160, dtype=torch.uint8))
    assert [tuple(m.shape) for m in maps] == [(2, 15, 96 // s, 160 // s) for s in STRIDES]


def test_a_new_network_finds_next_to_nothing():
    torch.manual_seed(0)
    maps = FaceDetectorNet().eval()(torch.randint(0, 256, (1, 1, 64, 64), dtype=torch.uint8))
    assert all(m[:, 0].sigmoid().mean() < 0.05 for m in maps)
