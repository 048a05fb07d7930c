"""How long a test waits for what must come: a bound against hanging, which no assertion stands on."""

import os

SHARED = 3 if "PYTEST_XDIST_WORKER" in os.environ else 1  # by how many tests at once the cores are
PATIENCE_S = 60.0 * SHARED  # what takes 2 seconds here may take 30 on a slow machine
