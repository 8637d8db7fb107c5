// The theme's button for the colours has a name, "Color mode", and so has each picture in it: the button's is enough.
document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll(".theme-switch-button")) {
    const silence = () => {
      for (const picture of button.querySelectorAll("svg")) {
        picture.querySelector("title")?.remove();
        picture.setAttribute("aria-hidden", "true");
      }
    };
    silence();
    new MutationObserver(silence).observe(button, { childList: true });  // the pictures are drawn some time later
  }
});
