"""Apache Beam writes the bytes that are written without it."""

from pathlib import Path

import pytest
from pipelines.tiny_system import clip
from video.video_clips import make_video

from venhancer_jax.cli import sample
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.registry import SYSTEMS
from venhancer_jax.startup import CACHE_VARIABLE

pytest.importorskip("apache_beam", reason="Apache Beam is not installed (the extra `beam`)")

from venhancer_jax import enhance_beam

CONFIG = """
from venhancer_jax.pipelines.config import enhancement_config

def get_config():
    config = enhancement_config("toy")
    config.window, config.up_scale = 2, 1.0
    return config.lock()
"""


def outputs(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def test_the_same_bytes_and_one_bad_video_costs_that_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setitem(SYSTEMS, "toy", "pipelines.toy_system")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    Path("toy.py").write_text(CONFIG)
    Path("in").mkdir()
    for i in range(2):
        make_video(Path(f"in/{i}.mp4"), clip(3))
    Path("in/broken.mp4").write_text("no video")
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("first\nsecond\nthird\n")
    settings = ["--config=toy.py", f"--config.input={tmp_path / 'in'}"]
    settings.append(f"--config.prompt_file={prompts}")
    assert sample.main([*settings, "--config.output=alone"]) == 2
    beamed = [*settings, f"--config.output={tmp_path / 'beamed'}", "--runner=DirectRunner"]
    capsys.readouterr()
    assert enhance_beam.main(beamed) == 2
    printed = capsys.readouterr()
    assert printed.err.count("error: ") == 1
    assert "prompt 'second'" in printed.out
    assert outputs("beamed") == outputs("alone")
    assert sorted(outputs("beamed")) == ["0.mp4", "1.mp4"]
    Path("in/broken.mp4").unlink()
    prompts.write_text("first\nsecond\n")
    assert enhance_beam.main(beamed) == 0
    assert "wrote" not in capsys.readouterr().out
    Path("beamed/1.mp4").unlink()

    def load(config):
        raise InputError("no weights")

    monkeypatch.setattr(enhance_beam, "load_system", load)
    assert enhance_beam.main(beamed) == 2
    assert f"error: {tmp_path}/in/1.mp4: no weights\n" in capsys.readouterr().err
