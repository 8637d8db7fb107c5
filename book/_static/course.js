// Names that a screen reader speaks and that differ from what is written: the written ones are enough.
document.addEventListener("DOMContentLoaded", () => {
  // folded cells, "Show code cell source", and the search of the side bar, "Search Ctrl + K"
  for (const named of document.querySelectorAll("details.hide > summary, .search-button-field")) {
    named.removeAttribute("aria-label");
  }
  // the arrow that unfolds the pages below a page of the side bar has no name at all
  for (const arrow of document.querySelectorAll(".bd-sidebar-primary details > summary")) {
    arrow.setAttribute("aria-label", "Pages below this one");
  }
  // the button for the colours: its pictures have names of their own, and are drawn some time later
  for (const button of document.querySelectorAll(".theme-switch-button")) {
    const silence = () => {
      for (const picture of button.querySelectorAll("svg")) {
        picture.querySelector("title")?.remove();
        picture.setAttribute("aria-hidden", "true");
      }
    };
    silence();
    new MutationObserver(silence).observe(button, { childList: true });
  }
});
