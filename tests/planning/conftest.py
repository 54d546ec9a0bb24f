from planning.tiny import config, cpu

__all__ = ["config", "cpu"]
