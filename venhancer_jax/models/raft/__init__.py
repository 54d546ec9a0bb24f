"""Optical flow by RAFT (arXiv 2003.12039)."""
