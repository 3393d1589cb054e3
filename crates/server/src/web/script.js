// The pages work without it: copying, and what a link carries behind its `#`.
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
