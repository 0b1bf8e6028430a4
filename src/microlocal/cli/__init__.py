"""The command line: thin verbs that parse, call one function and print. One verb a file."""

from microlocal.cli.app import app as app
from microlocal.cli.app import main as main
