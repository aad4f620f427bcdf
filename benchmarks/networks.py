"""CPU time per item of ONNX networks with one input, by batch size and device.

    python benchmarks/networks.py src/emofuse/bundles/default/face.onnx OTHER.onnx --batches 1,4,8

One thread for each inference. Inputs are random, in 0 to 1. Contenders alternate; medians over rounds of `--repeat`
inferences each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from measure import Contender, alternate, environment

from emofuse.runtime import Engine, OnnxNetwork


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="+", type=Path)
    parser.add_argument("--batches", default="1,4,8", help="items per inference, separated by commas")
    parser.add_argument("--devices", default="cpu", help="values of --device, separated by commas")
    parser.add_argument("--output", default="logits")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--repeat", type=int, default=10)
    options = parser.parse_args()
    print(environment("onnxruntime"))
    contenders, items = dict[str, Contender](), dict[str, int]()
    for path in options.networks:
        for device in options.devices.split(","):
            network = OnnxNetwork(path, Engine(1, device))
            shape = [side if isinstance(side, int) else 1 for side in next(iter(network.inputs.values()))[1:]]
            for batch in map(int, options.batches.split(",")):
                values = np.random.default_rng(0).random((batch, *shape), dtype=np.float32)
                name = f"{path}, {device}, batches of {batch}"
                contenders[name] = Contender(repeated(network, values, options.output, options.repeat))
                items[name] = batch * options.repeat
    for name, cost in alternate(contenders, rounds=options.rounds).items():
        print(f"{name:<90}{1e3 * cost.cpu / items[name]:8.3f} ms of CPU, {1e3 * cost.wall / items[name]:8.3f} ms")


def repeated(network: OnnxNetwork, values: np.ndarray, output: str, times: int):
    def call() -> None:
        for _ in range(times):
            network(values, output)

    return call


if __name__ == "__main__":
    main()
