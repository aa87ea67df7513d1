"""Example applications, one idea each; they use nothing of LRWP but the package ``worker``."""
