"""The fast path beside a plain forward pass in float64."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from models import registry
from models.blocks import FaceNetwork
from models.chips import network_pixels
from schemas.errors import StoreError, UnusableInputError
from tasks.features.compute import MAX_ERROR, Extractor
from tasks.features.reading import ahead, stored_chips
from tasks.training.data import chip_batches
from tasks.training.devices import native_bfloat16
from tasks.training.networks import ChipNetwork, InputShape

from ..conftest import Corpus

CPU = torch.device("cpu")


def chips_of(count: int, channels: int = 3) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 96, 96, channels), dtype=np.uint8)


def made(name: str, **options: int) -> FaceNetwork:
    torch.manual_seed(0)
    return registry.build(name, num_outputs=2, **options).eval().requires_grad_(False)


def in_float64(network: FaceNetwork, chips: npt.NDArray[np.uint8], shape: InputShape) -> npt.NDArray[np.float64]:
    pixels = network_pixels(torch.from_numpy(chips), size=shape.size, channels=shape.channels).contiguous()
    found: npt.NDArray[np.float64] = network.double().features(pixels).numpy()
    return found


def test_gray_chips_give_no_colour() -> None:
    extractor = Extractor(made("khorrami-cnn"), InputShape(96, 3), CPU)
    with pytest.raises(UnusableInputError, match='colour = "gray"'):
        list(extractor.blocks([chips_of(2, 1)], threads=1))


@pytest.mark.parametrize(("name", "shape"), [("khorrami-cnn", (96, 3)), ("poster-small", (48, 1))])
def test_features_are_those_of_a_plain_pass(name: str, shape: tuple[int, int]) -> None:
    chips, reads, network = chips_of(19), InputShape(*shape), made(name)
    expected = in_float64(copy.deepcopy(network), chips, reads)
    length = np.linalg.norm(expected, axis=1)
    for precision, error in (("float32", 1e-5), ("auto", MAX_ERROR)):
        extractor = Extractor(network, reads, CPU, precision=precision)
        blocks = list(extractor.blocks([chips[:3], chips[3:17], chips[17:]], threads=2))
        found = np.concatenate(blocks)
        assert found.dtype == np.float32
        assert (np.linalg.norm(found - expected, axis=1) <= error * length).all()
        assert extractor.precision == ("bfloat16" if precision == "auto" and native_bfloat16(CPU) else "float32")


def test_other_questions_may_be_asked() -> None:
    def scores(network: ChipNetwork, pixels: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = network(pixels)
        return found.softmax(dim=1)

    chips, network = chips_of(19), made("poster-small")
    extractor = Extractor(network, InputShape(48, 1), CPU, answer=scores)
    assert extractor.width == 2
    found = np.concatenate(list(extractor.blocks([chips[:5], chips[5:]], threads=2)))
    pixels = network_pixels(torch.from_numpy(chips), size=48, channels=1)
    np.testing.assert_allclose(found, network.double()(pixels).softmax(dim=1).numpy(), atol=1e-5)


def test_neither_neighbours_nor_threads_change_a_bit() -> None:
    chips, network = chips_of(21), made("poster-small")
    extractor = Extractor(network, InputShape(48, 1), CPU, batch_size=4)
    once = np.concatenate(list(extractor.blocks([chips], threads=1)))
    parts = [chips[:1], chips[1:10], chips[10:]]
    np.testing.assert_array_equal(np.concatenate(list(extractor.blocks(parts, threads=3))), once)
    np.testing.assert_array_equal(np.concatenate(list(extractor.blocks([chips[::-1]], threads=2)))[::-1], once)
    other = Extractor(network, InputShape(48, 1), CPU, batch_size=7)
    np.testing.assert_allclose(np.concatenate(list(other.blocks([chips], threads=2))), once, rtol=1e-5, atol=1e-6)


def test_gray_and_colour_chips_may_follow_each_other() -> None:
    extractor = Extractor(made("poster-small"), InputShape(48, 1), CPU)
    gray, colour = chips_of(3, 1), chips_of(2)
    found = np.concatenate(list(extractor.blocks([gray, colour], threads=1)))
    alone = [np.concatenate(list(extractor.blocks([part], threads=1))) for part in (gray, colour)]
    np.testing.assert_array_equal(found, np.concatenate(alone))


@pytest.mark.skipif(not native_bfloat16(CPU), reason="this processor has no bfloat16")
def test_a_network_that_bfloat16_would_spoil_stays_in_float32(caplog: pytest.LogCaptureFixture) -> None:
    network = made("poster-small")
    last = [layer for layer in network.hidden.modules() if isinstance(layer, nn.Linear)][-1]
    nn.init.constant_(last.weight[:, ::2], 100.0)  # sums that cancel
    nn.init.constant_(last.weight[:, 1::2], -100.0)
    nn.init.zeros_(last.bias)
    assert Extractor(network, InputShape(48, 1), CPU, precision="auto").precision == "float32"
    assert "float32 is used" in caplog.text


def test_results_come_in_order_and_errors_come_out() -> None:
    def slow(number: int) -> int:
        if number == 7:
            raise ValueError("seven")
        return number * 2

    with ThreadPoolExecutor(3) as pool:
        assert list(ahead(pool, slow, range(7), 4)) == [0, 2, 4, 6, 8, 10, 12]
        with pytest.raises(ValueError, match="seven"):
            list(ahead(pool, slow, range(20), 2))


def test_chips_are_read_as_training_reads_them(untrained_corpus: Corpus) -> None:
    folders = [untrained_corpus.store.frames(one.recording_id) for one in untrained_corpus.recordings]
    with ThreadPoolExecutor(2) as pool:
        found = np.concatenate(list(stored_chips(pool, folders, 3)))
    np.testing.assert_array_equal(found, np.concatenate([part for one in folders for part in chip_batches(one)]))


def test_a_damaged_part_is_named(untrained_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("frames")
    (folder / "part-00000.parquet").write_bytes(b"PAR1 no Parquet")
    with ThreadPoolExecutor(1) as pool, pytest.raises(StoreError, match=r"part-00000.*delete it and run again"):
        list(stored_chips(pool, [folder], 2))
