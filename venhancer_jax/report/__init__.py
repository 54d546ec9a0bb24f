"""Pages that show what an enhancement did: one for a result, one for a folder of results.

A page is one file without references: it opens offline and sends nothing.
"""

from venhancer_jax.report.index import Failure, write_index
from venhancer_jax.report.page import page_path, write_report

__all__ = ["Failure", "page_path", "write_index", "write_report"]
