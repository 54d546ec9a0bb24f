"""A config of the toy system for the command line, where importing it registers the system."""

from ml_collections import ConfigDict
from training.toy import toy_config


def get_config() -> ConfigDict:
    return toy_config({"save_every": 10**6}).lock()
