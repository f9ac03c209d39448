// Makes pages that work without it livelier: a scan's page follows the scan, lists look again,
// clocks run. What changes comes as HTML that the server has made; each part with an id is
// exchanged only if it differs, so that focus, selection and screen readers are left alone.
"use strict";

const seconds = (n) => n * 1000;

function exchange(region, html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  const wanted = [...fresh.body.children];
  if (!wanted.every((part) => part.id)) {
    if (region.innerHTML !== fresh.body.innerHTML) region.replaceChildren(...fresh.body.childNodes);
    return;
  }
  const focused = document.activeElement && document.activeElement.id;
  // What somebody has opened stays open.
  const open = [...region.querySelectorAll("details[open][id]")].map((each) => each.id);
  const known = new Map([...region.children].map((part) => [part.id, part]));
  const kept = wanted.map((part) => {
    const old = known.get(part.id);
    return old && old.dataset.html === part.outerHTML ? old : remember(part);
  });
  if (kept.length !== region.children.length || kept.some((part, n) => part !== region.children[n])) {
    const kindred = new Set(kept);
    [...region.children].filter((part) => !kindred.has(part)).forEach((part) => part.remove());
    kept.forEach((part, n) => {
      if (region.children[n] !== part) region.insertBefore(part, region.children[n] || null);
    });
  }
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  const again = focused && document.getElementById(focused);
  if (again && document.activeElement !== again) again.focus({ preventScroll: true });
}

function remember(part) {
  const html = part.outerHTML;
  part.dataset.html = html;
  return part;
}

async function look(region) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (answer.redirected) return location.assign(answer.url);
  if (!answer.ok) return undefined;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const found = region.id
    ? page.getElementById(region.id)
    : page.querySelector("[data-poll]:not([id])");
  if (!found) return location.reload();
  exchange(region, found.innerHTML);
  if (!found.dataset.poll) delete region.dataset.poll;
  return undefined;
}

function poll(region) {
  const again = () => {
    if (!region.dataset.poll) return;
    setTimeout(async () => {
      // A page that nobody sees asks nothing.
      if (!document.hidden) await look(region).catch(() => undefined);
      again();
    }, seconds(Number(region.dataset.poll)));
  };
  again();
}

function follow(region) {
  const source = new EventSource(region.dataset.live);
  source.addEventListener("part", (event) => exchange(region, event.data));
  source.addEventListener("end", () => source.close());
  source.addEventListener("gone", () => {
    source.close();
    location.reload();
  });
  source.addEventListener("error", () => {
    // Closed for good: there are too many who follow. Then look from time to time.
    if (source.readyState === EventSource.CLOSED) poll(region);
  });
  addEventListener("pagehide", () => source.close());
}

function words(left) {
  const n = Math.max(0, Math.round(left));
  if (n < 60) return `${n} s`;
  if (n < 3600) return `${Math.floor(n / 60)} min ${n % 60} s`;
  return `${Math.floor(n / 3600)} h ${Math.floor((n % 3600) / 60)} min`;
}

function tick() {
  const now = Date.now();
  for (const clock of document.querySelectorAll("[data-clock]")) {
    if (clock.dataset.clock === "down") {
      clock.textContent = `for another ${words((Date.parse(clock.dataset.until) - now) / 1000)}`;
    } else {
      clock.dataset.began ||= String(now - seconds(Number(clock.dataset.seconds)));
      clock.textContent = words((now - Number(clock.dataset.began)) / 1000);
    }
  }
}

for (const region of document.querySelectorAll("[data-live], [data-poll]")) {
  if (region.dataset.live) follow(region);
  else poll(region);
}
if (document.querySelector("[data-live]")) setInterval(tick, seconds(1));
// One press is enough.
addEventListener("submit", (event) => {
  const button = event.target.querySelector("button[type=submit]");
  if (button) setTimeout(() => (button.disabled = true));
});
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button:disabled")) button.disabled = false;
});
