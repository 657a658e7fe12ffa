"""A step decides nothing on the host; recorded as a CUDA graph it gives the bits of a plain one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from siamese.training.batches import Batches
from siamese.training.captured_step import WARM_UP, CapturedStep
from siamese.training.early_stopping import Trained, train_network
from siamese.training.objective import OBJECTIVES, Figures
from siamese.training.resume import ResumeFile
from siamese.training.trainer import Trainer
from tests.support.tiny_training import (
    NO_CHANGES,
    data_of,
    load,
    new_network,
    new_trainer,
    params,
    tiny_dataset,
)

AUGMENT = {
    **NO_CHANGES,
    **{"flip": True, "crop": 1, "cutout": 2},
    **{"rotate": 5.0, "scale": 0.1, "stroke": 0.5},
}
READS_BACK = {"_local_scalar_dense", "nonzero", "masked_select", "unique"}


@pytest.fixture
def gradients_traced() -> Iterator[None]:
    """Let `torch.compile` trace `backward` too, which it leaves out unless asked."""
    config = torch._dynamo.config
    if not hasattr(config, "trace_autograd_ops"):
        pytest.skip("this PyTorch cannot trace gradients")
    with config.patch(trace_autograd_ops=True):
        yield


@pytest.mark.usefixtures("gradients_traced")
@pytest.mark.parametrize(
    ("loss", "mining", "precision"),
    [
        ("contrastive", "batch", "bf16"),
        ("contrastive", "none", "fp32"),
        ("supervised_contrastive", "batch", "bf16"),
    ],
)
def test_a_step_is_traced_whole(loss: str, mining: str, precision: str) -> None:
    """Nothing in it waits for the device, so a graph of it can be recorded.

    What is traced runs as it is: the compilers behind it have no rule for the fused AdamW.
    """
    changed = params(
        loss=loss, mining=mining, precision=precision, proxy_weight=1.0, augment=AUGMENT
    )
    outcomes = []
    for traced in (True, False):
        trainer = new_trainer(load(1), new_network(), changed)
        trainer.network.train()
        step = trainer.step
        if traced:
            step = torch.compile(step, fullgraph=True, backend="eager")
        batches = trainer.draw(0)
        outcomes.append([step(batches.look_up(torch.tensor([number]))) for number in range(3)])
    for found, expected in zip(*outcomes, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)


class Recorded(TorchDispatchMode):
    """Notes every operation that is called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("loss", OBJECTIVES)
def test_a_step_reads_nothing_back(loss: str) -> None:
    """No number comes to the host, and no shape depends on one, which would wait for a GPU."""
    trainer = new_trainer(load(1), changed=params(loss=loss, proxy_weight=1.0, augment=AUGMENT))
    batch = trainer.draw(0)[0]
    with Recorded() as recorded:
        trainer.step(batch)
    assert "convolution_backward" in recorded.names, "the step has been watched"
    assert not recorded.names & READS_BACK


@pytest.mark.parametrize("freeze", ["statistics", "backbone"])
def test_a_step_of_fine_tuning_reads_nothing_back(freeze: str) -> None:
    network = new_network(architecture="timm/test_efficientnet")
    trainer = new_trainer(load(1), network, params(freeze=freeze, optimizer="adamw"))
    batch = trainer.draw(0)[0]
    with Recorded() as recorded:
        trainer.step(batch)
    assert ("convolution_backward" in recorded.names) == (freeze == "statistics")
    assert not recorded.names & READS_BACK


def test_all_of_an_epoch_is_on_the_device_before_it_begins() -> None:
    batches = new_trainer(load(2), changed=params(augment=AUGMENT)).draw(1)
    one = batches[2]
    by_number = batches.look_up(torch.tensor([2]))
    for name in ("index", "places", "same", "rates"):
        assert torch.equal(getattr(one, name), getattr(by_number, name)), name
    assert torch.equal(one.changes.shift, by_number.changes.shift)
    copy = batches.each(torch.zeros_like)
    copy.copy_(batches)
    assert torch.equal(copy.changes.hole, batches.changes.hole)
    assert torch.equal(copy.index, batches.index)


@pytest.mark.parametrize("loss", OBJECTIVES)
def test_a_recorded_step_gives_the_bits_of_a_plain_one(
    tmp_path: Path, cuda: torch.device, loss: str
) -> None:
    outcomes: list[tuple[Trained, dict[str, torch.Tensor]]] = []
    for recorded in (True, False):
        data = data_of(tiny_dataset(), 4, cuda)
        changed = params(loss=loss, proxy_weight=1.0, augment=AUGMENT, precision="bf16")
        trainer = new_trainer(data, new_network().to(cuda), changed)
        assert isinstance(trainer.take_step, CapturedStep)
        if not recorded:
            trainer.take_step = plain_steps(trainer)
        trained = train_network(trainer, ResumeFile(tmp_path, f"{recorded}"))
        if isinstance(trainer.take_step, CapturedStep):
            assert trainer.take_step.recorded
        outcomes.append((trained, trainer.network.state_dict()))
    assert outcomes[0][0] == outcomes[1][0]
    for name, value in outcomes[0][1].items():
        assert torch.equal(value, outcomes[1][1][name]), name


def plain_steps(trainer: Trainer) -> Callable[[Batches, int], Figures]:
    return lambda batches, number: trainer.step(batches[number])


def test_a_step_that_reads_back_runs_plainly_and_says_so_once(
    cuda: torch.device, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = new_trainer(data_of(tiny_dataset(), 3, cuda), new_network().to(cuda))

    def reads_back(batch: Batches) -> Figures:
        figures = trainer.step(batch)
        float(figures["loss"])
        return figures

    trainer.take_step = CapturedStep(reads_back)
    for epoch in range(3):
        assert trainer.train_epoch(epoch)
    assert trainer.take_step.warmed_up == WARM_UP
    assert capsys.readouterr().out.count("launches kernel by kernel") == 1


def test_scaled_gradients_take_the_same_step() -> None:
    """As with fp16, which alone needs the scaler, and which the CPU does not have."""
    figures = []
    for scaler in (None, torch.amp.GradScaler("cpu")):
        trainer = new_trainer(load(2), changed=params(proxy_weight=1.0))
        trainer.scaler = scaler
        figures.append([trainer.train_epoch(epoch) for epoch in range(2)])
    for found, expected in zip(*figures, strict=True):
        assert found == pytest.approx(expected, rel=1e-3)
