"""Print the lowest versions that pyproject.toml allows, as constraints for pip.

`python .ci/lowest_constraints.py > lowest.txt`, then `pip install -c lowest.txt -e '.[dev]'`:
that is the oldest installation a user may have. Tools for development stay as new as they come.
"""

import re
import tomllib
from pathlib import Path

file = Path(__file__).parents[1] / "pyproject.toml"
project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
for requirement in project["dependencies"]:
    name, version = re.fullmatch(r"([\w.-]+)(?:\[\w+\])?>=([\w.]+)", requirement).groups()
    print(f"{name}=={version}")
