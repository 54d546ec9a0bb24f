from planning.tiny import config, no_wheels

__all__ = ["config", "no_wheels"]
