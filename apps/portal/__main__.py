"""Ask for a password, and write what PORTAL_PEOPLE holds of a person: ``python -m apps.portal NAME``."""

import re
import secrets
import sys
from getpass import getpass

from apps.portal import hash_password

if len(sys.argv) != 2 or not re.fullmatch(r"[^\s:]{1,100}", sys.argv[1]):
    sys.exit("Name one person, without spaces and colons: python -m apps.portal ann")
salt = secrets.token_bytes(16)
print(f"{sys.argv[1]}:{salt.hex()}:{hash_password(getpass(f'Password of {sys.argv[1]}: '), salt).hex()}")
