// Returns what is wrong with the page for people who use a screen reader or the keyboard, or who see little, by the rules of
// WCAG 2.2 that a program can check.
() => {
  const wrong = [];
  const name = (e) => `<${e.tagName.toLowerCase()}${e.id ? " id=" + e.id : ""}> ${(e.textContent || "").trim().slice(0, 40)}`;
  const seen = (e) => e.getClientRects().length > 0 && getComputedStyle(e).visibility !== "hidden";
  if (!document.documentElement.lang) wrong.push("the page has no language");
  if (!document.title.trim()) wrong.push("the page has no title");
  if (document.querySelectorAll("main").length !== 1) wrong.push("the page must have one main part");
  if (document.querySelectorAll("h1").length !== 1) wrong.push("the page must have one h1");
  let level = 0;
  for (const h of document.querySelectorAll("h1, h2, h3, h4")) {
    const l = Number(h.tagName[1]);
    if (level && l > level + 1) wrong.push(`heading of level ${l} after ${level}: ${name(h)}`);
    level = l;
  }
  const ids = new Set();
  for (const e of document.querySelectorAll("[id]")) {
    if (ids.has(e.id)) wrong.push("an id is used twice: " + e.id);
    ids.add(e.id);
  }
  for (const e of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!e.labels.length && !e.getAttribute("aria-label") && !e.getAttribute("aria-labelledby")) wrong.push("no label: " + name(e));
  }
  for (const e of document.querySelectorAll("a, button")) {
    if (!(e.textContent.trim() || e.getAttribute("aria-label"))) wrong.push("no text: " + name(e));
  }
  for (const e of document.querySelectorAll("img, svg")) {
    if (!e.getAttribute("alt") && !e.getAttribute("aria-label") && e.getAttribute("aria-hidden") !== "true") wrong.push("no text for: " + name(e));
  }
  for (const e of document.querySelectorAll("[aria-labelledby]")) {
    if (!document.getElementById(e.getAttribute("aria-labelledby"))) wrong.push("labelled by nothing: " + name(e));
  }
  for (const e of document.querySelectorAll("th")) if (!e.scope) wrong.push("a heading of a table without scope: " + name(e));
  for (const e of document.querySelectorAll("a, button, input:not([type=hidden]), select")) {
    if (seen(e) && e.tabIndex < 0) wrong.push("not reached by keyboard: " + name(e));
  }
  for (const e of document.querySelectorAll("button, input:not([type=hidden]), select, nav a")) {
    const r = e.getBoundingClientRect();
    if (seen(e) && (r.height < 24 || r.width < 24)) wrong.push(`too small to be hit, ${r.width}×${r.height}: ` + name(e));
  }
  // Contrast, of texts before an opaque background.
  const channel = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const parse = (color) => color.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const back = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const reported = new Set();
  for (let t = texts.nextNode(); t; t = texts.nextNode()) {
    const e = t.parentElement;
    if (!t.textContent.trim() || !seen(e) || ["SCRIPT", "OPTION", "PROGRESS"].includes(e.tagName)) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(back(e))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const key = e.tagName + contrast.toFixed(1);
    if (contrast < 4.5 && !e.closest("[disabled]") && !reported.has(key)) {
      reported.add(key);
      wrong.push(`contrast ${contrast.toFixed(1)}: ${name(e)}`);
    }
  }
  return wrong;
}
