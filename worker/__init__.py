"""The worker: a long-running web process, and the toolkit that applications import."""
