"""Clips with a reference, by networks of random weights."""

import dataclasses
from pathlib import Path

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from pipelines.genve.tiny_genve import CONFIG, RATE, options, tiny_genve
from pipelines.jax_events import COMPILE, events
from pipelines.tiny_system import clip, random_params, tiny_system
from video.video_clips import make_video

from benchmarks.genve_noise import measure
from venhancer_jax.configs import genve
from venhancer_jax.diffusion.noise import CounterNoise
from venhancer_jax.errors import InputError
from venhancer_jax.models.genve.sd21 import SD21Config
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.continuation import WHOLE_CLIP, Place
from venhancer_jax.pipelines.genve import conditions as conditions_module
from venhancer_jax.pipelines.genve import system as system_module
from venhancer_jax.pipelines.genve.conditions import ReferencedConditions
from venhancer_jax.pipelines.genve.system import GenVE
from venhancer_jax.pipelines.jobs import check_jobs
from venhancer_jax.pipelines.pieces import take
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.pipelines.venhancer.plan import hint_noise
from venhancer_jax.video.resize import to_signed

SYSTEM = tiny_genve()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Writes a sharp picture of a frame, twice as large."""
    path = tmp_path / "sharp.png"
    pixels = cv2.resize(clip(2)[1], (64, 48), interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(path), pixels[..., ::-1])
    return path


def enhance(system=SYSTEM, frames=3, **changes) -> np.ndarray:
    enhanced = system.enhance(clip(frames), rate=RATE, options=options(**changes))
    return np.stack(list(enhanced))


def conditions_of(place: Place = WHOLE_CLIP, frames=5, **changes) -> ReferencedConditions:
    chosen = options(**changes)
    noise = CounterNoise(chosen.seed, place.start)
    encoded, plan = SYSTEM._encode(clip(frames), RATE, chosen, place, lambda *_: None)
    text = jnp.zeros((2, 1, CONFIG.context_width))
    found = SYSTEM.conditions(encoded, plan, text, noise, noise, chosen, place, lambda *_: None)
    assert isinstance(found, ReferencedConditions)
    return found


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flows by two latents to the right for each frame after the key frame."""

    def flows(raft, frames, keys, nearest, space, pixels):
        del raft, keys, nearest
        height, width = (side // pixels for side in space.working_size)
        steps = np.arange(len(frames)) - len(frames) // 2
        flow = np.zeros((len(frames), height, width, 2), np.float32)
        flow[..., 0] = 2 * steps[:, None, None]
        return flow

    monkeypatch.setattr(system_module, "direct_flows", flows)


def test_without_reference_it_is_venhancer():
    venhancer = tiny_system()
    names = {f.name for f in dataclasses.fields(VEnhancerOptions)}
    shared = {name: x for name, x in dataclasses.asdict(options()).items() if name in names}
    expected = venhancer.enhance(clip(3), rate=RATE, options=VEnhancerOptions(**shared))
    found = enhance(reference="none")
    np.testing.assert_array_equal(found, np.stack(list(expected)))
    plain = GenVE(venhancer.denoiser, venhancer.vae, venhancer.text)
    np.testing.assert_array_equal(enhance(plain, reference="none"), found)


def test_a_reference_changes_the_result_and_a_second_run_compiles_nothing(picture: Path):
    sharpened = enhance()
    with events() as seen:
        again = enhance(seed=1, image_start=500, noise_aug=100)
    assert seen[COMPILE] == 0
    others = [again, enhance(reference="none"), enhance(reference=str(picture))]
    for i, one in enumerate([sharpened, *others]):
        for other in others[i:]:
            assert (one != other).any()


def test_the_texture_is_computed_once_for_each_window(monkeypatch: pytest.MonkeyPatch, picture):
    calls = []
    compute = conditions_module.compute_texture

    def counted(network, params, hint, reference):
        calls.append((hint, reference))
        return compute(network, params, hint, reference)

    monkeypatch.setattr(conditions_module, "compute_texture", counted)
    found = SYSTEM.denoise_clip(
        clip(5), rate=RATE, options=options(window=3, steps=3, reference=str(picture))
    )[1]
    assert found.window_count == len(calls) > 1
    expected = conditions_of(window=3, steps=3, reference=str(picture))
    for box, (hint, reference) in zip(found.boxes(), calls, strict=True):
        np.testing.assert_array_equal(hint, take(expected.hint, box))
        np.testing.assert_array_equal(reference, take(expected.reference, box))


def test_noise_is_added_before_the_warp(picture: Path, moved: None):
    """Noise moves with the picture; what comes from outside of it is exactly 0."""
    found = np.asarray(conditions_of(reference=str(picture)).reference)[0]
    clean = np.asarray(conditions_of(reference=str(picture), noise_aug=0).reference)[0]
    for frames in (found, clean):
        np.testing.assert_array_equal(frames[4, :, :-4], frames[2, :, 4:])
        np.testing.assert_array_equal(frames[1, :, 2:], frames[2, :, :-2])
        assert not frames[4, :, -4:].any() and not frames[0, :, :4].any()
        assert np.abs(frames[2]).min() > 0
    _, alpha, sigma = hint_noise(SYSTEM.schedule, options())
    noise = (found[2] - alpha * clean[2]) / sigma
    assert abs(noise.std() - 1) < 0.1 and abs(noise.mean()) < 0.1


def test_without_noise_and_motion_each_frame_gets_the_picture(
    picture: Path, monkeypatch: pytest.MonkeyPatch
):
    still = np.zeros((5, 12, 16, 2), np.float32)
    monkeypatch.setattr(system_module, "direct_flows", lambda *_: still)
    found = conditions_of(reference=str(picture), noise_aug=0).reference
    plan = SYSTEM._encode(clip(5), RATE, options(), WHOLE_CLIP, lambda *_: None)[1]
    latents, shrunk = SYSTEM._read_picture(options(reference=str(picture)), plan)
    np.testing.assert_array_equal(found[0], np.broadcast_to(latents, (5, 12, 16, 4)))
    # The picture has each pixel four times.
    assert np.abs(to_signed(shrunk) - to_signed(clip(2)[1])).mean() < 0.05


def test_the_video_keeps_its_hint_and_the_reference_has_noise_of_its_own(
    picture: Path, monkeypatch: pytest.MonkeyPatch
):
    still = np.zeros((5, 12, 16, 2), np.float32)
    monkeypatch.setattr(system_module, "direct_flows", lambda *_: still)
    plain_options, noise = options(reference="none"), CounterNoise(options().seed)
    encoded, plan = SYSTEM._encode(clip(5), RATE, plain_options, WHOLE_CLIP, lambda *_: None)
    text = jnp.zeros((2, 1, CONFIG.context_width))
    plain = SYSTEM.conditions(
        encoded, plan, text, noise, noise, plain_options, WHOLE_CLIP, lambda *_: None
    )
    found = conditions_of(reference=str(picture))
    np.testing.assert_array_equal(found.hint, plain.hint)
    np.testing.assert_array_equal(found.start, plain.start)
    video = np.asarray(CounterNoise(options().seed)("hint", 0, found.hint.shape))
    clean = conditions_of(reference=str(picture), noise_aug=0).reference
    _, alpha, sigma = hint_noise(SYSTEM.schedule, options())
    noise = np.asarray((found.reference - alpha * clean) / sigma)
    assert abs(noise.std() - 1) < 0.1
    for frame in video[0]:
        assert np.abs(np.corrcoef(noise[0, 0].ravel(), frame.ravel())[0, 1]) < 0.2


def test_the_key_frame_is_sharpened_by_its_own_noise(monkeypatch: pytest.MonkeyPatch):
    seen = []

    class Recorder:
        def sharpen(self, z, text, chosen, *, noise, progress):
            seen.append((z, noise, text.shape))
            progress("image", 1, 1)
            return z

    monkeypatch.setattr(GenVE, "image_diffuser", lambda self, options: Recorder())
    stages = []
    chosen = options(key_every=2, guidance_scale=1.0)
    place = Place(start=4, alone=False)
    encoded, plan = SYSTEM._encode(clip(5), RATE, chosen, place, lambda *_: None)
    noise = CounterNoise(chosen.seed, 4)
    SYSTEM.conditions(
        encoded, plan, jnp.zeros((1, 1, 8)), noise, noise, chosen, place,
        lambda *stage: stages.append(stage),
    )  # fmt: skip
    # Groups of two frames from frame 0 of the clip: their later ones.
    assert [at.first_frame for _, at, _ in seen] == [5, 7]
    for position, (z, _, shape) in zip((1, 3), seen, strict=True):
        np.testing.assert_array_equal(z, encoded.mean[:, position : position + 1])
        assert shape[0] == 2  # the image is guided, the video is not
    assert stages == [("image", 1, 2), ("image", 2, 2)]


def test_a_picture_of_another_segment(monkeypatch: pytest.MonkeyPatch, picture: Path):
    """The flow is to the frame that it shows, where that is here, else to the picture itself."""
    keys = []

    def flows(raft, frames, pictures, nearest, space, pixels):
        keys.append(pictures)
        return np.zeros((len(frames), 12, 16, 2), np.float32)

    monkeypatch.setattr(system_module, "direct_flows", flows)
    later = Place(start=5, first=5, alone=False)
    here = conditions_of(key_frame=1, reference=str(picture))
    elsewhere = conditions_of(later, key_frame=1, reference=str(picture))
    conditions_of(reference=str(picture))
    np.testing.assert_array_equal(keys[0][0], clip(5)[1])
    np.testing.assert_array_equal(keys[1][0], keys[2][0])
    assert keys[1][0].shape == (24, 32, 3) and (keys[1][0] != keys[0][0]).any()
    # Equal noise in all segments.
    np.testing.assert_array_equal(here.reference[0, 0], elsewhere.reference[0, 0])


def test_what_networks_cannot_do():
    plain = GenVE(tiny_system().denoiser, SYSTEM.vae, SYSTEM.text, raft=SYSTEM.raft)
    with pytest.raises(InputError, match=r"attends to no reference.*reference=none"):
        plain.prepare([options()])
    with pytest.raises(InputError, match=r"weights of RAFT.*flow=dis"):
        dataclasses.replace(SYSTEM, raft=None).prepare([options(flow="raft")])
    with pytest.raises(InputError, match="key_frame 3: expected an index below 3"):
        enhance(key_frame=3)


def test_distances_of_results(picture: Path):
    found = measure(SYSTEM, clip(3), RATE, options(), levels=(100, 300), references=[str(picture)])
    assert found["noise"].keys() == {100, 300}
    assert found["references"].keys() == {"prior", str(picture), "none"}
    assert len(found["apart"]) == 3 and min(found["apart"].values()) > 0
    enlarged = np.stack(clip(3)).astype(float)
    expected = np.sqrt(np.mean((enhance(reference="none") - enlarged) ** 2))
    np.testing.assert_allclose(found["references"]["none"], expected, rtol=1e-5)


def test_another_image_network():
    config = SD21Config.tiny(context_width=CONFIG.context_width)
    network = catalog.build("sd21", config)
    image = LoadedNetwork(config, network, random_params(network))
    system, chosen = dataclasses.replace(SYSTEM, image=image), options(reference="sd21")
    system.check_weights(chosen)
    assert system.image_diffuser(chosen).denoiser is image
    with pytest.raises(InputError, match=r"weights of Stable Diffusion 2.1.*reference=prior"):
        SYSTEM.check_weights(chosen)
    wide = dataclasses.replace(image, config=dataclasses.replace(config, latent_channels=16))
    with pytest.raises(InputError, match=r"latents of 16 channels, expected 4"):
        dataclasses.replace(SYSTEM, image=wide).prepare([chosen])


def test_results_follow_from_the_content_of_the_picture(
    picture: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(picture.parent)
    make_video(Path("in.mp4"), clip(2))
    config = genve.get_config()
    config.update(input="in.mp4", output="out.mp4", reference=str(picture))
    before = check_jobs(config)[0][0].facts()
    cv2.imwrite(str(picture), np.zeros((48, 64, 3), np.uint8))
    after = check_jobs(config)[0][0].facts()
    changed = [name for name, value in after.items() if before[name] != value]
    assert changed == [f"content of {picture}"]
