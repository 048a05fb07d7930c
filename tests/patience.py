"""How long a test waits for what must come: a bound against hanging, which no assertion stands on."""

PATIENCE_S = 60.0  # what takes 2 seconds here may take 30 on a slow machine with others on it
