"""What `pip install .` is told: notebooks, weights and results belong beside the code."""

import sys

ADVICE = ("this repository is not installed by pip: work in a copy of it, with "
          "`pip install -r requirements.txt`; docs/install.md says more")


def get_requires_for_build_wheel(config_settings=None):
    """The first thing that pip asks for."""
    sys.exit(f"error: {ADVICE}")


get_requires_for_build_editable = get_requires_for_build_wheel
build_wheel = build_editable = build_sdist = get_requires_for_build_wheel
