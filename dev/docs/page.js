"use strict";
// An option is shown that has all words, in its name or anywhere else; those with all of
// them in the name come first. The words are in the address, so that a search can be sent.
const field = document.querySelector("input");
const count = document.querySelector("output");
const all = Array.from(document.querySelectorAll("section"), (section) => (
  { section, name: section.id.toLowerCase(), text: section.textContent.toLowerCase() }));

function search() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = all.filter((o) => words.every((word) => o.text.includes(word)));
  const rank = (o) => (words.every((word) => o.name.includes(word)) ? 0 : 1);
  for (const o of all) {
    o.section.hidden = true;
  }
  for (const o of [...(words.length ? found.sort((a, b) => rank(a) - rank(b)) : all)]) {
    o.section.hidden = false;
    o.section.parentNode.append(o.section);
  }
  count.textContent = words.length ? `${found.length} of ${all.length}` : `${all.length} options`;
  history.replaceState(null, "", words.length ? `?${encodeURIComponent(words.join(" "))}` : location.pathname + location.hash);
}

field.addEventListener("input", search);
if (location.search) {
  field.value = decodeURIComponent(location.search.slice(1));
}
search();
if (location.hash) {
  document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}
