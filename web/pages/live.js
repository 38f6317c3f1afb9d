// Replaces the content of a page that changes, while it is watched.
"use strict";
const part = document.querySelector("[data-live]");
const said = document.getElementById("live");
if (part && window.EventSource) {
  let events;
  const say = (text) => { if (said && said.textContent !== text) said.textContent = text; };
  const watch = () => {
    events = new EventSource(part.dataset.live);
    events.onopen = () => say("The page is live.");
    events.onmessage = (e) => {
      // Somebody who is filling in a form or has chosen something must not lose it.
      if (part.contains(document.activeElement) && document.activeElement !== document.body) return;
      part.innerHTML = e.data;
    };
    events.addEventListener("end", () => { events.close(); say("Nothing more happens here."); });
    events.onerror = () => say("The connection is lost; the page shows how it was.");
  };
  watch();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) events.close(); else if (events.readyState === EventSource.CLOSED) watch();
  });
}
