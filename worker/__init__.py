"""The worker: a long-running web process, and the toolkit that applications import."""

from worker.application import Application
from worker.errors import HttpError
from worker.request import Request
from worker.response import Response, redirect

__all__ = ["Application", "HttpError", "Request", "Response", "redirect"]
