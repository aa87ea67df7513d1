"""What every test may ask for: servers that are started when the first test wants them."""

from __future__ import annotations

import signal

for number in (signal.SIGINT, signal.SIGHUP):
    # Under nohup, or behind a shell's &, these are ignored, and so they would be in the programs that tests
    # start and send them to. What is handled here is as usual there.
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, lambda *_: None)

pytest_plugins = ["tests.services", "tests.certificates"]
