"""Checkpoints by path, Hugging Face id or URL, converted once and kept."""

import hashlib
import re
from pathlib import Path
from urllib.parse import unquote, urlparse

from etils import epath

from venhancer_jax import weights
from venhancer_jax.convert.checkpoint import convert
from venhancer_jax.errors import InputError
from venhancer_jax.startup import cache_folder

# The published checkpoint of each network.
PUBLISHED = {
    "venhancer_v1": "jwhejwhe/VEnhancer/venhancer_paper.pt",
    "venhancer_v2": "jwhejwhe/VEnhancer/venhancer_v2.pt",
    "svd_vae": (
        "stabilityai/stable-video-diffusion-img2vid/vae/diffusion_pytorch_model.fp16.safetensors"
    ),
    "sd21_vae": "stabilityai/stable-diffusion-2-1-base/vae/diffusion_pytorch_model.safetensors",
    "openclip": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K/open_clip_pytorch_model.bin",
}
_HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_HUB_ID = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)/(?P<file>.+\.(pt|pth|bin|ckpt|safetensors))")
_HUB_URL = re.compile(r"/(?P<repo>[^/]+/[^/]+)/(resolve|blob)/(?P<revision>[^/]+)/(?P<file>.+)")


def published() -> dict[str, str]:
    """Returns the published checkpoints by name."""
    return PUBLISHED


def weights_of(network: str, checkpoint: str) -> epath.Path:
    """The weight folder of a checkpoint, fetched and converted if need be.

    Args:
      network: `venhancer`, `vae` or `text`.
      checkpoint: a weight folder; a checkpoint file; `owner/repository/file` on the Hugging Face
        hub or the URL of such a file; or a key of `PUBLISHED`.

    Returns:
      The folder, for `venhancer_jax.weights.load_weights`.

    Raises:
      InputError: it cannot be found, fetched or converted.
    """
    if weights.is_weights(checkpoint):
        return _of_network(network, epath.Path(checkpoint))
    path = resolve(checkpoint)
    folder = cache_folder() / "converted" / f"{path.stem}-{_fingerprint(network, path)}"
    if not weights.is_weights(folder):
        print(f"converting {path.name}, once; kept in {folder}", flush=True)
        convert(network, path, folder)
    return epath.Path(folder)


def resolve(checkpoint: str) -> Path:
    """The checkpoint file that a path, a Hugging Face id, a URL or a published name means.

    Raises:
      InputError: there is no such file, and it cannot be fetched.
    """
    path = Path(checkpoint)
    if path.is_dir():
        raise InputError(f"{path} holds no converted weights: give the checkpoint file in it")
    return path if path.exists() else _fetch(published().get(checkpoint, checkpoint))


def _of_network(network: str, folder: epath.Path) -> epath.Path:
    found = weights.read_about(folder).get("network")
    if found != network:
        raise InputError(f"{folder} holds the weights of {found!r}, not of {network!r}")
    return folder


def _fetch(checkpoint: str) -> Path:
    url = urlparse(checkpoint)
    match = _HUB_URL.fullmatch(url.path) if url.scheme else _HUB_ID.fullmatch(checkpoint)
    if match is None or (url.scheme and url.netloc not in _HUB_HOSTS):
        raise InputError(
            f"checkpoint {checkpoint!r}: no such file or folder, and neither"
            " owner/repository/file on the Hugging Face hub nor the URL of such a file"
        )
    from huggingface_hub import hf_hub_download

    repo, file, revision = match["repo"], unquote(match["file"]), None
    if url.scheme:
        revision = unquote(match["revision"])
    try:
        return Path(hf_hub_download(repo, file, revision=revision))
    except Exception as error:  # of several libraries, and the way out is the same
        where = f"https://huggingface.co/{repo}/resolve/{revision or 'main'}/{file}"
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"could not download {checkpoint} ({reason}).\n"
            f"Download {where} where there is a network, and give the file's path instead"
        ) from None


def _fingerprint(network: str, path: Path) -> str:
    """Changes with the file, without reading it."""
    stat = path.stat()
    facts = f"{network} {path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    return hashlib.sha256(facts.encode()).hexdigest()[:12]
