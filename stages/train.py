"""Train the siamese network on the drawn pairs, and keep the weights of its best epoch."""

import workspace

import sys
from pathlib import Path

from siamese.base.data_params import DataParams
from siamese.base.files import new_folder
from siamese.base.params import Section, read_sections
from siamese.base.weights_folder import Weights, read_weights
from siamese.model.folder import Model, save_model
from siamese.network.compute import ComputeParams, check_devices, start
from siamese.network.siamese_network import (
    NetworkParams,
    build_network,
    check_training_size,
)
from siamese.training.early_stopping import train_network
from siamese.training.frozen_backbone import check_freeze
from siamese.training.objective import OBJECTIVES, check_margin
from siamese.training.parallel import joined, run_together, started_by_torchrun, this_rank
from siamese.training.report import EpochReport, write_figures
from siamese.training.resume import ResumeFile, run_name
from siamese.training.thresholds import calibrate_network
from siamese.training.train_params import TrainParams
from siamese.training.trainer import Trainer
from siamese.training.training_data import TrainingData

PREPARED, PAIRS, MODEL = Path("data/prepared"), Path("data/pairs"), Path("data/model")
WEIGHTS = Path("data/weights")
METRICS, CURVE, RESUME = Path("metrics"), Path("data/training.png"), Path("data/resume")
LOG = Path("logs/training.csv")  # ignored by Git and DVC


class Params(Section):
    """The sections of `params.yaml` that the stage reads."""

    data: DataParams
    network: NetworkParams
    train: TrainParams
    compute: ComputeParams


def main() -> None:
    """Train in this process, or start the processes that train together."""
    params = read_sections(Params)
    weights = read_weights(WEIGHTS)
    check_margin(params.train, params.network.normalize)
    check_freeze(params.train.freeze, weights is not None)
    processes = params.train.processes
    if processes > 1 and not started_by_torchrun():
        check_devices(params.compute, processes)
        run_together(Path(__file__), sys.argv[1:], processes)
    else:
        train(params, weights)


def train(params: Params, weights: Weights | None) -> None:
    """Train, calibrate the verification thresholds, write the model folder and the figures."""
    ranks = this_rank(params.train.processes)
    device = start(params.compute, ranks.local_rank)
    with joined(ranks, device):
        data = TrainingData.load(PREPARED, PAIRS, device)
        resized_to = params.train.augment.resized_to
        check_training_size(params.network, data.images.size, resized_to)
        network = build_network(
            params.network,
            data.images.size,
            data.channel_mean,
            data.channel_std,
            weights,
        ).to(device)
        objective = OBJECTIVES[params.train.loss](params.train, data.n_classes, network)
        trainer = Trainer(data, network, objective, params.train, ranks)
        resume = ResumeFile(RESUME, run_name("train", trainer.ran_on()))
        trained = train_network(trainer, resume, EpochReport(LOG, objective.scale))
    if not ranks.is_first:
        return

    calibration = calibrate_network(network, data)
    origin = weights.origin if weights else None
    model = Model(network.cpu(), params.network, data.classes, calibration, params.data.fit, origin)
    with new_folder(MODEL) as folder:
        save_model(model, folder)
    write_figures(trained, trainer.ran_on(), METRICS, CURVE, params.train.monitor)
    resume.delete()


if __name__ == "__main__":
    workspace.run(main)
