"""Is a setting's effect told from chance? Real networks, trained on the digits with many seeds."""

from pathlib import Path

import numpy as np
import pytest
import torch

from siamese.base.dataset import load_dataset
from siamese.cli.schema import check_params
from siamese.comparison.conclusions import conclusions
from siamese.embeddings.embedding_file import Embeddings
from siamese.evaluation.evaluate import evaluate
from siamese.measures.verification import pair_distances
from siamese.network.embedding import embed_images
from siamese.network.siamese_network import build_network
from siamese.pairs.drawing import draw_fixed, draw_training
from siamese.training.early_stopping import train_network
from siamese.training.objective import OBJECTIVES
from siamese.training.resume import ResumeFile
from siamese.training.thresholds import calibrate
from siamese.training.trainer import Trainer
from siamese.training.training_data import TrainingData
from tests.support.made_up_results import MadeUp, Repository
from tests.support.workspace import Workspace

pytestmark = pytest.mark.slow

N_SEEDS, N_SEEDS_OF_THE_OTHER, A_SIDE = 12, 4, 4
CPU = torch.device("cpu")


def measure(workspace: Workspace, folder: Path, margin: float, seed: int) -> dict:
    """Do what the stages do from `pairs` to `evaluate`, in this process; return the figures."""
    params = check_params(workspace.path / "params.yaml")
    dataset = load_dataset(workspace.path / "data/prepared")
    pairs = params.pairs.model_copy(update={"seed": seed})
    network_params = params.network.model_copy(update={"seed": seed})
    # float32 everywhere, also where a processor has bfloat16: the same draw of chance, nearly.
    changes = {"seed": seed, "margin": margin, "precision": "fp32"}
    train = params.train.model_copy(update=changes)

    validation = draw_fixed(dataset, "validation", pairs)
    data = TrainingData.of(dataset, draw_training(dataset, pairs), validation, CPU)
    network = build_network(network_params, data.images.size, data.channel_mean, data.channel_std)
    objective = OBJECTIVES[train.loss](train, data.n_classes, network)
    trainer = Trainer(data, network, objective, train)
    train_network(trainer, ResumeFile(folder, f"{margin}-{seed}"))

    vectors = embed_images(network, data.validation_images)
    distances = pair_distances(vectors, *data.validation_pairs.T)
    gallery, queries = (
        Embeddings.of(dataset.samples, rows, embed_images(network, dataset.images[rows]))
        for rows in (dataset.rows("train", "validation"), dataset.rows("test"))
    )
    calibration = calibrate(distances, data.validation_same)
    none = np.zeros(len(queries.samples), dtype=bool)
    test_pairs = draw_fixed(dataset, "test", pairs)
    figures = params.evaluate.model_copy(update={"resamples": 100})  # the intervals are not used
    return evaluate(gallery, queries, none, none, none, test_pairs, calibration, figures).metrics


@pytest.fixture(scope="module")
def trained(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Experiments `m1.0-SEED` and `m0.1-SEED`, with the figures of real networks."""
    folder = tmp_path_factory.mktemp("seeds")
    repository = Repository(folder / "repository")
    repository.commit(MadeUp())
    for margin, count in ((1.0, N_SEEDS), (0.1, N_SEEDS_OF_THE_OTHER)):
        for seed in range(count):
            measured = measure(finished, folder, margin, seed)
            seeds = dict.fromkeys(("network.seed", "pairs.seed", "train.seed"), seed)
            run = MadeUp(measured=measured, params={"train.margin": margin, **seeds})
            repository.experiment(run, f"m{margin}-{seed}")
    return repository


def test_of_ten_comparisons_of_seeds_alone_nine_are_not_called_an_effect(
    trained: Repository,
) -> None:
    rng = np.random.default_rng(0)
    alarms = []
    for _ in range(10):
        names = [f"m1.0-{seed}" for seed in rng.permutation(N_SEEDS)]
        sides = names[:A_SIDE], names[A_SIDE : 2 * A_SIDE]
        comparison = trained.compare(*map(",".join, sides))
        if comparison.differing:
            alarms.append(conclusions(comparison)[0])
    assert len(alarms) <= 1, alarms


def test_a_margin_of_a_tenth_is_called_an_effect(trained: Repository) -> None:
    ours = [f"m1.0-{seed}" for seed in range(A_SIDE)]
    theirs = [f"m0.1-{seed}" for seed in range(N_SEEDS_OF_THE_OTHER)]
    comparison = trained.compare(",".join(ours), ",".join(theirs))
    sentences = conclusions(comparison)
    assert sentences[0].startswith("The setting makes a difference"), comparison.metrics
    assert "train.margin is all that differs" in sentences[1]


def test_the_seeds_do_make_other_models(trained: Repository) -> None:
    """Else the test of ten comparisons would prove nothing."""
    names = [f"m1.0-{seed}" for seed in range(N_SEEDS)]
    comparison = trained.compare(",".join(names[:6]), ",".join(names[6:]))
    values = {one.metric: {*one.base, *one.head} for one in comparison.metrics}
    assert len(values["knn.k20"]) > N_SEEDS / 3
    assert len(values["verification.auc"]) > N_SEEDS / 2
