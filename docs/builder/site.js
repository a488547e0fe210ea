// What the theme adds when a page is shown: a wide table can be scrolled by keyboard, a copy button is no landmark.
const mend = () => {
  for (const wide of document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code")) wide.tabIndex = 0;
  for (const buttons of document.querySelectorAll("nav.md-code__nav")) buttons.setAttribute("role", "presentation");
};
new MutationObserver(mend).observe(document.documentElement, { childList: true, subtree: true });
mend();
