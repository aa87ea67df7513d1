"""The command line that ties the dispatcher and the workers together."""
