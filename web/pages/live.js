// Brings the content of a page up to date while it is watched.
"use strict";
const part = document.querySelector("[data-live]");
const said = document.getElementById("live");

// update makes a node the same as another one. It keeps all that is the same, so that nothing moves away from under a click, and
// what is chosen, opened or has the focus keeps it.
function update(was, is) {
  if (was.nodeName !== is.nodeName) return was.replaceWith(is);
  if (was.nodeType === Node.TEXT_NODE) {
    if (was.data !== is.data) was.data = is.data;
    return;
  }
  if (was.attributes) {
    for (const a of [...was.attributes]) if (!is.hasAttribute(a.name) && a.name !== "open") was.removeAttribute(a.name);
    for (const a of is.attributes) if (was.getAttribute(a.name) !== a.value) was.setAttribute(a.name, a.value);
  }
  const [old, fresh] = [[...was.childNodes], [...is.childNodes]];
  fresh.forEach((node, i) => (i < old.length ? update(old[i], node) : was.append(node)));
  old.slice(fresh.length).forEach((node) => node.remove());
}

if (part && window.EventSource) {
  let events;
  const say = (text) => { if (said && said.textContent !== text) said.textContent = text; };
  const watch = () => {
    events = new EventSource(part.dataset.live);
    events.onopen = () => say("The page is live.");
    events.onmessage = (e) => {
      const fresh = part.cloneNode(false);
      fresh.innerHTML = e.data;
      update(part, fresh);
    };
    events.addEventListener("end", () => { events.close(); events = null; say("Nothing more happens here."); });
    events.onerror = () => say("The connection is lost; the page shows how it was.");
  };
  watch();
  document.addEventListener("visibilitychange", () => {
    if (!events) return;
    if (document.hidden) events.close(); else if (events.readyState === EventSource.CLOSED) watch();
  });
}
