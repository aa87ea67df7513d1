"""What every test may ask for: servers that are started when the first test wants them."""

from __future__ import annotations

pytest_plugins = ["tests.services", "tests.certificates"]
