"""Converts checkpoints from the command line.

    python -m convert venhancer venhancer_v2.pt weights/venhancer_v2
    python -m convert vae diffusion_pytorch_model.safetensors weights/svd_vae
    python -m convert text open_clip_pytorch_model.bin weights/openclip
    python -m convert back weights/venhancer_v2 venhancer_v2.pt
    python -m convert upscale_a_video pretrained_models/upscale_a_video weights/upscale_a_video

A published folder of all networks of a system is converted as one, to a folder of weight folders.
A checkpoint may also be named as on the Hugging Face hub: jwhejwhe/VEnhancer/venhancer_v2.pt.
"""

import argparse
import ast
import dataclasses
import sys
from pathlib import Path
from typing import Any

from venhancer_jax.convert.checkpoint import convert_back
from venhancer_jax.convert.fetch import convert_file, convert_release, resolve
from venhancer_jax.convert.layouts import all_layouts
from venhancer_jax.convert.release import all_releases
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines import catalog
from venhancer_jax.weights import is_weights


def main(argv: list[str] | None = None) -> int:
    """Runs one conversion; exit code 0 done, 2 wrong input."""
    parser = argparse.ArgumentParser(
        prog="python -m convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in all_layouts():
        command = commands.add_parser(name, help=f"a {name} checkpoint to a weight folder")
        command.add_argument("source", help="checkpoint file, Hugging Face id or URL")
        command.add_argument("folder", help="weight folder to write")
        command.add_argument("--dtype", choices=["float32", "float16", "bfloat16"])
        command.add_argument(
            "--size",
            action="append",
            default=[],
            metavar="FIELD=VALUE",
            help="a size other than the published one, such as width=32",
        )
    back = commands.add_parser("back", help="a weight folder to a checkpoint file")
    back.add_argument("folder")
    back.add_argument("target", help="file to write, .pt or .safetensors")
    back.add_argument("--layout", help="by default the one that the weights came in")
    args = parser.parse_args(argv)
    try:
        if args.command == "back":
            convert_back(args.folder, args.target, layout=args.layout)
            print(f"wrote {args.target}")
        else:
            _convert(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _convert(args: argparse.Namespace) -> None:
    """Converts a checkpoint, or a published folder of all networks of a system."""
    release = all_releases().get(args.command)
    if release and Path(args.source).is_dir() and not is_weights(args.source):
        convert_release(release, args.source, args.folder, dtype=args.dtype)
        return
    config = _config(args.command, args.size)
    convert_file(args.command, resolve(args.source), args.folder, config=config, dtype=args.dtype)
    print(f"wrote {args.folder}")


def _config(network: str, sizes: list[str]) -> catalog.Config:
    fields = {f.name for f in dataclasses.fields(catalog.config_class(network))}
    facts: dict[str, Any] = {}
    for size in sizes:
        name, _, value = size.partition("=")
        if name not in fields or name in catalog.RUNTIME_FIELDS:
            raise InputError(f"--size {size}: a {network} has no size {name!r}")
        try:
            facts[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            raise InputError(f"--size {size}: {value!r} is no number or tuple") from None
    return catalog.config_from_dict(network, facts)


if __name__ == "__main__":
    sys.exit(main())
