"""Public data sets' folders in small, laid out as they come: few classes, tiny pictures."""

from pathlib import Path

import numpy as np
from scipy.io import savemat

from tests.support.pictures import draw

PER_CLASS = 6
# Numbers of classes: of training, and of the test.
CUB, CARS, SOP = (
    ((1, 2, 50, 99, 100), (101, 102, 199, 200)),
    ((1, 2, 3, 97, 98), (99, 100, 195, 196)),
    ((1, 2, 9, 11_317, 11_318), (11_319, 11_320, 22_633, 22_634)),
)
IN_SHOP = ((1, 2, 3, 4, 5), (6, 7, 8, 9))
FACES = {"Ann_Ray": 3, "Bo_Li": 2, "Cy_Orr": 1, "Di_Fox": 3, "Ed_Poe": 2, "Flo_Day": 1}
OTHER_FACES = ("p1", "p2", "p3", "p4", "p5", "p6")
LFW_PAIRS = (
    *(("Ann_Ray", 1, 3), ("Bo_Li", 1, 2), ("Ann_Ray", 1, "Bo_Li", 2), ("Bo_Li", 1, "Cy_Orr", 1)),
    *(("Di_Fox", 1, 2), ("Di_Fox", 2, 3), ("Di_Fox", 3, "Cy_Orr", 1), ("Ann_Ray", 2, "Di_Fox", 1)),
)
# The labels of the test, by the table that the documentation makes.
TESTED = {
    "cub.csv": {f"{label}.Bird_{label}" for label in CUB[1]},
    "cars.csv": {str(label) for label in CARS[1]},
    "sop.csv": {str(label) for label in SOP[1]},
    "in_shop.csv": {f"id_{label:08}" for label in IN_SHOP[1]},
}


def make_benchmarks(folder: Path) -> None:
    """Make all of them below a folder."""
    _grocery(folder / "GroceryStoreDataset/dataset")
    _cub(folder / "CUB_200_2011")
    _cars(folder / "cars196")
    _sop(folder / "Stanford_Online_Products")
    _in_shop(folder / "In-shop")
    _lfw(folder)


def _grocery(folder: Path) -> None:
    folder.mkdir(parents=True)
    header = (
        "Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),Path (str)"
    )
    classes = ["Gala,0,Apple,0,/icons/gala.jpg", "Fuji,1,Apple,0,/icons/fuji.jpg"]
    classes.append("Lime,2,Lime,1,/icons/lime.jpg")
    (folder / "classes.csv").write_text("\n".join([header, *classes]) + "\n")
    for name, numbers in {"train": (0, 1, 2), "val": (1, 2), "test": (2, 0)}.items():
        lines = [f"{name}/Fruit/{number}/{name}.jpg, {number}, {number // 2}" for number in numbers]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def _cub(folder: Path) -> None:
    for label in sum(CUB, ()):
        for number in range(PER_CLASS):
            draw(folder / f"images/{label:03}.Bird_{label}/Bird_{label}_{number:04}.jpg", number)


def _cars(folder: Path) -> None:
    rows = [label for label in sum(CARS, ()) for _ in range(PER_CLASS)]
    names = [f"car_ims/{number:06}.jpg" for number in range(1, len(rows) + 1)]
    for name in names:
        draw(folder / name)
    fields = [("relative_im_path", object), ("class", object), ("test", object)]
    annotations = np.zeros((1, len(rows)), dtype=fields)
    # The `test` that it comes with is of another task, in which all classes are trained on.
    annotations[0] = [(*row, 0) for row in zip(names, rows, strict=True)]
    savemat(folder / "cars_annos.mat", {"annotations": annotations})


def _sop(folder: Path) -> None:
    image = 0
    for name, classes in zip(("train", "test"), SOP, strict=True):
        lines = ["image_id class_id super_class_id path"]
        for label in classes:
            for number in range(PER_CLASS):
                image += 1
                path = f"{'bicycle' if label % 2 else 'chair'}_final/{label}_{number}.JPG"
                lines.append(f"{image} {label} {1 + label % 2} {path}")
                draw(folder / path)
        (folder / f"Ebay_{name}.txt").write_text("\n".join(lines) + "\n")


def _in_shop(folder: Path) -> None:
    rows = []
    for label in sum(IN_SHOP, ()):
        for number in range(PER_CLASS):
            path = f"img/WOMEN/Dresses/id_{label:08}/{number:02}_1_front.jpg"
            status = "train" if label in IN_SHOP[0] else "query" if number < 2 else "gallery"
            rows.append(f"{path:<60}  id_{label:08}  {status}")
            draw(folder / "Img" / path)
    header = [str(len(rows)), "image_name item_id evaluation_status"]
    (folder / "Eval").mkdir(parents=True, exist_ok=True)
    (folder / "Eval/list_eval_partition.txt").write_text("\n".join([*header, *rows]) + "\n")


def _lfw(folder: Path) -> None:
    """Lay out persons with so many images, a protocol of two folds, and others to train on."""
    for name, count in {**FACES, **dict.fromkeys(OTHER_FACES, PER_CLASS)}.items():
        of = "lfw" if name in FACES else "others"
        for number in range(count):
            draw(folder / f"faces/{of}/{name}/{name}_{number + 1:04}.jpg", number)
    lines = ["2\t2", *("\t".join(map(str, row)) for row in LFW_PAIRS)]
    (folder / "pairs.txt").write_text("\n".join(lines) + "\n")
