// Little helps; every page works without them. No address is called from here.
"use strict";

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) {
    event.preventDefault();
    return;
  }
  if (!form.dataset.busy) return;
  if (form.dataset.sent) {
    event.preventDefault(); // a second click must not send twice
    return;
  }
  form.dataset.sent = "yes";
  const note = document.createElement("p");
  note.className = "busy";
  note.setAttribute("role", "status");
  note.textContent = form.dataset.busy;
  form.append(note);
  window.setTimeout(() => { // a button that is disabled at once would not be sent
    for (const button of form.querySelectorAll("button")) button.disabled = true;
  });
});

// Back from the next page, the browser may show this one as it was left.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) window.location.reload();
});

// "All" ticks every box of its group.
document.addEventListener("change", (event) => {
  const group = event.target.dataset.all;
  if (!group) return;
  for (const box of document.querySelectorAll(`input[name="${group}"]`)) box.checked = event.target.checked;
});

// A chosen period is shown at once; the button beside it is for browsers without script.
document.addEventListener("change", (event) => {
  if ("submit" in event.target.dataset) event.target.form.requestSubmit();
});
