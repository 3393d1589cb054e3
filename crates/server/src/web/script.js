// The pages work without it: copying, forms and lists that go on by themselves, and what a link carries behind its `#`.
"use strict";

for (const button of document.querySelectorAll("[data-copy]")) {
  const said = button.innerHTML;
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
    setTimeout(() => { button.innerHTML = said; }, 1500);
  });
}

for (const form of document.querySelectorAll("form[data-submit]")) form.submit();

const link = document.getElementById("link");
if (link && location.hash.length > 1) {
  const text = decodeURIComponent(location.hash.slice(1));
  link.value = text;
  document.getElementById("enroll-name").textContent = text.split(".")[0];
  document.getElementById("enroll-who").hidden = false;
  document.getElementById("enroll-paste").hidden = true;
  // Out of the address bar and the history.
  history.replaceState(null, "", location.pathname);
}

const live = document.querySelector("[data-live]");
if (live) {
  const said = document.getElementById("live-said");
  const control = document.getElementById("live-switch");
  let paused = false;
  const newest = () => live.querySelector("[data-event]")?.dataset.event;
  const stop = (why) => {
    clearInterval(timer);
    control.hidden = true;
    said.textContent = why;
  };
  const look = async () => {
    if (paused || document.hidden) return;
    let answer;
    try {
      answer = await fetch(live.dataset.live, { redirect: "manual", cache: "no-store" });
    } catch {
      // The Cluster may be back in a moment.
      return;
    }
    if (answer.status === 503) return;
    if (!answer.ok) return stop("This list does not go on by itself any more: reload the page.");
    const rows = document.createElement("template");
    rows.innerHTML = `<table><tbody>${await answer.text()}</tbody></table>`;
    const found = [...rows.content.querySelectorAll("tr")];
    const last = newest();
    const before = found.findIndex((row) => row.dataset.event === last);
    if (before === 0 || !found[0]?.dataset.event) return;
    // The focus stays where it is where the row does.
    const focused = live.contains(document.activeElement) ? document.activeElement.closest("tr")?.dataset.event : null;
    if (focused && before > 0) {
      live.prepend(...found.slice(0, before));
    } else {
      live.replaceChildren(...found);
    }
    const count = before > 0 ? `${before} new` : "New events";
    said.textContent = `${count}, ${new Date().toISOString().slice(11, 19)} UTC.`;
  };
  const timer = setInterval(look, 2000);
  control.hidden = false;
  control.addEventListener("click", () => {
    paused = !paused;
    control.textContent = paused ? "Go on" : "Pause";
    said.textContent = paused ? "Paused." : "Going on.";
  });
}
