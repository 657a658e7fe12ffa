"""What training says while it runs and writes when it has ended."""

from pathlib import Path

import pandas as pd

from siamese.base.files import new_file, write_json
from siamese.training.curve import draw_curve
from siamese.training.early_stopping import EpochRecord, Pace, Trained

# Columns of a record, and the words they are printed with.
PRINTED = {
    "loss": "loss {:.4f}",
    "like_distance": "like {:.3f}",
    "unlike_distance": "unlike {:.3f}",
    "validation_knn": "validation k-NN {:.4f}",
    "validation_eer": "EER {:.4f}",
}


class EpochReport:
    """Prints each epoch's figures, and adds them to a file that can be watched during training.

    Args:
        log: a CSV file.
        scale: of the objective; an embedding much narrower than this has collapsed.
    """

    def __init__(self, log: Path, scale: float) -> None:
        self.log, self.scale = log, scale

    def __call__(self, record: EpochRecord, pace: Pace) -> None:
        """Report one epoch."""
        figures = record.figures
        words = [text.format(figures[name]) for name, text in PRINTED.items() if name in figures]
        speed = f"{pace.images_per_second:,.0f} images/s"
        left = f", at most {in_words(pace.seconds_left)} left" if pace.seconds_left else ""
        print(f"epoch {record.epoch:3d}", *words, f"({speed}{left})", sep="  ", flush=True)
        if warning := collapse_warning(record, self.scale):
            print(warning, flush=True)
        rows = pd.DataFrame([{**record.row(), "images_per_second": pace.images_per_second}])
        if record.epoch > 1 and self.log.exists():
            # Another run may have written it, if this one is resumed: its later epochs go.
            earlier = pd.read_csv(self.log)
            rows = pd.concat([earlier[earlier["epoch"] < record.epoch], rows])
        _write_csv(rows, self.log)


def in_words(seconds: float) -> str:
    """Say how long something takes: `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def collapse_warning(record: EpochRecord, scale: float) -> str | None:
    """Say in words that the embedding maps everything to nearly one place, if it does.

    It then has nearly no spread beside `scale`. That like pairs are no nearer than unlike ones is
    no sign of it: so begins many a training on photographs. Of figures that the objective does not
    have nothing is said.
    """
    names = ("like_distance", "unlike_distance", "spread")
    if not set(names) <= set(record.figures):
        return None
    like, unlike, spread = (record.figures[name] for name in names)
    if spread > 0.1 * scale:
        return None
    return (
        f"Warning: the embedding has collapsed. After epoch {record.epoch} unlike pairs are"
        f" {unlike:.3f} apart and like pairs {like:.3f}; its spread is {spread:.3f}. Try a lower"
        " `train.like_weight` or `train.learning_rate`, or `train.mining: batch`."
    )


def write_figures(
    trained: Trained, ran_on: dict[str, str], metrics: Path, curve: Path, monitor: str
) -> None:
    """Write how training went, and say it in a line.

    Args:
        trained: its outcome.
        ran_on: what decides the last bits beside data, parameters and code.
        metrics: the folder of `training.csv`, `training.json` and `ran_on.json`.
        curve: PNG to draw.
        monitor: `train.monitor`, which picked the best epoch.
    """
    records = pd.DataFrame([record.row() for record in trained.history])
    _write_csv(records, metrics / "training.csv")
    with new_file(curve) as file:
        draw_curve(records, file, monitor)
    best = trained.history[trained.best_epoch - 1].figures
    validation = {
        "knn": round(best["validation_knn"], 4),
        "eer": round(best["validation_eer"], 4),
        "loss": round(best["validation_loss"], 6),
    }
    content = {"epochs": len(trained.history), "best_epoch": trained.best_epoch}
    write_json(metrics / "training.json", {**content, "validation": validation})
    # Separate from the figures, which `dvc metrics diff` and `dvc exp show` have columns for.
    write_json(metrics / "ran_on.json", ran_on)
    ending = "stopped early, " if trained.stopped_early else ""
    print(f"train: {ending}best of {len(trained.history)} epochs: {trained.best_epoch}")


def _write_csv(rows: pd.DataFrame, target: Path) -> None:
    with new_file(target) as file:
        rows.to_csv(file, index=False, float_format="%.6g")
