"""How training went, as a picture."""

from pathlib import Path

import pandas as pd

from siamese.pictures.style import RIGHT, WRONG, plt, save_picture


def draw_curve(history: pd.DataFrame, file: Path, monitor: str = "knn") -> None:
    """Draw how training went: distances of like and unlike pairs, and a figure of validation.

    That is k-NN, or the equal error rate if it picks the best epoch. Figures that the objective
    does not have are left out. Where no k-NN was measured on validation, the loss is drawn instead.

    Args:
        history: the content of `metrics/training.csv`.
        file: PNG to write.
        monitor: `train.monitor`.
    """
    figure, (distances, accuracy) = plt.subplots(1, 2, figsize=(9, 3.2))
    epochs = history["epoch"]
    for name, label, colour, line in (
        ("unlike_distance", "unlike pairs", WRONG, "-"),
        ("like_distance", "like pairs", RIGHT, "-"),
        ("spread", "spread", "grey", ":"),
    ):
        if name in history:
            distances.plot(epochs, history[name], color=colour, ls=line, label=label)
    distances.set_title("mean distance in training")
    distances.set_ylim(bottom=0)
    if monitor == "eer":
        accuracy.plot(epochs, history["validation_eer"], color="black")
        accuracy.set_title("equal error rate on validation")
        accuracy.set_ylim(bottom=0)
    elif "validation_knn" in history and history["validation_knn"].notna().any():
        accuracy.plot(epochs, history["validation_knn"], color="black", label="k-NN on validation")
        accuracy.set_title("top-1 on validation")
    else:
        accuracy.plot(epochs, history["validation_loss"], color="black")
        accuracy.set_title("loss on validation")
    for axes in (distances, accuracy):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    if distances.lines:
        distances.legend()
    save_picture(figure, file)
