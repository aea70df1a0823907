// Ours beside Sphinx's search, which is loaded before this and begins after it.
"use strict";

if (typeof DOCUMENTATION_OPTIONS !== "undefined" && location.protocol === "file:") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false; // they are fetched, which files cannot be
}

// Pages that hold every term of the query, those first whose titles do. Sphinx lets terms of two
// characters go, and Chinese words are such terms.
function findPages(terms, excluded) {
  const { terms: inText, titleterms: inTitle, docnames, titles, filenames } = Search._index;
  const own = (index, term) =>
    Object.prototype.hasOwnProperty.call(index, term) ? [].concat(index[term]) : [];
  const longer = (index, term) =>
    Object.keys(index).filter((key) => key.startsWith(term)).flatMap((key) => own(index, key));
  const pagesOf = (term) => {
    const scores = new Map();
    const add = (pages, score) =>
      pages.forEach((page) => scores.set(page, Math.max(score, scores.get(page) || 0)));
    add(own(inText, term), Scorer.term);
    add(own(inTitle, term), Scorer.title);
    if (/^\w{3,}$/.test(term)) {
      add(longer(inText, term), Scorer.partialTerm);
      add(longer(inTitle, term), Scorer.partialTitle);
    }
    return scores;
  };
  const found = [...terms].map(pagesOf);
  if (!found.length) return [];
  const without = new Set([...excluded].flatMap((term) => [...pagesOf(term).keys()]));
  return [...found[0].keys()]
    .filter((page) => !without.has(page) && found.every((scores) => scores.has(page)))
    .map((page) => {
      const score = found.reduce((sum, scores) => sum + scores.get(page), 0) / found.length;
      const kind = SearchResultKind.text;
      return [docnames[page], titles[page], "", null, score, filenames[page], kind];
    });
}

if (typeof Search !== "undefined") Search.performTermsSearch = findPages;
