"use strict";
(() => {
  const root = document.documentElement, body = document.body;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  root.classList.add("scripted");

  // Before and after under one slider.
  body.classList.add("slider");
  for (const stage of all(".stage")) {
    const wipe = stage.querySelector(".wipe");
    wipe.addEventListener("input", () => stage.style.setProperty("--cut", wipe.value + "%"));
  }
  const zoom = document.querySelector(".zoom"), pairs = document.querySelector(".pairs");
  for (const input of all("input[name=view]")) {
    input.addEventListener("change", () => {
      body.classList.toggle("slider", input.value === "slider");
      zoom.disabled = input.value !== "slider";
      resize(zoom.disabled ? "fit" : zoom.querySelector(":checked").value);
    });
  }

  // Pixels of the result as pixels of the screen.
  const resize = (value) => {
    const width = value === "fit" ? "" : pairs.dataset.width * value / window.devicePixelRatio + "px";
    for (const scroll of all(".pair .scroll")) {
      scroll.firstElementChild.style.width = width;
      if (width) scroll.tabIndex = 0; else scroll.removeAttribute("tabindex");
    }
  };
  for (const input of all("input[name=zoom]")) input.addEventListener("change", () => resize(input.value));

  // One frame at a time, at the same position of the slider.
  const choose = (id) => {
    for (const pair of all(".pair")) {
      const wipe = pair.querySelector(".wipe"), shown = document.querySelector(".pair.chosen .wipe");
      if (pair.id !== id || pair.classList.contains("chosen")) continue;
      if (shown) { wipe.value = shown.value; wipe.dispatchEvent(new Event("input")); }
      for (const other of all(".pair.chosen")) other.classList.remove("chosen");
      pair.classList.add("chosen");
    }
  };
  for (const input of all("input[name=pair]")) {
    input.addEventListener("change", () => choose(input.value));
    if (input.checked) choose(input.value);
  }

  // One video holds both halves, so that they cannot drift apart.
  const video = document.querySelector(".motion video");
  if (video) {
    const canvases = all(".motion canvas"), play = document.querySelector(".play");
    const [type, data] = video.getAttribute("src").slice(5).split(";base64,");
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    video.src = URL.createObjectURL(new Blob([bytes], { type }));
    const draw = () => {
      for (const canvas of canvases) {
        const top = canvas.classList.contains("before") ? 0 : canvas.height;
        canvas.getContext("2d").drawImage(
          video, 0, top, canvas.width, canvas.height, 0, 0, canvas.width, canvas.height);
      }
      root.dataset.frames = Number(root.dataset.frames || 0) + 1;
    };
    const next = video.requestVideoFrameCallback
      ? (call) => video.requestVideoFrameCallback(call) : (call) => requestAnimationFrame(call);
    const loop = () => { draw(); next(loop); };
    next(loop);
    for (const event of ["loadeddata", "seeked"]) video.addEventListener(event, draw);
    const show = () => { play.textContent = video.paused ? "Play" : "Pause"; };
    for (const event of ["play", "pause"]) video.addEventListener(event, show);
    play.addEventListener("click", () => { if (video.paused) video.play(); else video.pause(); });
    document.querySelector(".speed select").addEventListener("change", (event) => {
      video.playbackRate = video.defaultPlaybackRate = Number(event.target.value);
    });
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) video.play().catch(() => {});
  }

  for (const button of all(".copy")) {
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
})();
