"""Train the siamese network on the drawn pairs, and keep the weights of its best epoch."""

import workspace

import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from siamese.base.data_params import DataParams
from siamese.base.dataset import FILES
from siamese.base.files import new_file, new_folder, sha256, write_json
from siamese.base.params import Section, read_sections
from siamese.measures.verification import pair_distances
from siamese.model.folder import Model, save_model
from siamese.network.compute import ComputeParams, autocast_dtype, check_devices, start
from siamese.network.embedding import embed_images
from siamese.network.siamese_network import NetworkParams, build_network
from siamese.training.curve import draw_curve
from siamese.training.parallel import Ranks, joined, run_together, started_by_torchrun, this_rank
from siamese.training.resume import ResumeFile, fingerprint
from siamese.training.run import EpochRecord, check_margin, collapse_warning, train_network
from siamese.training.thresholds import calibrate
from siamese.training.trainer import TrainParams
from siamese.training.training_data import TrainingData

PREPARED, PAIRS = Path("data/prepared"), Path("data/pairs")
MODEL, METRICS, RESUME = Path("data/model"), Path("metrics"), Path("data/resume")
CURVE = Path("data/training.png")
LOG = Path("logs/training.csv")  # ignored by Git and DVC


class Params(Section):
    """The sections of `params.yaml` that the stage reads."""

    data: DataParams
    network: NetworkParams
    train: TrainParams
    compute: ComputeParams


def main() -> None:
    """Train, calibrate the verification thresholds, write the model folder and the figures."""
    params = read_sections(Params)
    check_margin(params.train.margin, params.network.normalize)
    processes = params.train.processes
    if processes > 1 and not started_by_torchrun():
        check_devices(params.compute, processes)
        run_together(Path(__file__), sys.argv[1:], processes)
        return
    ranks = this_rank(processes)
    device = start(params.compute, ranks.local_rank)
    with joined(ranks, device):
        train(params, device, ranks)


def train(params: Params, device: torch.device, ranks: Ranks) -> None:
    """Do what `main` says, as one of several processes or alone."""
    precision = str(autocast_dtype(params.train.precision, device)).removeprefix("torch.")
    # What decides the bits of the result besides data, parameters and code. No host, no clock.
    release = torch.__version__.partition("+")[0]  # a CPU build computes as a CUDA build's CPU does
    ran_on = {"device": device.type, "precision": precision, "torch": release}

    data = TrainingData.load(PREPARED, PAIRS, device)
    network = build_network(
        params.network, data.images.size, data.channel_mean, data.channel_std
    ).to(device)
    read = [
        *(PREPARED / name for name in FILES),
        PAIRS / "train.parquet",
        PAIRS / "validation.parquet",
    ]
    # What is imported by now is what trains: a change elsewhere need not start a run anew.
    imported = [module for name, module in sys.modules.items() if name.startswith("siamese.")]
    code = [Path(__file__), *sorted(Path(str(module.__file__)) for module in imported)]
    determinants = {
        "ran_on": ran_on,
        "params": {name: section.model_dump() for name, section in vars(params).items()},
        "files": [sha256(file) for file in [*read, *code]],
    }
    resume = ResumeFile(RESUME, fingerprint(determinants))
    on_epoch = partial(report, margin=params.train.margin)
    trained = train_network(data, network, params.train, resume, on_epoch, ranks)
    if not ranks.is_first:
        return

    validation = embed_images(network, data.validation_images)
    distances = pair_distances(validation, *data.validation_pairs.T)
    calibration = calibrate(distances, data.validation_same)
    with new_folder(MODEL) as folder:
        save_model(
            Model(network.cpu(), params.network, data.classes, calibration, params.data.fit), folder
        )
    with new_file(METRICS / "training.csv") as file:
        records = pd.DataFrame([asdict(record) for record in trained.history])
        records.to_csv(file, index=False, float_format="%.6g")
    with new_file(CURVE) as file:
        draw_curve(records, file)
    best = trained.history[trained.best_epoch - 1]
    write_json(
        METRICS / "training.json",
        {
            "epochs": len(trained.history),
            "best_epoch": trained.best_epoch,
            "validation": {
                "knn": round(best.validation_knn, 4),
                "loss": round(best.validation_loss, 6),
            },
        },
    )
    # Apart from the figures, which `dvc metrics diff` and `dvc exp show` have columns for.
    write_json(METRICS / "ran_on.json", ran_on)
    resume.delete()
    ending = "stopped early, " if trained.stopped_early else ""
    print(f"train: {ending}best of {len(trained.history)} epochs: {trained.best_epoch}")


def report(record: EpochRecord, images_per_second: float, margin: float) -> None:
    """Print an epoch's figures, and log them."""
    print(
        f"epoch {record.epoch:3d}  loss {record.loss:.4f}  like {record.like_distance:.3f}"
        f"  unlike {record.unlike_distance:.3f}  validation k-NN {record.validation_knn:.4f}"
        f"  ({images_per_second:,.0f} images/s)",
        flush=True,
    )
    if warning := collapse_warning(record, margin):
        print(warning, flush=True)
    log(record, images_per_second)


def log(record: EpochRecord, images_per_second: float) -> None:
    """Add an epoch's figures to a file that can be watched while training goes on."""
    rows = pd.DataFrame([{**asdict(record), "images_per_second": images_per_second}])
    if record.epoch > 1 and LOG.exists():  # another run's, if this one goes on from elsewhere
        earlier = pd.read_csv(LOG)
        rows = pd.concat([earlier[earlier["epoch"] < record.epoch], rows])
    with new_file(LOG) as file:
        rows.to_csv(file, index=False, float_format="%.6g")


if __name__ == "__main__":
    workspace.run(main)
