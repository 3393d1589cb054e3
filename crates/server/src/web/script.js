// Optional enhancements: copy buttons, live lists, forms, and the fragment of enrollment links. Pages work without it.
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
  let text = "";
  try {
    text = decodeURIComponent(location.hash.slice(1));
  } catch {
    // The fragment is malformed: the page asks for the link.
  }
  if (text) {
    link.value = text;
    document.getElementById("enroll-name").textContent = text.split(".")[0];
    document.getElementById("enroll-who").hidden = false;
    document.getElementById("enroll-paste").hidden = true;
  }
  // Remove it from the address bar and the history.
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
      // The failure may be temporary.
      return;
    }
    if (answer.status === 503) return;
    if (!answer.ok) return stop("This list is no longer updated: reload the page.");
    const rows = document.createElement("template");
    rows.innerHTML = `<table><tbody>${await answer.text()}</tbody></table>`;
    const found = [...rows.content.querySelectorAll("tr")];
    const last = newest();
    const before = found.findIndex((row) => row.dataset.event === last);
    if (before === 0 || !found[0]?.dataset.event) return;
    // Keep the focus if its row remains.
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
    control.textContent = paused ? "Resume" : "Pause";
    said.textContent = paused ? "Paused." : "Resumed.";
  });
}

// Passkeys and security keys. Avoids the JSON helpers of WebAuthn, which some browsers lack.
const fromBase64 = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
const toBase64 = (buffer) =>
  btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

const credentialOptions = (text) => {
  const options = JSON.parse(text);
  const decoded = (list) => list?.map((known) => ({ ...known, id: fromBase64(known.id) }));
  options.challenge = fromBase64(options.challenge);
  if (options.user) options.user.id = fromBase64(options.user.id);
  if (options.excludeCredentials) options.excludeCredentials = decoded(options.excludeCredentials);
  if (options.allowCredentials) options.allowCredentials = decoded(options.allowCredentials);
  return options;
};

const credentialJson = (credential) => {
  const answer = credential.response;
  const response = { clientDataJSON: toBase64(answer.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (answer[name]) response[name] = toBase64(answer[name]);
  }
  if (answer.getTransports) response.transports = answer.getTransports();
  return JSON.stringify({
    id: credential.id,
    rawId: toBase64(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment,
    clientExtensionResults: credential.getClientExtensionResults(),
    response,
  });
};

const whatWentWrong = (error) => {
  switch (error.name) {
    case "InvalidStateError": return "This is already registered. Use another one.";
    case "NotAllowedError": return "It was cancelled, it took too long, or no matching passkey or security key was found. Try again.";
    case "NotSupportedError": return "This device supports no type of key that is accepted here.";
    case "SecurityError": return "The browser does not allow it at this address.";
    default: return `It did not work: ${error.message}`;
  }
};

for (const form of document.querySelectorAll("form[data-webauthn]")) {
  const button = form.querySelector("button");
  const said = form.querySelector("[data-said]");
  const say = (text) => { said.textContent = text; said.hidden = !text; };
  if (!window.PublicKeyCredential) {
    say("This browser does not support passkeys and security keys. Use another browser or another method.");
    continue;
  }
  let waiting = null;
  const ask = async (mediation) => {
    waiting?.abort();
    waiting = new AbortController();
    const publicKey = credentialOptions(form.dataset.options);
    const request = { publicKey, signal: waiting.signal };
    if (mediation) request.mediation = mediation;
    const credential = form.dataset.webauthn === "create"
      ? await navigator.credentials.create(request)
      : await navigator.credentials.get(request);
    form.elements.response.value = credentialJson(credential);
    form.submit();
  };
  button.disabled = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    say("");
    try {
      await ask();
    } catch (error) {
      say(whatWentWrong(error));
      button.disabled = false;
    }
  });
  const field = form.querySelector("[data-conditional]");
  if (field) {
    PublicKeyCredential.isConditionalMediationAvailable?.().then(async (available) => {
      if (!available) return;
      field.hidden = false;
      // The button takes precedence: it aborts this request.
      try { await ask("conditional"); } catch (error) { if (error.name !== "AbortError") say(whatWentWrong(error)); }
    });
  }
}
