"""Memory of the page's server after many jobs: `python -m benchmarks.app_memory --jobs=20`.

Runs jobs of the shipped model on its clip through the queue of the page, each with another seed,
and prints the resident memory after each one as JSON.
"""

import json
import resource
import tempfile
from pathlib import Path

from absl import app, flags

from venhancer_jax.app.files import Folders
from venhancer_jax.app.jobs import ACTIVE, JobQueue
from venhancer_jax.app.request import make_requests
from venhancer_jax.assets import demo_clip

_JOBS = flags.DEFINE_integer("jobs", 20, "Jobs to run.")
_SCALE = flags.DEFINE_float("up_scale", 2.0, "Enlargement of both sides.")


def main(_):
    with tempfile.TemporaryDirectory() as work:
        folders = Folders(Path(work), (), [demo_clip()])
        queue = JobQueue(folders)
        memory = []
        for seed in range(_JOBS.value):
            values = {"up_scale": _SCALE.value, "seed": seed}
            ((request,), _) = make_requests(folders, ["--config=demo"], values)
            job = queue.submit(request)
            while job.state in ACTIVE:
                job.cancelled.wait(0.1)
            memory.append({"job": seed + 1, "state": job.state, "seconds": round(job.seconds, 1),
                           "resident_mib": _resident_mib()})  # fmt: skip
            print(json.dumps(memory[-1]), flush=True)
        print(json.dumps({"loads": queue.model.loads}))


def _resident_mib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 2**20


if __name__ == "__main__":
    app.run(main)
