// Keeps a page current. Without this script everything is there as well, after a reload.
"use strict";

(() => {
  const LOG_CHARACTERS = 400000;
  const contact = document.getElementById("contact");

  // A running log, read as it grows. It is text and stays text.
  const follow = async (section) => {
    const out = section.querySelector("pre");
    const state = section.querySelector("[data-state]");
    let shown = 0;
    const append = (text) => {
      const isAtEnd = out.scrollTop + out.clientHeight >= out.scrollHeight - 40;
      out.append(document.createTextNode(text));
      shown += text.length;
      while (shown > LOG_CHARACTERS && out.childNodes.length > 1) {
        shown -= out.firstChild.length;
        out.firstChild.remove();
      }
      if (isAtEnd) out.scrollTop = out.scrollHeight;
    };
    while (section.isConnected) {
      try {
        const response = await fetch(section.dataset.log, { cache: "no-store" });
        if (!response.ok || !response.body) throw new Error(String(response.status));
        state.textContent = "live";
        out.replaceChildren();
        shown = 0;
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        for (;;) {
          const { done, value } = await reader.read();
          if (!section.isConnected) return void reader.cancel();
          if (done) break;
          append(value);
        }
        state.textContent = "ended";
        return;
      } catch {
        state.textContent = "interrupted, trying again";
        await new Promise((resolve) => setTimeout(resolve, 3000));
      }
    }
  };

  const start = (section) => {
    if (section && section.dataset.log) follow(section);
  };

  // Puts a region's new content in its place, unless somebody is reading or copying there.
  const replace = (region, fresh) => {
    const selection = getSelection();
    if (selection && !selection.isCollapsed && region.contains(selection.anchorNode)) return;
    for (const details of region.querySelectorAll("details[id]")) {
      const same = fresh.querySelector("#" + CSS.escape(details.id));
      if (same) same.open = details.open;
    }
    if (!region.isEqualNode(fresh)) region.replaceWith(document.adoptNode(fresh));
  };

  const refresh = async () => {
    const regions = [...document.querySelectorAll("[data-refresh]")];
    if (regions.length === 0) return;
    const pause = Math.min(...regions.map((region) => Number(region.dataset.refresh) || 5));
    await new Promise((resolve) => setTimeout(resolve, pause * 1000));
    if (!document.hidden) {
      try {
        const response = await fetch(location.href, { cache: "no-store" });
        if (!response.ok) throw new Error(String(response.status));
        const page = new DOMParser().parseFromString(await response.text(), "text/html");
        for (const region of regions) {
          const fresh = page.getElementById(region.id);
          if (fresh) replace(region, fresh);
        }
        const log = document.getElementById("live-log");
        const next = page.getElementById("live-log");
        if (log && next && next.dataset.log && next.dataset.log !== log.dataset.log) {
          log.replaceWith(document.adoptNode(next));
          start(next);
        }
        document.title = page.title;
        contact.hidden = true;
      } catch {
        contact.hidden = false;
      }
    }
    refresh();
  };

  start(document.getElementById("live-log"));
  refresh();
})();
